//! What goes to Kafka: commands and announcements of the engine, answers of participants, triggers of people and generators.
//! A command that is sent again is the same record, byte for byte.

use std::fmt::Display;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use crate::core::{Announcement, Answer, Command, Json, Outcome, SagaError, Timestamp};

use super::command::{ANNOUNCEMENT, Received};
use super::headers::Headers;

/// A record to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to.
    pub topic: Arc<str>,
    /// Its key.
    pub key: Arc<str>,
    /// Its value.
    pub value: Json,
    /// Its headers, in order.
    pub headers: Headers,
    /// Its timestamp; `None`: when the client sends it.
    pub timestamp: Option<Timestamp>,
}

impl Outgoing {
    /// The same record with this timestamp: where an id is derived from it.
    #[must_use]
    pub fn at(self, timestamp: Timestamp) -> Self {
        Self { timestamp: Some(timestamp), ..self }
    }
}

const JSON: &str = "application/json";

fn envelope(id: impl Display, kind: impl Display, source: impl Display, subject: &str) -> Headers {
    let mut headers = Headers::new();
    headers.push("ce_specversion", "1.0");
    headers.push("content-type", JSON);
    headers.push("ce_id", id);
    headers.push("ce_type", kind);
    headers.push("ce_source", source);
    headers.push("ce_subject", subject);
    headers
}

fn source(definition_name: &str, version: u32) -> impl Display {
    std::fmt::from_fn(move |f| write!(f, "/sagas/{definition_name}/{version}"))
}

/// A command's record (CONTRACT.md section 2).
pub fn command(command: &Command) -> Outgoing {
    let source = source(&command.definition_name, command.definition_version);
    let mut headers = envelope(command.id, &command.kind, source, &command.business_key);
    headers.push("ce_time", command.decided_at);
    headers.push("ce_correlationid", command.saga_id);
    headers.push("ce_causationid", &command.cause);
    headers.push("ce_sagadefinition", command.definition_hash);
    headers.push("ce_sagastep", &command.step_name);
    headers.push("ce_sagaaction", command.action.name());
    headers.push("ce_sagaattempt", command.attempt);
    headers.push("ce_replyto", &command.reply_topic);
    if let Some(at) = command.expires_at {
        headers.push("ce_expirytime", at);
    }
    push_trace(&mut headers, command.traceparent.as_deref(), command.tracestate.as_deref());
    Outgoing {
        topic: Arc::clone(&command.topic),
        key: Arc::clone(&command.business_key),
        value: command.data.clone(),
        headers,
        timestamp: None,
    }
}

fn push_trace(headers: &mut Headers, parent: Option<&str>, state: Option<&str>) {
    if let Some(parent) = parent {
        headers.push("traceparent", parent);
        if let Some(state) = state {
            headers.push("tracestate", state);
        }
    }
}

/// The record that says how a saga ended, or that it is stuck (CONTRACT.md section 6).
pub fn announcement(announcement: &Announcement) -> Outgoing {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        saga_id: Uuid,
        definition: &'a str,
        version: u32,
        business_key: &'a str,
        phase: &'static str,
        started_at: String,
        finished_at: Option<String>,
        error: Option<&'a SagaError>,
        seq: u32,
    }
    let body = Body {
        saga_id: announcement.saga_id,
        definition: &announcement.definition_name,
        version: announcement.definition_version,
        business_key: &announcement.business_key,
        phase: announcement.phase.name(),
        started_at: announcement.started_at.to_string(),
        finished_at: announcement.finished_at.as_ref().map(Timestamp::to_string),
        error: announcement.error.as_ref(),
        seq: announcement.seq,
    };
    let kind = format!("{ANNOUNCEMENT}{}", announcement.phase.name());
    let source = source(&announcement.definition_name, announcement.definition_version);
    let mut headers = envelope(announcement.id, kind, source, &announcement.business_key);
    headers.push("ce_time", announcement.at);
    headers.push("ce_correlationid", announcement.saga_id);
    let value = serde_json::to_vec(&body).expect("a body is plain data");
    Outgoing {
        topic: Arc::clone(&announcement.topic),
        key: Arc::clone(&announcement.business_key),
        value: Json::parse(&value).expect("serde_json writes JSON"),
        headers,
        timestamp: None,
    }
}

/// A participant's answer to a command (CONTRACT.md section 3). The same answer to the same command is the same record.
pub fn answer(command: &Received, participant: &str, answer: &Answer) -> Outgoing {
    let outcome = match answer.outcome {
        Outcome::Success => "success",
        Outcome::Failure => "failure",
        Outcome::Progress => "progress",
    };
    let kind = format!("{}.{outcome}", command.kind);
    let mut headers = envelope(&answer.id, kind, format_args!("/participants/{participant}"), &command.key);
    headers.push("ce_correlationid", command.saga_id);
    headers.push("ce_causationid", command.id);
    headers.push("ce_sagaoutcome", outcome);
    if let Some(code) = &answer.code {
        headers.push("ce_sagaerrorcode", code);
    }
    if answer.retryable {
        headers.push("ce_sagaretryable", "true");
    }
    if answer.without_effect {
        headers.push("ce_sagaeffect", "false");
    }
    headers.push("ce_sagastep", &command.step);
    headers.push("ce_sagaaction", command.action.name());
    push_trace(&mut headers, command.traceparent.as_deref(), None);
    Outgoing {
        topic: Arc::clone(&command.reply_to),
        key: Arc::clone(&command.key),
        value: answer.data.clone(),
        headers,
        timestamp: None,
    }
}

/// A record that starts a saga.
pub fn new_trigger(topic: &str, key: &str, kind: &str, id: &str, source: &str, data: Json) -> Outgoing {
    let headers = envelope(id, kind, source, key);
    Outgoing { topic: Arc::from(topic), key: Arc::from(key), value: data, headers, timestamp: None }
}
