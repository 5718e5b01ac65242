//! Any record: its limits, its attributes in both modes, and commands as participants read them.

use std::sync::Arc;

use sagabus::core::{Command, Json, Sha256, StepIx, Timestamp};
use sagabus::wire::{self, Attribute, Event, Malformed, Received, Record, RecordHead};

use super::framed::{Framed, consumed};

/// Every attribute by its name in a structured body.
const ATTRIBUTES: [(&str, Attribute); 17] = [
    ("specversion", Attribute::SpecVersion),
    ("id", Attribute::Id),
    ("source", Attribute::Source),
    ("type", Attribute::Type),
    ("correlationid", Attribute::CorrelationId),
    ("causationid", Attribute::CausationId),
    ("sagaoutcome", Attribute::Outcome),
    ("sagaerrorcode", Attribute::ErrorCode),
    ("sagaretryable", Attribute::Retryable),
    ("sagaeffect", Attribute::Effect),
    ("sagastep", Attribute::Step),
    ("sagaaction", Attribute::Action),
    ("sagaattempt", Attribute::Attempt),
    ("replyto", Attribute::ReplyTo),
    ("expirytime", Attribute::ExpiryTime),
    ("traceparent", Attribute::TraceParent),
    ("tracestate", Attribute::TraceState),
];

/// Tries a record in the form of `framed`.
pub fn records(bytes: &[u8]) {
    let framed = Framed::read(bytes);
    let record = framed.record();
    assert_eq!(record.over_limits().is_some(), framed.is_over_limits(), "the limits are exact");
    if !framed.is_over_limits() {
        assert_eq!((record.key(), record.value()), (framed.key, framed.value.as_deref()));
        assert_eq!(record.headers().collect::<Vec<_>>(), framed.headers);
    }
    let kept = record.kept_headers();
    assert!(!kept.chars().any(|c| c < ' '), "control characters are escaped: {kept:?}");
    let head = RecordHead { topic: Arc::clone(record.topic()), partition: 0, offset: 0, timestamp: Timestamp::ZERO };
    let restored = Record::restore(head, record.key(), record.value(), &kept).expect("what was kept is read back");
    assert_eq!(restored.headers().collect::<Vec<_>>(), record.headers().collect::<Vec<_>>());
    assert_eq!(wire::dead_letter(&restored), wire::dead_letter(&record), "what is kept tells what the record told");
    match Event::read(&record) {
        Err(malformed) => refused(&record, &malformed),
        Ok(event) => {
            assert!(!framed.is_over_limits(), "a record over the limits is never accepted");
            read(&record, &event);
        }
    }
}

fn refused(record: &Record, malformed: &Malformed) {
    assert_eq!(malformed.code == "too-large", record.over_limits().is_some(), "{malformed}");
    assert!(malformed.message.len() < 400, "a reason is short: {malformed}");
}

fn read(record: &Record, event: &Event) {
    let again = Event::read(record).expect("what was read once is read again");
    for (name, attribute) in ATTRIBUTES {
        assert_eq!(event.get(attribute), again.get(attribute), "{name}");
        assert!(event.get(attribute).is_none_or(|text| !text.contains('\0')), "Postgres stores no NUL: {name}");
    }
    let Ok(data) = event.data(record) else { return };
    assert!(Json::foreign(data.get().as_bytes()).is_ok(), "data that were accepted are within the limits");
    structured_says_the_same(event, &data);
    if let Ok(command) = wire::received(record, event) {
        command_is_read_as_it_was_sent(&command);
    }
}

/// The same event with its attributes in the body.
fn structured_says_the_same(event: &Event, data: &Json) {
    let members: Vec<String> = ATTRIBUTES
        .iter()
        .filter_map(|(name, attribute)| Some((name, event.get(*attribute)?)))
        .map(|(name, text)| format!("{name:?}:{}", serde_json::Value::from(text)))
        .chain([format!("\"data\":{}", data.get())])
        .collect();
    let body = format!("{{{}}}", members.join(","));
    if Json::foreign(body.as_bytes()).is_err() {
        return;
    }
    let text = [b"content-type: application/cloudevents+json\n\n", body.as_bytes()].concat();
    let record = Framed::read(&text).record();
    if record.over_limits().is_some() {
        return;
    }
    let structured = Event::read(&record).expect("the body holds what the headers held");
    for (name, attribute) in ATTRIBUTES {
        assert_eq!(structured.get(attribute), event.get(attribute), "{name} in both modes");
    }
    assert_eq!(structured.data(&record).as_ref(), Ok(data), "the data in both modes");
}

fn command_is_read_as_it_was_sent(read: &Received) {
    // A header says milliseconds, and nothing that participants read of a year beyond 9999: such a command does not expire.
    let is_said = |at: &Timestamp| chrono::DateTime::parse_from_rfc3339(&at.to_string()).is_ok();
    let said = |at: Timestamp| Timestamp::from_millis(at.micros().div_euclid(1_000));
    let expires_at = read.expires_at.filter(is_said).map(said);
    let data_hash = Sha256::of(read.data.get().as_bytes());
    let read = Received { data_hash, expires_at, ..read.clone() };
    let sent = wire::command(&command_of(&read));
    let record = consumed(&sent);
    if record.over_limits().is_some() {
        return;
    }
    let event = Event::read(&record).expect("a command that was sent is read");
    let back = wire::received(&record, &event).expect("a command that was sent is read");
    assert_eq!(back, read);
    assert_eq!(wire::command(&command_of(&back)), sent, "sent again it is the same record");
}

fn command_of(read: &Received) -> Command {
    Command {
        saga_id: read.saga_id,
        business_key: Arc::clone(&read.key),
        definition_name: Arc::from("any"),
        definition_version: 1,
        definition_hash: Sha256::of(b"any"),
        topic: Arc::from("commands"),
        kind: Arc::clone(&read.kind),
        reply_topic: Arc::clone(&read.reply_to),
        step: StepIx(0),
        step_name: Arc::clone(&read.step),
        action: read.action,
        attempt: read.attempt,
        id: read.id,
        decided_at: Timestamp::ZERO,
        expires_at: read.expires_at,
        cause: Arc::from("cause"),
        traceparent: read.traceparent.clone(),
        tracestate: None,
        data: read.data.clone(),
    }
}
