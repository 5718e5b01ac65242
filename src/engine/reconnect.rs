//! Retry of I/O: how long to wait before Postgres or Kafka is tried again. (Retry of a step is a fact and a timer.)

use std::time::Duration;

use backoff::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

const LONGEST: Duration = Duration::from_secs(1);

/// Waits that grow from 100 ms to 1 s, spread by as much again, without end. After a fail-over every further second is one in which
/// nothing happens (C3: within 15 s), and a server that is away is not hurt by one question a second.
#[derive(Debug)]
pub(super) struct Reconnect {
    waits: ExponentialBackoff,
}

impl Reconnect {
    pub(super) fn new(seed: u64) -> Self {
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(LONGEST)
            .with_jitter()
            .with_jitter_seed(seed)
            .without_max_times()
            .build();
        Self { waits }
    }

    pub(super) fn next_wait(&mut self) -> Duration {
        self.waits.next().unwrap_or(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_was_away_for_long_is_asked_again_within_two_seconds() {
        for seed in 0..100 {
            let mut reconnect = Reconnect::new(seed);
            let waits: Vec<Duration> = (0..50).map(|_| reconnect.next_wait()).collect();
            assert!(waits[0] < Duration::from_millis(200));
            assert!(waits.iter().all(|wait| *wait <= 2 * LONGEST), "{waits:?}");
        }
    }
}
