//! The trait `Store` on Postgres.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::core::{Partition, Sha256};

use super::super::{
    Asked, Catalogue, Change, Claim, DeadWriter, DefinitionRow, Fence, LEASE_MS, NewPartition, ParkedMessage,
    PartitionOffset, PartitionState, PendingOperation, PendingRedrive, Receipt, Registration, SagaKey, Store,
    StoreError, Stored, UnemittedRow, wakes_at_release,
};
use super::commit::commit;
use super::connection::PostgresStore;
use super::holds::holds;
use super::rows::{SagaColumns, definition_row, moment, saga_row, timestamp};

const WRITER_INSERT: &str = include_str!("sql/writer_insert.sql");
const WRITER_SELECT_DEAD: &str = include_str!("sql/writer_select_dead.sql");
const WRITER_UPDATE_TAKEN: &str = include_str!("sql/writer_update_taken.sql");
const WRITER_DELETE_TAKEN: &str = include_str!("sql/writer_delete_taken.sql");
const WRITER_DELETE_OWN: &str = include_str!("sql/writer_delete_own.sql");
const WRITER_SELECT_YOUNGER: &str = include_str!("sql/writer_select_younger.sql");
const UNEMITTED_UPDATE_OWNER: &str = include_str!("sql/unemitted_update_owner.sql");
const UNEMITTED_SELECT_SAGAS: &str = include_str!("sql/unemitted_select_sagas.sql");
const SAGA_SELECT_JOURNAL: &str = include_str!("sql/saga_select_journal.sql");
const SAGA_UPDATE_CLAIMED: &str = include_str!("sql/saga_update_claimed.sql");
const INPUT_OFFSET_SELECT: &str = include_str!("sql/input_offset_select.sql");
const INPUT_OFFSET_INSERT: &str = include_str!("sql/input_offset_insert.sql");
const INPUT_OFFSET_UPDATE_STOPPED: &str = include_str!("sql/input_offset_update_stopped.sql");
const INPUT_OFFSET_SELECT_TOPIC: &str = include_str!("sql/input_offset_select_topic.sql");
const CATALOGUE_SELECT: &str = include_str!("sql/catalogue_select.sql");
const DEFINITION_SELECT_CATALOGUE: &str = include_str!("sql/definition_select_catalogue.sql");
pub(super) const DEFINITION_SELECT: &str = include_str!("sql/definition_select.sql");
const REDRIVE_SELECT_PENDING: &str = include_str!("sql/redrive_select_pending.sql");
const OPERATION_SELECT_PENDING: &str = include_str!("sql/operation_select_pending.sql");

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn millis(duration: u64) -> i64 {
    i64::try_from(duration).unwrap_or(i64::MAX)
}

fn apart(partitions: &[Partition]) -> (Vec<String>, Vec<i32>) {
    partitions.iter().map(|(topic, partition)| (topic.to_string(), *partition)).unzip()
}

/// Topic, number, next offset, whether it is stopped.
type OffsetColumns = (String, i32, i64, bool);

fn partition_offset((topic, number, next_offset, is_stopped): OffsetColumns) -> PartitionOffset {
    PartitionOffset {
        partition: (Arc::from(topic), number),
        next_offset,
        state: if is_stopped { PartitionState::Stopped } else { PartitionState::Reading },
    }
}

/// The definitions in force.
pub(super) async fn catalogue(connection: &mut PgConnection) -> Result<Catalogue, sqlx::Error> {
    type Columns = (i64, Vec<u8>, String, i32, String, bool);
    // Several snapshots: what is deployed, held or released in between is noticed by the generation of the first, which is then behind.
    let (generation, released): (i64, i64) = sqlx::query_as(CATALOGUE_SELECT).fetch_one(&mut *connection).await?;
    let holds = holds(&mut *connection).await?;
    let found: Vec<Columns> = sqlx::query_as(DEFINITION_SELECT_CATALOGUE).fetch_all(connection).await?;
    let mut catalogue = Catalogue { generation, released, holds, ..Catalogue::default() };
    for (_, hash, name, version, body, is_active) in found {
        let row = definition_row(&hash, name, version, body)?;
        if is_active { catalogue.active.push(row) } else { catalogue.pinned.push(row) }
    }
    Ok(catalogue)
}

impl Store for PostgresStore {
    async fn register(&mut self, instance: Option<&str>, age: Option<i64>) -> Result<Registration, StoreError> {
        self.disconnect();
        let registered = self.run(async |connection| {
            let query = sqlx::query_as(WRITER_INSERT).bind(instance).bind(age);
            query.fetch_one(connection).await
        });
        let (writer, incarnation, age, _, now, is_standby): (i64, Uuid, i64, i64, DateTime<Utc>, bool) =
            registered.await?;
        if is_standby {
            self.disconnect();
            return Err(StoreError::Unknown("this server is a standby".to_owned()));
        }
        Ok(Registration { writer, incarnation, batch: 0, age, now: timestamp(now) })
    }

