//! Sagas that are open and were seen lately, with precise timers. A cached saga may only be advanced: any other verdict is
//! judged again on a fresh fold (DESIGN.md section 3), so a stale entry costs time and never an effect.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;
use uuid::Uuid;

use crate::core::{Phase, Saga, SagaError, Timestamp};

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
    /// The cache's turn when it was last put.
    used: u64,
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
    turn: u64,
}

/// Sagas in memory at most, a few KiB each. What is not there is read when it is needed: a reply finds it by its id, and what is due
/// is claimed by its `wake_at`, which is never later than its timer.
const SAGAS_MAX: usize = 100_000;
/// Timers of sagas that have ended are thrown out when they are this many beside those that are armed.
const TIMERS_SPARE: usize = 10_000;

impl Cache {
    pub(super) fn get(&self, id: Uuid) -> Option<&Cached> {
        self.sagas.get(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.sagas.len()
    }

    /// Keeps a committed saga while something is still to come for it, and arms its timer: `due` is when it wants to be looked at.
    pub(super) fn put(&mut self, saga: Saga, row: Row, due: Option<Timestamp>) {
        let id = saga.id;
        let due = [due, row.wake_at].into_iter().flatten().min();
        if saga.is_final() && due.is_none() {
            self.sagas.remove(&id);
            return;
        }
        let armed = self.sagas.get(&id).and_then(|cached| cached.armed);
        self.turn += 1;
        self.sagas.insert(id, Cached { saga, row, due, armed, used: self.turn });
        self.arm(id);
        self.keep_within(SAGAS_MAX);
    }

    /// Forgets a saga that is not there any more.
    pub(super) fn remove(&mut self, id: Uuid) {
        self.sagas.remove(&id);
    }

    /// Forgets the half that was not used for the longest time when there are more than `most`, and timers that mean nothing.
    fn keep_within(&mut self, most: usize) {
        if self.sagas.len() > most {
            let mut used: Vec<u64> = self.sagas.values().map(|cached| cached.used).collect();
            let middle = used.len() / 2;
            let (_, median, _) = used.select_nth_unstable(middle);
            let oldest = *median;
            self.sagas.retain(|_, cached| cached.used >= oldest);
        }
        if self.timers.len() > 2 * self.sagas.len() + TIMERS_SPARE {
            let armed = self.sagas.iter().filter_map(|(id, cached)| Some(Reverse((cached.armed?, *id))));
            self.timers = armed.collect();
        }
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

    /// Looks at every saga at `now` that waits for a release: something was released.
    pub(super) fn look_at_the_held(&mut self, now: Timestamp) {
        let held = self.sagas.iter().filter(|(_, cached)| cached.saga.waits_for_release());
        let held: Vec<Uuid> = held.map(|(id, _)| *id).collect();
        held.into_iter().for_each(|id| self.look_again(id, now));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{Compiled, Source};

    fn saga(number: u64, definition: &Compiled) -> Saga {
        let data = crate::core::Json::parse(br#"{"id":"k"}"#).expect("it is JSON");
        let trigger = crate::core::Trigger {
            topic: "t".into(),
            partition: 0,
            offset: 0,
            timestamp: Timestamp::from_millis(1_000),
            id: None,
            kind: "go".into(),
            data,
            traceparent: None,
            tracestate: None,
        };
        let id = Uuid::from_u128(u128::from(number));
        crate::core::start(definition.rules(), id, "k".into(), trigger, Timestamp::from_millis(1_000)).saga
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_is_forgotten_with_its_timers() {
        let yaml = "saga: v1\nname: d\nversion: 1\ntrigger: {topic: t, type: go}\nbusinessKey: ${trigger.data.id}\n\
                    steps:\n  a: {command: {type: t}, compensate: {type: u}}\n";
        let source = Source { file: "d.saga.yaml".to_owned(), yaml: yaml.to_owned(), schemas: [].into() };
        let plan = Compiled::load(&source).expect("it is right");
        let mut cache = Cache::default();
        for number in 0..10 {
            let row = Row { phase: Phase::Running, wake_at: Some(Timestamp::from_millis(9_000)), error: None };
            cache.put(saga(number, &plan), row, None);
        }
        cache.keep_within(8);
        assert_eq!(cache.len(), 5);
        assert!((5..10).all(|number| cache.get(Uuid::from_u128(number)).is_some()), "the younger half stays");
        cache.timers.extend((0..20_100).map(|at| Reverse((Timestamp::from_millis(at), Uuid::nil()))));
        cache.keep_within(8);
        assert_eq!(cache.timers.len(), 5, "one for each saga");
    }
}
