//! The barrier in Rust: the functions of `sagabus_barrier.sql`, called in the service's own transaction.

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::types::PgInterval;

use crate::core::{Answer, Json, Outcome};
use crate::wire::Received;

pub(super) const SAGABUS_BARRIER: &str = include_str!("sagabus_barrier.sql");
const COMMAND_BEGIN: &str = include_str!("command_begin.sql");
const COMMAND_FINISH: &str = include_str!("command_finish.sql");
const COMMAND_FORGET: &str = include_str!("command_forget.sql");

/// What to do with a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Run the handler, then `finish`, in this transaction.
    Run,
    /// Answer this: it is stored, nothing runs.
    Answer(Answer),
    /// Answer nothing: somebody is at work on it, and it comes again.
    Busy,
}

/// Applies the barrier's file to the service's database. Safe to repeat.
///
/// # Errors
/// What the database says.
pub async fn apply(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(SAGABUS_BARRIER).execute(connection).await.map(|_| ())
}

/// Asks what to do with a command, inside the service's transaction (READ COMMITTED). A `do` that comes after its expiry, by the
/// database's clock, and has not run yet is refused. With a `lease` the transaction may be
/// committed before the handler calls out; it must exceed the hard time-out of that call.
///
/// # Errors
/// What the database says; roll back, and the command comes again.
pub async fn begin(
    connection: &mut PgConnection,
    command: &Received,
    lease: Option<Duration>,
) -> Result<Begun, sqlx::Error> {
    type Row = (String, Option<String>, Option<String>, bool, bool, Option<Vec<u8>>, bool);
    let lease = lease.map(|lease| PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(lease.as_micros()).unwrap_or(i64::MAX),
    });
    let expires_at = command.expires_at.and_then(|at| chrono::DateTime::from_timestamp_micros(at.micros()));
    let (verdict, outcome, code, retryable, effect, reply, is_expired): Row = sqlx::query_as(COMMAND_BEGIN)
        .bind(command.id)
        .bind(command.saga_id)
        .bind(&*command.step)
        .bind(command.action.name())
        .bind(i32::from(command.attempt))
        .bind(command.data_hash.as_bytes().as_slice())
        .bind(lease)
        .bind(expires_at)
        .fetch_one(&mut *connection)
        .await?;
    Ok(match verdict.as_str() {
        "run" if is_expired => {
            let answer = refusal(command, "failure", Answer::EXPIRED);
            finish(connection, command, &answer).await?;
            Begun::Answer(answer)
        }
        "run" => Begun::Run,
        "busy" => Begun::Busy,
        "conflict" => Begun::Answer(refusal(command, "conflict", Answer::CONFLICT)),
        _ => {
            let is_success = outcome.as_deref() == Some("success");
            let data = reply.and_then(|bytes| Json::parse(&bytes).ok()).unwrap_or_else(Json::empty_object);
            Begun::Answer(Answer {
                id: answer_id(command, if is_success { "success" } else { "failure" }),
                outcome: if is_success { Outcome::Success } else { Outcome::Failure },
                data,
                code: code.map(Into::into),
                retryable,
                without_effect: is_success && !effect,
            })
        }
    })
}

/// A failure that the barrier itself gives.
fn refusal(command: &Received, name: &str, code: &'static str) -> Answer {
    Answer {
        id: answer_id(command, name),
        outcome: Outcome::Failure,
        data: Json::empty_object(),
        code: Some(code.into()),
        retryable: false,
        without_effect: false,
    }
}

/// Stores the handler's answer, inside the transaction that `begin` opened.
///
/// # Errors
/// It was finished before, or what the database says; roll back.
pub async fn finish(connection: &mut PgConnection, command: &Received, answer: &Answer) -> Result<(), sqlx::Error> {
    let outcome = if answer.outcome == Outcome::Success { "success" } else { "failure" };
    sqlx::query(COMMAND_FINISH)
        .bind(command.id)
        .bind(outcome)
        .bind(answer.code.as_deref())
        .bind(answer.retryable)
        .bind(!answer.without_effect)
        .bind(answer.data.get().as_bytes())
        .execute(connection)
        .await
        .map(|_| ())
}

/// Deletes up to `page` finished commands older than `horizon`. Returns how many: call it until it returns 0. The horizon must be
/// longer than commands can come back: topic retention and the longest outage; 14 days is a good one.
///
/// # Errors
/// What the database says.
pub async fn forget(connection: &mut PgConnection, horizon: Duration, page: i32) -> Result<i64, sqlx::Error> {
    let horizon =
        PgInterval { months: 0, days: 0, microseconds: i64::try_from(horizon.as_micros()).unwrap_or(i64::MAX) };
    let (gone,): (i64,) = sqlx::query_as(COMMAND_FORGET).bind(horizon).bind(page).fetch_one(connection).await?;
    Ok(gone)
}

/// An answer's id, derived: the same answer to the same command is the same record.
pub(super) fn answer_id(command: &Received, outcome: &str) -> std::sync::Arc<str> {
    uuid::Uuid::new_v5(&command.id, outcome.as_bytes()).to_string().into()
}