    async fn commit(&mut self, fence: &Fence, change: &Change) -> Result<Receipt, StoreError> {
        self.run(async |connection| commit(connection, fence, change).await).await
    }

    async fn load(&mut self, keys: &[SagaKey]) -> Result<Vec<Stored>, StoreError> {
        let (mut ids, mut names, mut business_keys) = (Vec::new(), Vec::new(), Vec::new());
        for key in keys {
            match key {
                SagaKey::Id(id) => ids.push(*id),
                SagaKey::Business { definition_name, business_key } => {
                    names.push(definition_name.to_string());
                    business_keys.push(business_key.to_string());
                }
            }
        }
        // What is asked for by its business key may have any id.
        let is_by_id = business_keys.is_empty();
        let first = ids.iter().min().copied().filter(|_| is_by_id).unwrap_or(Uuid::nil());
        let last = ids.iter().max().copied().filter(|_| is_by_id).unwrap_or(Uuid::max());
        type Columns = (
            Uuid,
            Vec<u8>,
            String,
            String,
            i16,
            DateTime<Utc>,
            Option<DateTime<Utc>>,
            Option<DateTime<Utc>>,
            Option<String>,
            Option<Vec<Vec<u8>>>,
        );
        self.run(async |connection| {
            let query = sqlx::query_as(SAGA_SELECT_JOURNAL).bind(ids).bind(names).bind(business_keys);
            let query = query.bind(first).bind(last);
            let found: Vec<Columns> = query.fetch_all(connection).await?;
            let stored = |row: Columns| {
                let (id, hash, name, key, phase, started, finished, wake, error, journal) = row;
                let columns: SagaColumns = (id, hash, name, key, phase, started, finished, wake, error);
                Ok(Stored { row: saga_row(columns)?, journal: journal.unwrap_or_default() })
            };
            found.into_iter().map(stored).collect()
        })
        .await
    }

    async fn offsets(&mut self, partitions: &[Partition]) -> Result<Vec<PartitionOffset>, StoreError> {
        let (topics, numbers) = apart(partitions);
        let found = self.run(async |connection| {
            let query = sqlx::query_as(INPUT_OFFSET_SELECT).bind(topics).bind(numbers);
            query.fetch_all(connection).await
        });
        let found: Vec<OffsetColumns> = found.await?;
        Ok(found.into_iter().map(partition_offset).collect())
    }

    async fn add_partitions(&mut self, partitions: &[NewPartition]) -> Result<Vec<PartitionOffset>, StoreError> {
        let names: Vec<Partition> = partitions.iter().map(|new| new.partition.clone()).collect();
        let (topics, numbers) = apart(&names);
        let firsts: Vec<i64> = partitions.iter().map(|new| new.first_offset).collect();
        self.run(async |connection| {
            sqlx::query(INPUT_OFFSET_INSERT).bind(topics).bind(numbers).bind(firsts).execute(connection).await
        })
        .await?;
        self.offsets(&names).await
    }

    async fn stop_partition(&mut self, (topic, number): &Partition, at: i64, reason: &str) -> Result<(), StoreError> {
        self.run(async |connection| {
            let query = sqlx::query(INPUT_OFFSET_UPDATE_STOPPED).bind(&**topic).bind(number).bind(at).bind(reason);
            query.execute(connection).await
        })
        .await
        .map(|_| ())
    }

    async fn offsets_of(&mut self, topic: &str) -> Result<Vec<PartitionOffset>, StoreError> {
        let found = self
            .run(async |connection| sqlx::query_as(INPUT_OFFSET_SELECT_TOPIC).bind(topic).fetch_all(connection).await);
        let found: Vec<OffsetColumns> = found.await?;
        Ok(found.into_iter().map(partition_offset).collect())
    }

    async fn catalogue(&mut self) -> Result<Catalogue, StoreError> {
        self.run(async |connection| catalogue(connection).await).await
    }

    async fn definition(&mut self, hash: Sha256) -> Result<Option<DefinitionRow>, StoreError> {
        type Columns = (Vec<u8>, String, i32, String);
        self.run(async |connection| {
            let query = sqlx::query_as(DEFINITION_SELECT).bind(hash.as_bytes().as_slice());
            let found: Option<Columns> = query.fetch_optional(connection).await?;
            found.map(|(hash, name, version, body)| definition_row(&hash, name, version, body)).transpose()
        })
        .await
    }

    async fn claim_due(&mut self, overdue_ms: u64, released: i64, limit: usize) -> Result<Vec<Claim>, StoreError> {
        let claimed = self.run(async |connection| {
            let query = sqlx::query_as(SAGA_UPDATE_CLAIMED)
                .bind(millis(overdue_ms))
                .bind(count(limit))
                .bind(millis(LEASE_MS))
                .bind(moment(wakes_at_release(0)))
                .bind(moment(wakes_at_release(released)));
            query.fetch_all(connection).await
        });
        let claimed: Vec<(Uuid, DateTime<Utc>)> = claimed.await?;
        Ok(claimed.into_iter().map(|(saga_id, at)| Claim { saga_id, wake_at: timestamp(at) }).collect())
    }

