//! Records put aside, chosen by what is true of them: how each stands, without what it holds. Reads only.

use super::console::{Console, ConsoleError, failed};
use super::parked::{ParkedFilter, ParkedState, Standing};
use super::rows::moment;

const PARKED_MESSAGE_SELECT_CHOSEN: &str = include_str!("sql/parked_message_select_chosen.sql");

/// A record put aside that waits and was chosen by what is true of it, without what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenParked {
    /// Its number.
    pub id: i64,
    /// Where it was read.
    pub topic: String,
    /// See `topic`.
    pub partition: i32,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Verdict, code and what is wrong.
    pub reason: String,
    /// What keeps it from entering the line again.
    pub standing: Standing,
}

type ChosenColumns = (i64, String, i32, Option<Vec<u8>>, String, bool, i64, bool, Option<i64>);

fn chosen(columns: ChosenColumns) -> ChosenParked {
    let (id, topic, partition, key, reason, is_whole, redrives, is_asked, earlier) = columns;
    let (state, redrives) = (ParkedState::Parked, redrives.unsigned_abs());
    let standing = Standing { state, is_whole, redrives, is_asked, earlier };
    ChosenParked { id, topic, partition, key, reason, standing }
}

impl Console {
    /// Records put aside that wait and fit, in the order of their logs, at most `limit`. (`state` and `before` of the filter say nothing
    /// here.)
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn choose_parked(&self, filter: &ParkedFilter, limit: usize) -> Result<Vec<ChosenParked>, ConsoleError> {
        let query = sqlx::query_as(PARKED_MESSAGE_SELECT_CHOSEN)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind(filter.topic.as_deref())
            .bind(filter.key.as_deref().map(str::as_bytes))
            .bind(filter.reason_prefix.as_deref())
            .bind(filter.code.as_deref())
            .bind(filter.parked_after.map(moment))
            .bind(filter.parked_before.map(moment));
        let found: Vec<ChosenColumns> = query.fetch_all(&self.pool).await.map_err(failed("choose parked messages"))?;
        Ok(found.into_iter().map(chosen).collect())
    }
}
