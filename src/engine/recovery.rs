//! How an engine begins, and begins again: registers, takes over dead writers, learns the definitions, seeks. There is one way
//! back from every doubt, and it is what a restart does (DESIGN.md section 3).
//!
//! ```text
//! register --> catalogue --> subscribe --> take over own old writer --> assigned: offsets from Postgres --> turn
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use uuid::Uuid;

use crate::bus::{Bus, BusError, From};
use crate::core::{Effect, Partition, Transition, effects};
use crate::store::{Fence, NewPartition, PartitionOffset, PartitionState, SagaKey, Store, StoreError, UnemittedRow};

use super::aside::Silence;
use super::change::{Sending, differing};
use super::chores::{Chores, SILENT_MS};
use super::clock::Clock;
use super::judge::Folded;
use super::reconnect::Reconnect;
use super::{Batch, Engine, Gates, Stop, meters};

/// Batches of a dead writer that are read and sent together: some thousand sagas.
const SENT_AGAIN: usize = 20;

/// Why an engine ended although nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A younger process has registered under this instance name.
    #[error("a younger process has registered as instance {0}: this one ends")]
    Superseded(String),
    /// A newer version has deployed what this one does not understand, and has to go on instead.
    #[error("read {0}: it needs a newer version of Sagabus, which has to go on instead")]
    Newer(String),
    /// It crashes whatever it does.
    #[error("run: it crashes again and again, its log says where; nothing was lost")]
    Crashed,
    /// A defect of ours: the statement that Postgres refused must never be refused.
    #[error("commit a batch: a defect, nothing was lost: {0}")]
    Defect(#[source] StoreError),
}

/// Why a begin came to nothing.
enum Ending {
    Superseded(String),
    /// The broker is silent: others go on meanwhile.
    Aside,
    Store(StoreError),
}

