//! Runs numbered cases on every core until one fails, or the time or the numbers are over.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::schedule::Ended;
use super::sometimes::Sometimes;

/// How far to search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) cases: u64,
    pub(crate) at_most: Duration,
    pub(crate) threads: usize,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) done: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) sometimes: Sometimes,
    /// The failing case with the smallest number.
    pub(crate) failed: Option<(u64, Ended)>,
}

impl Found {
    /// How fast it was, by the clock and by what the threads really ran.
    pub(crate) fn pace(&self, what: &str, threads: usize) -> String {
        format!(
            "{} {what} in {:.0} s: {:.0} a second on {threads} threads, {:.0} a second of CPU",
            self.done,
            self.seconds,
            self.done as f64 / self.seconds,
            self.done as f64 / self.cpu_seconds.max(0.001)
        )
    }
}

/// Runs the cases 0, 1, 2 ... A panic is a violation.
#[expect(clippy::disallowed_methods, reason = "a limit of real time, outside the simulated world")]
pub(crate) fn search(limits: Limits, run: impl Fn(u64) -> Ended + Sync) -> Found {
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let found = Mutex::new(Found::default());
    std::thread::scope(|scope| {
        for _ in 0..limits.threads {
            scope.spawn(|| {
                let mut own = Found::default();
                while begun.elapsed() < limits.at_most {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= limits.cases {
                        break;
                    }
                    let ended = attempt(|| run(number));
                    own.sometimes.add(&ended.sometimes);
                    own.done += 1;
                    if !ended.violations.is_empty() {
                        next.store(limits.cases, Ordering::Relaxed);
                        own.failed = Some((number, ended));
                        break;
                    }
                }
                let mut all = found.lock().expect("no thread panicked");
                all.done += own.done;
                all.cpu_seconds += thread_seconds();
                all.sometimes.add(&own.sometimes);
                let is_first = |first: &(u64, Ended)| all.failed.as_ref().is_none_or(|(number, _)| first.0 < *number);
                if own.failed.as_ref().is_some_and(is_first) {
                    all.failed = own.failed;
                }
            });
        }
    });
    let mut found = found.into_inner().expect("no thread panicked");
    found.seconds = begun.elapsed().as_secs_f64();
    found
}

/// Violations by their kind (their text without numbers): how many cases had one, and the first of these.
#[derive(Default)]
pub(crate) struct Kinds {
    kinds: Mutex<BTreeMap<String, (u64, u64, String)>>,
}

impl Kinds {
    /// Takes the violations out of how a case ended, so that a search goes on.
    pub(crate) fn take(&self, number: u64, mut ended: Ended) -> Ended {
        let Some(first) = std::mem::take(&mut ended.violations).into_iter().next() else { return ended };
        let words = first.split(" [").next().unwrap_or_default().split(|letter: char| !letter.is_ascii_alphabetic());
        let kind = words.filter(|word| word.len() > 3).collect::<Vec<_>>().join(" ");
        let mut kinds = self.kinds.lock().expect("no thread panicked");
        let known = kinds.entry(kind).or_insert((0, number, first.clone()));
        known.0 += 1;
        if number < known.1 {
            (known.1, known.2) = (number, first);
        }
        ended
    }

    /// A line for each kind, with the number of its first case.
    pub(crate) fn lines(&self) -> Vec<String> {
        let kinds = self.kinds.lock().expect("no thread panicked");
        kinds.values().map(|(count, first, what)| format!("{count:>8} times, first in case {first}: {what}")).collect()
    }
}

/// One case; a panic of it is how it ended.
pub(crate) fn attempt(run: impl FnOnce() -> Ended) -> Ended {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().cloned();
        let what = what.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
        Ended { violations: vec![format!("panic: {what}")], ..Ended::default() }
    })
}

/// Seconds that this thread has run so far.
fn thread_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos: f64 = text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0.0);
    nanos / 1e9
}
