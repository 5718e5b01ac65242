//! The database itself: what tests, the simulator and operators do to it beside its writers' statements.

use std::sync::{Arc, Mutex, MutexGuard};

use uuid::Uuid;

use crate::core::{Operation, Partition, Sha256, Timestamp};

use super::super::{
    DefinitionRow, Deployed, Deployment, HoldRow, HoldTarget, OperationOutcome, OperationState, ParkedMessage,
    PartitionState, PendingOperation, PendingRedrive, RedriveOutcome, SagaRow, StoreError, Stored,
};
use super::{MemoryDatabase, MemoryStore, Offset, Tables};

impl MemoryDatabase {
    /// A handle for one writer.
    pub fn store(&self) -> MemoryStore {
        MemoryStore { database: self.clone() }
    }

    /// Moves the database's clock.
    pub fn set_now(&self, now: Timestamp) {
        self.lock().now = now;
    }

    /// Deploys definitions; `replaces` lets another content take the place of the same version.
    ///
    /// # Errors
    /// `Refused` when the same version is active with another content.
    pub fn deploy(&self, definitions: &[DefinitionRow], replaces: bool) -> Result<Deployment, StoreError> {
        let mut tables = self.lock();
        let mut outcomes = Vec::new();
        for new in definitions {
            let active = tables.active.get(&new.name).copied();
            let active = active.and_then(|hash| tables.definitions.iter().find(|row| row.hash == hash));
            outcomes.push(match active {
                Some(row) if row.hash == new.hash => Deployed::Unchanged,
                Some(row) if row.version == new.version && !replaces => {
                    return Err(StoreError::Refused {
                        sqlstate: "SG005".to_owned(),
                        message: format!("version {} of {} has another content", new.version, new.name),
                    });
                }
                Some(row) if row.version > new.version => Deployed::Older,
                Some(_) | None => Deployed::Activated,
            });
        }
        for (new, outcome) in definitions.iter().zip(&outcomes) {
            if *outcome == Deployed::Activated {
                let known = Arc::make_mut(&mut tables.definitions);
                known.retain(|row| row.hash != new.hash);
                known.push(new.clone());
                tables.active.insert(Arc::clone(&new.name), new.hash);
            }
        }
        tables.generation += i64::from(outcomes.contains(&Deployed::Activated));
        Ok(Deployment { generation: tables.generation, outcomes })
    }

    /// A person holds something; `None` where it is held already.
    pub fn hold(&self, target: HoldTarget) -> Option<i64> {
        let mut guard = self.lock();
        let tables = &mut *guard;
        if tables.holds.iter().any(|hold| hold.target == target) {
            return None;
        }
        tables.last_hold += 1;
        tables.generation += 1;
        let (id, who, reason) = (tables.last_hold, "ada".to_owned(), "in memory".to_owned());
        Arc::make_mut(&mut tables.holds).push(HoldRow { id, target, since: tables.now, who, reason });
        Some(id)
    }

    /// What is held, oldest first.
    pub fn holds(&self) -> Vec<HoldRow> {
        self.lock().holds.to_vec()
    }

    /// A person releases what is held; false where it was before.
    pub fn release(&self, id: i64) -> bool {
        let mut guard = self.lock();
        let tables = &mut *guard;
        let is_held = tables.holds.iter().any(|hold| hold.id == id);
        if is_held {
            Arc::make_mut(&mut tables.holds).retain(|hold| hold.id != id);
            tables.generation += 1;
            tables.released = tables.generation;
        }
        is_held
    }

    /// An operator asks.
    pub fn ask(&self, saga_id: Uuid, operation: Operation) {
        let outcome = OperationOutcome {
            id: operation.id,
            state: OperationState::Pending,
            code: None,
            message: None,
            seq_before: None,
            seq_after: None,
        };
        Arc::make_mut(&mut self.lock().operations).push((PendingOperation { saga_id, operation }, outcome));
    }

    /// A record is to enter the line again.
    pub fn redrive(&self, id: Uuid, message: ParkedMessage) {
        Arc::make_mut(&mut self.lock().redrives).push((PendingRedrive { id, message }, None));
    }