impl std::convert::From<StoreError> for Ending {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The error, if beginning anew may mend it.
fn mendable(error: StoreError) -> Result<StoreError, EngineError> {
    match error {
        StoreError::Defect(_) => Err(EngineError::Defect(error)),
        StoreError::Newer(what) => Err(EngineError::Newer(what)),
        StoreError::Fenced
        | StoreError::CatalogueChanged
        | StoreError::OffsetMoved
        | StoreError::SagaRaced
        | StoreError::Contention(_)
        | StoreError::Unknown(_)
        | StoreError::Refused { .. } => Ok(error),
    }
}

impl<S: Store, B: Bus, C: Clock> Engine<S, B, C> {
    /// What a restart does, until it succeeds or `stop` is requested. Nothing of the former life is kept: what was committed is in
    /// Postgres, what was read will be read again.
    pub(super) async fn recover(&mut self, stop: &Stop) -> Result<(), EngineError> {
        let mut reconnect = Reconnect::new(self.settings.seed);
        while !stop.is_requested() {
            self.health.set_ready(false);
            self.health.turned();
            self.forget();
            match self.begin().await {
                Ok(()) => return Ok(()),
                Err(Ending::Superseded(instance)) => return Err(EngineError::Superseded(instance)),
                Err(Ending::Aside) => self.clock.sleep(reconnect.next_wait()).await,
                Err(Ending::Store(error)) => {
                    let error = mendable(error)?;
                    self.could_not_begin();
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
        self.bus.forget();
        // What was read to its end may be read again: a database that lost commits has gone back.
        self.gates = Gates::default();
        self.pending.clear();
        self.outside.clear();
        self.chores = Chores::at_once();
    }

    /// What a failed turn asks for: to begin anew, or to end.
    pub(super) async fn mend(&mut self, error: StoreError) -> Result<(), EngineError> {
        self.health.set_ready(false);
        let error = mendable(error)?;
        tracing::warn!(%error, "starting anew");
        meters::restarted(&error);
        Ok(())
    }

    /// What a panic asks for: to begin anew with nothing of this life, and to look closely at what was in hand.
    pub(super) fn crashed(&mut self) -> Result<(), EngineError> {
        self.health.crashed();
        meters::crashed();
        tracing::error!(inputs = ?self.suspects.in_hand(), "the engine crashed: a defect; starting anew");
        if self.suspects.crashed() { Ok(()) } else { Err(EngineError::Crashed) }
    }

    async fn begin(&mut self) -> Result<(), Ending> {
        if let (Some(instance), Some(age)) = (self.settings.instance.clone(), self.age)
            && self.store.has_younger_namesake(&instance, age).await?
        {
            return Err(Ending::Superseded(instance.to_string()));
        }
        if self.stands_aside().await {
            return Err(Ending::Aside);
        }
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
        self.silence = Silence::default();
        self.health.set_ready(true);
        Ok(())
    }

    /// Learns the definitions anew and reads their topics.
    pub(super) async fn reload(&mut self) -> Result<(), StoreError> {
        let catalogue = self.store.catalogue().await?;
        let released = self.catalog.released();
        self.catalog.replace(&catalogue).map_err(|name| StoreError::Newer(format!("active definition {name}")))?;
        meters::holds(catalogue.holds.len());
        if self.catalog.released() != released {
            let now = self.now();
            self.cache.look_at_the_held(now);
        }
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
        let is_known = |partition: &Partition| known.iter().any(|offset| offset.partition == *partition);
        let unknown: Vec<Partition> = partitions.iter().filter(|partition| !is_known(partition)).cloned().collect();
        let added = self.make_known(unknown).await?;
        let mut starts = Vec::new();
        for offset in known.into_iter().chain(added) {
            match offset.state {
                PartitionState::Reading => {
                    self.positions.set(offset.partition.clone(), offset.next_offset);
                    let behind = i64::from(defect!("seek behind the offset"));
                    starts.push((offset.partition, offset.next_offset + behind));
                }
                PartitionState::Stopped => {
                    tracing::error!(topic = %offset.partition.0, partition = offset.partition.1, "partition is stopped, restart it with topics seek");
                }
            }
        }
        tracing::info!(partitions = starts.len(), "partitions assigned");
        self.bus.start(starts);
        Ok(())
    }

    /// Makes partitions known that nobody has read yet. A topic that is seen for the first time is made known whole, so that `--from`
    /// speaks of what it holds now; a partition that is added to it later is read from its beginning (RELIABILITY.md B13).
    async fn make_known(&mut self, unknown: Vec<Partition>) -> Result<Vec<PartitionOffset>, StoreError> {
        let mut new = Vec::new();
        let mut by_topic: BTreeMap<Arc<str>, Vec<Partition>> = BTreeMap::new();
        unknown.iter().for_each(|one| by_topic.entry(Arc::clone(&one.0)).or_default().push(one.clone()));
        for (topic, added) in by_topic {
            let is_first = self.store.offsets_of(&topic).await?.is_empty();
            let from =
                if is_first && !self.catalog.is_reply_topic(&topic) { self.settings.from } else { From::Earliest };
            if let Err(error) = self.first_offsets(&topic, is_first, added, from, &mut new).await {
                // It is asked again by and by; the others are read meanwhile.
                tracing::warn!(%topic, %error, "first offsets not known yet");
                break;
            }
        }
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let mut known = self.store.add_partitions(&new).await?;
        known.retain(|offset| unknown.contains(&offset.partition));
        Ok(known)
    }

    async fn first_offsets(
        &mut self,
        topic: &Arc<str>,
        is_whole: bool,
        added: Vec<Partition>,
        from: From,
        new: &mut Vec<NewPartition>,
    ) -> Result<(), BusError> {
        let mut partitions = added;
        if is_whole {
            let ends = self.bus.ends(topic, super::giveup::ASK_AT_MOST).await?;
            partitions = ends.into_iter().map(|(number, _)| (Arc::clone(topic), number)).collect();
        }
        let mut found = Vec::new();
        for partition in partitions {
            let first_offset = self.bus.first_offset(&partition, from).await?;
            found.push(NewPartition { partition, first_offset });
        }
        new.extend(found);
        Ok(())
    }

    /// Partitions of ours that stand elsewhere than Postgres says: an operator may have sent one elsewhere, or, which is asked less often
    /// since the broker takes its time to say no, a first offset may be known by now. The others are not disturbed for nothing.
    pub(super) async fn read_again_what_has_moved(&mut self) -> Result<(), StoreError> {
        let assigned = self.bus.assignment();
        let known = self.store.offsets(&assigned).await?;
        let is_known = |partition: &Partition| known.iter().any(|offset| offset.partition == *partition);
        let unknown: Vec<Partition> = assigned.iter().filter(|partition| !is_known(partition)).cloned().collect();
        let are_asked = !unknown.is_empty() && self.chores.may_ask_first_offsets(self.now());
        let added = if are_asked { self.make_known(unknown).await? } else { Vec::new() };
        let has_moved = |offset: &PartitionOffset| {
            let reads = (offset.state == PartitionState::Reading).then_some(offset.next_offset);
            self.positions.next(&offset.partition) != reads
        };
        if added.iter().chain(&known).any(has_moved) { self.assigned(assigned).await } else { Ok(()) }
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
            let mut unemitted = self.store.take_over(&self.fence, &writer).await?;
            tracing::info!(writer = writer.writer, batches = unemitted.len(), "writer taken over");
            meters::took_over(unemitted.len());
            while !unemitted.is_empty() {
                let rest = unemitted.split_off(unemitted.len().min(SENT_AGAIN));
                self.send_again(std::mem::replace(&mut unemitted, rest)).await?;
                // A large inheritance takes its time: meanwhile this writer must be seen to live.
                self.settle(Batch { now: self.now(), ..Batch::default() }).await?;
            }
            self.chores.claim_at_once();
        }
        if self.chores.may_forget_writers(self.now()) {
            self.store.forget_writers(&self.fence).await?;
        }
        Ok(())
    }

    /// Emits batches that another life committed: commands while they are outstanding, announcements always, with the same ids.
    async fn send_again(&mut self, unemitted: Vec<UnemittedRow>) -> Result<(), StoreError> {
        if defect!("takeover sends nothing again") {
            return Ok(());
        }
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
        let now = self.now();
        for row in unemitted {
            let (mut sending, mut is_kept) = (Vec::new(), false);
            for (saga_id, seq) in row.rows {
                let Some((journal, folded)) = journals.get(&saga_id) else { continue };
                let Folded::Saga(saga, _, plan) = folded else {
                    // Perhaps a newer version can read it: its row stays.
                    is_kept = true;
                    continue;
                };
                let place = usize::try_from(seq).unwrap_or(usize::MAX).wrapping_sub(1);
                let transition = journal.get(place).and_then(|facts| Transition::decode(facts).ok());
                let Some(transition) = transition else { continue };
                for effect in effects(plan.rules(), saga, seq, transition.now, &transition.facts, &[]) {
                    match effect {
                        Ok(effect) => sending.push(Sending { saga_id, seq, effect }),
                        Err(differs) => self.pending.push((saga_id, differing(differs))),
                    }
                }
            }
            meters::sent_again(sending.iter().filter(|sending| matches!(sending.effect, Effect::Command(_))).count());
            self.emission.emit(&mut self.bus, (row.writer, row.batch), sending, now, is_kept);
        }
        Ok(())
    }

    /// Ends well: the broker gets what is on its way, what it acknowledged is deleted, the writer is forgotten.
    pub(super) async fn drain(&mut self) -> Result<(), EngineError> {
        if !self.health.is_ready() {
            return Ok(());
        }
        self.health.set_ready(false);
        self.bus.flush(super::DRAIN).await;
        let refused = self.emission.take_in(self.bus.delivered());
        let batch = Batch { now: self.now(), wakes: refused, ..Batch::default() };
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
