//! Waits as a rate says, where one process works through a list by itself. (A job's rate is kept in its row: `job`.)

use std::time::Duration;

use crate::core::Timestamp;
use crate::engine::wall_clock;

use super::job::Rate;

/// Lets items go at a rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pacer {
    rate: Rate,
    next_at: Timestamp,
}

impl Pacer {
    /// The first item may go now.
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, next_at: wall_clock() }
    }

    /// Waits until one item may go; returns how many may, from 1 to `at_most`.
    pub(super) async fn turn(&mut self, at_most: u32) -> u32 {
        loop {
            let now = wall_clock();
            let (count, next_at) = self.rate.due(self.next_at, now, at_most.max(1));
            if count > 0 {
                self.next_at = next_at;
                return count;
            }
            tokio::time::sleep(Duration::from_millis(self.next_at.millis_since(now).max(1))).await;
        }
    }
}
