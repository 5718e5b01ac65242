//! What others may know of a running engine, and how they ask it to stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A request to stop, shared with whoever hears the signal.
#[derive(Debug, Default)]
pub struct Stop {
    requested: AtomicBool,
}

impl Stop {
    /// Asks the engine to finish what it has in hand and to end.
    pub fn request(&self) {
        self.requested.store(true, Ordering::Release);
    }

    /// True once somebody asked.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }
}

/// The figures behind `/healthz`, `/readyz` and `/metrics`.
#[derive(Debug, Default)]
pub struct Health {
    turns: AtomicU64,
    is_ready: AtomicBool,
    cached: AtomicU64,
    unemitted: AtomicU64,
    give_ups_waiting: AtomicU64,
    crashes: AtomicU64,
}

impl Health {
    pub(super) fn crashed(&self) {
        self.set_ready(false);
        self.crashes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn turned(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_ready(&self, is_ready: bool) {
        self.is_ready.store(is_ready, Ordering::Relaxed);
    }

    pub(super) fn set_figures(&self, cached: usize, unemitted: usize, give_ups_waiting: usize) {
        let count = |figure: usize| u64::try_from(figure).unwrap_or(u64::MAX);
        self.cached.store(count(cached), Ordering::Relaxed);
        self.unemitted.store(count(unemitted), Ordering::Relaxed);
        self.give_ups_waiting.store(count(give_ups_waiting), Ordering::Relaxed);
    }

    /// How often the loop has turned, or tried to reach its database again: an engine that hangs counts no further.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// True while the engine is registered and knows where to read.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    /// How often the engine has panicked and begun anew.
    pub fn crashes(&self) -> u64 {
        self.crashes.load(Ordering::Relaxed)
    }

    /// Open sagas in memory.
    pub fn cached(&self) -> u64 {
        self.cached.load(Ordering::Relaxed)
    }

    /// Batches that the broker has not acknowledged.
    pub fn unemitted(&self) -> u64 {
        self.unemitted.load(Ordering::Relaxed)
    }

    /// Partitions of reply topics that have to be read to their end before waiting give-ups are decided.
    pub fn give_ups_waiting(&self) -> u64 {
        self.give_ups_waiting.load(Ordering::Relaxed)
    }
}
