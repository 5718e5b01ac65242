//! The CloudEvents attributes of a record that Sagabus uses, from headers (binary mode) or from the body (structured mode).

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};

use crate::core::{Json, limits};

use super::record::Record;

/// Attributes that Sagabus reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// `specversion`
    SpecVersion,
    /// `id`
    Id,
    /// `source`
    Source,
    /// `type`
    Type,
    /// `correlationid`: the saga
    CorrelationId,
    /// `causationid`: the command
    CausationId,
    /// `sagaoutcome`
    Outcome,
    /// `sagaerrorcode`
    ErrorCode,
    /// `sagaretryable`
    Retryable,
    /// `sagaeffect`
    Effect,
    /// `sagastep`
    Step,
    /// `sagaaction`
    Action,
    /// `sagaattempt`
    Attempt,
    /// `replyto`
    ReplyTo,
    /// `expirytime`
    ExpiryTime,
    /// `traceparent` (a header without prefix)
    TraceParent,
    /// `tracestate` (a header without prefix)
    TraceState,
}

const NAMES: [(&str, Attribute); 17] = [
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

/// A record's attributes; in structured mode its data as well.
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// The attributes' texts, one behind the other: a text each would cost more than reading it.
    text: String,
    places: Vec<(Attribute, Range<usize>)>,
    data: Option<Json>,
}

/// Why a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// A short stable word.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl Malformed {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl Event {
    /// Reads a record's attributes.
    ///
    /// # Errors
    /// A limit exceeded, a `ce_*` or `content-type` header twice or not text, or a structured body that cannot be read.
    pub fn read(record: &Record) -> Result<Self, Malformed> {
        // It is read on a thread that nobody begins anew: a defect here costs the record, not the engine.
        let read = catch_unwind(AssertUnwindSafe(|| Self::read_or_panic(record)));
        read.unwrap_or_else(|_| Err(Malformed::new("crashed", "its reader crashed, the log says where")))
    }

    fn read_or_panic(record: &Record) -> Result<Self, Malformed> {
        if let Some(limit) = record.over_limits() {
            return Err(Malformed::new("too-large", limit));
        }
        let room = (String::with_capacity(512), Vec::with_capacity(NAMES.len()));
        let mut event = Self { text: room.0, places: room.1, data: None };
        let mut content_type: Option<String> = None;
        for (name, value) in record.headers() {
            if name.eq_ignore_ascii_case("content-type") {
                let text = text(name, value)?.to_ascii_lowercase();
                if content_type.replace(text).is_some() {
                    return Err(Malformed::new("twice", "header content-type is there twice"));
                }
            } else if let Some(attribute) = header_attribute(name) {
                event.set(attribute, name, text(name, value)?)?;
            }
        }
        if content_type.is_some_and(|kind| kind.starts_with("application/cloudevents+json")) {
            event.read_body(record.value().unwrap_or_default())?;
        }
        Ok(event)
    }

    /// An attribute's text.
    pub fn get(&self, attribute: Attribute) -> Option<&str> {
        let (_, place) = self.places.iter().find(|(found, _)| *found == attribute)?;
        Some(&self.text[place.clone()])
    }

    /// The event's type.
    pub fn kind(&self) -> Option<&str> {
        self.get(Attribute::Type)
    }

    /// The event's data: the record's value, or the body's `data` in structured mode.
    ///
    /// # Errors
    /// It is absent, empty, not JSON, or over the limits of foreign JSON.
    pub fn data(&self, record: &Record) -> Result<Json, Malformed> {
        if let Some(data) = &self.data {
            return Ok(data.clone());
        }
        match record.value() {
            None | Some(b"") => Err(Malformed::new("no-value", "the record has no value")),
            Some(value) => Json::foreign(value).map_err(|error| Malformed::new("bad-json", error)),
        }
    }

    fn set(&mut self, attribute: Attribute, name: &str, value: &str) -> Result<(), Malformed> {
        if self.get(attribute).is_some() {
            return Err(Malformed::new("twice", format!("{name} is there twice")));
        }
        let start = self.text.len();
        self.text.push_str(value);
        self.places.push((attribute, start..self.text.len()));
        Ok(())
    }

    fn read_body(&mut self, body: &[u8]) -> Result<(), Malformed> {
        let unreadable = |error: String| Malformed::new("bad-envelope", error);
        Json::foreign(body).map_err(unreadable)?;
        let members: Members = serde_json::from_slice(body).map_err(|error| unreadable(error.to_string()))?;
        for (name, value) in members.0 {
            if name == "data" {
                if self.data.replace(value).is_some() {
                    return Err(Malformed::new("twice", "data is there twice"));
                }
            } else if let Some((_, attribute)) = NAMES.iter().find(|(known, _)| *known == name) {
                let text: TextOrBool =
                    serde_json::from_str(value.get()).map_err(|error| unreadable(error.to_string()))?;
                self.set(*attribute, &name, without_nul(&name, text.as_str())?)?;
            }
        }
        self.data.get_or_insert_with(Json::empty_object);
        Ok(())
    }
}

