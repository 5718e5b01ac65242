//! Sagas and parked messages that people look for: by what they have in hand, or by what is true of them. Reads only.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::core::{Phase, Timestamp};

use super::super::SagaRow;
use super::console::{Console, ConsoleError, failed};
use super::rows::{SagaColumns, moment, saga_row, timestamp};

const SAGA_SELECT_LIST: &str = include_str!("sql/saga_select_list.sql");
const SAGA_SELECT_FIND: &str = include_str!("sql/saga_select_find.sql");
const SAGA_SELECT_TROUBLED: &str = include_str!("sql/saga_select_troubled.sql");
const SAGA_SELECT_COMMANDED: &str = include_str!("sql/saga_select_commanded.sql");
const SAGA_COUNT_PHASE: &str = include_str!("sql/saga_count_phase.sql");
const JOURNAL_SELECT_FIRST: &str = include_str!("sql/journal_select_first.sql");
const PARKED_MESSAGE_SELECT: &str = include_str!("sql/parked_message_select.sql");
const PARKED_MESSAGE_SELECT_PLACE: &str = include_str!("sql/parked_message_select_place.sql");

/// A saga in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSaga {
    /// Its small row.
    pub row: SagaRow,
    /// The version of its definition.
    pub version: u32,
}

/// Which sagas: those for which everything that is said here is true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SagaFilter {
    /// Where it stands.
    pub phase: Option<Phase>,
    /// The definition's name.
    pub definition: Option<String>,
    /// How its business key begins.
    pub key_prefix: Option<String>,
    /// The code of what went wrong first.
    pub code: Option<String>,
    /// Begun then or later.
    pub started_after: Option<Timestamp>,
    /// Begun earlier.
    pub started_before: Option<Timestamp>,
}

/// A record put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedParked {
    /// Its number.
    pub id: i64,
    /// Where it was read.
    pub topic: String,
    /// See `topic`.
    pub partition: i32,
    /// See `topic`.
    pub offset: i64,
    /// Verdict, code and what is wrong.
    pub reason: String,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// When it was put aside.
    pub parked_at: Timestamp,
}

type ListedColumns = (
    Uuid,
    Vec<u8>,
    String,
    String,
    i16,
    DateTime<Utc>,
    Option<DateTime<Utc>>,
    Option<DateTime<Utc>>,
    Option<String>,
    i32,
);

fn listed(columns: ListedColumns) -> Result<ListedSaga, sqlx::Error> {
    let (id, hash, name, key, phase, started, finished, wake, error, version) = columns;
    let row: SagaColumns = (id, hash, name, key, phase, started, finished, wake, error);
    Ok(ListedSaga { row: saga_row(row)?, version: u32::try_from(version).unwrap_or_default() })
}

/// The code as the row's error says it: within other texts it would be escaped.
fn code_member(code: &str) -> String {
    format!("\"code\":{}", serde_json::Value::from(code))
}

