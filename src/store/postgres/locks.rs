//! What holds up what: sessions that wait for each other, as Postgres knows them, and what Sagabus itself holds. Reads only.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use crate::core::Timestamp;

use super::console::{Console, ConsoleError, failed};
use super::migrate::migration_key;
use super::retention::RETENTION_KEY;
use super::rows::timestamp;

const SESSION_SELECT_LOCKS: &str = include_str!("sql/session_select_locks.sql");
const SESSION_SELECT_SIGHT: &str = include_str!("sql/session_select_sight.sql");
const LEASE_SELECT: &str = include_str!("sql/lease_select.sql");
const ADVISORY_LOCK_SELECT: &str = include_str!("sql/advisory_lock_select.sql");

/// A session of Postgres. What this role may not see is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockSession {
    /// Its process.
    pub pid: i32,
    /// Who it is; `None`: a process of Postgres itself.
    pub user: Option<String>,
    /// What it calls itself, else what kind of process it is.
    pub application: Option<String>,
    /// `active`, `idle in transaction` ...
    pub state: Option<String>,
    /// Since when it is in that state.
    pub since: Option<Timestamp>,
    /// When its transaction began.
    pub transaction_since: Option<Timestamp>,
    /// Its statement or, where it is idle, the one before. May hold anything: values that were written into it, comments.
    pub statement: Option<String>,
    /// What it waits for.
    pub wait: Option<LockWait>,
}

/// What a session waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockWait {
    /// `relation`, `transactionid`, `tuple`, `advisory` ...
    pub lock: String,
    /// Such as `ShareLock`.
    pub mode: String,
    /// The table, where it is known.
    pub relation: Option<String>,
    /// Since when, if it is known.
    pub since: Option<Timestamp>,
    /// Whom it waits for: their processes; 0 is a transaction that was prepared and has none.
    pub blockers: Vec<i32>,
}

/// What Sagabus holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// An engine is registered.
    Engine {
        /// Its number.
        writer: i64,
        /// Its stable name, if it has one.
        instance: Option<String>,
        /// Since when.
        since: Timestamp,
        /// When it was heard of last.
        heard_at: Timestamp,
    },
    /// A worker works on a job.
    Job {
        /// The plan's number.
        plan: i64,
        /// The worker.
        worker: String,
        /// When the plan was applied.
        since: Option<Timestamp>,
        /// Another one takes it over after this.
        until: Timestamp,
    },
    /// A process has the lock of those who remove what is old.
    Retention(LockHolder),
    /// A process has the lock of those who change the schema.
    Migration(LockHolder),
}

/// Who holds an advisory lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// The session's process.
    pub pid: i32,
    /// What it calls itself.
    pub application: Option<String>,
    /// Since when it is connected, if it is known.
    pub since: Option<Timestamp>,
}

#[derive(FromRow)]
struct SessionColumns {
    pid: i32,
    role: Option<String>,
    application: Option<String>,
    state: Option<String>,
    state_change: Option<DateTime<Utc>>,
    xact_start: Option<DateTime<Utc>>,
    query: Option<String>,
    locktype: Option<String>,
    mode: Option<String>,
    relation: Option<String>,
    since: Option<DateTime<Utc>>,
    blockers: Option<Vec<i32>>,
}

fn session(columns: SessionColumns) -> LockSession {
    let wait = columns.locktype.map(|lock| LockWait {
        lock,
        mode: columns.mode.unwrap_or_default(),
        relation: columns.relation,
        since: columns.since.map(timestamp),
        blockers: columns.blockers.unwrap_or_default(),
    });
    LockSession {
        pid: columns.pid,
        user: columns.role,
        application: columns.application,
        state: columns.state,
        since: columns.state_change.map(timestamp),
        transaction_since: columns.xact_start.map(timestamp),
        statement: columns.query,
        wait,
    }
}

impl Console {
    /// The database's clock, and whether this role sees what the sessions of other roles do.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn lock_sight(&self) -> Result<(Timestamp, bool), ConsoleError> {
        let asked = sqlx::query_as(SESSION_SELECT_SIGHT).fetch_one(&self.pool).await;
        let (now, sees_all): (DateTime<Utc>, bool) = asked.map_err(failed("look at the sessions"))?;
        Ok((timestamp(now), sees_all))
    }

    /// Sessions of this database that wait for another one, those that they wait for, and those that are idle within a transaction for longer
    /// than `idle`: who waits longest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn lock_sessions(&self, idle: Duration) -> Result<Vec<LockSession>, ConsoleError> {
        let query = sqlx::query_as(SESSION_SELECT_LOCKS).bind(i64::try_from(idle.as_millis()).unwrap_or(i64::MAX));
        let found: Vec<SessionColumns> = query.fetch_all(&self.pool).await.map_err(failed("look at the sessions"))?;
        Ok(found.into_iter().map(session).collect())
    }

    /// Engines and jobs that are held.
    ///
    /// # Errors
    /// Somebody has locked their tables, or the database does not answer.
    pub async fn leases(&self) -> Result<Vec<Lease>, ConsoleError> {
        type Columns = (bool, i64, String, Option<DateTime<Utc>>, DateTime<Utc>);
        let found: Vec<Columns> =
            sqlx::query_as(LEASE_SELECT).fetch_all(&self.pool).await.map_err(failed("look at the leases"))?;
        let lease = |(is_engine, number, holder, since, at): Columns| {
            let (since, at) = (since.map(timestamp), timestamp(at));
            if is_engine {
                let instance = Some(holder).filter(|name| !name.is_empty());
                Lease::Engine { writer: number, instance, since: since.unwrap_or(at), heard_at: at }
            } else {
                Lease::Job { plan: number, worker: holder, since, until: at }
            }
        };
        Ok(found.into_iter().map(lease).collect())
    }

    /// Advisory locks of Sagabus that are held.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn advisory_locks(&self) -> Result<Vec<Lease>, ConsoleError> {
        type Columns = (i64, String, i32, Option<String>, Option<DateTime<Utc>>);
        let found: Vec<Columns> =
            sqlx::query_as(ADVISORY_LOCK_SELECT).fetch_all(&self.pool).await.map_err(failed("look at the locks"))?;
        let lease = |(key, database, pid, application, since): Columns| {
            let holder = LockHolder { pid, application, since: since.map(timestamp) };
            match key {
                RETENTION_KEY => Some(Lease::Retention(holder)),
                key if key == migration_key(&database) => Some(Lease::Migration(holder)),
                _ => None,
            }
        };
        Ok(found.into_iter().filter_map(lease).collect())
    }
}
