//! What the machine gives, measured before and after a run: on a machine shared with others a figure is worth as much as these two agree.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::core::Sha256;

/// Digests of 64 KiB that are computed: some hundred milliseconds.
const DIGESTS: usize = 2_000;
/// Pages that are written and forced to the disk.
const SYNCS: usize = 200;
/// A page of Postgres.
const PAGE_BYTES: usize = 8_192;
/// More than this and a run is marked.
const DRIFT_MAX: f64 = 0.2;

/// What the machine gave.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// MiB a second that one thread digests by SHA-256, by the clock.
    pub digest_mib_per_second: f64,
    /// Milliseconds that a page takes to reach the disk: the median, as `pg_test_fsync` measures fdatasync.
    pub sync_ms: f64,
}

impl Machine {
    /// Measures it: a second. Blocking.
    ///
    /// # Errors
    /// The folder for temporary files cannot be written.
    pub(super) fn measured() -> std::io::Result<Self> {
        Ok(Self { digest_mib_per_second: digests(), sync_ms: syncs()?.as_secs_f64() * 1_000.0 })
    }

    /// Whether it gives as much as `before`, within a fifth.
    pub(super) fn agrees(self, before: Self) -> bool {
        let is_near = |now: f64, then: f64| (now / then).max(then / now) <= 1.0 + DRIFT_MAX;
        is_near(self.digest_mib_per_second, before.digest_mib_per_second) && is_near(self.sync_ms, before.sync_ms)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a small count")]
fn digests() -> f64 {
    let block = vec![7_u8; 65_536];
    let started = Instant::now();
    (0..DIGESTS).for_each(|_| _ = std::hint::black_box(Sha256::of(&block)));
    DIGESTS as f64 / 16.0 / started.elapsed().as_secs_f64()
}

fn syncs() -> std::io::Result<Duration> {
    let path = std::env::temp_dir().join(format!("sagabus-sync-{}", std::process::id()));
    let mut file = File::create(&path)?;
    let page = [7_u8; PAGE_BYTES];
    let mut taken = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let started = Instant::now();
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&page)?;
        file.sync_data()?;
        taken.push(started.elapsed());
    }
    std::fs::remove_file(path)?;
    taken.sort_unstable();
    Ok(taken[SYNCS / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_more_or_less_is_the_same_machine_and_more_is_not() {
        let before = Machine { digest_mib_per_second: 100.0, sync_ms: 1.0 };
        let after = |digest_mib_per_second, sync_ms| Machine { digest_mib_per_second, sync_ms };
        assert!(after(119.0, 0.9).agrees(before) && after(84.0, 1.19).agrees(before));
        assert!(!after(75.0, 1.0).agrees(before) && !after(100.0, 1.3).agrees(before));
    }

    #[test]
    fn a_machine_can_be_measured() {
        let machine = Machine::measured().unwrap();
        assert!(machine.digest_mib_per_second > 1.0 && machine.sync_ms > 0.0, "{machine:?}");
    }
}