    async fn dead_writers(
        &mut self,
        silent_ms: u64,
        instance: Option<&str>,
        fence: &Fence,
    ) -> Result<Vec<DeadWriter>, StoreError> {
        let found = self.run(async |connection| {
            let query = sqlx::query_as(WRITER_SELECT_DEAD).bind(fence.writer).bind(millis(silent_ms)).bind(instance);
            query.fetch_all(connection).await
        });
        let found: Vec<(i64, Uuid)> = found.await?;
        Ok(found.into_iter().map(|(writer, incarnation)| DeadWriter { writer, incarnation }).collect())
    }

    async fn take_over(&mut self, fence: &Fence, dead: &DeadWriter) -> Result<Vec<UnemittedRow>, StoreError> {
        let taken = self.run(async |connection| {
            let query = sqlx::query(WRITER_UPDATE_TAKEN).bind(dead.writer).bind(dead.incarnation);
            query.execute(connection).await
        });
        if taken.await?.rows_affected() == 0 {
            return Ok(Vec::new());
        }
        let owned = self.run(async |connection| {
            let query = sqlx::query_as(UNEMITTED_UPDATE_OWNER);
            query
                .bind(fence.writer)
                .bind(fence.incarnation)
                .bind(fence.batch)
                .bind(dead.writer)
                .fetch_all(connection)
                .await
        });
        let owned: Vec<(i64, i64, Vec<Uuid>, Vec<i32>)> = owned.await?;
        let row = |(writer, batch, ids, seqs): (i64, i64, Vec<Uuid>, Vec<i32>)| UnemittedRow {
            writer,
            batch,
            rows: ids.into_iter().zip(seqs.into_iter().map(|seq| u32::try_from(seq).unwrap_or_default())).collect(),
        };
        Ok(owned.into_iter().map(row).collect())
    }

    async fn forget_writers(&mut self, _fence: &Fence) -> Result<(), StoreError> {
        self.run(async |connection| sqlx::query(WRITER_DELETE_TAKEN).execute(connection).await).await.map(|_| ())
    }

    async fn resign(&mut self, fence: &Fence) -> Result<(), StoreError> {
        self.run(async |connection| {
            sqlx::query(WRITER_DELETE_OWN).bind(fence.writer).bind(fence.incarnation).execute(connection).await
        })
        .await
        .map(|_| ())
    }

    async fn unemitted_of(&mut self, sagas: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        let found =
            self.run(async |connection| sqlx::query_as(UNEMITTED_SELECT_SAGAS).bind(sagas).fetch_all(connection).await);
        let found: Vec<(Uuid,)> = found.await?;
        Ok(found.into_iter().map(|(id,)| id).collect())
    }

    async fn asked(&mut self, limit: usize) -> Result<Asked, StoreError> {
        type Redrive = (Uuid, String, i32, i64, DateTime<Utc>, bool, Option<Vec<u8>>, Option<Vec<u8>>, Vec<u8>);
        let found = self.run(async |connection| {
            let query = sqlx::query_as(OPERATION_SELECT_PENDING).bind(count(limit));
            let operations: Vec<(Uuid, String)> = query.fetch_all(&mut *connection).await?;
            let query = sqlx::query_as(REDRIVE_SELECT_PENDING).bind(count(limit));
            let redrives: Vec<Redrive> = query.fetch_all(connection).await?;
            Ok((operations, redrives))
        });
        let (operations, redrives) = found.await?;
        let pending = |(saga_id, request): (Uuid, String)| match serde_json::from_str(&request) {
            Ok(operation) => Some(PendingOperation { saga_id, operation }),
            Err(error) => {
                tracing::error!(%saga_id, %error, "operation cannot be read, it is left alone");
                None
            }
        };
        let redrive = |(id, topic, partition, offset, at, is_whole, key, value, headers): Redrive| PendingRedrive {
            id,
            message: ParkedMessage {
                topic: topic.into(),
                partition,
                offset,
                reason: String::new(),
                key,
                value,
                headers: String::from_utf8_lossy(&headers).into_owned(),
                written_at: timestamp(at),
                is_whole,
            },
        };
        Ok(Asked {
            operations: operations.into_iter().filter_map(pending).collect(),
            redrives: redrives.into_iter().map(redrive).collect(),
        })
    }

    async fn has_younger_namesake(&mut self, instance: &str, age: i64) -> Result<bool, StoreError> {
        let found = self.run(async |connection| {
            sqlx::query_as(WRITER_SELECT_YOUNGER).bind(instance).bind(age).fetch_one(connection).await
        });
        let (found,): (bool,) = found.await?;
        Ok(found)
    }
}
