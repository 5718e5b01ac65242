//! The batch statement: a change as arrays.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::core::Verdict;

use super::super::{Change, Fence, Receipt, Shrunk};
use super::rows::{moment, timestamp};

const BATCH_COMMIT: &str = include_str!("sql/batch_commit.sql");

pub(super) async fn commit(
    connection: &mut PgConnection,
    fence: &Fence,
    change: &Change,
) -> Result<Receipt, sqlx::Error> {
    let partitions = &change.partitions;
    let count = |verdict: usize| partitions.iter().map(|advance| advance.counts[verdict]).collect::<Vec<i64>>();
    let seq = |seq: u32| i32::try_from(seq).unwrap_or(i32::MAX);
    let (journal, born, turned, parked) = (&change.journal, &change.born, &change.turned, &change.parked);
    let left = |one: &Shrunk| one.rows.iter().map(|(id, row)| (one.name, *id, *row)).collect::<Vec<_>>();
    let shrunk: Vec<((i64, i64), Uuid, u32)> = change.shrunk.iter().flat_map(left).collect();
    let offsets = sqlx::query_as(BATCH_COMMIT)
        .bind(fence.writer)
        .bind(fence.incarnation)
        .bind(fence.batch)
        .bind(change.generation)
        .bind(partitions.iter().map(|advance| &*advance.topic).collect::<Vec<&str>>())
        .bind(partitions.iter().map(|advance| advance.partition).collect::<Vec<i32>>())
        .bind(partitions.iter().map(|advance| advance.from).collect::<Vec<i64>>())
        .bind(partitions.iter().map(|advance| advance.to).collect::<Vec<i64>>())
        .bind(partitions.iter().map(|advance| advance.gaps).collect::<Vec<i64>>());
    let query = (0..Verdict::ALL.len())
        .fold(offsets, |query, verdict| query.bind(count(verdict)))
        .bind(journal.iter().map(|row| row.saga_id).collect::<Vec<Uuid>>())
        .bind(journal.iter().map(|row| seq(row.seq)).collect::<Vec<i32>>())
        .bind(journal.iter().map(|row| row.facts.as_slice()).collect::<Vec<&[u8]>>())
        .bind(born.iter().map(|row| row.id).collect::<Vec<Uuid>>())
        .bind(born.iter().map(|row| row.definition_hash.as_bytes().as_slice()).collect::<Vec<&[u8]>>())
        .bind(born.iter().map(|row| &*row.definition_name).collect::<Vec<&str>>())
        .bind(born.iter().map(|row| &*row.business_key).collect::<Vec<&str>>())
        .bind(born.iter().map(|row| row.phase.number()).collect::<Vec<i16>>())
        .bind(born.iter().map(|row| row.finished_at.map(moment)).collect::<Vec<Option<DateTime<Utc>>>>())
        .bind(born.iter().map(|row| row.wake_at.map(moment)).collect::<Vec<Option<DateTime<Utc>>>>())
        .bind(born.iter().map(|row| row.error.as_deref()).collect::<Vec<Option<&str>>>())
        .bind(turned.iter().map(|row| row.id).collect::<Vec<Uuid>>())
        .bind(turned.iter().map(|row| row.phase.number()).collect::<Vec<i16>>())
        .bind(turned.iter().map(|row| row.finished_at.map(moment)).collect::<Vec<Option<DateTime<Utc>>>>())
        .bind(turned.iter().map(|row| row.wake_at.map(moment)).collect::<Vec<Option<DateTime<Utc>>>>())
        .bind(turned.iter().map(|row| row.error.as_deref()).collect::<Vec<Option<&str>>>())
        .bind(parked.iter().map(|row| &*row.topic).collect::<Vec<&str>>())
        .bind(parked.iter().map(|row| row.partition).collect::<Vec<i32>>())
        .bind(parked.iter().map(|row| row.offset).collect::<Vec<i64>>())
        .bind(parked.iter().map(|row| row.reason.as_str()).collect::<Vec<&str>>())
        .bind(parked.iter().map(|row| row.key.as_deref()).collect::<Vec<Option<&[u8]>>>())
        .bind(parked.iter().map(|row| row.value.as_deref()).collect::<Vec<Option<&[u8]>>>())
        .bind(parked.iter().map(|row| row.headers.as_bytes()).collect::<Vec<&[u8]>>())
        .bind(change.emitting.iter().map(|(id, _)| *id).collect::<Vec<Uuid>>())
        .bind(change.emitting.iter().map(|(_, row)| seq(*row)).collect::<Vec<i32>>())
        .bind(change.acknowledged.iter().map(|(writer, _)| *writer).collect::<Vec<i64>>())
        .bind(change.acknowledged.iter().map(|(_, batch)| *batch).collect::<Vec<i64>>())
        .bind(change.operations.iter().map(|outcome| outcome.id).collect::<Vec<Uuid>>())
        .bind(change.operations.iter().map(|outcome| outcome.state.name()).collect::<Vec<&str>>())
        .bind(change.operations.iter().map(|outcome| outcome.message.as_deref()).collect::<Vec<Option<&str>>>())
        .bind(change.operations.iter().map(|outcome| outcome.seq_before.map(seq)).collect::<Vec<Option<i32>>>())
        .bind(change.operations.iter().map(|outcome| outcome.seq_after.map(seq)).collect::<Vec<Option<i32>>>())
        .bind(moment(change.now))
        .bind(shrunk.iter().map(|((writer, _), ..)| *writer).collect::<Vec<i64>>())
        .bind(shrunk.iter().map(|((_, batch), ..)| *batch).collect::<Vec<i64>>())
        .bind(shrunk.iter().map(|(_, id, _)| *id).collect::<Vec<Uuid>>())
        .bind(shrunk.iter().map(|(.., row)| seq(*row)).collect::<Vec<i32>>())
        .bind(parked.iter().map(|row| moment(row.written_at)).collect::<Vec<DateTime<Utc>>>())
        .bind(parked.iter().map(|row| row.is_whole).collect::<Vec<bool>>())
        .bind(change.redriven.iter().map(|outcome| outcome.id).collect::<Vec<Uuid>>())
        .bind(change.redriven.iter().map(|outcome| outcome.verdict.name()).collect::<Vec<&str>>())
        .bind(change.redriven.iter().map(|outcome| outcome.message.as_deref()).collect::<Vec<Option<&str>>>())
        .bind(change.redriven.iter().map(|outcome| outcome.stays_parked).collect::<Vec<bool>>())
        .bind(change.operations.iter().map(|outcome| outcome.code).collect::<Vec<Option<&str>>>())
        .bind(change.traces.iter().map(|(trace, _)| *trace).collect::<Vec<Uuid>>())
        .bind(change.traces.iter().map(|(_, saga)| *saga).collect::<Vec<Uuid>>())
        .bind(change.aged.as_slice());
    let (batch, now): (i64, DateTime<Utc>) = query.fetch_one(connection).await?;
    Ok(Receipt { batch, now: timestamp(now) })
}
