//! What people and tools ask of Postgres beside the engine: journals, operations, deployments. A small pool of its own.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use crate::core::{Operation, Sha256, Timestamp};

use super::super::{Catalogue, DefinitionRow, Deployed, Deployment, OperationState, StoreError};
use super::connection::classify;
use super::rows::{definition_row, timestamp};

const JOURNAL_SELECT: &str = include_str!("sql/journal_select.sql");
const OPERATION_INSERT: &str = include_str!("sql/operation_insert.sql");
const OPERATION_SELECT: &str = include_str!("sql/operation_select.sql");
const DEFINITION_DEPLOY: &str = include_str!("sql/definition_deploy.sql");
const DEFINITION_SELECT_ONE: &str = include_str!("sql/definition_select_active.sql");
const INPUT_OFFSET_UPDATE_SOUGHT: &str = include_str!("sql/input_offset_update_sought.sql");
const INPUT_OFFSET_SELECT_BALANCE: &str = include_str!("sql/input_offset_select_balance.sql");
const SETTINGS_SELECT: &str = include_str!("sql/settings_select.sql");

/// What was asked of the database and did not come.
#[derive(Debug, thiserror::Error)]
#[error("{attempted}")]
pub struct ConsoleError {
    /// What was attempted.
    pub attempted: &'static str,
    /// Why it failed.
    #[source]
    pub source: StoreError,
}

/// A connection for people and tools.
#[derive(Clone, Debug)]
pub struct Console {
    pub(super) pool: PgPool,
}

/// An operator's action as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What became of it.
    pub state: OperationState,
    /// Why it was refused, in one word.
    pub code: Option<String>,
    /// Why it was refused, for people.
    pub message: Option<String>,
}

/// A partition's counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Which partition.
    pub partition: (String, i32),
    /// Where it began.
    pub first_offset: i64,
    /// Where it stands.
    pub next_offset: i64,
    /// Offsets that hold no record.
    pub gaps: i64,
    /// Records by verdict, in the order of `Verdict::ALL`.
    pub counts: [i64; 7],
    /// Why nobody reads it, if so.
    pub stopped_because: Option<String>,
}

impl Balance {
    /// next - first - gaps - verdicts: 0, or records are missing or doubled.
    pub fn difference(&self) -> i64 {
        let ended = self.counts.iter().fold(self.gaps, |sum, count| sum.saturating_add(*count));
        self.next_offset.saturating_sub(self.first_offset).saturating_sub(ended)
    }
}

/// What the start-up check asks of Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durability {
    /// `fsync`
    pub fsync: bool,
    /// `full_page_writes`
    pub full_page_writes: bool,
    /// `synchronous_commit` is not off.
    pub synchronous_commit: bool,
    /// It is a standby.
    pub in_recovery: bool,
    /// Such as 150018.
    pub version: i32,
    /// The role may change what is written.
    pub may_change_journal: bool,
    /// Its clock.
    pub now: Timestamp,
}

pub(super) fn failed(attempted: &'static str) -> impl Fn(sqlx::Error) -> ConsoleError {
    move |error| ConsoleError { attempted, source: classify(error) }
}

