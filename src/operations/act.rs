//! An operator's action on one saga: a row that an engine decides. No tool changes a saga by itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::core::{Operation, Verb};
use crate::store::{Answered, Console, OperationState};

use super::failure::{Exit, Failure};
use super::words::{Word, word};

/// How long the command waits for an engine to decide.
const WAIT: Duration = Duration::from_secs(10);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);

/// An action that was decided, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Acted {
    /// The action.
    pub operation_id: Uuid,
    /// The saga.
    pub saga_id: Uuid,
    /// What was asked.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub verb: Word,
    /// `decided`.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub outcome: Word,
}

/// An action with an id that no other asking has: from who asks, of what, in which process, when.
pub fn operation(saga_id: Uuid, verb: Verb, who: &str, reason: &str, expect_seq: Option<u32>) -> Operation {
    let moment = crate::engine::wall_clock();
    let text = format!("{} {who} {} {}", verb.name(), std::process::id(), moment.micros());
    let id = Uuid::new_v5(&saga_id, text.as_bytes());
    Operation { id, verb, who: who.to_owned(), reason: reason.to_owned(), expect_seq }
}

/// What an engine made of an action.
pub(super) enum Decision {
    /// It was carried out.
    Acted(Acted),
    /// It was not: in one word, and for people.
    Refused { code: String, message: String },
}

/// Why something is done, as it is stored.
///
/// # Errors
/// It is empty, or cannot be stored (exit 2).
pub(super) fn checked_reason(said: &str) -> Result<&str, Failure> {
    let reason = said.trim();
    if reason.is_empty() || reason.contains('\0') {
        return Err(Failure::new(Exit::Usage, "reason is empty: say why, it is stored", ""));
    }
    Ok(reason)
}

/// Of the fields of a request those are said that its action takes, and no others.
///
/// # Errors
/// Another one is said: for people.
pub(super) fn takes_only(action: &str, takes: &[&str], said: &[(&str, bool)]) -> Result<(), String> {
    let foreign = said.iter().find(|(name, is_said)| *is_said && !takes.contains(name));
    let Some((name, _)) = foreign else { return Ok(()) };
    let takes = if takes.is_empty() { "nothing".to_owned() } else { takes.join(", ") };
    Err(format!("{action} takes no {name}; it takes {takes}"))
}

/// Asks for the action on a saga, and waits until an engine has decided.
///
/// # Errors
/// Refused (exit 4), no such saga (3), nobody decided in time (6).
pub async fn act(console: &Console, saga_id: Uuid, operation: &Operation) -> Result<Acted, Failure> {
    match decision(console, saga_id, operation).await? {
        Decision::Acted(acted) => Ok(acted),
        Decision::Refused { message, .. } => Err(Failure::new(Exit::Refused, message, "")),
    }
}

/// As `act`, with a refusal as an answer.
pub(super) async fn decision(console: &Console, saga_id: Uuid, operation: &Operation) -> Result<Decision, Failure> {
    let name = operation.verb.name();
    console.ask(saga_id, name, operation).await?;
    let until = Instant::now() + WAIT;
    while Instant::now() < until {
        let Answered { state, code, message } = console.outcome(operation.id).await?;
        match state {
            OperationState::Decided => {
                let acted = Acted { operation_id: operation.id, saga_id, verb: name, outcome: "decided" };
                return Ok(Decision::Acted(acted));
            }
            OperationState::Refused => {
                let message = format!("{name} refused: {}", message.unwrap_or_default());
                return Ok(Decision::Refused { code: code.unwrap_or_default(), message });
            }
            OperationState::Unknown => {
                let message = message.unwrap_or_else(|| "there is no such saga".to_owned());
                return Err(Failure::new(Exit::NotFound, message, ""));
            }
            OperationState::Pending => tokio::time::sleep(LOOK).await,
        }
    }
    let hint = "is a sagabus serve running on this database? the action stays asked for, and is decided when one is";
    Err(Failure::new(Exit::Unreachable, format!("{name} was not decided within {} s", WAIT.as_secs()), hint))
}
