//! CPU seconds by process group, what the broker writes, and memory, from /proc: CPU is the figure that survives a noisy machine.

use std::collections::HashMap;
use std::fs;

/// CPU seconds that each process had spent at a moment, by its number.
#[derive(Clone, Debug, Default)]
pub(super) struct Clocks {
    engine: HashMap<u32, f64>,
    own: HashMap<u32, f64>,
    postgres: HashMap<u32, f64>,
    broker: HashMap<u32, f64>,
    broker_written: HashMap<u32, f64>,
}

/// What was spent between two moments: CPU seconds, and bytes that the broker wrote to its logs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spent {
    pub(super) engine: f64,
    pub(super) own: f64,
    pub(super) postgres: f64,
    pub(super) broker: f64,
    pub(super) broker_written: f64,
}

impl Clocks {
    /// Those of the engines, of this process, and of every Postgres and Java process of this machine.
    pub(super) fn now(engines: &[u32]) -> Self {
        let own = std::process::id();
        let mut clocks = Self {
            engine: engines.iter().map(|engine| (*engine, seconds(*engine, false))).collect(),
            own: [(own, seconds(own, false))].into(),
            ..Self::default()
        };
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            match fs::read_to_string(entry.path().join("comm")).unwrap_or_default().trim() {
                "postgres" => _ = clocks.postgres.insert(id, seconds(id, true)),
                "java" => {
                    clocks.broker.insert(id, seconds(id, false));
                    clocks.broker_written.insert(id, written_bytes(id));
                }
                _ => {}
            }
        }
        clocks
    }

    /// What was spent since `before`; by a process that began meanwhile, all of its time.
    pub(super) fn since(&self, before: &Self) -> Spent {
        let spent = |now: &HashMap<u32, f64>, then: &HashMap<u32, f64>| {
            now.iter().map(|(id, seconds)| seconds - then.get(id).copied().unwrap_or_default()).sum()
        };
        // What a session of Postgres had spent goes over to its parent when it ends.
        let sum = |clocks: &HashMap<u32, f64>| clocks.values().sum::<f64>();
        Spent {
            engine: spent(&self.engine, &before.engine),
            own: spent(&self.own, &before.own),
            postgres: sum(&self.postgres) - sum(&before.postgres),
            broker: spent(&self.broker, &before.broker),
            broker_written: spent(&self.broker_written, &before.broker_written),
        }
    }
}

/// User and system time of a process; with its ended children's where those would be lost (Postgres's own helpers).
fn seconds(id: u32, with_children: bool) -> f64 {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The name may hold spaces: fields are counted from its closing bracket.
    let fields: Vec<f64> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    let sum = |from: usize, to: usize| fields.get(from..to).map_or(0.0, |ticks| ticks.iter().sum::<f64>());
    // proc(5): utime and stime are fields 14 and 15, cutime and cstime 16 and 17; a tick is 10 ms.
    (sum(11, 13) + if with_children { sum(13, 15) } else { 0.0 }) / 100.0
}

/// Bytes that a process caused to be written to storage, by the page as they were made dirty; 0 when that is not told.
fn written_bytes(id: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{id}/io")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok()).unwrap_or(0.0)
}

/// Resident memory of these processes, in bytes; 0 of one that is gone.
pub(super) fn resident_bytes(processes: &[u32]) -> u64 {
    processes.iter().copied().map(resident).sum()
}

fn resident(id: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).map_or(0, |kib: u64| kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_ended_is_counted_once_and_one_that_began_whole() {
        let of = |postgres: &[(u32, f64)]| Clocks { postgres: postgres.iter().copied().collect(), ..Clocks::default() };
        let spent = of(&[(1, 63.0), (3, 2.0)]).since(&of(&[(1, 10.0), (2, 50.0)]));
        assert_eq!(spent, Spent { postgres: 5.0, ..Spent::default() }, "of the 53 of its parent 50 are old");
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let own = std::process::id();
        assert!(resident_bytes(&[own]) > 1_000_000);
        assert!(Clocks::now(&[own]).own.contains_key(&own));
        let (file, before) = (std::env::temp_dir().join(format!("sagabus-written-{own}")), written_bytes(own));
        fs::write(&file, vec![1; 1 << 20]).unwrap();
        let written = written_bytes(own) - before;
        fs::remove_file(file).unwrap();
        assert!(written == 0.0 || written >= 1_048_576.0, "memory is no storage: {written}");
    }
}
