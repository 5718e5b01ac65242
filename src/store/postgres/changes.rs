//! What was written to the journal since: by transactions, so that a row which becomes visible late is not passed over.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::core::{Phase, Timestamp};

use super::console::{Console, ConsoleError, failed};
use super::rows::{moment, timestamp};

const JOURNAL_SELECT_HORIZON: &str = include_str!("sql/journal_select_horizon.sql");
const JOURNAL_SELECT_CHANGES: &str = include_str!("sql/journal_select_changes.sql");

/// Up to where the journal is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// Every transaction below this number has ended.
    pub transaction: i64,
    /// When that was found.
    pub at: Timestamp,
}

/// Rows of transactions from one horizon to the next, behind one row, written before a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Transactions from this number on.
    pub from: i64,
    /// Transactions below this number.
    pub to: i64,
    /// Rows behind this one: its moment, saga and seq.
    pub after: (Timestamp, Uuid, u32),
    /// Rows written before.
    pub until: Timestamp,
}

/// A row of the journal, as those see it who follow the changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedRow {
    /// When it was written.
    pub at: Timestamp,
    /// The saga.
    pub saga_id: Uuid,
    /// The row's number in the saga's journal.
    pub seq: u32,
    /// Where the saga stands now.
    pub phase: Phase,
    /// The definition's name.
    pub definition: String,
}

impl Console {
    /// Up to where the journal is settled now, and whose history it is: another text means that the numbers of transactions mean
    /// something else.
    ///
    /// # Errors
    /// The database does not answer, or is a standby.
    pub async fn horizon(&self) -> Result<(Horizon, String), ConsoleError> {
        let query = sqlx::query_as(JOURNAL_SELECT_HORIZON);
        let found: (i64, DateTime<Utc>, String) =
            query.fetch_one(&self.pool).await.map_err(failed("look how far the journal is settled"))?;
        Ok((Horizon { transaction: found.0, at: timestamp(found.1) }, found.2))
    }

    /// Rows of a stretch, in the order of time, at most `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn changes(&self, stretch: &Stretch, limit: usize) -> Result<Vec<ChangedRow>, ConsoleError> {
        let attempt = failed("read what has changed");
        let query = sqlx::query_as(JOURNAL_SELECT_CHANGES)
            .bind(stretch.from.to_string())
            .bind(stretch.to.to_string())
            .bind(moment(stretch.after.0))
            .bind(moment(stretch.until))
            .bind(stretch.after.1)
            .bind(i32::try_from(stretch.after.2).unwrap_or(i32::MAX))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let found: Vec<(DateTime<Utc>, Uuid, i32, i16, String)> =
            query.fetch_all(&self.pool).await.map_err(&attempt)?;
        let changed = |(at, saga_id, seq, phase, definition)| {
            let phase = Phase::from_number(phase).ok_or_else(|| sqlx::Error::Decode("an unknown phase".into()))?;
            let seq = u32::try_from(seq).unwrap_or_default();
            Ok(ChangedRow { at: timestamp(at), saga_id, seq, phase, definition })
        };
        found.into_iter().map(changed).collect::<Result<_, _>>().map_err(attempt)
    }
}
