//! Rows as Postgres gives them, and moments as it takes them.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::core::{Phase, Sha256, Timestamp};

use super::super::{DefinitionRow, SagaRow};

/// The last moment that is stored: a deadline beyond it is one that nobody will see.
const LAST_MICROS: i64 = 253_402_300_799_000_000;

pub(super) fn moment(at: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.micros().clamp(-LAST_MICROS, LAST_MICROS)).unwrap_or(DateTime::UNIX_EPOCH)
}

pub(super) fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp::from_micros(at.timestamp_micros())
}

pub(super) fn sha256(bytes: &[u8]) -> Result<Sha256, sqlx::Error> {
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| sqlx::Error::Decode("a hash has 32 bytes".into()))?;
    Ok(Sha256::from_bytes(bytes))
}

/// id, definition_hash, definition_name, business_key, phase, started_at, finished_at, wake_at, error
pub(super) type SagaColumns =
    (Uuid, Vec<u8>, String, String, i16, DateTime<Utc>, Option<DateTime<Utc>>, Option<DateTime<Utc>>, Option<String>);

pub(super) fn saga_row(columns: SagaColumns) -> Result<SagaRow, sqlx::Error> {
    let (id, hash, name, key, phase, started_at, finished_at, wake_at, error) = columns;
    Ok(SagaRow {
        id,
        definition_hash: sha256(&hash)?,
        definition_name: Arc::from(name),
        business_key: Arc::from(key),
        phase: Phase::from_number(phase).ok_or_else(|| sqlx::Error::Decode("an unknown phase".into()))?,
        started_at: timestamp(started_at),
        finished_at: finished_at.map(timestamp),
        wake_at: wake_at.map(timestamp),
        error,
    })
}

pub(super) fn definition_row(
    hash: &[u8],
    name: String,
    version: i32,
    body: String,
) -> Result<DefinitionRow, sqlx::Error> {
    let version = u32::try_from(version).unwrap_or_default();
    Ok(DefinitionRow { hash: sha256(hash)?, name: Arc::from(name), version, body })
}
