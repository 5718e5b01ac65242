//! One batch to its end: judge, commit, send; again on what another writer did first, in halves on what Postgres refuses.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::bus::Bus;
use crate::core::{Input, Saga, Timestamp, Transition, Verdict, fold, outstanding};
use crate::store::{OperationOutcome, SagaKey, Store, StoreError, Stored};

use super::batch::{Arrived, Batch, InputId, Redriven};
use super::cache::Row;
use super::change::{Drafted, draft};
use super::clock::Clock;
use super::judge::{Folded, Judged, Known, View, judge};
use super::route::{Meaning, Start};
use super::{Engine, meters, redrive, route};

/// Races lost in a row before the batch is committed in halves (BATCH.md).
const RACES_MAX: u32 = 2;
/// Races lost in a row by a single input: what collides so often is no other writer, but rows that contradict each other.
const RACES_ALONE_MAX: u32 = 50;
/// What they are then: a trigger, for one, that asks for the id of a saga which was removed and whose journal is still there.
const RACED: &str = "another writer was first again and again, or a removed saga's journal is there";
/// Tries of a contended statement before it counts as lost.
const CONTENTIONS_MAX: u32 = 8;

impl<S: Store, B: Bus, C: Clock> Engine<S, B, C> {
    /// Commits the batch, whole or in halves, and sends what it decided.
    ///
    /// # Errors
    /// What only a restart mends; what was committed is sent by whoever takes this writer over.
    pub(super) async fn settle(&mut self, batch: Batch) -> Result<(), StoreError> {
        let mut left = VecDeque::from([batch]);
        while let Some(batch) = left.pop_front() {
            let is_suspect = self.suspects.are_among(&batch);
            match if is_suspect { Settled::Halve(batch) } else { self.settle_one(batch).await? } {
                Settled::Done => {}
                Settled::Halve(batch) => match batch.halves() {
                    Ok((first, second)) => {
                        left.push_front(second);
                        left.push_front(first);
                    }
                    Err(batch) => left.push_front(*batch),
                },
                Settled::Seek => {
                    left.clear();
                    self.seek().await?;
                }
            }
        }
        Ok(())
    }

    async fn settle_one(&mut self, mut batch: Batch) -> Result<Settled, StoreError> {
        self.suspects.take_in_hand(batch.ids());
        let (mut races, mut contentions) = (0, 0);
        let mut is_set_aside = false;
        let mut known = Known::default();
        // While its other half was settled the definitions may have changed.
        self.read_by_definitions_in_force(&mut batch);
        let mut judged = self.judge(&batch, &mut known).await?;
        loop {
            let mut drafted = draft(&batch, &judged, &self.positions);
            self.complete(&mut drafted, batch.now);
            if drafted.change.is_empty() && !self.chores.heartbeat_is_due(batch.now) {
                // Wake-ups that came to nothing yet: they are looked at again, and Postgres need not hear of it.
                self.suspects.cleared(false);
                return Ok(Settled::Done);
            }
            match self.store.commit(&self.fence, &drafted.change).await {
                Ok(receipt) => {
                    self.fence.batch = receipt.batch;
                    self.time.observe(receipt.now, &self.clock);
                    self.chores.committed(receipt.now);
                    meters::batch(&batch, &judged);
                    self.committed(judged, drafted);
                    self.suspects.cleared(true);
                    return Ok(Settled::Done);
                }
                Err(StoreError::CatalogueChanged) => {
                    self.reload().await?;
                    is_set_aside = false;
                    self.read_by_definitions_in_force(&mut batch);
                    judged = self.judge(&batch, &mut known).await?;
                }
                Err(StoreError::SagaRaced) if defect!("raced batch dropped") => return Ok(Settled::Done),
                Err(StoreError::SagaRaced) => {
                    races += 1;
                    if races > RACES_MAX && batch.len() > 1 {
                        return Ok(Settled::Halve(batch));
                    }
                    if races > RACES_ALONE_MAX {
                        if batch.wakes.len() == batch.len() || std::mem::replace(&mut is_set_aside, true) {
                            return self.give_up_on(batch, &format!("store.23505: {RACED}")).await;
                        }
                        set_aside(&mut batch, &judged, "23505", RACED);
                    } else {
                        self.load(keys_of(&batch, &judged), &mut known).await?;
                        self.drop_what_is_decided(&mut batch).await?;
                    }
                    judged = self.judge(&batch, &mut known).await?;
                }
                Err(StoreError::Contention(_)) if contentions < CONTENTIONS_MAX => {
                    contentions += 1;
                    self.clock.sleep(self.jitter(contentions)).await;
                }
                Err(StoreError::OffsetMoved) => return Ok(Settled::Seek),
                Err(StoreError::Refused { sqlstate, message }) => {
                    if batch.len() > 1 {
                        return Ok(Settled::Halve(batch));
                    }
                    if std::mem::replace(&mut is_set_aside, true) {
                        return self.give_up_on(batch, &format!("store.{sqlstate}: {message}")).await;
                    }
                    set_aside(&mut batch, &judged, &sqlstate, &message);
                    judged = self.judge(&batch, &mut known).await?;
                }
                Err(error) => {
                    tell_defect(&error, &batch, &drafted);
                    return Err(error);
                }
            }
        }
    }

