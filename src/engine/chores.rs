//! What the engine does at its own pace beside the records: heartbeat, operator actions, due wake-ups, dead writers.

use crate::bus::Bus;
use crate::core::{Input, Partition, Timestamp};
use crate::store::{SagaKey, Store, StoreError};

use super::batch::{Batch, InputId, Redriven};
use super::clock::Clock;
use super::giveup::{LOOK_AGAIN_MS, patience_ended};
use super::judge::{Folded, Known};
use super::{Engine, meters, redrive};

/// A statement at least this often: a writer that is silent for four times as long is taken over.
const HEARTBEAT_MS: u64 = 2_000;
/// What a person asks is decided within a second.
const ASKED_MS: u64 = 500;
/// How often Postgres is asked for due wake-ups.
const CLAIMS_MS: u64 = 1_000;
/// How often dead writers are looked for.
const TAKEOVER_MS: u64 = 2_000;
/// What is due within this is done at once: chores share a turn instead of taking one each.
const SHARED_MS: u64 = 50;
/// A writer silent for this long is dead, in milliseconds (DESIGN.md section 3).
pub const SILENT_MS: u64 = 8_000;
/// How often the broker is asked again where partitions begin that it could not tell of.
const FIRST_OFFSETS_MS: u64 = 10_000;
/// How often writers are forgotten of whom nothing is left: nobody waits for that.
const FORGET_MS: u64 = 30_000;
/// Only what is overdue by this is claimed, so that nobody claims what a live peer holds with a precise timer.
const OVERDUE_MS: u64 = 5_000;
/// Wake-ups, and operator actions, taken up by one batch at most: 100,000 timers due at once are paced, oldest first.
const WAKES_MAX: usize = 500;

/// When each chore is due next, by the database's clock.
#[derive(Debug, Default)]
pub(super) struct Chores {
    heartbeat: Timestamp,
    asked: Timestamp,
    claims: Timestamp,
    takeover: Timestamp,
    first_offsets: Timestamp,
    forget: Timestamp,
    /// Nothing is held by a live peer's timer: claim what is due, however little overdue.
    claim_at_once: bool,
    /// The latest release that is known, and when it became known.
    released: (i64, Timestamp),
}

impl Chores {
    /// Everything is due at once, as after a start or a takeover.
    pub(super) fn at_once() -> Self {
        Self { claim_at_once: true, ..Self::default() }
    }

    pub(super) fn claim_at_once(&mut self) {
        self.claims = Timestamp::ZERO;
        self.claim_at_once = true;
    }

    pub(super) fn committed(&mut self, now: Timestamp) {
        self.heartbeat = now.plus_millis(HEARTBEAT_MS);
    }

    pub(super) fn heartbeat_is_due(&self, now: Timestamp) -> bool {
        self.heartbeat <= now.plus_millis(SHARED_MS)
    }

    /// True when the broker may be asked again where partitions begin that it could not tell of.
    pub(super) fn may_ask_first_offsets(&mut self, now: Timestamp) -> bool {
        is_due(&mut self.first_offsets, now, FIRST_OFFSETS_MS)
    }

    /// True when writers of whom nothing is left are to be forgotten.
    pub(super) fn may_forget_writers(&mut self, now: Timestamp) -> bool {
        is_due(&mut self.forget, now, FORGET_MS)
    }

    /// When the next chore is due.
    pub(super) fn next_at(&self) -> Timestamp {
        self.heartbeat.min(self.asked).min(self.claims).min(self.takeover)
    }
}

/// True when the chore is due; it is due again after so many milliseconds.
fn is_due(at: &mut Timestamp, now: Timestamp, every_ms: u64) -> bool {
    let is_due = *at <= now.plus_millis(SHARED_MS);
    if is_due {
        *at = now.plus_millis(every_ms);
    }
    is_due
}

/// Nobody reads the partition on until a person seeks, unless it stands elsewhere by now.
pub(super) async fn stop(
    store: &mut impl Store,
    partition: &Partition,
    at: i64,
    reason: &str,
) -> Result<(), StoreError> {
    tracing::error!(topic = %partition.0, partition = partition.1, reason, "partition stopped, restart it with topics seek");
    store.stop_partition(partition, at, reason).await
}

/// What another writer holds at the moment is left for the next time: it is no reason to begin anew.
fn unless_contended(done: Result<(), StoreError>) -> Result<(), StoreError> {
    match done {
        Err(StoreError::Contention(what)) => {
            tracing::debug!(what, "chore put off: another writer is at it");
            Ok(())
        }
        done => done,
    }
}