/// Which attribute a header carries. `traceparent` and `tracestate` come without prefix.
fn header_attribute(name: &str) -> Option<Attribute> {
    let (prefix, rest) = name.split_at_checked(3).unwrap_or(("", name));
    let is_attribute = prefix.eq_ignore_ascii_case("ce_");
    let name = if is_attribute { rest } else { name };
    let (_, attribute) = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    let is_trace = matches!(attribute, Attribute::TraceParent | Attribute::TraceState);
    (is_attribute != is_trace).then_some(*attribute)
}

fn text<'a>(name: &str, value: Option<&'a [u8]>) -> Result<&'a str, Malformed> {
    let value = value.unwrap_or_default();
    let text = std::str::from_utf8(value).map_err(|_| Malformed::new("not-text", format!("{name} is not text")))?;
    without_nul(name, text)
}

/// Postgres keeps no text with a NUL in it.
fn without_nul<'a>(name: &str, text: &'a str) -> Result<&'a str, Malformed> {
    if text.contains('\0') { Err(Malformed::new("not-text", format!("{name} holds a NUL"))) } else { Ok(text) }
}

/// True for `[A-Za-z0-9._:-]{1,128}`: what an id or a code from outside may be.
pub(super) fn is_word(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
    (1..=limits::ID_BYTES).contains(&text.len()) && text.bytes().all(allowed)
}

/// The members of an object in order, none dropped: a name that is there twice must be seen.
struct Members(Vec<(String, Json)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TextOrBool {
    Text(String),
    Bool(bool),
}

impl TextOrBool {
    fn as_str(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Bool(true) => "true",
            Self::Bool(false) => "false",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::core::Timestamp;

    use super::super::record::RecordHead;
    use super::*;

    fn read(content_type: &str, id: &str, value: &str) -> Result<Event, Malformed> {
        let head = RecordHead { topic: Arc::from("t"), partition: 0, offset: 0, timestamp: Timestamp::ZERO };
        let headers = [("content-type", Some(content_type.as_bytes())), ("ce_id", Some(id.as_bytes()))];
        let count = if id.is_empty() { 1 } else { 2 };
        Event::read(&Record::new(head, None, Some(value.as_bytes()), headers.into_iter().take(count)))
    }

    #[test]
    fn an_attribute_with_a_nul_is_refused_in_both_modes() {
        let code = |event: Result<Event, Malformed>| event.err().map(|malformed| malformed.code);
        let structured = "application/cloudevents+json";
        assert_eq!(code(read("application/json", "a\0b", "{}")), Some("not-text"));
        assert_eq!(code(read(structured, "", r#"{"id":"a\u0000b"}"#)), Some("not-text"));
        assert_eq!(code(read(structured, "", r#"{"id":"a","data":"\u0000"}"#)), None, "data pass as they are");
    }
}