    /// What people asked may have been decided by another engine.
    async fn drop_what_is_decided(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        if batch.operations.is_empty() && batch.refused.is_empty() && batch.redriven.is_empty() {
            return Ok(());
        }
        let asked = self.store.asked(usize::MAX).await?;
        let waits = |id| asked.operations.iter().any(|pending| pending.operation.id == id);
        batch.operations.retain(|operation| asked.operations.contains(operation));
        batch.refused.retain(|refused| waits(refused.id));
        batch.redriven.retain(|redriven| asked.redrives.contains(&redriven.pending));
        Ok(())
    }

    /// An input that can be neither applied nor put aside: a record stops its partition, where a person sees it and the others go on;
    /// anything else is dropped with an alarm, and comes back by its lease.
    async fn give_up_on(&mut self, batch: Batch, why: &str) -> Result<Settled, StoreError> {
        tracing::error!(why, inputs = ?batch.places(), "input can be neither applied nor put aside");
        for arrived in &batch.records {
            let at = self.positions.next(&arrived.partition).unwrap_or(arrived.record.offset());
            let reason = format!("record at offset {}: {why}", arrived.record.offset());
            self.store.stop_partition(&arrived.partition, at, &reason).await?;
        }
        Ok(Settled::Seek)
    }

    /// Adds to a drafted change what is not of its batch.
    fn complete(&mut self, drafted: &mut Drafted, now: Timestamp) {
        drafted.change.generation = self.catalog.generation();
        drafted.change.acknowledged = self.emission.acknowledged();
        drafted.change.shrunk = self.emission.shrunk();
        if defect!("emit before commit") {
            let early = std::mem::take(&mut drafted.sending);
            self.emission.emit(&mut self.bus, (0, 0), early, now, true);
        }
    }

    /// Judges the batch, reading from Postgres what has to be read first.
    async fn judge(&mut self, batch: &Batch, known: &mut Known) -> Result<Judged, StoreError> {
        loop {
            let view = View { catalog: &self.catalog, cache: &self.cache, known };
            match judge(view, batch) {
                Ok(judged) => return Ok(judged),
                Err(keys) => self.load(keys, known).await?,
            }
        }
    }

    /// Reads and folds sagas.
    pub(super) async fn load(&mut self, keys: Vec<SagaKey>, known: &mut Known) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let found = self.store.load(&keys).await?;
        known.looked_up(&keys);
        for stored in found {
            let (id, name, key) =
                (stored.row.id, Arc::clone(&stored.row.definition_name), Arc::clone(&stored.row.business_key));
            let folded = self.fold(stored).await?;
            known.add(id, name, key, folded);
        }
        for key in &keys {
            // What was removed leaves memory as well, or its timer would come again and again.
            if let SagaKey::Id(id) = key
                && known.is_absent(*id)
            {
                self.cache.remove(*id);
            }
        }
        Ok(())
    }

    /// Folds one stored saga with the definition that it is pinned to.
    pub(super) async fn fold(&mut self, stored: Stored) -> Result<Folded, StoreError> {
        let Stored { row, journal } = stored;
        let plan = match self.catalog.plan(row.definition_hash) {
            Some(plan) => Some(plan),
            None => {
                let definition = self.store.definition(row.definition_hash).await?;
                definition.and_then(|found| self.catalog.compile(found.hash, &found.body))
            }
        };
        let Some(plan) = plan else {
            return Ok(Folded::Unreadable(format!("saga {} is pinned to an unknown definition", row.id)));
        };
        let decoded: Result<Vec<Transition>, _> = journal.iter().map(|facts| Transition::decode(facts)).collect();
        let folded = decoded
            .map_err(|error| error.to_string())
            .and_then(|transitions| fold(plan.definition(), row.id, &transitions).map_err(|error| error.to_string()));
        Ok(match folded {
            Ok(saga) => {
                let error = row.error.as_deref().and_then(|text| serde_json::from_str(text).ok());
                let row = Row { phase: row.phase, wake_at: row.wake_at, error };
                Folded::Saga(Box::new(saga), row, plan)
            }
            Err(why) => {
                tracing::error!(saga_id = %row.id, why, "journal cannot be read, the saga is left alone");
                Folded::Unreadable(why)
            }
        })
    }

    /// The statement has returned: what it decided is true, and may be sent.
    fn committed(&mut self, judged: Judged, drafted: Drafted) {
        let Drafted { change, sending, rows, differing } = drafted;
        self.positions.advanced(&change.partitions);
        self.emission.written(&change.acknowledged, &change.shrunk);
        if !change.emitting.is_empty() {
            let name = (self.fence.writer, self.fence.batch);
            self.emission.emit(&mut self.bus, name, sending, change.now, false);
        }
        self.pending.extend(differing);
        for (mut work, (row, due)) in judged.works.into_iter().zip(rows) {
            let is_news = work.decisions.iter().any(|decision| !decision.facts.is_empty());
            if is_news {
                // It stands elsewhere now, and its timer asks for something else.
                self.suspects.forgive(work.id);
            }
            let saga: Saga = work.decisions.pop().expect("a work begins with a decision").saga;
            if !is_news && self.cache.get(work.id).is_some_and(|cached| cached.saga.seq == saga.seq) {
                // Nothing was decided: it keeps the moment at which it is looked at again.
                continue;
            }
            self.cache.put(saga, row, due);
        }
    }

    /// When the definitions have changed, what a record starts may have changed with them.
    fn read_by_definitions_in_force(&self, batch: &mut Batch) {
        if std::mem::replace(&mut batch.generation, self.catalog.generation()) == self.catalog.generation() {
            return;
        }
        for Arrived { record, event, partition, meaning } in &mut batch.records {
            let id = InputId::Record(partition.clone(), record.offset());
            *meaning = self.meaning(&id, |catalog| route::route(catalog, record, event.as_ref()));
        }
        for Redriven { pending, meaning } in &mut batch.redriven {
            *meaning =
                self.meaning(&InputId::Redrive(pending.id), |catalog| redrive::meaning(catalog, &pending.message));
        }
    }

    /// A wait before a contended statement is tried again: up to 10 ms, doubled each time, spread by the engine's own seed, at
    /// least 1 ms.
    fn jitter(&self, tries: u32) -> Duration {
        let turn = self.fence.batch.unsigned_abs().wrapping_mul(31).wrapping_add(u64::from(tries));
        let spread = self.settings.seed.wrapping_add(turn).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        Duration::from_micros(1_000 + spread % (10_000 << tries.min(6)))
    }
}

