//! The audit and the chain over it, as Postgres keeps them.

use chrono::{DateTime, Utc};

use crate::core::{Sha256, Timestamp};

use super::super::StoreError;
use super::console::{Console, ConsoleError, failed};
use super::rows::{moment, sha256, timestamp};

pub(super) const AUDIT_INSERT: &str = include_str!("sql/audit_insert.sql");
const AUDIT_SELECT_PAGE: &str = include_str!("sql/audit_select_page.sql");
const AUDIT_SELECT_UNSEALED: &str = include_str!("sql/audit_select_unsealed.sql");
const AUDIT_SELECT_OVERLOOKED: &str = include_str!("sql/audit_select_overlooked.sql");
const AUDIT_SEAL_SELECT_HEAD: &str = include_str!("sql/audit_seal_select_head.sql");
const AUDIT_SEAL_SELECT: &str = include_str!("sql/audit_seal_select.sql");
const AUDIT_SEAL_INSERT: &str = include_str!("sql/audit_seal_insert.sql");

/// Who did what, or was not let.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Who.
    pub who: String,
    /// What was asked.
    pub verb: String,
    /// Of whom: a saga's id, a partition, a token, a path.
    pub target: String,
    /// Why.
    pub reason: String,
    /// `decided`, `refused`, `unknown` or `denied`.
    pub outcome: String,
    /// What there is to say of the outcome.
    pub message: Option<String>,
}

/// An entry as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number; they have holes.
    pub id: i64,
    /// When it was written.
    pub at: Timestamp,
    /// What it says.
    pub entry: AuditEntry,
    /// The saga's journal before.
    pub seq_before: Option<i32>,
    /// The saga's journal after.
    pub seq_after: Option<i32>,
}

/// An end of the chain, or a place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// From 1, without holes; 0: nothing is sealed.
    pub place: i64,
    /// Of the hash before it and of the row.
    pub hash: Sha256,
    /// When.
    pub sealed_at: Timestamp,
}

/// A link of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Place, hash and moment.
    pub head: Head,
    /// The entry's number.
    pub audit_id: i64,
    /// The entry; `None` when it is not there any more.
    pub row: Option<AuditRow>,
}

#[derive(sqlx::FromRow)]
struct EntryColumns {
    id: i64,
    at: DateTime<Utc>,
    who: String,
    verb: String,
    target: String,
    reason: String,
    outcome: String,
    message: Option<String>,
    seq_before: Option<i32>,
    seq_after: Option<i32>,
}

fn audit_row(columns: EntryColumns) -> AuditRow {
    let EntryColumns { id, at, who, verb, target, reason, outcome, message, seq_before, seq_after } = columns;
    let entry = AuditEntry { who, verb, target, reason, outcome, message };
    AuditRow { id, at: timestamp(at), entry, seq_before, seq_after }
}

