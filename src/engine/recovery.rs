//! How an engine begins, and begins again: registers, takes over dead writers, learns the definitions, seeks. There is one way
//! back from every doubt, and it is what a restart does (DESIGN.md section 3).
//!
//! ```text
//! register --> catalogue --> subscribe --> take over own old writer --> assigned: offsets from Postgres --> turn
//! ```

use rustc_hash::FxHashMap;
use uuid::Uuid;

use crate::bus::Bus;
use crate::core::{Effect, Transition, effects};
use crate::store::{Fence, NewPartition, PartitionState, SagaKey, Store, StoreError, UnemittedRow};

use super::change::{Sending, differing};
use super::chores::{Chores, SILENT_MS};
use super::clock::Clock;
use super::judge::Folded;
use super::reconnect::Reconnect;
use super::{Engine, Stop, meters};
use crate::core::Partition;

/// Why an engine ended although nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A younger process has registered under this instance name.
    #[error("a younger process has registered as instance {0}: this one ends")]
    Superseded(String),
    /// A defect of ours: the statement that Postgres refused must never be refused.
    #[error("commit a batch: a defect, nothing was lost: {0}")]
    Defect(#[source] StoreError),
}

impl<S: Store, B: Bus, C: Clock> Engine<S, B, C> {
    /// What a restart does, until it succeeds or `stop` is requested. Nothing of the former life is kept: what was committed is in
    /// Postgres, what was read will be read again.
    pub(super) async fn recover(&mut self, stop: &Stop) -> Result<(), EngineError> {
        let mut reconnect = Reconnect::new(self.settings.seed);
        while !stop.is_requested() {
            self.health.set_ready(false);
            self.forget();
            match self.begin().await {
                Ok(()) => return Ok(()),
                Err(StoreError::Defect(error)) => return Err(EngineError::Defect(StoreError::Defect(error))),
                Err(error) => {
                    let wait = reconnect.next_wait();
                    tracing::warn!(%error, wait_ms = wait.as_millis(), "database not reachable, trying again");
                    self.clock.sleep(wait).await;
                }
            }
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.cache.clear();
        self.positions.clear();
        self.emission.clear();
        self.pending.clear();
        self.chores = Chores::at_once();
    }

    /// What a failed turn asks for: to begin anew, or to end.
    pub(super) async fn mend(&mut self, error: StoreError) -> Result<(), EngineError> {
        self.health.set_ready(false);
        if let StoreError::Defect(error) = error {
            return Err(EngineError::Defect(StoreError::Defect(error)));
        }
        tracing::warn!(%error, "starting anew");
        meters::restarted(&error);
        if matches!(error, StoreError::Fenced)
            && let (Some(instance), Some(age)) = (self.settings.instance.clone(), self.age)
            && self.store.has_younger_namesake(&instance, age).await.unwrap_or(false)
        {
            return Err(EngineError::Superseded(instance.to_string()));
        }
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), StoreError> {
        let registration = self.store.register(self.settings.instance.as_deref(), self.age).await?;
        self.fence =
            Fence { writer: registration.writer, incarnation: registration.incarnation, batch: registration.batch };
        self.age = Some(registration.age);
        self.time.observe(registration.now, &self.clock);
        tracing::info!(writer = registration.writer, "registered");
        self.reload().await?;
        self.take_over_the_dead().await?;
        let partitions = self.bus.assignment();
        if !partitions.is_empty() {
            self.assigned(partitions).await?;
        }
        self.health.set_ready(true);
        Ok(())
    }

    /// Learns the definitions anew and reads their topics.
    pub(super) async fn reload(&mut self) -> Result<(), StoreError> {
        let catalogue = self.store.catalogue().await?;
        self.catalog.replace(&catalogue);
        let topics = self.catalog.topics();
        if topics != self.subscribed {
            tracing::info!(generation = catalogue.generation, topics = topics.len(), "definitions loaded");
            self.bus.subscribe(&topics);
            self.subscribed = topics;
        }
        Ok(())
    }

    /// These partitions are ours to read: from where Postgres says, and where it says nothing yet, from their beginning (or from
    /// where `--from` says).
    pub(super) async fn assigned(&mut self, partitions: Vec<Partition>) -> Result<(), StoreError> {
        self.positions.clear();
        self.cache.clear();
        self.chores.claim_at_once();
        let known = self.store.offsets(&partitions).await?;
        let is_known: Vec<&Partition> = known.iter().map(|offset| &offset.partition).collect();
        let mut new = Vec::new();
        for partition in partitions.iter().filter(|partition| !is_known.contains(partition)) {
            let from =
                if self.catalog.is_reply_topic(&partition.0) { crate::bus::From::Earliest } else { self.settings.from };
            match self.bus.first_offset(partition, from).await {
                Ok(first_offset) => new.push(NewPartition { partition: partition.clone(), first_offset }),
                Err(error) => {
                    tracing::warn!(topic = %partition.0, partition = partition.1, %error, "first offset not known yet")
                }
            }
        }
        let added = if new.is_empty() { Vec::new() } else { self.store.add_partitions(&new).await? };
        let mut starts = Vec::new();
        for offset in known.into_iter().chain(added) {
            match offset.state {
                PartitionState::Reading => {
                    self.positions.set(offset.partition.clone(), offset.next_offset);
                    starts.push((offset.partition, offset.next_offset));
                }
                PartitionState::Stopped => {
                    tracing::error!(topic = %offset.partition.0, partition = offset.partition.1, "partition is stopped, restart it with topics seek");
                }
            }
        }
        self.bus.start(starts);
        Ok(())
    }

    /// Partitions of ours that are not read: an operator may have sent a stopped one elsewhere, or its first offset may be known by
    /// now.
    pub(super) async fn read_again_what_may_be_read(&mut self) -> Result<(), StoreError> {
        let assigned = self.bus.assignment();
        let idle: Vec<Partition> =
            assigned.iter().filter(|partition| self.positions.next(partition).is_none()).cloned().collect();
        if idle.is_empty() {
            return Ok(());
        }
        let known = self.store.offsets(&idle).await?;
        let stopped = known.iter().filter(|offset| offset.state == PartitionState::Stopped).count();
        if stopped < idle.len() { self.assigned(assigned).await } else { Ok(()) }
    }

    /// Another engine moved our partitions' offsets: reads again from where Postgres says.
    pub(super) async fn seek(&mut self) -> Result<(), StoreError> {
        meters::sought();
        let partitions = self.bus.assignment();
        self.assigned(partitions).await
    }

    /// Takes over writers that are silent, and our own former ones at once: sends again what they had committed and not sent.
    pub(super) async fn take_over_the_dead(&mut self) -> Result<(), StoreError> {
        let instance = self.settings.instance.clone();
        let dead = self.store.dead_writers(SILENT_MS, instance.as_deref(), &self.fence).await?;
        for writer in dead {
            let unemitted = self.store.take_over(&self.fence, &writer).await?;
            tracing::info!(writer = writer.writer, batches = unemitted.len(), "writer taken over");
            meters::took_over(unemitted.len());
            self.send_again(unemitted).await?;
            self.chores.claim_at_once();
        }
        self.store.forget_writers(&self.fence).await
    }

    /// Emits batches that another life committed: commands while they are outstanding, announcements always, with the same ids.
    async fn send_again(&mut self, unemitted: Vec<UnemittedRow>) -> Result<(), StoreError> {
        let mut journals = FxHashMap::default();
        let mut ids: Vec<Uuid> = unemitted.iter().flat_map(|row| row.rows.iter().map(|(id, _)| *id)).collect();
        ids.sort_unstable();
        ids.dedup();
        for page in ids.chunks(500) {
            let keys: Vec<SagaKey> = page.iter().map(|id| SagaKey::Id(*id)).collect();
            for stored in self.store.load(&keys).await? {
                journals.insert(stored.row.id, (stored.journal.clone(), self.fold(stored).await?));
            }
        }
        for row in unemitted {
            let mut sending = Vec::new();
            for (saga_id, seq) in row.rows {
                let Some((journal, Folded::Saga(saga, _, plan))) = journals.get(&saga_id) else { continue };
                let place = usize::try_from(seq).unwrap_or(usize::MAX).wrapping_sub(1);
                let Some(transition) =
                    journal.get(place).and_then(|facts| serde_json::from_slice::<Transition>(facts).ok())
                else {
                    continue;
                };
                for effect in effects(plan.rules(), saga, seq, transition.now, &transition.facts) {
                    match effect {
                        Ok(effect) => sending.push(Sending { saga_id, effect }),
                        Err(differs) => self.pending.push((saga_id, differing(differs))),
                    }
                }
            }
            meters::sent_again(sending.iter().filter(|sending| matches!(sending.effect, Effect::Command(_))).count());
            self.emission.emit(&mut self.bus, (row.writer, row.batch), sending);
        }
        Ok(())
    }

    /// Ends well: the broker gets what is on its way, what it acknowledged is deleted, the writer is forgotten.
    pub(super) async fn drain(&mut self) -> Result<(), EngineError> {
        self.health.set_ready(false);
        self.bus.flush(super::DRAIN).await;
        let refused = self.emission.take_in(self.bus.delivered());
        let batch = super::Batch { now: self.now(), wakes: refused, ..super::Batch::default() };
        if let Err(error) = self.settle(batch).await {
            tracing::warn!(%error, "not drained: whoever takes over goes on");
            return Ok(());
        }
        if let Err(error) = self.store.resign(&self.fence).await {
            tracing::warn!(%error, "writer not deregistered");
        }
        Ok(())
    }
}
