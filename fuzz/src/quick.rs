//! Time limits that hold on a busy machine too.

use std::time::{Duration, Instant};

/// A load of a definition may take 50 ms (RELIABILITY.md section 3 G). The fuzzer's build counts every branch, and the tests' build is
/// not optimized: both are allowed ten times as much.
pub(crate) const LOAD: Duration = Duration::from_millis(500);

/// Evaluating an expression on the largest data holds up every other saga of the engine.
pub(crate) const EVALUATION: Duration = Duration::from_millis(500);

/// Runs `work`, which must be done within `limit` in one of three tries: another process may have had the processor.
///
/// # Panics
/// It took longer three times.
pub(crate) fn within<T>(limit: Duration, what: &str, work: impl Fn() -> T) -> T {
    let mut tries = Vec::new();
    loop {
        let started = Instant::now();
        let done = work();
        tries.push(started.elapsed());
        if started.elapsed() <= limit {
            return done;
        }
        assert!(tries.len() < 3, "{what} took {tries:?}, at most {limit:?} is allowed");
    }
}
