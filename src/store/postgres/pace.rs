//! How it goes at this moment: open sagas, what began and ended lately, engines alive. Reads only, and of ended sagas those alone that
//! ended lately, so that it may be asked every few seconds.

use chrono::{DateTime, Utc};

use crate::core::{Phase, Timestamp};

use super::console::{Console, ConsoleError, failed};
use super::rows::timestamp;

const SAGA_COUNT_OPEN: &str = include_str!("sql/saga_count_open.sql");
const JOURNAL_SELECT_PACE: &str = include_str!("sql/journal_select_pace.sql");
const WRITER_COUNT_ALIVE: &str = include_str!("sql/writer_count_alive.sql");

/// Open sagas of a definition in a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSagas {
    /// The definition's name.
    pub definition: String,
    /// Where they stand.
    pub phase: Phase,
    /// How many.
    pub sagas: i64,
    /// When the oldest began.
    pub oldest_at: Timestamp,
    /// The oldest one's business key.
    pub oldest_key: String,
}

/// Sagas of a definition that moved lately and are in this phase now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedSagas {
    /// The definition's name.
    pub definition: String,
    /// Where they stand.
    pub phase: Phase,
    /// How many of them began lately.
    pub began: i64,
    /// How many of them ended lately.
    pub ended: i64,
}

/// Engines, by their heartbeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writers {
    /// Heard of lately.
    pub alive: i64,
    /// Not heard of, and not taken over yet.
    pub silent: i64,
    /// The database's clock.
    pub now: Timestamp,
}

impl Console {
    /// Open sagas by definition and phase.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn open_sagas(&self) -> Result<Vec<OpenSagas>, ConsoleError> {
        type Columns = (String, i16, i64, DateTime<Utc>, String);
        let query = sqlx::query_as(SAGA_COUNT_OPEN);
        let found: Vec<Columns> = query.fetch_all(&self.pool).await.map_err(failed("count open sagas"))?;
        let open = |(definition, phase, sagas, at, oldest_key): Columns| {
            let phase = Phase::from_number(phase)?;
            Some(OpenSagas { definition, phase, sagas, oldest_at: timestamp(at), oldest_key })
        };
        Ok(found.into_iter().filter_map(open).collect())
    }

    /// Sagas that moved within the last seconds, by definition and phase.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn moved_sagas(&self, seconds: i32) -> Result<Vec<MovedSagas>, ConsoleError> {
        let query = sqlx::query_as(JOURNAL_SELECT_PACE).bind(seconds);
        let found: Vec<(String, i16, i64, i64)> =
            query.fetch_all(&self.pool).await.map_err(failed("count what began and ended"))?;
        let moved = |(definition, phase, began, ended)| {
            Some(MovedSagas { definition, phase: Phase::from_number(phase)?, began, ended })
        };
        Ok(found.into_iter().filter_map(moved).collect())
    }

    /// Engines that were heard of within so many milliseconds, and those that were not.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn writers_alive(&self, within_ms: u64) -> Result<Writers, ConsoleError> {
        let query = sqlx::query_as(WRITER_COUNT_ALIVE).bind(i64::try_from(within_ms).unwrap_or(i64::MAX));
        let (alive, silent, now): (i64, i64, DateTime<Utc>) =
            query.fetch_one(&self.pool).await.map_err(failed("count engines"))?;
        Ok(Writers { alive, silent, now: timestamp(now) })
    }
}
