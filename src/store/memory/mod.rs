//! The store in memory: the same rules as Postgres, for tests and the simulator. Several stores share one database.

mod commit;
mod database;
mod takeover;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use uuid::Uuid;

use crate::core::{Partition, Sha256, Timestamp};

use super::hold::is_released;
use super::{
    Asked, Catalogue, Change, Claim, DeadWriter, DefinitionRow, Fence, HoldRow, LEASE_MS, NewPartition,
    OperationOutcome, OperationState, ParkedMessage, PartitionOffset, PartitionState, PendingOperation, PendingRedrive,
    Receipt, RedriveOutcome, Registration, SagaKey, SagaRow, Store, StoreError, Stored, UnemittedRow,
};

/// A database that lives as long as its handles. Its clock stands still until it is moved.
#[derive(Clone, Debug, Default)]
pub struct MemoryDatabase {
    tables: Arc<Mutex<Tables>>,
}

/// Definition name and business key.
type Key = (Arc<str>, Arc<str>);

/// Cheap to clone: what is large is shared until it is written, since a simulated standby keeps the tables after each commit.
#[derive(Clone, Debug, Default)]
struct Tables {
    now: Timestamp,
    /// The server process: another one after each fail-over.
    server: u32,
    generation: i64,
    released: i64,
    holds: Arc<Vec<HoldRow>>,
    last_hold: i64,
    definitions: Arc<Vec<DefinitionRow>>,
    active: BTreeMap<Arc<str>, Sha256>,
    sagas: BTreeMap<Uuid, Arc<SagaRow>>,
    keys: Arc<BTreeMap<Key, Uuid>>,
    journal: BTreeMap<Uuid, Arc<Vec<Arc<[u8]>>>>,
    writers: BTreeMap<i64, Writer>,
    last_writer: i64,
    last_age: i64,
    unemitted: BTreeMap<(i64, i64), Unemitted>,
    offsets: BTreeMap<Partition, Offset>,
    parked: Arc<Vec<ParkedMessage>>,
    operations: Arc<Vec<(PendingOperation, OperationOutcome)>>,
    redrives: Arc<Vec<(PendingRedrive, Option<RedriveOutcome>)>>,
}

#[derive(Clone, Debug)]
struct Writer {
    instance: Option<String>,
    age: i64,
    incarnation: Uuid,
    batch: i64,
    heartbeat_at: Timestamp,
    server: u32,
    taken_over: bool,
}

#[derive(Clone, Debug)]
struct Unemitted {
    owner: i64,
    rows: Vec<(Uuid, u32)>,
}

#[derive(Clone, Debug)]
struct Offset {
    first_offset: i64,
    next_offset: i64,
    gaps: i64,
    counts: [i64; 7],
    state: PartitionState,
}

/// One writer's handle.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    database: MemoryDatabase,
}

impl Tables {
    fn stored(&self, row: &SagaRow) -> Stored {
        let journal = self.journal.get(&row.id).map(|rows| rows.iter().map(|facts| facts.to_vec()).collect());
        Stored { row: row.clone(), journal: journal.unwrap_or_default() }
    }

    fn partition(&self, partition: &Partition) -> Option<PartitionOffset> {
        let offset = self.offsets.get(partition)?;
        Some(PartitionOffset { partition: partition.clone(), next_offset: offset.next_offset, state: offset.state })
    }

    fn fenced(&self, fence: &Fence) -> Result<(), StoreError> {
        match self.writers.get(&fence.writer) {
            Some(_) if defect!("no fence") => Ok(()),
            Some(writer)
                if writer.incarnation == fence.incarnation
                    && writer.batch == fence.batch
                    && writer.server == self.server =>
            {
                Ok(())
            }
            Some(_) | None => Err(StoreError::Fenced),
        }
    }

    /// A value that was never given before: incarnations in here need no chance.
    fn incarnation(&mut self) -> Uuid {
        self.last_age += 1;
        Uuid::from_u128(u128::from(self.last_age.unsigned_abs()))
    }
}

