//! What is old is removed and what is to come is made ready: periods of the journal, sagas that ended long ago (migrations/0010). On a
//! connection of its own, since the lock that lets one process at a time do it is the session's.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::core::{Phase, Timestamp};

use super::super::StoreError;
use super::console::{Console, ConsoleError, failed};
use super::rows::{moment, timestamp};

const RETENTION_LOCK: &str = include_str!("sql/retention_lock.sql");
const RETENTION_UNLOCK: &str = include_str!("sql/retention_unlock.sql");
const PERIOD_SELECT: &str = include_str!("sql/period_select.sql");
const PERIOD_SELECT_OVER: &str = include_str!("sql/period_select_over.sql");
const PERIOD_MAKE: &str = include_str!("sql/period_make.sql");
const PERIOD_DROP: &str = include_str!("sql/period_drop.sql");
const DEFAULT_CLEAR: &str = include_str!("sql/default_clear.sql");
const DEFAULT_PROVE: &str = include_str!("sql/default_prove.sql");
const DEFAULT_RELEASE: &str = include_str!("sql/default_release.sql");
const SAGA_REMOVE: &str = include_str!("sql/saga_remove.sql");
const SAGA_COUNT_REMOVABLE: &str = include_str!("sql/saga_count_removable.sql");
const SAGA_SELECT_OLDEST: &str = include_str!("sql/saga_select_oldest.sql");

/// The advisory lock of whoever removes what is old.
pub(super) const RETENTION_KEY: i64 = 7_238_241_019_563_345_524;
/// How long engines may stand behind a lock that is waited for here: they give their own statements ten times as long.
const LOCK_TIMEOUT_MS: &str = "200";
/// Proving that a large default partition holds nothing of a range reads all of it.
const STATEMENT_TIMEOUT_MS: &str = "600000";
/// A black hole is noticed within this: longer than the server's own limit.
const HARD_LIMIT: Duration = Duration::from_secs(660);

/// Tables that are kept by periods.
pub const PARENTS: [&str; 2] = ["journal", "saga_trace"];

/// The connection that makes and drops periods, and removes sagas.
#[derive(Debug)]
pub struct Keeper {
    connection: Option<PgConnection>,
}

/// What became of a period that was to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadePeriod {
    /// It has a table now.
    Made,
    /// It had one, or is covered by others.
    There,
    /// Rows of it lie in the default partition, where they stay.
    Occupied,
    /// The default partition has first to be proven to hold nothing of it: it is too large to be looked through while others wait.
    Large,
    /// Somebody holds what had to be locked: later.
    Busy,
}

/// What became of a period that was to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DroppedPeriod {
    /// Its table is gone; sagas of it that are still there were moved to the default partition.
    Dropped,
    /// More of it is there than is moved.
    Kept,
    /// Somebody holds what had to be locked: later.
    Busy,
}

/// A step of the way through the sagas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemovedSagas {
    /// Sagas that were looked at; 0 at the end of the way.
    pub looked_at: u32,
    /// Those of them that were removed.
    pub removed: u32,
    /// Where the next step begins.
    pub last: Uuid,
}

/// On whose word something is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovalOrder {
    /// Sagas that ended before this go.
    pub ended_before: Timestamp,
    /// Who says so.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// A table of one period, or a default partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodRow {
    /// `journal` or `saga_trace`.
    pub parent: String,
    /// The table.
    pub name: String,
    /// Sagas from this moment; `None`: the default partition.
    pub from: Option<Timestamp>,
    /// Sagas before this moment.
    pub to: Option<Timestamp>,
    /// Rows as Postgres counted them last; -1: never.
    pub rows: i64,
    /// With indexes.
    pub bytes: i64,
    /// Sagas of it that have not ended; of journals alone.
    pub open: i64,
    /// The oldest of these: id and business key.
    pub oldest: Option<(Uuid, String)>,
}

/// A period that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverPeriod {
    /// The table.
    pub name: String,
    /// Sagas from this moment.
    pub from: Timestamp,
    /// Sagas before this moment.
    pub to: Timestamp,
    /// Sagas of it that are there, counted up to a limit.
    pub sagas: u32,
    /// The oldest of these: id, business key and phase.
    pub oldest: Option<(Uuid, String, Phase)>,
}

impl Keeper {
    /// Connects.
    ///
    /// # Errors
    /// The address cannot be read, or the database does not answer.
    pub async fn connect(url: &str) -> Result<Self, ConsoleError> {
        Self::connect_by(url.parse().map_err(failed("read the database's address"))?).await
    }