impl Console {
    /// Sagas, newest first; one more than `limit` when there are more.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn list(&self, filter: &SagaFilter, limit: usize) -> Result<Vec<ListedSaga>, ConsoleError> {
        let attempt = failed("list sagas");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let query = sqlx::query_as(SAGA_SELECT_LIST)
            .bind(filter.phase.map(Phase::number))
            .bind(filter.definition.as_deref())
            .bind(filter.key_prefix.as_deref())
            .bind(filter.code.as_deref().map(code_member))
            .bind(filter.started_after.map(moment))
            .bind(filter.started_before.map(moment))
            .bind(limit);
        let found: Vec<ListedColumns> = query.fetch_all(&self.pool).await.map_err(&attempt)?;
        found.into_iter().map(listed).collect::<Result<_, _>>().map_err(attempt)
    }

    /// Sagas by definition and phase.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn counts(&self, filter: &SagaFilter) -> Result<Vec<(String, Phase, i64)>, ConsoleError> {
        let query = sqlx::query_as(SAGA_COUNT_PHASE)
            .bind(filter.phase.map(Phase::number))
            .bind(filter.definition.as_deref())
            .bind(filter.key_prefix.as_deref())
            .bind(filter.code.as_deref().map(code_member))
            .bind(filter.started_after.map(moment))
            .bind(filter.started_before.map(moment));
        let found: Vec<(String, i16, i64)> = query.fetch_all(&self.pool).await.map_err(failed("count sagas"))?;
        Ok(found
            .into_iter()
            .filter_map(|(name, phase, count)| Some((name, Phase::from_number(phase)?, count)))
            .collect())
    }

    /// Sagas with this id or business key.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn find(&self, id_or_key: &str, definition: Option<&str>) -> Result<Vec<ListedSaga>, ConsoleError> {
        let attempt = failed("find a saga");
        let id = Uuid::try_parse(id_or_key).ok();
        let query = sqlx::query_as(SAGA_SELECT_FIND).bind(id).bind(id_or_key).bind(definition);
        let found: Vec<ListedColumns> = query.fetch_all(&self.pool).await.map_err(&attempt)?;
        found.into_iter().map(listed).collect::<Result<_, _>>().map_err(attempt)
    }

    /// Ids of open sagas that are stuck or in which something went wrong, newest first, older than `before`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn troubled(&self, before: Uuid, limit: usize) -> Result<Vec<Uuid>, ConsoleError> {
        let query = sqlx::query_as(SAGA_SELECT_TROUBLED).bind(before).bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let found: Vec<(Uuid,)> = query.fetch_all(&self.pool).await.map_err(failed("look for failures"))?;
        Ok(found.into_iter().map(|(id,)| id).collect())
    }

    /// Ids of sagas of which this may be a command's id: a digest of the saga's id is part of it. Reads every saga's id.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn commanded(&self, command_id: Uuid) -> Result<Vec<Uuid>, ConsoleError> {
        let query = sqlx::query_as(SAGA_SELECT_COMMANDED).bind(&command_id.as_bytes()[..6]);
        let found: Vec<(Uuid,)> =
            query.fetch_all(&self.pool).await.map_err(failed("look for the saga of a command"))?;
        Ok(found.into_iter().map(|(id,)| id).collect())
    }

    /// A page of sagas older than `before`, newest first, each with its first journal row if that holds these bytes.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn first_rows(
        &self,
        before: Uuid,
        limit: usize,
        holding: &[u8],
    ) -> Result<Vec<(Uuid, Option<Vec<u8>>)>, ConsoleError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = sqlx::query_as(JOURNAL_SELECT_FIRST).bind(before).bind(limit).bind(holding);
        query.fetch_all(&self.pool).await.map_err(failed("look through triggers"))
    }

    /// Records put aside, newest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn parked(&self, limit: usize) -> Result<Vec<ListedParked>, ConsoleError> {
        let query = sqlx::query_as(PARKED_MESSAGE_SELECT).bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let found: Vec<ParkedColumns> = query.fetch_all(&self.pool).await.map_err(failed("list parked messages"))?;
        Ok(found.into_iter().map(parked).collect())
    }

    /// Records put aside that were read at this place.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn parked_at(&self, topic: &str, partition: i32, offset: i64) -> Result<Vec<ListedParked>, ConsoleError> {
        let query = sqlx::query_as(PARKED_MESSAGE_SELECT_PLACE).bind(topic).bind(partition).bind(offset);
        let found: Vec<ParkedColumns> = query.fetch_all(&self.pool).await.map_err(failed("find a parked message"))?;
        Ok(found.into_iter().map(parked).collect())
    }
}

type ParkedColumns = (i64, String, i32, i64, String, Option<Vec<u8>>, DateTime<Utc>);

fn parked((id, topic, partition, offset, reason, key, at): ParkedColumns) -> ListedParked {
    ListedParked { id, topic, partition, offset, reason, key, parked_at: timestamp(at) }
}
