//! Sagas that people look for: by what they have in hand, or by what is true of them. Reads only.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::core::{Phase, Sha256, Timestamp};

use super::super::SagaRow;
use super::console::{Console, ConsoleError, failed};
use super::rows::{SagaColumns, moment, saga_row, sha256, timestamp};

const SAGA_SELECT_LIST: &str = include_str!("sql/saga_select_list.sql");
const SAGA_SELECT_LIST_OPEN: &str = include_str!("sql/saga_select_list_open.sql");
const SAGA_SELECT_NTH_OLDER: &str = include_str!("sql/saga_select_nth_older.sql");
const SAGA_SELECT_PHASES: &str = include_str!("sql/saga_select_phases.sql");
const SAGA_SELECT_FIND: &str = include_str!("sql/saga_select_find.sql");
const SAGA_SELECT_TROUBLED: &str = include_str!("sql/saga_select_troubled.sql");
const SAGA_SELECT_COMMANDED: &str = include_str!("sql/saga_select_commanded.sql");
const SAGA_TRACE_SELECT: &str = include_str!("sql/saga_trace_select.sql");
const SAGA_COUNT_PHASE: &str = include_str!("sql/saga_count_phase.sql");
const DEFINITION_SELECT_LIST: &str = include_str!("sql/definition_select_list.sql");
const JOURNAL_SELECT_FIRST: &str = include_str!("sql/journal_select_first.sql");

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
    /// Of one of these definitions.
    pub within: Option<Vec<String>>,
    /// Older than this id: where the page before it ended.
    pub before: Option<Uuid>,
    /// Not older than this id: where a page stops looking.
    pub down_to: Option<Uuid>,
}

impl SagaFilter {
    /// The same, of these definitions alone.
    #[must_use]
    pub fn within(self, definitions: Option<&[String]>) -> Self {
        Self { within: definitions.map(<[String]>::to_vec), ..self }
    }