impl<S: Store, B: Bus, C: Clock> Engine<S, B, C> {
    /// What may change what is read: done with nothing in hand, since records that were taken in before would lie elsewhere after.
    pub(super) async fn housekeep(&mut self) -> Result<(), StoreError> {
        let now = self.now();
        for (partition, reason) in std::mem::take(&mut self.outside) {
            let Some(at) = self.positions.next(&partition) else { continue };
            stop(&mut self.store, &partition, at, &reason).await?;
            self.positions.remove(&partition);
        }
        if !is_due(&mut self.chores.takeover, now, TAKEOVER_MS) {
            return Ok(());
        }
        self.emission.look_after(&mut self.bus, now);
        let done = match self.take_over_the_dead().await {
            Ok(()) => self.read_again_what_has_moved().await,
            Err(error) => Err(error),
        };
        unless_contended(done)
    }

    /// Does the chores that are due; what they bring comes down the line in this batch.
    pub(super) async fn chores(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        let now = batch.now;
        if is_due(&mut self.chores.asked, now, ASKED_MS) {
            let asked = self.store.asked(WAKES_MAX).await?;
            batch.operations = asked.operations;
            for pending in asked.redrives {
                let read = |catalog: &_| redrive::meaning(catalog, &pending.message);
                let meaning = self.meaning(&InputId::Redrive(pending.id), read);
                batch.redriven.push(Redriven { pending, meaning });
            }
        }
        if is_due(&mut self.chores.claims, now, CLAIMS_MS) {
            unless_contended(self.claim().await)?;
        }
        batch.ends = self.gates.look(&mut self.bus, &mut self.store, now).await?;
        if let Some(is_answered) = self.gates.take_answered() {
            self.asked(is_answered);
        }
        self.health.set_figures(self.cache.len(), self.emission.len(), self.gates.waiting());
        meters::engine(self.cache.len(), self.emission.len(), self.gates.waiting());
        Ok(())
    }

    /// Takes up sagas that are due in Postgres and held by no live writer's timer.
    async fn claim(&mut self) -> Result<(), StoreError> {
        let overdue_ms = if std::mem::take(&mut self.chores.claim_at_once) { 0 } else { OVERDUE_MS };
        let most = if defect!("due sagas never claimed") { 0 } else { WAKES_MAX };
        let released = self.released_for_good(overdue_ms);
        let claimed = self.store.claim_due(overdue_ms, released, most).await?;
        if claimed.len() >= WAKES_MAX {
            // More are due: the next look is at once, and as eager as this one.
            self.chores.claims = Timestamp::ZERO;
            self.chores.claim_at_once = overdue_ms == 0;
        }
        let mut known = Known::default();
        let keys: Vec<SagaKey> = claimed.iter().map(|claim| SagaKey::Id(claim.saga_id)).collect();
        self.load(keys, &mut known).await?;
        for claim in claimed {
            if let Some(Folded::Saga(saga, mut row, _)) = known.take(claim.saga_id) {
                row.wake_at = Some(claim.wake_at);
                self.cache.put(*saga, row, Some(Timestamp::ZERO));
            }
        }
        Ok(())
    }

    /// The generation up to which what waited for a release is claimed: who has such sagas in memory goes on with them first.
    fn released_for_good(&mut self, overdue_ms: u64) -> i64 {
        let (now, released) = (self.now(), self.catalog.released());
        if released != self.chores.released.0 {
            self.chores.released = (released, now);
        }
        let is_fresh = now < self.chores.released.1.plus_millis(overdue_ms);
        if is_fresh || defect!("released sagas never claimed") { 0 } else { released }
    }

    /// Wakes the sagas whose timers are due. A give-up that may not be decided yet is looked at again soon.
    pub(super) async fn wake(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        let due = self.cache.due(batch.now, WAKES_MAX);
        let mut waits_for_gate = Vec::new();
        for id in due {
            if self.suspects.leaves_alone(id) {
                continue;
            }
            let Some(cached) = self.cache.get(id) else { continue };
            let Some(plan) = self.catalog.plan(cached.saga.definition) else { continue };
            let acknowledged = !self.emission.is_under_way(id);
            match patience_ended(plan.definition(), &cached.saga, batch.now) {
                Some(ended) => waits_for_gate.push((id, plan, ended, acknowledged)),
                None => batch.wakes.push((id, Input::Timer { replies_read_until: Timestamp::ZERO, acknowledged })),
            }
            // Whatever comes of it re-arms the timer; this is for what comes to nothing yet.
            self.cache.look_again(id, batch.now.plus_millis(LOOK_AGAIN_MS));
        }
        if waits_for_gate.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = waits_for_gate.iter().map(|(id, ..)| *id).collect();
        let unemitted = self.store.unemitted_of(&ids).await?;
        for (id, plan, ended, acknowledged) in waits_for_gate {
            let topic = &plan.definition().reply_topic;
            let replies_read_until = if defect!("give up blind") { batch.now } else { self.gates.read_until(topic) };
            if replies_read_until < ended {
                self.gates.want(topic);
            }
            let acknowledged = acknowledged && !unemitted.contains(&id) || defect!("give up what was never delivered");
            batch.wakes.push((id, Input::Timer { replies_read_until, acknowledged }));
        }
        Ok(())
    }
}
