//! Sagas that are open and were seen lately, with precise timers. A cached saga may only be advanced: any other verdict is
//! judged again on a fresh fold (DESIGN.md section 3), so a stale entry costs time and never an effect.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;
use uuid::Uuid;

use crate::core::{Definition, Phase, Saga, SagaError, Timestamp, next_due};

/// A saga as it was last committed, and its small row as Postgres holds it.
#[derive(Clone, Debug)]
pub(super) struct Cached {
    pub(super) saga: Saga,
    pub(super) row: Row,
    /// When it wants to be looked at.
    due: Option<Timestamp>,
    /// When its entry in the timers fires: never later than `due`. It is not moved with each answer, so that a saga which
    /// finishes within its first timeout costs one entry.
    armed: Option<Timestamp>,
}

/// What the row `saga` says of a saga: it is only written when it must change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) phase: Phase,
    pub(super) wake_at: Option<Timestamp>,
    pub(super) error: Option<SagaError>,
}

/// The cache and its timers.
#[derive(Debug, Default)]
pub(super) struct Cache {
    sagas: FxHashMap<Uuid, Cached>,
    timers: BinaryHeap<Reverse<(Timestamp, Uuid)>>,
}

impl Cache {
    pub(super) fn get(&self, id: Uuid) -> Option<&Cached> {
        self.sagas.get(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.sagas.len()
    }

    /// Keeps a committed saga while something is still to come for it, and arms its timer.
    pub(super) fn put(&mut self, definition: &Definition, saga: Saga, row: Row) {
        let id = saga.id;
        let due = [next_due(definition, &saga), row.wake_at].into_iter().flatten().min();
        if saga.is_final() && due.is_none() {
            self.sagas.remove(&id);
            return;
        }
        let armed = self.sagas.get(&id).and_then(|cached| cached.armed);
        self.sagas.insert(id, Cached { saga, row, due, armed });
        self.arm(id);
    }

    /// The sagas that are due, oldest first, at most `limit`.
    pub(super) fn due(&mut self, now: Timestamp, limit: usize) -> Vec<Uuid> {
        let mut due = Vec::new();
        while due.len() < limit
            && let Some(Reverse((at, id))) = self.timers.peek().copied()
            && at <= now
        {
            self.timers.pop();
            let Some(cached) = self.sagas.get_mut(&id).filter(|cached| cached.armed == Some(at)) else { continue };
            cached.armed = None;
            if cached.due.is_some_and(|at| at <= now) {
                due.push(id);
            } else {
                self.arm(id);
            }
        }
        due
    }

    /// Looks at the saga again at `at`: for what was due and could not be decided yet.
    pub(super) fn look_again(&mut self, id: Uuid, at: Timestamp) {
        if let Some(cached) = self.sagas.get_mut(&id) {
            cached.due = Some(at);
            self.arm(id);
        }
    }

    fn arm(&mut self, id: Uuid) {
        let Some(cached) = self.sagas.get_mut(&id) else { return };
        let Some(due) = cached.due else { return };
        if cached.armed.is_none_or(|armed| armed > due) {
            cached.armed = Some(due);
            self.timers.push(Reverse((due, id)));
        }
    }

    /// When the next timer is due.
    pub(super) fn next_timer(&self) -> Option<Timestamp> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// Forgets everything: what a fenced writer and a revoked partition do.
    pub(super) fn clear(&mut self) {
        self.sagas.clear();
        self.timers.clear();
    }
}
