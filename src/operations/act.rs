//! An operator's action on one saga: a row that an engine decides. No tool changes a saga by itself.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::core::{Operation, Sha256, Verb};
use crate::store::{Console, ListedSaga, OperationState};

use super::failure::{Exit, Failure};

/// How long the command waits for an engine to decide.
const WAIT: Duration = Duration::from_secs(10);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);

/// Asks for `verb` on a saga, and waits until an engine has decided.
///
/// # Errors
/// Refused (exit 4), no such saga (3), nobody decided in time (6).
pub async fn act(console: &Console, saga: &ListedSaga, verb: Verb, who: &str, reason: &str) -> Result<(), Failure> {
    let name = name_of(&verb);
    let id = operation_id(saga.row.id, name, who);
    let operation = Operation { id, verb, who: who.to_owned(), reason: reason.to_owned(), expect_seq: None };
    console.ask(saga.row.id, name, &operation).await?;
    let until = Instant::now() + WAIT;
    while Instant::now() < until {
        match console.outcome(id).await? {
            (OperationState::Decided, _) => return Ok(()),
            (OperationState::Refused, message) => {
                return Err(Failure::new(
                    Exit::Refused,
                    format!("{name} refused: {}", message.unwrap_or_default()),
                    "",
                ));
            }
            (OperationState::Unknown, message) => {
                return Err(Failure::new(
                    Exit::NotFound,
                    message.unwrap_or_else(|| "there is no such saga".to_owned()),
                    "",
                ));
            }
            (OperationState::Pending, _) => tokio::time::sleep(LOOK).await,
        }
    }
    let hint = "is a sagabus serve running on this database? the action stays asked for, and is decided when one is";
    Err(Failure::new(Exit::Unreachable, format!("{name} was not decided within {} s", WAIT.as_secs()), hint))
}

/// An id that no other asking has: from who asks, of what, in which process, when.
fn operation_id(saga_id: Uuid, verb: &str, who: &str) -> Uuid {
    let moment = crate::engine::wall_clock();
    let text = format!("{saga_id} {verb} {who} {} {}", std::process::id(), moment.micros());
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&Sha256::of(text.as_bytes()).as_bytes()[..16]);
    Uuid::new_v5(&Uuid::from_bytes(bytes), text.as_bytes())
}

fn name_of(verb: &Verb) -> &'static str {
    match verb {
        Verb::Republish { .. } => "republish",
        Verb::Retry { .. } => "retry",
        Verb::Edit { .. } => "edit",
        Verb::Skip { .. } => "skip",
        Verb::Complete { .. } => "complete",
        Verb::Fail { .. } => "fail",
        Verb::Compensate => "compensate",
        Verb::Cancel => "cancel",
        Verb::Pause => "pause",
        Verb::Resume => "resume",
        Verb::Resolve { .. } => "resolve",
        Verb::Abandon => "abandon",
    }
}
