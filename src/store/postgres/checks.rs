//! What the online checks ask of Postgres: the views named for what is wrong, and sagas as of one moment. Reads only: the session
//! of `Console::read_only` could not write.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::core::Timestamp;

use super::super::SagaRow;
use super::console::{Console, ConsoleError, failed};
use super::rows::{saga_row, timestamp};

const SILENT_SAGAS_SELECT: &str = include_str!("sql/silent_sagas_select.sql");
const JOURNAL_GAPS_SELECT: &str = include_str!("sql/journal_gaps_select.sql");
const JOURNAL_GAPS_SELECT_OF: &str = include_str!("sql/journal_gaps_select_of.sql");
const UNEMITTED_WITHOUT_WRITER_SELECT: &str = include_str!("sql/unemitted_without_writer_select.sql");
const LATE_WAKE_UPS_SELECT: &str = include_str!("sql/late_wake_ups_select.sql");
const PARKED_OPEN_SELECT: &str = include_str!("sql/parked_open_select.sql");
const OFFSET_HOLES_SELECT: &str = include_str!("sql/offset_holes_select.sql");
const SAGA_SELECT_PAGE: &str = include_str!("sql/saga_select_page.sql");
const SAGA_SELECT_SAMPLE: &str = include_str!("sql/saga_select_sample.sql");
const SAGA_SELECT_SNAPSHOT: &str = include_str!("sql/saga_select_snapshot.sql");

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offender {
    /// A saga's id, a batch as `writer/number`, a partition as `topic/number`, or a record as `topic/number@offset`.
    pub id: String,
    /// The business key, or the record's key; `None` where there is none.
    pub key: Option<String>,
    /// What is wrong with it, for people.
    pub what: String,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// How many there are.
    pub count: u64,
    /// The first of them, as many as were asked for.
    pub first: Vec<Offender>,
}

/// A session that cannot write.
fn reading(url: &str, name: &str, statement_timeout: Option<Duration>) -> Result<PgConnectOptions, ConsoleError> {
    let options: PgConnectOptions = url.parse().map_err(failed("read the database's address"))?;
    let timeout_ms = statement_timeout.map_or(0, |timeout| timeout.as_millis());
    Ok(options.application_name(name).options([
        ("default_transaction_read_only", "on"),
        ("statement_timeout", timeout_ms.to_string().as_str()),
        ("lock_timeout", "2000"),
    ]))
}

/// A saga and its journal as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its small row.
    pub row: SagaRow,
    /// The numbers of its journal rows, ascending.
    pub seqs: Vec<i32>,
    /// Its journal rows, each an encoded `Transition`.
    pub facts: Vec<Vec<u8>>,
    /// The database's clock, read after row and journal were.
    pub now: Timestamp,
}