impl Console {
    /// Adds an entry.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn tell(&self, entry: &AuditEntry) -> Result<(), ConsoleError> {
        let query = sqlx::query(AUDIT_INSERT)
            .bind(&entry.who)
            .bind(&entry.verb)
            .bind(&entry.target)
            .bind(&entry.reason)
            .bind(&entry.outcome)
            .bind(entry.message.as_deref());
        query.execute(&self.pool).await.map(|_| ()).map_err(failed("tell the audit"))
    }

    /// Entries with numbers below `before`, newest first, each with its place in the chain, if it has one.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn audit(&self, before: i64, limit: usize) -> Result<Vec<(AuditRow, Option<Head>)>, ConsoleError> {
        #[derive(sqlx::FromRow)]
        struct Columns {
            #[sqlx(flatten)]
            entry: EntryColumns,
            place: Option<i64>,
            hash: Option<Vec<u8>>,
            sealed_at: Option<DateTime<Utc>>,
        }
        let attempt = failed("read the audit");
        let query = sqlx::query_as(AUDIT_SELECT_PAGE).bind(before).bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let found: Vec<Columns> = query.fetch_all(&self.pool).await.map_err(&attempt)?;
        let read = |found: Columns| {
            let head = match (found.place, found.hash, found.sealed_at) {
                (Some(place), Some(hash), Some(at)) => {
                    Some(Head { place, hash: sha256(&hash)?, sealed_at: timestamp(at) })
                }
                _ => None,
            };
            Ok((audit_row(found.entry), head))
        };
        found.into_iter().map(read).collect::<Result<_, _>>().map_err(attempt)
    }

    /// Entries that have no place in the chain and may get one, in the order of their numbers.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn unsealed(&self, limit: usize) -> Result<Vec<AuditRow>, ConsoleError> {
        let query = sqlx::query_as(AUDIT_SELECT_UNSEALED).bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let found: Vec<EntryColumns> =
            query.fetch_all(&self.pool).await.map_err(failed("look for unsealed entries"))?;
        Ok(found.into_iter().map(audit_row).collect())
    }

    /// How many entries have no place in the chain, and the first `limit` of those that say to be a minute older than `newest`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn overlooked(&self, newest: Timestamp, limit: usize) -> Result<(i64, Vec<AuditRow>), ConsoleError> {
        #[derive(sqlx::FromRow)]
        struct Columns {
            #[sqlx(flatten)]
            entry: EntryColumns,
            unsealed: i64,
            is_older: bool,
        }
        let limit = i64::try_from(limit.max(1)).unwrap_or(i64::MAX);
        let query = sqlx::query_as(AUDIT_SELECT_OVERLOOKED).bind(moment(newest)).bind(limit);
        let found: Vec<Columns> = query.fetch_all(&self.pool).await.map_err(failed("look for overlooked entries"))?;
        let unsealed = found.first().map_or(0, |found| found.unsealed);
        let older = found.into_iter().filter(|found| found.is_older);
        Ok((unsealed, older.map(|found| audit_row(found.entry)).collect()))
    }

    /// The end of the chain; `None` when nothing is sealed.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn chain_head(&self) -> Result<Option<Head>, ConsoleError> {
        let attempt = failed("read the end of the audit's chain");
        let query = sqlx::query_as(AUDIT_SEAL_SELECT_HEAD);
        let found: Option<(i64, Vec<u8>, DateTime<Utc>)> = query.fetch_optional(&self.pool).await.map_err(&attempt)?;
        let head =
            |(place, hash, at): (_, Vec<u8>, _)| Ok(Head { place, hash: sha256(&hash)?, sealed_at: timestamp(at) });
        found.map(head).transpose().map_err(attempt)
    }

    /// The links of the chain behind a place, in order.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn chain(&self, after: i64, limit: usize) -> Result<Vec<Sealed>, ConsoleError> {
        #[derive(sqlx::FromRow)]
        struct Columns {
            place: i64,
            audit_id: i64,
            hash: Vec<u8>,
            sealed_at: DateTime<Utc>,
            at: Option<DateTime<Utc>>,
            who: Option<String>,
            verb: Option<String>,
            target: Option<String>,
            reason: Option<String>,
            outcome: Option<String>,
            message: Option<String>,
            seq_before: Option<i32>,
            seq_after: Option<i32>,
        }
        let attempt = failed("read the audit's chain");
        let query = sqlx::query_as(AUDIT_SEAL_SELECT).bind(after).bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let found: Vec<Columns> = query.fetch_all(&self.pool).await.map_err(&attempt)?;
        let link = |found: Columns| {
            let head = Head { place: found.place, hash: sha256(&found.hash)?, sealed_at: timestamp(found.sealed_at) };
            let text = |column: Option<String>| column.unwrap_or_default();
            let row = found.at.map(|at| {
                let entry = AuditEntry {
                    who: text(found.who),
                    verb: text(found.verb),
                    target: text(found.target),
                    reason: text(found.reason),
                    outcome: text(found.outcome),
                    message: found.message,
                };
                let (seq_before, seq_after) = (found.seq_before, found.seq_after);
                AuditRow { id: found.audit_id, at: timestamp(at), entry, seq_before, seq_after }
            });
            Ok(Sealed { head, audit_id: found.audit_id, row })
        };
        found.into_iter().map(link).collect::<Result<_, _>>().map_err(attempt)
    }

    /// Adds links `(place, entry, hash)` to the chain, all or none. False when another one was first at a place.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn seal(&self, links: &[(i64, i64, Sha256)]) -> Result<bool, ConsoleError> {
        let query = sqlx::query(AUDIT_SEAL_INSERT)
            .bind(links.iter().map(|link| link.0).collect::<Vec<i64>>())
            .bind(links.iter().map(|link| link.1).collect::<Vec<i64>>())
            .bind(links.iter().map(|link| link.2.as_bytes().as_slice()).collect::<Vec<&[u8]>>());
        match query.execute(&self.pool).await.map_err(failed("seal the audit")) {
            Ok(_) => Ok(true),
            Err(ConsoleError { source: StoreError::Refused { sqlstate, .. }, .. }) if sqlstate == "23505" => Ok(false),
            Err(error) => Err(error),
        }
    }
}
