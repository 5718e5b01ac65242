//! What people hold, as Postgres keeps it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::core::Sha256;
use crate::store::{HoldRow, HoldTarget};

use super::console::{Console, ConsoleError, failed};
use super::rows::timestamp;

const HOLD_INSERT: &str = include_str!("sql/hold_insert.sql");
const HOLD_UPDATE_RELEASED: &str = include_str!("sql/hold_update_released.sql");
const HOLD_SELECT: &str = include_str!("sql/hold_select.sql");
const HOLD_COUNT_SAGAS: &str = include_str!("sql/hold_count_sagas.sql");

type HoldColumns = (i64, Option<String>, Option<String>, Option<String>, DateTime<Utc>, String, String);

/// What is held, oldest first.
pub(super) async fn holds(connection: &mut PgConnection) -> Result<Vec<HoldRow>, sqlx::Error> {
    let found: Vec<HoldColumns> = sqlx::query_as(HOLD_SELECT).fetch_all(connection).await?;
    let row = |(id, definition, step, participant, since, who, reason): HoldColumns| {
        let [definition, step, participant] = [definition, step, participant].map(|name| name.map(Arc::from));
        let target = match (definition, step, participant) {
            (Some(definition), Some(step), _) => HoldTarget::Step { definition, step },
            (Some(definition), None, _) => HoldTarget::Definition(definition),
            (None, _, participant) => HoldTarget::Participant(participant.unwrap_or_default()),
        };
        HoldRow { id, target, since: timestamp(since), who, reason }
    };
    Ok(found.into_iter().map(row).collect())
}

/// What came of holding something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldMade {
    /// It is held, by the hold of this number.
    Made(i64),
    /// It was before.
    There,
    /// It is not: an engine may run that does not know of holds.
    NotHeeded,
}

impl Console {
    /// What is held, oldest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn holds(&self) -> Result<Vec<HoldRow>, ConsoleError> {
        let attempt = failed("read what is held");
        let mut connection = self.pool.acquire().await.map_err(&attempt)?;
        holds(&mut connection).await.map_err(attempt)
    }

    /// Holds something, audited. Engines heed it from their next batch on.
    ///
    /// # Errors
    /// The database does not answer, or refuses the reason.
    pub async fn hold(&self, target: &HoldTarget, who: &str, reason: &str) -> Result<HoldMade, ConsoleError> {
        let (definition, step, participant) = match target {
            HoldTarget::Definition(name) => (Some(&**name), None, None),
            HoldTarget::Step { definition, step } => (Some(&**definition), Some(&**step), None),
            HoldTarget::Participant(name) => (None, None, Some(&**name)),
        };
        let query = sqlx::query_as(HOLD_INSERT)
            .bind(definition)
            .bind(step)
            .bind(participant)
            .bind(who)
            .bind(reason)
            .bind(target.to_string());
        let made: (Option<i64>, bool) = query.fetch_one(&self.pool).await.map_err(failed("hold"))?;
        Ok(match made {
            (Some(id), _) => HoldMade::Made(id),
            (None, true) => HoldMade::NotHeeded,
            (None, false) => HoldMade::There,
        })
    }

    /// Releases what is held, audited. `None` when there is no such hold; false when it was released before.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn release_hold(&self, hold: &HoldRow, who: &str, reason: &str) -> Result<Option<bool>, ConsoleError> {
        let query =
            sqlx::query_as(HOLD_UPDATE_RELEASED).bind(hold.id).bind(who).bind(reason).bind(hold.target.to_string());
        let (known, released): (i64, i64) = query.fetch_one(&self.pool).await.map_err(failed("release"))?;
        Ok((known == 1).then_some(released == 1))
    }

    /// How many sagas that are pinned to these definitions are open.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn open_sagas_of(&self, definitions: &[Sha256]) -> Result<i64, ConsoleError> {
        let hashes: Vec<&[u8]> = definitions.iter().map(|hash| hash.as_bytes().as_slice()).collect();
        let query = sqlx::query_as(HOLD_COUNT_SAGAS).bind(hashes);
        let (count,): (i64,) = query.fetch_one(&self.pool).await.map_err(failed("count open sagas"))?;
        Ok(count)
    }
}
