//! A participant's answer (CONTRACT.md section 3).

use std::sync::Arc;

use uuid::Uuid;

use crate::core::{Answer, Outcome, Reply};

use super::event::{Attribute, Event, Malformed, is_word};
use super::record::Record;

/// True when the event says that it is an answer: how a topic is read that carries triggers as well.
pub fn is_reply(event: &Event) -> bool {
    event.get(Attribute::Outcome).is_some()
}

/// Reads an answer.
///
/// # Errors
/// A required attribute is missing or unreadable, the outcome is unknown, or the value is not JSON.
pub fn reply(record: &Record, event: &Event) -> Result<Reply, Malformed> {
    for (attribute, name) in
        [(Attribute::SpecVersion, "ce_specversion"), (Attribute::Source, "ce_source"), (Attribute::Type, "ce_type")]
    {
        if event.get(attribute).is_none() {
            return Err(Malformed::new("missing", format!("{name} is missing")));
        }
    }
    let saga_id = uuid(event, Attribute::CorrelationId, "ce_correlationid")?;
    let command_id = uuid(event, Attribute::CausationId, "ce_causationid")?;
    let outcome = match event.get(Attribute::Outcome) {
        Some("success") => Outcome::Success,
        Some("failure") => Outcome::Failure,
        Some("progress") => Outcome::Progress,
        Some(_) => {
            return Err(Malformed::new("unknown-outcome", "ce_sagaoutcome is neither success, failure nor progress"));
        }
        None => return Err(Malformed::new("missing", "ce_sagaoutcome is missing")),
    };
    let code = match (outcome, event.get(Attribute::ErrorCode)) {
        (Outcome::Failure, Some(code)) if is_word(code) => Some(Arc::from(code)),
        (Outcome::Failure, Some(_)) => return Err(Malformed::new("bad-code", "ce_sagaerrorcode is not a short word")),
        (Outcome::Failure, None) => return Err(Malformed::new("missing", "ce_sagaerrorcode of a failure is missing")),
        (Outcome::Success | Outcome::Progress, _) => None,
    };
    let id = match event.get(Attribute::Id) {
        Some(id) if is_word(id) => Arc::from(id),
        Some(_) => return Err(Malformed::new("bad-id", "ce_id is not a short word")),
        None => return Err(Malformed::new("missing", "ce_id is missing")),
    };
    let answer = Answer {
        id,
        outcome,
        data: event.data(record)?,
        code,
        retryable: flag(event, Attribute::Retryable, "ce_sagaretryable", false)?,
        without_effect: !flag(event, Attribute::Effect, "ce_sagaeffect", true)?,
    };
    Ok(Reply { topic: Arc::clone(record.topic()), saga_id, command_id, answer })
}

fn uuid(event: &Event, attribute: Attribute, name: &str) -> Result<Uuid, Malformed> {
    let text = event.get(attribute).ok_or_else(|| Malformed::new("missing", format!("{name} is missing")))?;
    Uuid::try_parse(text).map_err(|_| Malformed::new("bad-id", format!("{name} is not a UUID")))
}

fn flag(event: &Event, attribute: Attribute, name: &str, default: bool) -> Result<bool, Malformed> {
    match event.get(attribute) {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) => Err(Malformed::new("bad-flag", format!("{name} is neither true nor false"))),
    }
}
