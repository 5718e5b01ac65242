//! A command as a participant reads it (CONTRACT.md section 2).

use std::sync::Arc;

use uuid::Uuid;

use crate::core::{Action, Json, Sha256, Timestamp};

use super::event::{Attribute, Event, Malformed};
use super::record::Record;

/// A command as a participant reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// `ce_id`: deduplicate on this.
    pub id: Uuid,
    /// `ce_correlationid`: the saga.
    pub saga_id: Uuid,
    /// The record's key: the business key.
    pub key: Arc<str>,
    /// `ce_type`.
    pub kind: Arc<str>,
    /// `ce_sagastep`.
    pub step: Arc<str>,
    /// `ce_sagaaction`.
    pub action: Action,
    /// `ce_sagaattempt`.
    pub attempt: u16,
    /// `ce_replyto`.
    pub reply_to: Arc<str>,
    /// `ce_expirytime`: after it nobody waits for the answer.
    pub expires_at: Option<Timestamp>,
    /// W3C `traceparent`.
    pub traceparent: Option<Arc<str>>,
    /// The record's value.
    pub data: Json,
    /// SHA-256 of the value's bytes: *same data* means the same hash.
    pub data_hash: Sha256,
}

/// How the types of announcements begin.
pub(super) const ANNOUNCEMENT: &str = "sagabus.saga.";

/// True for the word of a saga's end, or that it is stuck: beside the notices of steps that wait it is no command.
pub fn is_announcement(event: &Event) -> bool {
    let is_ours = |kind: &str| kind.starts_with(ANNOUNCEMENT);
    event.get(Attribute::Action).is_none() && event.get(Attribute::Type).is_some_and(is_ours)
}

/// Reads a command.
///
/// # Errors
/// A required header is missing or unreadable, or the value is not JSON.
pub fn received(record: &Record, event: &Event) -> Result<Received, Malformed> {
    let required = |attribute: Attribute, name: &str| {
        event.get(attribute).ok_or_else(|| Malformed::new("missing", format!("{name} is missing")))
    };
    let uuid = |attribute: Attribute, name: &str| {
        Uuid::try_parse(required(attribute, name)?)
            .map_err(|_| Malformed::new("bad-id", format!("{name} is not a UUID")))
    };
    let action = match required(Attribute::Action, "ce_sagaaction")? {
        "do" => Action::Do,
        "undo" => Action::Undo,
        _ => return Err(Malformed::new("bad-action", "ce_sagaaction is neither do nor undo")),
    };
    let attempt = required(Attribute::Attempt, "ce_sagaattempt")?.parse();
    let key = std::str::from_utf8(record.key().unwrap_or_default());
    let expires_at = event.get(Attribute::ExpiryTime).and_then(|text| text.parse().ok());
    Ok(Received {
        id: uuid(Attribute::Id, "ce_id")?,
        saga_id: uuid(Attribute::CorrelationId, "ce_correlationid")?,
        key: Arc::from(key.map_err(|_| Malformed::new("bad-key", "the key is not text"))?),
        kind: Arc::from(required(Attribute::Type, "ce_type")?),
        step: Arc::from(required(Attribute::Step, "ce_sagastep")?),
        action,
        attempt: attempt.map_err(|_| Malformed::new("bad-attempt", "ce_sagaattempt is not a number"))?,
        reply_to: Arc::from(required(Attribute::ReplyTo, "ce_replyto")?),
        expires_at,
        traceparent: event.get(Attribute::TraceParent).map(Arc::from),
        data: event.data(record)?,
        data_hash: Sha256::of(record.value().unwrap_or_default()),
    })
}