    /// Connects to the database of a console.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn beside(console: &Console) -> Result<Self, ConsoleError> {
        Self::connect_by((*console.pool.connect_options()).clone()).await
    }

    async fn connect_by(options: PgConnectOptions) -> Result<Self, ConsoleError> {
        let options = options.application_name("sagabus-retention").options([
            ("statement_timeout", STATEMENT_TIMEOUT_MS),
            ("lock_timeout", LOCK_TIMEOUT_MS),
            ("idle_in_transaction_session_timeout", "10000"),
            // A machine that is gone would keep the lock for hours; one at work asks every few seconds.
            ("idle_session_timeout", "60000"),
        ]);
        let connection = PgConnection::connect_with(&options).await.map_err(failed("connect to the database"))?;
        Ok(Self { connection: Some(connection) })
    }

    /// Takes the lock that one process at a time has, until the connection ends; `None` when another one has it, else the database's clock.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn lock(&mut self) -> Result<Option<Timestamp>, ConsoleError> {
        let asked =
            self.run(async |connection| sqlx::query_as(RETENTION_LOCK).bind(RETENTION_KEY).fetch_one(connection).await);
        let (is_ours, now): (bool, DateTime<Utc>) = asked.await.map_err(failed("take the lock of retention"))?;
        Ok(is_ours.then(|| timestamp(now)))
    }

    /// Gives the lock back, and ends the connection.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn unlock(mut self) -> Result<(), ConsoleError> {
        let unlocked =
            self.run(async |connection| sqlx::query(RETENTION_UNLOCK).bind(RETENTION_KEY).execute(connection).await);
        unlocked.await.map(|_| ()).map_err(failed("give the lock of retention back"))
    }

    /// Makes the table of one period of `parent`.
    ///
    /// # Errors
    /// The database does not answer, or the role may not make tables.
    pub async fn make(&mut self, parent: &str, from: Timestamp, to: Timestamp) -> Result<MadePeriod, ConsoleError> {
        let made = self.run(async |connection| {
            sqlx::query_as(PERIOD_MAKE).bind(parent).bind(moment(from)).bind(moment(to)).fetch_one(connection).await
        });
        let made: Result<(String,), ConsoleError> = made.await.map_err(failed("make the table of a period"));
        match made {
            Ok((word,)) if word == "made" => Ok(MadePeriod::Made),
            Ok((word,)) if word == "there" => Ok(MadePeriod::There),
            Ok((word,)) if word == "large" => Ok(MadePeriod::Large),
            Ok((word,)) if word == "occupied" => Ok(MadePeriod::Occupied),
            Ok((word,)) => Err(failed("make the table of a period")(sqlx::Error::Protocol(format!("it says {word}")))),
            Err(ConsoleError { source: StoreError::Contention(_), .. }) => Ok(MadePeriod::Busy),
            Err(error) => Err(error),
        }
    }

    /// Proves that the default partition of `parent` holds nothing of a range, so that nobody waits when its periods are made. Until
    /// `release_default`, what engines write there is refused, and tried again. False when somebody holds what had to be locked, or there is
    /// something.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn clear_default(&mut self, parent: &str, from: Timestamp, to: Timestamp) -> Result<bool, ConsoleError> {
        let proven = self.run(async |connection| {
            let query = sqlx::query(DEFAULT_CLEAR).bind(parent).bind(moment(from)).bind(moment(to));
            query.execute(&mut *connection).await?;
            sqlx::query(DEFAULT_PROVE).bind(parent).execute(connection).await
        });
        match proven.await.map_err(failed("prove what a partition does not hold")) {
            Ok(_) => Ok(true),
            Err(ConsoleError { source: StoreError::Contention(_) | StoreError::Refused { .. }, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lets the default partition of `parent` take whatever lies in no period. False when somebody holds what had to be locked.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn release_default(&mut self, parent: &str) -> Result<bool, ConsoleError> {
        let released = self.run(async |connection| sqlx::query(DEFAULT_RELEASE).bind(parent).execute(connection).await);
        match released.await.map_err(failed("release a partition")) {
            Ok(_) => Ok(true),
            Err(ConsoleError { source: StoreError::Contention(_), .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Looks at the next sagas by id behind `after`, at most `most`, whose triggers were written before the order's moment, and removes those
    /// that ended before it, in one transaction. `is_told`: the audit knows of this run.
    ///
    /// # Errors
    /// The database does not answer, or the role may not remove sagas.
    pub async fn remove(
        &mut self,
        after: Uuid,
        most: u32,
        order: &RemovalOrder,
        is_told: bool,
    ) -> Result<RemovedSagas, ConsoleError> {
        let removed = self.run(async |connection| {
            let query = sqlx::query_as(SAGA_REMOVE).bind(after).bind(i32::try_from(most).unwrap_or(i32::MAX));
            let query = query.bind(moment(order.ended_before));
            query.bind(is_told).bind(&order.who).bind(&order.reason).fetch_one(connection).await
        });
        let (looked_at, removed, last): (i32, i32, Uuid) = removed.await.map_err(failed("remove sagas"))?;
        let count = |count: i32| u32::try_from(count).unwrap_or_default();
        Ok(RemovedSagas { looked_at: count(looked_at), removed: count(removed), last })
    }

    /// Drops the table of one period; up to `most` sagas that are still there move to the default partition.
    ///
    /// # Errors
    /// The database does not answer, or the role may not drop tables.
    pub async fn drop_period(
        &mut self,
        name: &str,
        most: u32,
        order: &RemovalOrder,
    ) -> Result<DroppedPeriod, ConsoleError> {
        let dropped = self.run(async |connection| {
            let query = sqlx::query_as(PERIOD_DROP).bind(name).bind(i32::try_from(most).unwrap_or(i32::MAX));
            query.bind(&order.who).bind(&order.reason).fetch_one(connection).await
        });
        let dropped: Result<(i32,), ConsoleError> = dropped.await.map_err(failed("drop the table of a period"));
        match dropped {
            Ok((sagas,)) => {
                let sagas = u32::try_from(sagas).unwrap_or_default();
                Ok(if sagas > most { DroppedPeriod::Kept } else { DroppedPeriod::Dropped })
            }
            Err(ConsoleError { source: StoreError::Contention(_), .. }) => Ok(DroppedPeriod::Busy),
            Err(error) => Err(error),
        }
    }

    /// Runs a statement; one that does not end in time costs the connection, with the lock.
    #[expect(
        clippy::disallowed_methods,
        reason = "the connection is owned by the future: when time is up both are dropped, nothing returns to a pool"
    )]
    pub(super) async fn run<T>(
        &mut self,
        statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let lost = || sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the connection was lost"));
        let mut connection = self.connection.take().ok_or_else(lost)?;
        let work = async {
            let outcome = statement(&mut connection).await;
            (connection, outcome)
        };
        let (connection, outcome) = tokio::time::timeout(HARD_LIMIT, work).await.map_err(|_| lost())?;
        self.connection = Some(connection);
        outcome
    }
}

impl Console {
    /// The tables of periods and the default partitions, with what they hold.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn periods(&self) -> Result<Vec<PeriodRow>, ConsoleError> {
        type Moment = Option<DateTime<Utc>>;
        type Columns = (String, String, Moment, Moment, i64, i64, i64, Option<Uuid>, Option<String>);
        let found: Vec<Columns> =
            sqlx::query_as(PERIOD_SELECT).fetch_all(&self.pool).await.map_err(failed("read the periods"))?;
        let row = |(parent, name, from, to, rows, bytes, open, id, key): Columns| PeriodRow {
            parent,
            name,
            from: from.map(timestamp),
            to: to.map(timestamp),
            rows,
            bytes,
            open,
            oldest: id.zip(key),
        };
        Ok(found.into_iter().map(row).collect())
    }

    /// Periods that were over at a moment, oldest first; at most `most` sagas of each are counted.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn periods_over(&self, at: Timestamp, most: u32) -> Result<Vec<OverPeriod>, ConsoleError> {
        type Columns = (String, DateTime<Utc>, DateTime<Utc>, i64, Option<Uuid>, Option<String>, Option<i16>);
        let query = sqlx::query_as(PERIOD_SELECT_OVER).bind(moment(at)).bind(i64::from(most));
        let found: Vec<Columns> =
            query.fetch_all(&self.pool).await.map_err(failed("read the periods that are over"))?;
        let row = |(name, from, to, sagas, id, key, phase): Columns| OverPeriod {
            name,
            from: timestamp(from),
            to: timestamp(to),
            sagas: u32::try_from(sagas).unwrap_or(u32::MAX),
            oldest: id.zip(key).zip(phase.and_then(Phase::from_number)).map(|((id, key), phase)| (id, key, phase)),
        };
        Ok(found.into_iter().map(row).collect())
    }

    /// How many sagas ended before a moment and may be removed.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn count_removable(&self, ended_before: Timestamp) -> Result<u64, ConsoleError> {
        let query = sqlx::query_as(SAGA_COUNT_REMOVABLE).bind(moment(ended_before));
        let (count,): (i64,) = query.fetch_one(&self.pool).await.map_err(failed("count sagas that ended long ago"))?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// When the oldest saga began that is kept.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn oldest_saga(&self) -> Result<Option<Timestamp>, ConsoleError> {
        let found: Option<(DateTime<Utc>,)> = sqlx::query_as(SAGA_SELECT_OLDEST)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read the oldest saga"))?;
        Ok(found.map(|(at,)| timestamp(at)))
    }
}