impl Console {
    /// Connects.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn connect(url: &str) -> Result<Self, ConsoleError> {
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(std::time::Duration::from_secs(5))
            .connect(url)
            .await;
        Ok(Self { pool: pool.map_err(failed("connect to the database"))? })
    }

    /// A pool that connects when it is first asked: what answers requests outlives its database's outages.
    ///
    /// # Errors
    /// The address cannot be read.
    pub fn lazily(url: &str) -> Result<Self, ConsoleError> {
        let pool = PgPoolOptions::new().max_connections(4).acquire_timeout(std::time::Duration::from_secs(5));
        Ok(Self { pool: pool.connect_lazy(url).map_err(failed("read the database's address"))? })
    }

    /// One saga's journal: its rows in order, each an encoded `Transition`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn journal(&self, saga_id: Uuid) -> Result<Vec<Vec<u8>>, ConsoleError> {
        let query = sqlx::query_as(JOURNAL_SELECT).bind(saga_id);
        let found: Vec<(Vec<u8>,)> = query.fetch_all(&self.pool).await.map_err(failed("read a journal"))?;
        Ok(found.into_iter().map(|(facts,)| facts).collect())
    }

    /// Asks the engines to act on a saga.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn ask(&self, saga_id: Uuid, verb: &str, operation: &Operation) -> Result<(), ConsoleError> {
        let request = serde_json::to_string(operation).expect("an operation is plain data");
        let query = sqlx::query(OPERATION_INSERT).bind(operation.id).bind(saga_id).bind(request);
        let query = query.bind(verb).bind(&operation.who).bind(&operation.reason);
        query.execute(&self.pool).await.map(|_| ()).map_err(failed("ask for an operation"))
    }

    /// What became of an operation.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn outcome(&self, id: Uuid) -> Result<Answered, ConsoleError> {
        let query = sqlx::query_as(OPERATION_SELECT).bind(id);
        let (state, code, message): (String, Option<String>, Option<String>) =
            query.fetch_one(&self.pool).await.map_err(failed("look after an operation"))?;
        Ok(Answered { state: OperationState::parse(&state).unwrap_or(OperationState::Pending), code, message })
    }

    /// Deploys definitions, all or none; `replaces` lets other content take the place of the same version.
    ///
    /// # Errors
    /// `Refused` when the same version is active with other content; or the database does not answer.
    pub async fn deploy(&self, definitions: &[DefinitionRow], replaces: bool) -> Result<Deployment, ConsoleError> {
        let query = sqlx::query_as(DEFINITION_DEPLOY)
            .bind(definitions.iter().map(|row| row.hash.as_bytes().as_slice()).collect::<Vec<&[u8]>>())
            .bind(definitions.iter().map(|row| &*row.name).collect::<Vec<&str>>())
            .bind(definitions.iter().map(|row| i32::try_from(row.version).unwrap_or(i32::MAX)).collect::<Vec<i32>>())
            .bind(definitions.iter().map(|row| row.body.as_str()).collect::<Vec<&str>>())
            .bind(replaces);
        let found: Vec<(String, i64)> = query.fetch_all(&self.pool).await.map_err(failed("deploy definitions"))?;
        let outcome = |(outcome, _): &(String, i64)| match outcome.as_str() {
            "unchanged" => Deployed::Unchanged,
            "older" => Deployed::Older,
            _ => Deployed::Activated,
        };
        let generation = found.first().map_or(0, |(_, generation)| *generation);
        Ok(Deployment { generation, outcomes: found.iter().map(outcome).collect() })
    }

    /// The active definition of this name.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn active_definition(&self, name: &str) -> Result<Option<DefinitionRow>, ConsoleError> {
        let attempt = failed("read a definition");
        let query = sqlx::query_as(DEFINITION_SELECT_ONE).bind(name);
        let found: Option<(Vec<u8>, String, i32, String)> = query.fetch_optional(&self.pool).await.map_err(&attempt)?;
        found.map(|(hash, name, version, body)| definition_row(&hash, name, version, body)).transpose().map_err(attempt)
    }

    /// The definitions in force.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn catalogue(&self) -> Result<Catalogue, ConsoleError> {
        let attempt = failed("read the definitions in force");
        let mut connection = self.pool.acquire().await.map_err(&attempt)?;
        super::store::catalogue(&mut connection).await.map_err(attempt)
    }

    /// The definition with this hash.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn definition(&self, hash: Sha256) -> Result<Option<DefinitionRow>, ConsoleError> {
        let attempt = failed("read a definition");
        let query = sqlx::query_as(super::store::DEFINITION_SELECT).bind(hash.as_bytes().as_slice());
        let found: Option<(Vec<u8>, String, i32, String)> = query.fetch_optional(&self.pool).await.map_err(&attempt)?;
        found.map(|(hash, name, version, body)| definition_row(&hash, name, version, body)).transpose().map_err(attempt)
    }

    /// Moves a partition to another offset, audited. False when it is not known.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn seek(&self, partition: (&str, i32), to: i64, who: &str, reason: &str) -> Result<bool, ConsoleError> {
        let query = sqlx::query_as(INPUT_OFFSET_UPDATE_SOUGHT)
            .bind(partition.0)
            .bind(partition.1)
            .bind(to)
            .bind(who)
            .bind(reason);
        let (moved,): (i64,) = query.fetch_one(&self.pool).await.map_err(failed("move a partition"))?;
        Ok(moved == 1)
    }

    /// Every partition with its counts.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn balance(&self) -> Result<Vec<Balance>, ConsoleError> {
        type Columns = (String, i32, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, Option<String>);
        let query = sqlx::query_as(INPUT_OFFSET_SELECT_BALANCE);
        let found: Vec<Columns> = query.fetch_all(&self.pool).await.map_err(failed("read the offsets"))?;
        let balance = |(topic, number, first, next, gaps, a, b, c, d, e, f, g, stopped_because): Columns| Balance {
            partition: (topic, number),
            first_offset: first,
            next_offset: next,
            gaps,
            counts: [a, b, c, d, e, f, g],
            stopped_because,
        };
        Ok(found.into_iter().map(balance).collect())
    }

    /// The settings that durability rests on.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn durability(&self) -> Result<Durability, ConsoleError> {
        type Columns = (bool, bool, bool, bool, i32, bool, DateTime<Utc>);
        let found: Columns = sqlx::query_as(SETTINGS_SELECT)
            .fetch_one(&self.pool)
            .await
            .map_err(failed("read the database's settings"))?;
        let (fsync, full_page_writes, synchronous_commit, in_recovery, version, may_change_journal, now) = found;
        let now = timestamp(now);
        Ok(Durability { fsync, full_page_writes, synchronous_commit, in_recovery, version, may_change_journal, now })
    }
}