    /// Whether many sagas may have to be passed over for one that fits: open ones have an index of their own.
    pub fn may_pass_over(&self) -> bool {
        let everything = Self { before: self.before, down_to: self.down_to, ..Self::default() };
        *self != everything && self.phase.is_none_or(Phase::is_final)
    }
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
        let is_open = filter.phase.is_some_and(|phase| !phase.is_final());
        let query = sqlx::query_as(if is_open { SAGA_SELECT_LIST_OPEN } else { SAGA_SELECT_LIST })
            .bind(filter.phase.map(Phase::number))
            .bind(filter.definition.as_deref())
            .bind(filter.key_prefix.as_deref())
            .bind(filter.code.as_deref().map(code_member))
            .bind(filter.started_after.map(moment))
            .bind(filter.started_before.map(moment))
            .bind(limit)
            .bind(filter.within.as_deref())
            .bind(filter.before.unwrap_or(Uuid::max()))
            .bind(filter.down_to.unwrap_or_default());
        let found: Vec<ListedColumns> = query.fetch_all(&self.pool).await.map_err(&attempt)?;
        found.into_iter().map(listed).collect::<Result<_, _>>().map_err(attempt)
    }

    /// The oldest of the `n` sagas that are next older than `before`; `None` where fewer are left.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn nth_older(&self, before: Option<Uuid>, n: u32) -> Result<Option<Uuid>, ConsoleError> {
        let query = sqlx::query_as(SAGA_SELECT_NTH_OLDER).bind(before.unwrap_or(Uuid::max())).bind(i64::from(n) - 1);
        let found: Option<(Uuid,)> = query.fetch_optional(&self.pool).await.map_err(failed("look how far to look"))?;
        Ok(found.map(|(id,)| id))
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
            .bind(filter.started_before.map(moment))
            .bind(filter.within.as_deref());
        let found: Vec<(String, i16, i64)> = query.fetch_all(&self.pool).await.map_err(failed("count sagas"))?;
        Ok(found
            .into_iter()
            .filter_map(|(name, phase, count)| Some((name, Phase::from_number(phase)?, count)))
            .collect())
    }

    /// Where sagas stand: those with these ids, and those of these definitions with these business keys.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn phases(
        &self,
        ids: &[Uuid],
        keys: &[(Arc<str>, Arc<str>)],
    ) -> Result<Vec<(Uuid, String, String, Phase)>, ConsoleError> {
        let attempt = failed("look where sagas stand");
        let query = sqlx::query_as(SAGA_SELECT_PHASES)
            .bind(ids)
            .bind(keys.iter().map(|(name, _)| &**name).collect::<Vec<&str>>())
            .bind(keys.iter().map(|(_, key)| &**key).collect::<Vec<&str>>());
        let found: Vec<(Uuid, String, String, i16)> = query.fetch_all(&self.pool).await.map_err(&attempt)?;
        let read = |(id, name, key, phase)| {
            let phase = Phase::from_number(phase).ok_or_else(|| sqlx::Error::Decode("an unknown phase".into()))?;
            Ok((id, name, key, phase))
        };
        found.into_iter().map(read).collect::<Result<_, _>>().map_err(attempt)
    }

    /// Sagas with these ids or business keys, the newest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn find(&self, ids_or_keys: &[&str], definition: Option<&str>) -> Result<Vec<ListedSaga>, ConsoleError> {
        let attempt = failed("find a saga");
        let ids: Vec<Uuid> = ids_or_keys.iter().filter_map(|name| Uuid::try_parse(name).ok()).collect();
        let query = sqlx::query_as(SAGA_SELECT_FIND).bind(ids).bind(ids_or_keys).bind(definition);
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

    /// Ids of sagas of this trace, newest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn traced(&self, trace: Uuid) -> Result<Vec<Uuid>, ConsoleError> {
        let query = sqlx::query_as(SAGA_TRACE_SELECT).bind(trace);
        let found: Vec<(Uuid,)> = query.fetch_all(&self.pool).await.map_err(failed("look for the sagas of a trace"))?;
        Ok(found.into_iter().map(|(id,)| id).collect())
    }

    /// Ids of sagas of which this may be a command's id: a digest of the saga's id is part of it.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn commanded(&self, command_id: Uuid) -> Result<Vec<Uuid>, ConsoleError> {
        let query = sqlx::query_as(SAGA_SELECT_COMMANDED).bind(&command_id.as_bytes()[..6]);
        let found: Vec<(Uuid,)> =
            query.fetch_all(&self.pool).await.map_err(failed("look for the saga of a command"))?;
        Ok(found.into_iter().map(|(id,)| id).collect())
    }

    /// The first journal rows that hold these bytes, of so many sagas next older than `before`, newest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn first_rows(
        &self,
        before: Uuid,
        sagas: u32,
        holding: &[u8],
    ) -> Result<Vec<(Uuid, Vec<u8>)>, ConsoleError> {
        let query = sqlx::query_as(JOURNAL_SELECT_FIRST).bind(before).bind(i64::from(sagas)).bind(holding);
        query.fetch_all(&self.pool).await.map_err(failed("look through triggers"))
    }
}

/// A definition in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedDefinition {
    /// SHA-256 of its content.
    pub hash: Sha256,
    /// The saga's name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Whether it starts sagas.
    pub is_active: bool,
    /// Open sagas that are pinned to it.
    pub open_sagas: i64,
    /// When it was deployed.
    pub deployed_at: Timestamp,
}

impl Console {
    /// Every definition that was ever deployed, by name, the newest version first; at most `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn definitions(&self, limit: usize) -> Result<Vec<ListedDefinition>, ConsoleError> {
        let attempt = failed("list definitions");
        let query = sqlx::query_as(DEFINITION_SELECT_LIST).bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let found: Vec<DefinitionColumns> = query.fetch_all(&self.pool).await.map_err(&attempt)?;
        let listed = |(hash, name, version, is_active, open_sagas, at): DefinitionColumns| {
            let version = u32::try_from(version).unwrap_or_default();
            let hash = sha256(&hash)?;
            Ok(ListedDefinition { hash, name, version, is_active, open_sagas, deployed_at: timestamp(at) })
        };
        found.into_iter().map(listed).collect::<Result<_, _>>().map_err(attempt)
    }
}

type DefinitionColumns = (Vec<u8>, String, i32, bool, i64, DateTime<Utc>);