enum Settled {
    Done,
    /// It is to be tried in halves.
    Halve(Batch),
    /// Another engine reads these partitions: what is in hand is dropped.
    Seek,
}

/// Every saga that the batch could meet, by id and by business key: another writer was first at one of them.
fn keys_of(batch: &Batch, judged: &Judged) -> Vec<SagaKey> {
    let mut keys: Vec<SagaKey> = judged.works.iter().map(|work| SagaKey::Id(work.id)).collect();
    let read = batch.records.iter().map(|arrived| &arrived.meaning);
    for meaning in read.chain(batch.redriven.iter().map(|redriven| &redriven.meaning)) {
        let Meaning::Start(starts) = meaning else { continue };
        for start in starts {
            if let Start::Saga { plan, business_key, .. } = start {
                let definition_name = Arc::clone(&plan.definition().name);
                keys.push(SagaKey::Business { definition_name, business_key: Arc::clone(business_key) });
            }
        }
    }
    keys
}

/// Where a statement was refused that must never be, and what was in it.
fn tell_defect(error: &StoreError, batch: &Batch, drafted: &Drafted) {
    if let StoreError::Defect(defect) = error {
        tracing::error!(defect, inputs = ?batch.places(), change = ?drafted.change.outline(), "statement refused");
    }
}

/// The only input of the batch leads to a value that Postgres refuses: a record is parked; a timer makes its saga stuck at the
/// command that it waits for; an action is refused, since a person is there to be told.
fn set_aside(batch: &mut Batch, judged: &Judged, sqlstate: &str, message: &str) {
    tracing::error!(sqlstate, message, "value refused by the database, its input is set aside");
    let message = format!("store.{sqlstate}: {message}");
    let read = batch.records.iter_mut().map(|arrived| &mut arrived.meaning);
    for meaning in read.chain(batch.redriven.iter_mut().map(|redriven| &mut redriven.meaning)) {
        *meaning = route::settled(Verdict::Malformed, "store", &message);
    }
    let waiting = |id: Uuid| {
        let work = judged.works.iter().find(|work| work.id == id)?;
        let (step, action, attempt) = outstanding(&work.decisions.first()?.saga).next()?;
        let code = Arc::from(format!("store.{sqlstate}"));
        Some((id, Input::Undeliverable { step, action, attempt, code, message: message.clone() }))
    };
    // What was set aside before and is refused again is dropped with the alarm above: its saga comes back by its lease.
    let timers = batch.wakes.drain(..).filter(|(_, input)| matches!(input, Input::Timer { .. }));
    batch.wakes = timers.filter_map(|(id, _)| waiting(id)).collect();
    batch.refused = std::mem::take(&mut batch.operations)
        .into_iter()
        .map(|pending| OperationOutcome::refused(pending.operation.id, "store", &message))
        .collect();
}
