//! Sample services for every step of the examples: one process, one database, a ledger of effects. They keep the contract by the
//! barrier, and misbehave in words only, as the story of a saga says.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::core::Action;
use crate::participant::{Answering, Done, Handler};
use crate::wire::Received;

use super::examples::{SLOW, Story, TOO_LATE, reply_data};

const LEDGER_CREATE: &str = include_str!("sql/effect_create.sql");
const LEDGER_INSERT: &str = include_str!("sql/effect_insert.sql");
const LEDGER_SELECT: &str = include_str!("sql/effect_select.sql");

/// All sample services.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// Deliveries of the commands that stories are about.
    deliveries: HashMap<Uuid, u32>,
}

/// Makes the ledger.
pub(super) async fn create_ledger(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(LEDGER_CREATE).execute(connection).await.map(|_| ())
}

/// Saga, step, times done, times undone.
pub(super) type Effect = (Uuid, String, i64, i64);

/// Every effect in the ledger.
pub(super) async fn read_ledger(connection: &mut PgConnection) -> Result<Vec<Effect>, sqlx::Error> {
    sqlx::query_as(LEDGER_SELECT).fetch_all(connection).await
}

impl Handler for Samples {
    async fn handle(&mut self, transaction: &mut PgConnection, command: &Received) -> Result<Done, sqlx::Error> {
        let story = Story::told_by(&command.key);
        if story == Story::Refused && story.strikes(command) {
            return Ok(Done::Failure {
                code: "REFUSED",
                message: "the demonstration wants it so".to_owned(),
                retryable: false,
            });
        }
        let is_do = command.action == Action::Do;
        sqlx::query(LEDGER_INSERT)
            .bind(command.saga_id)
            .bind(&*command.step)
            .bind(i64::from(is_do))
            .bind(i64::from(!is_do))
            .execute(transaction)
            .await?;
        Ok(Done::Success(reply_data(command)))
    }

    fn answering(&mut self, command: &Received) -> Answering {
        let story = Story::told_by(&command.key);
        if !story.strikes(command) {
            return Answering::Once;
        }
        let deliveries = self.deliveries.entry(command.id).or_insert(0);
        *deliveries += 1;
        match (story, *deliveries) {
            (Story::Slow, 1) => Answering::Late(SLOW),
            (Story::TooLate, 1) => Answering::Late(TOO_LATE),
            (Story::TooLate, _) | (Story::Lost, 1) => Answering::Lost,
            (Story::Twice, 1) => Answering::Twice,
            (Story::Smooth | Story::Refused | Story::Slow | Story::Twice | Story::Lost, _) => Answering::Once,
        }
    }
}