impl Store for MemoryStore {
    async fn register(&mut self, instance: Option<&str>, age: Option<i64>) -> Result<Registration, StoreError> {
        let mut tables = self.database.lock();
        let incarnation = tables.incarnation();
        let age = age.unwrap_or(tables.last_age);
        tables.last_writer += 1;
        let (writer, now, server) = (tables.last_writer, tables.now, tables.server);
        let instance = instance.map(str::to_owned);
        let registered = Writer { instance, age, incarnation, batch: 0, heartbeat_at: now, server, taken_over: false };
        tables.writers.insert(writer, registered);
        Ok(Registration { writer, incarnation, batch: 0, age, now })
    }

    async fn commit(&mut self, fence: &Fence, change: &Change) -> Result<Receipt, StoreError> {
        self.database.lock().commit(fence, change)
    }

    async fn load(&mut self, keys: &[SagaKey]) -> Result<Vec<Stored>, StoreError> {
        let tables = self.database.lock();
        let mut ids: Vec<Uuid> = keys
            .iter()
            .filter_map(|key| match key {
                SagaKey::Id(id) => Some(*id),
                SagaKey::Business { definition_name, business_key } => {
                    tables.keys.get(&(Arc::clone(definition_name), Arc::clone(business_key))).copied()
                }
            })
            .collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids.iter().filter_map(|id| tables.sagas.get(id)).map(|row| tables.stored(row)).collect())
    }

    async fn offsets(&mut self, partitions: &[Partition]) -> Result<Vec<PartitionOffset>, StoreError> {
        let tables = self.database.lock();
        Ok(partitions.iter().filter_map(|partition| tables.partition(partition)).collect())
    }

    async fn add_partitions(&mut self, partitions: &[NewPartition]) -> Result<Vec<PartitionOffset>, StoreError> {
        let mut tables = self.database.lock();
        for new in partitions {
            let offset = Offset {
                first_offset: new.first_offset,
                next_offset: new.first_offset,
                gaps: 0,
                counts: [0; 7],
                state: PartitionState::Reading,
            };
            tables.offsets.entry(new.partition.clone()).or_insert(offset);
        }
        Ok(partitions.iter().filter_map(|new| tables.partition(&new.partition)).collect())
    }

    async fn stop_partition(&mut self, partition: &Partition, at: i64, _reason: &str) -> Result<(), StoreError> {
        if let Some(offset) = self.database.lock().offsets.get_mut(partition).filter(|offset| offset.next_offset == at)
        {
            offset.state = PartitionState::Stopped;
        }
        Ok(())
    }

    async fn offsets_of(&mut self, topic: &str) -> Result<Vec<PartitionOffset>, StoreError> {
        let tables = self.database.lock();
        let of_topic = tables.offsets.keys().filter(|(name, _)| &**name == topic);
        Ok(of_topic.filter_map(|partition| tables.partition(partition)).collect())
    }

    async fn catalogue(&mut self) -> Result<Catalogue, StoreError> {
        let tables = self.database.lock();
        let by_hash = |hash: &Sha256| tables.definitions.iter().find(|row| row.hash == *hash).cloned();
        let active: Vec<DefinitionRow> = tables.active.values().filter_map(by_hash).collect();
        let is_pinned = |row: &&DefinitionRow| {
            let open = |saga: &Arc<SagaRow>| {
                saga.definition_hash == row.hash && (saga.finished_at.is_none() || saga.wake_at.is_some())
            };
            !active.contains(row) && tables.sagas.values().any(open)
        };
        let pinned = tables.definitions.iter().filter(is_pinned).cloned().collect();
        let holds = tables.holds.to_vec();
        Ok(Catalogue { generation: tables.generation, released: tables.released, holds, active, pinned })
    }

    async fn definition(&mut self, hash: Sha256) -> Result<Option<DefinitionRow>, StoreError> {
        Ok(self.database.lock().definitions.iter().find(|row| row.hash == hash).cloned())
    }

    async fn claim_due(&mut self, overdue_ms: u64, released: i64, limit: usize) -> Result<Vec<Claim>, StoreError> {
        let mut tables = self.database.lock();
        let now = tables.now;
        let first = |is_meant: &dyn Fn(Timestamp) -> bool| {
            let meant = tables.sagas.values().filter(|row| row.wake_at.is_some_and(is_meant));
            let mut found: Vec<(Option<Timestamp>, Uuid)> = meant.map(|row| (row.wake_at, row.id)).collect();
            found.sort_unstable();
            found.truncate(limit);
            found
        };
        let mut due = first(&|at| at.plus_millis(overdue_ms) <= now);
        due.extend(first(&|at| is_released(at, released)));
        let wake_at = now.plus_millis(LEASE_MS);
        for (_, id) in &due {
            if let Some(row) = tables.sagas.get_mut(id) {
                Arc::make_mut(row).wake_at = Some(wake_at);
            }
        }
        Ok(due.into_iter().map(|(_, saga_id)| Claim { saga_id, wake_at }).collect())
    }

    async fn dead_writers(
        &mut self,
        silent_ms: u64,
        instance: Option<&str>,
        fence: &Fence,
    ) -> Result<Vec<DeadWriter>, StoreError> {
        let tables = self.database.lock();
        let own_age = tables.writers.get(&fence.writer).map_or(0, |writer| writer.age);
        let owns = |id: i64| tables.unemitted.values().any(|row| row.owner == id);
        let dead = tables.writers.iter().filter(|(id, writer)| {
            let is_silent = writer.heartbeat_at.plus_millis(silent_ms) <= tables.now;
            let is_named = instance.is_some() && writer.instance.as_deref() == instance;
            let is_own = writer.age == own_age || is_named && writer.age < own_age;
            **id != fence.writer && (is_silent || is_own) && (!writer.taken_over || owns(**id))
        });
        Ok(dead.map(|(id, writer)| DeadWriter { writer: *id, incarnation: writer.incarnation }).collect())
    }

    async fn take_over(&mut self, fence: &Fence, dead: &DeadWriter) -> Result<Vec<UnemittedRow>, StoreError> {
        if self.fence_off(dead) { self.take_rows(fence, dead) } else { Ok(Vec::new()) }
    }

    async fn forget_writers(&mut self, _fence: &Fence) -> Result<(), StoreError> {
        let mut tables = self.database.lock();
        let owners: Vec<i64> = tables.unemitted.values().map(|row| row.owner).collect();
        tables.writers.retain(|id, writer| !writer.taken_over || owners.contains(id));
        Ok(())
    }

    async fn resign(&mut self, fence: &Fence) -> Result<(), StoreError> {
        let mut tables = self.database.lock();
        let owns = tables.unemitted.values().any(|row| row.owner == fence.writer);
        tables.writers.retain(|id, writer| owns || *id != fence.writer || writer.incarnation != fence.incarnation);
        Ok(())
    }

    async fn unemitted_of(&mut self, sagas: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        let tables = self.database.lock();
        let mentioned = |id: &&Uuid| tables.unemitted.values().any(|row| row.rows.iter().any(|(saga, _)| saga == *id));
        Ok(sagas.iter().filter(mentioned).copied().collect())
    }

    async fn asked(&mut self, limit: usize) -> Result<Asked, StoreError> {
        let tables = self.database.lock();
        let operations = tables.operations.iter().filter(|(_, outcome)| outcome.state == OperationState::Pending);
        let redrives = tables.redrives.iter().filter(|(_, outcome)| outcome.is_none());
        Ok(Asked {
            operations: operations.map(|(operation, _)| operation.clone()).take(limit).collect(),
            redrives: redrives.map(|(redrive, _)| redrive.clone()).take(limit).collect(),
        })
    }

    async fn has_younger_namesake(&mut self, instance: &str, age: i64) -> Result<bool, StoreError> {
        let tables = self.database.lock();
        Ok(tables.writers.values().any(|writer| writer.instance.as_deref() == Some(instance) && writer.age > age))
    }
}
