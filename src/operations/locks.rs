//! `locks`: what holds up what. Sessions of Postgres that wait for each other or are idle within a transaction, and what Sagabus itself holds.
//! It asks catalogs, which nobody locks for long; where the tables of the leases are locked themselves, that is told and the rest is shown.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::{Console, ConsoleError, Lease, LockHolder, LockSession, LockWait, StoreError};

use super::failure::Failure;
use super::moments::Moment;
use super::outline::outline;
use super::words::{Word, word};

/// Who does nothing within a transaction for so long is told, also when nobody waits yet.
const IDLE: Duration = Duration::from_secs(5);
/// What Postgres says instead of a statement that a role may not see.
const HIDDEN: &str = "<insufficient privilege>";

/// What holds up what, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocksJson {
    /// When it was looked, by the database's clock.
    pub at: Moment,
    /// Sessions that wait for another one, those that they wait for, and those that are idle within a transaction for more than 5 s; who
    /// waits longest first.
    pub sessions: Vec<SessionJson>,
    /// What Sagabus holds.
    pub leases: Vec<LeaseJson>,
    /// What could not be seen, and why.
    pub notes: Vec<String>,
}

/// A session of Postgres, as programs read it. Null is what the server's role may not see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionJson {
    /// Its process.
    pub pid: i32,
    /// What it calls itself, else what kind of process it is.
    pub application: Option<String>,
    /// Who it is.
    pub user: Option<String>,
    /// `active`, `idle in transaction` ...
    pub state: Option<String>,
    /// Since when it is in that state.
    pub since: Option<Moment>,
    /// When its transaction began.
    pub transaction_since: Option<Moment>,
    /// The first 100 characters of its statement or, where it is idle, of the one before: without comments, with `?` for every value.
    pub statement: Option<String>,
    /// What it waits for.
    pub waits_for: Option<WaitJson>,
    /// The processes of those that wait for it.
    pub holds_up: Vec<i32>,
}

/// What a session waits for, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitJson {
    /// The kind of lock: `relation`, `transactionid`, `tuple`, `advisory` ...
    pub lock: String,
    /// Such as `ShareLock`.
    pub mode: String,
    /// The table, where it is known.
    pub relation: Option<String>,
    /// Since when.
    pub since: Option<Moment>,
    /// The processes of those that it waits for; 0 is a transaction that was prepared and has none.
    pub blocked_by: Vec<i32>,
}

/// What Sagabus holds, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeaseJson {
    /// `engine`, `job`, `retention` or `migration`.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub kind: Word,
    /// The engine's number, the job's name, the process that has the lock.
    pub name: String,
    /// The engine's stable name, the worker, what the process calls itself.
    pub holder: Option<String>,
    /// Since when the engine is registered, the job applied, the process connected.
    pub since: Option<Moment>,
    /// When the engine was heard of last.
    pub heard_at: Option<Moment>,
    /// After this the job is another worker's.
    pub until: Option<Moment>,
}

/// What holds up what. Reads only.
///
/// # Errors
/// The database does not answer.
pub async fn locks(console: &Console) -> Result<LocksJson, Failure> {
    let (at, sees_all) = console.lock_sight().await?;
    let mut notes = Vec::new();
    if !sees_all {
        notes.push("what other roles' sessions do is seen by members of pg_read_all_stats alone".to_owned());
    }
    let sessions = sessions(console.lock_sessions(IDLE).await?);
    let mut leases = match console.leases().await {
        Ok(leases) => leases,
        Err(ConsoleError { source: StoreError::Contention(_), .. }) => {
            notes.push("which engines and jobs there are is not known: somebody has locked their tables".to_owned());
            Vec::new()
        }
        Err(error) => return Err(error.into()),
    };
    leases.extend(console.advisory_locks().await?);
    Ok(LocksJson { at: Moment(at), sessions, leases: leases.into_iter().map(lease_json).collect(), notes })
}

fn sessions(found: Vec<LockSession>) -> Vec<SessionJson> {
    let waits_for = |waiting: &LockSession, pid| waiting.wait.as_ref().is_some_and(|wait| wait.blockers.contains(&pid));
    let held_up: Vec<Vec<i32>> = found
        .iter()
        .map(|one| found.iter().filter(|other| waits_for(other, one.pid)).map(|other| other.pid).collect())
        .collect();
    let json = |(one, holds_up): (LockSession, Vec<i32>)| SessionJson {
        pid: one.pid,
        application: one.application,
        user: one.user,
        state: one.state,
        since: one.since.map(Moment),
        transaction_since: one.transaction_since.map(Moment),
        statement: one.statement.filter(|text| text != HIDDEN).and_then(|text| outline(&text)),
        waits_for: one.wait.map(wait_json),
        holds_up,
    };
    found.into_iter().zip(held_up).map(json).collect()
}

fn wait_json(wait: LockWait) -> WaitJson {
    let LockWait { lock, mode, relation, since, blockers } = wait;
    WaitJson { lock, mode, relation, since: since.map(Moment), blocked_by: blockers }
}

fn lease_json(lease: Lease) -> LeaseJson {
    let advisory = |kind, LockHolder { pid, application, since }: LockHolder| LeaseJson {
        kind,
        name: pid.to_string(),
        holder: application.filter(|name| !name.is_empty()),
        since: since.map(Moment),
        heard_at: None,
        until: None,
    };
    match lease {
        Lease::Engine { writer, instance, since, heard_at } => LeaseJson {
            kind: "engine",
            name: writer.to_string(),
            holder: instance,
            since: Some(Moment(since)),
            heard_at: Some(Moment(heard_at)),
            until: None,
        },
        Lease::Job { plan, worker, since, until } => LeaseJson {
            kind: "job",
            name: format!("p{plan}"),
            holder: Some(worker),
            since: since.map(Moment),
            heard_at: None,
            until: Some(Moment(until)),
        },
        Lease::Retention(holder) => advisory("retention", holder),
        Lease::Migration(holder) => advisory("migration", holder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_waited_for_is_told_with_those_that_wait() {
        let session = |pid, blockers: Option<&[i32]>| LockSession {
            pid,
            user: None,
            application: None,
            state: None,
            since: None,
            transaction_since: None,
            statement: Some(if pid == 1 { HIDDEN.to_owned() } else { "LOCK saga".to_owned() }),
            wait: blockers.map(|blockers| LockWait {
                lock: "relation".to_owned(),
                mode: "ShareLock".to_owned(),
                relation: None,
                since: None,
                blockers: blockers.to_vec(),
            }),
        };
        let told = sessions(vec![session(3, Some(&[1, 2])), session(2, Some(&[1, 0])), session(1, None)]);
        let held_up: Vec<&[i32]> = told.iter().map(|one| one.holds_up.as_slice()).collect();
        assert_eq!(held_up, [[].as_slice(), &[3], &[3, 2]]);
        assert_eq!((told[0].statement.as_deref(), told[2].statement.as_deref()), (Some("LOCK saga"), None));
    }
}