    /// What became of a record that was to enter the line again, as far as it did.
    pub fn redriven(&self, id: Uuid) -> Option<RedriveOutcome> {
        self.lock().redrives.iter().find(|(redrive, _)| redrive.id == id).and_then(|(_, outcome)| outcome.clone())
    }

    /// What became of an operator's action.
    pub fn outcome(&self, id: Uuid) -> Option<OperationOutcome> {
        self.lock().operations.iter().find(|(_, outcome)| outcome.id == id).map(|(_, outcome)| outcome.clone())
    }

    /// All sagas with their journals, by id.
    pub fn sagas(&self) -> Vec<Stored> {
        let tables = self.lock();
        tables.sagas.values().map(|row| tables.stored(row)).collect()
    }

    /// True for the definition that new sagas of its name begin with.
    pub fn is_active(&self, definition: Sha256) -> bool {
        self.lock().active.values().any(|hash| *hash == definition)
    }

    /// A saga without its journal.
    pub fn row(&self, id: Uuid) -> Option<SagaRow> {
        self.lock().sagas.get(&id).map(|row| SagaRow::clone(row))
    }

    /// All sagas without their journals, by id.
    pub fn rows(&self) -> Vec<SagaRow> {
        self.lock().sagas.values().map(|row| SagaRow::clone(row)).collect()
    }

    /// Everything put aside, oldest first.
    pub fn parked(&self) -> Vec<ParkedMessage> {
        self.lock().parked.to_vec()
    }

    /// First and next offset, gaps and counts of a partition.
    pub fn offset(&self, partition: &Partition) -> Option<(i64, i64, i64, [i64; 7])> {
        let tables = self.lock();
        let offset = tables.offsets.get(partition)?;
        Some((offset.first_offset, offset.next_offset, offset.gaps, offset.counts))
    }

    /// The database as it stands, apart from it from now on: a standby.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        Self { tables: Arc::new(Mutex::new(self.lock().clone())) }
    }

    /// What `snapshot` kept takes this database's place on another server, as when a standby takes over, which may lack the last
    /// commits. Incarnations are chance in Postgres, and so are never given twice here either.
    pub fn fail_over(&self, snapshot: &Self) {
        let kept = snapshot.lock().clone();
        let mut tables = self.lock();
        let (last_age, server) = (tables.last_age, tables.server + 1);
        *tables = Tables { last_age, server, ..kept };
    }

    /// What people asked and nobody has decided.
    pub fn undecided(&self) -> usize {
        let tables = self.lock();
        let operations = tables.operations.iter().filter(|(_, outcome)| outcome.state == OperationState::Pending);
        operations.count() + tables.redrives.iter().filter(|(_, outcome)| outcome.is_none()).count()
    }

    /// An operator moves a partition to another offset, which restarts one that was stopped. What is jumped over counts as gaps; going
    /// back begins a new count. False when nobody has read it yet.
    pub fn seek(&self, partition: &Partition, to: i64) -> bool {
        let mut tables = self.lock();
        let Some(offset) = tables.offsets.get_mut(partition) else { return false };
        if to >= offset.next_offset {
            offset.gaps += to - offset.next_offset;
        } else {
            *offset = Offset { first_offset: to, gaps: 0, counts: [0; 7], ..offset.clone() };
        }
        offset.next_offset = to;
        offset.state = PartitionState::Reading;
        true
    }

    /// Partitions that nobody reads until an operator seeks.
    pub fn stopped(&self) -> Vec<Partition> {
        let tables = self.lock();
        let is_stopped = |offset: &Offset| offset.state == PartitionState::Stopped;
        tables.offsets.iter().filter(|(_, offset)| is_stopped(offset)).map(|(partition, _)| partition.clone()).collect()
    }

    /// Batches that are not known to have been sent.
    pub fn unemitted(&self) -> usize {
        self.lock().unemitted.len()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().expect("nothing panics while it holds the tables")
    }
}
