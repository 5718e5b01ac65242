//! Retry of I/O: how long to wait before Postgres or Kafka is tried again. (Retry of a step is a fact and a timer.)

use std::time::Duration;

use backoff::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Waits that grow from 100 ms to 5 s, spread, without end.
#[derive(Debug)]
pub(super) struct Reconnect {
    waits: ExponentialBackoff,
}

impl Reconnect {
    pub(super) fn new(seed: u64) -> Self {
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(5))
            .with_jitter()
            .with_jitter_seed(seed)
            .without_max_times()
            .build();
        Self { waits }
    }

    pub(super) fn next_wait(&mut self) -> Duration {
        self.waits.next().unwrap_or(Duration::from_secs(5))
    }
}