impl Console {
    /// Connects for reading: the session is read-only, and a statement ends after `statement_timeout` (`None`: never).
    ///
    /// # Errors
    /// The address cannot be read, or the database does not answer.
    pub async fn read_only(url: &str, statement_timeout: Option<Duration>) -> Result<Self, ConsoleError> {
        let options = reading(url, "sagabus-verify", statement_timeout)?;
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(5));
        Ok(Self { pool: pool.connect_with(options).await.map_err(failed("connect to the database"))? })
    }

    /// A pool of `connections` for reading, as `read_only`, that connects when it is first asked.
    ///
    /// # Errors
    /// The address cannot be read.
    pub fn read_only_lazily(url: &str, statement_timeout: Duration, connections: u32) -> Result<Self, ConsoleError> {
        let options = reading(url, "sagabus-http", Some(statement_timeout))?;
        let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(Duration::from_secs(5));
        Ok(Self { pool: pool.connect_lazy_with(options) })
    }

    /// Open sagas that nothing will look at.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn silent_sagas(&self, limit: usize) -> Result<Found, ConsoleError> {
        self.found(SILENT_SAGAS_SELECT, None, limit).await.map_err(failed("look for silent sagas"))
    }

    /// Journals that do not number their rows 1, 2, 3 ...: all of them, or those of these sagas.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn journal_gaps(&self, of: Option<&[Uuid]>, limit: usize) -> Result<Found, ConsoleError> {
        let statement = if of.is_some() { JOURNAL_GAPS_SELECT_OF } else { JOURNAL_GAPS_SELECT };
        self.found(statement, of, limit).await.map_err(failed("look for gaps in journals"))
    }

    /// Committed batches that nobody will send.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn unemitted_without_writer(&self, limit: usize) -> Result<Found, ConsoleError> {
        let found = self.found(UNEMITTED_WITHOUT_WRITER_SELECT, None, limit);
        found.await.map_err(failed("look for batches that nobody sends"))
    }

    /// Sagas that are due and were not looked at.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn late_wake_ups(&self, limit: usize) -> Result<Found, ConsoleError> {
        self.found(LATE_WAKE_UPS_SELECT, None, limit).await.map_err(failed("look for late wake-ups"))
    }

    /// Records that wait for a person, oldest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn parked_open(&self, limit: usize) -> Result<Found, ConsoleError> {
        self.found(PARKED_OPEN_SELECT, None, limit).await.map_err(failed("look for parked messages"))
    }

    /// Partitions whose records did not each end as exactly one verdict.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn offset_holes(&self, limit: usize) -> Result<Found, ConsoleError> {
        self.found(OFFSET_HOLES_SELECT, None, limit).await.map_err(failed("balance the offsets"))
    }

    /// At least one row is asked for: each carries the count of all.
    async fn found(&self, statement: &'static str, of: Option<&[Uuid]>, limit: usize) -> Result<Found, sqlx::Error> {
        let asked = i64::try_from(limit.max(1)).unwrap_or(i64::MAX);
        let query = sqlx::query_as(statement).bind(asked);
        let query = match of {
            Some(sagas) => query.bind(sagas.to_vec()),
            None => query,
        };
        let rows: Vec<(String, Option<String>, String, i64)> = query.fetch_all(&self.pool).await?;
        let count = rows.first().map_or(0, |(.., count)| u64::try_from(*count).unwrap_or_default());
        let first = rows.into_iter().take(limit).map(|(id, key, what, _)| Offender { id, key, what });
        Ok(Found { count, first: first.collect() })
    }

    /// Ids of sagas older than `before`, newest first, at most `limit`: `Uuid::max()` begins, and ends however many are begun meanwhile.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn page(&self, before: Uuid, limit: usize) -> Result<Vec<Uuid>, ConsoleError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = sqlx::query_as(SAGA_SELECT_PAGE).bind(before).bind(limit);
        let found: Vec<(Uuid,)> = query.fetch_all(&self.pool).await.map_err(failed("go through the sagas"))?;
        Ok(found.into_iter().map(|(id,)| id).collect())
    }

    /// Ids of `count` sagas drawn by lot, all alike likely. Reads every id.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sample(&self, count: usize, seed: i64) -> Result<Vec<Uuid>, ConsoleError> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let query = sqlx::query_as(SAGA_SELECT_SAMPLE).bind(seed).bind(count);
        let found: Vec<(Uuid,)> = query.fetch_all(&self.pool).await.map_err(failed("draw sagas by lot"))?;
        Ok(found.into_iter().map(|(id,)| id).collect())
    }

    /// These sagas with their journals, all as of one moment. One that is not there is left out.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn snapshots(&self, sagas: &[Uuid]) -> Result<Vec<Snapshot>, ConsoleError> {
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
            Option<Vec<i32>>,
            Option<Vec<Vec<u8>>>,
            DateTime<Utc>,
        );
        let attempt = failed("read sagas with their journals");
        let query = sqlx::query_as(SAGA_SELECT_SNAPSHOT).bind(sagas.to_vec());
        let found: Vec<Columns> = query.fetch_all(&self.pool).await.map_err(&attempt)?;
        let snapshot = |columns: Columns| {
            let (id, hash, name, key, phase, started, finished, wake, error, seqs, facts, now) = columns;
            Ok(Snapshot {
                row: saga_row((id, hash, name, key, phase, started, finished, wake, error))?,
                seqs: seqs.unwrap_or_default(),
                facts: facts.unwrap_or_default(),
                now: timestamp(now),
            })
        };
        found.into_iter().map(snapshot).collect::<Result<_, _>>().map_err(attempt)
    }
}
