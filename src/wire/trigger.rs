//! A record that starts a saga (CONTRACT.md section 6).

use std::sync::Arc;

use crate::core::{Trigger, limits};

use super::event::{Attribute, Event, Malformed};
use super::record::Record;

/// Reads a trigger. Its `ce_id` may be absent: the business key identifies it.
///
/// # Errors
/// Its type or id is not a printable word within the limit, or its value is not JSON.
pub fn trigger(record: &Record, event: &Event) -> Result<Trigger, Malformed> {
    let word = |attribute: Attribute, name: &str| match event.get(attribute) {
        Some(text) if text.len() > limits::ID_BYTES || text.is_empty() || text.chars().any(char::is_control) => {
            Err(Malformed::new("bad-id", format!("{name} is not a short printable text")))
        }
        other => Ok(other.map(Arc::<str>::from)),
    };
    let kind = word(Attribute::Type, "ce_type")?.ok_or_else(|| Malformed::new("missing", "ce_type is missing"))?;
    Ok(Trigger {
        topic: Arc::clone(record.topic()),
        partition: record.partition(),
        offset: record.offset(),
        timestamp: record.timestamp(),
        id: word(Attribute::Id, "ce_id")?,
        kind,
        data: event.data(record)?,
        // A trace context that is no use to anyone is left out, not refused.
        traceparent: word(Attribute::TraceParent, "traceparent").ok().flatten(),
        tracestate: word(Attribute::TraceState, "tracestate").ok().flatten(),
    })
}
