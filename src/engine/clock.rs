//! The database's clock as the engine knows it, and the only place that reads a clock of the machine.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use crate::core::Timestamp;

/// A clock that only goes forward, and a way to wait by it. The seam through which a simulator drives time.
pub trait Clock: Debug {
    /// Microseconds since some fixed moment.
    fn monotonic_micros(&self) -> i64;

    /// Waits.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;
}

/// The machine's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: tokio::time::Instant,
}

impl SystemClock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { started: tokio::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    fn monotonic_micros(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// The machine's clock as a date: for ids of what people ask, and for records that generators make. No decision reads it.
#[expect(clippy::disallowed_methods, reason = "the one place that reads a clock")]
pub fn wall_clock() -> Timestamp {
    Timestamp::from_micros(chrono::Utc::now().timestamp_micros())
}

/// The database's time, estimated between two statements. Each statement returns it; it arrives late, so the estimate is never
/// ahead of the database: a timer cannot fire early by the database's clock (P13).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DatabaseTime {
    database_micros: i64,
    monotonic_micros: i64,
}

impl DatabaseTime {
    /// Takes over what a statement returned.
    pub(super) fn observe(&mut self, database: Timestamp, clock: &impl Clock) {
        self.database_micros = database.micros();
        self.monotonic_micros = clock.monotonic_micros();
    }

    /// The database's time now.
    pub(super) fn now(&self, clock: &impl Clock) -> Timestamp {
        let passed = clock.monotonic_micros().saturating_sub(self.monotonic_micros);
        Timestamp::from_micros(self.database_micros.saturating_add(passed))
    }
}
