//! What reaches the rules, and the one verdict that each input gets.

#![expect(missing_docs, reason = "the fields of a variant are explained by the variant")]

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::definition::StepIx;
use super::fact::Answer;
use super::id_text;
use super::json::Json;
use super::saga::Action;
use super::time::Timestamp;

/// A Kafka partition, by topic and number.
pub type Partition = (Arc<str>, i32);

/// An input for a saga that exists. (What starts one is a `Trigger`, for `start`.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A trigger record whose business key already has a saga.
    Trigger(Trigger),
    /// A participant's answer.
    Reply(Reply),
    /// A moment that the saga asked to be woken at, or an early wake-up.
    Timer {
        /// Every reply that reached the saga's reply topic before this moment has been judged; `Timestamp::ZERO` when that is
        /// not known. Patience that ended later than this is not given up yet: giving up is never decided blind.
        replies_read_until: Timestamp,
        /// False while a command of this saga is not acknowledged by the broker: then nothing is re-sent and nothing given up.
        acknowledged: bool,
    },
    /// An operator's action.
    Operation(Operation),
    /// The broker refused a command for good, its data renders differently from what the journal says, or Postgres refuses what
    /// its timer led to.
    Undeliverable {
        /// The step whose command it is.
        step: StepIx,
        /// Its direction.
        action: Action,
        /// Its attempt.
        attempt: u16,
        /// `saga.undeliverable`, `saga.rendering` or `store.<sqlstate>`.
        code: Arc<str>,
        /// The broker's or Postgres's words, for people.
        message: String,
    },
}

/// The record that starts a saga, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// Topic, partition and offset where it was read.
    pub topic: Arc<str>,
    /// See `topic`.
    pub partition: i32,
    /// See `topic`.
    pub offset: i64,
    /// The record's timestamp: part of the saga's id.
    pub timestamp: Timestamp,
    /// Its `ce_id`, when it had one.
    #[serde(default, with = "id_text::optional")]
    pub id: Option<Arc<str>>,
    /// Its `ce_type`.
    #[serde(rename = "type")]
    pub kind: Arc<str>,
    /// Its value, byte for byte.
    pub data: Json,
    /// W3C `traceparent`, when it had one.
    #[serde(default)]
    pub traceparent: Option<Arc<str>>,
    /// W3C `tracestate`, when it had one.
    #[serde(default)]
    pub tracestate: Option<Arc<str>>,
}

impl Trigger {
    /// How a topic, partition and offset are written within the journal row of a trigger that came from there: what else is in a row may
    /// hold the same bytes.
    pub fn stored_place(place: (&str, i32, i64)) -> Vec<u8> {
        postcard::to_stdvec(&place).expect("a text and two numbers")
    }

    /// The trace that it belonged to: the second part of `traceparent`, 128 bits.
    pub fn trace_id(&self) -> Option<Uuid> {
        let trace = self.traceparent.as_deref()?.split('-').nth(1)?;
        Uuid::try_parse(trace).ok().filter(|_| trace.len() == 32)
    }
}

/// A participant's answer as decoded from its record (CONTRACT.md section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The topic it was read from: must be the definition's reply topic.
    pub topic: Arc<str>,
    /// `ce_correlationid`: the saga.
    pub saga_id: Uuid,
    /// `ce_causationid`: the command that it answers.
    pub command_id: Uuid,
    /// What it says.
    pub answer: Answer,
}

/// An operator's action on one saga.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Its row in `operation`.
    pub id: Uuid,
    /// What is asked.
    pub verb: Verb,
    /// Who asks.
    pub who: String,
    /// Why: required, stored.
    pub reason: String,
    /// Refuse when the saga's journal has moved on from this row.
    #[serde(default)]
    pub expect_seq: Option<u32>,
}

/// What an operator may ask (OPERATIONS.md section 7). Steps are named as in the definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// Send the outstanding command of a step again, with the same id.
    Republish { step: String },
    /// A new attempt, with a new id and a fresh count; of the step named, or of all that failed.
    Retry { step: Option<String>, force: bool },
    /// Other data for the step's next attempt.
    Edit { step: String, data: Json },
    /// The step counts as skipped; `reply` gives successors their data.
    Skip { step: String, reply: Option<Json> },
    /// Success by hand.
    Complete { step: String, reply: Json },
    /// Definite failure by hand.
    Fail { step: String, code: String },
    /// Undo what was done; ends `compensated`.
    Compensate,
    /// Undo what was done; ends `cancelled`.
    Cancel,
    /// Freeze: nothing new is sent, timers stand still, answers are kept.
    Pause,
    /// Go on from `paused` or `stuck`.
    Resume,
    /// The outcome of a stuck step, as a person found it.
    Resolve { step: String, outcome: Resolution },
    /// End the saga where it stands.
    Abandon,
    /// What the step waits for has happened; `data` gives successors what is known of it.
    Signal { step: String, data: Option<Json> },
    /// Yes to a step that waits for an approval; `reply` gives successors its data.
    Approve { step: String, reply: Option<Json> },
    /// No to it.
    Reject { step: String, code: String },
}

impl Verb {
    /// The verb as the command line, the audit and refusals name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Republish { .. } => "republish",
            Self::Retry { .. } => "retry",
            Self::Edit { .. } => "edit",
            Self::Skip { .. } => "skip",
            Self::Complete { .. } => "complete",
            Self::Fail { .. } => "fail",
            Self::Compensate => "compensate",
            Self::Cancel => "cancel",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Resolve { .. } => "resolve",
            Self::Abandon => "abandon",
            Self::Signal { .. } => "signal",
            Self::Approve { .. } => "approve",
            Self::Reject { .. } => "reject",
        }
    }

    /// The step that it is about; `None` when it is about the saga as a whole.
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::Republish { step }
            | Self::Edit { step, .. }
            | Self::Skip { step, .. }
            | Self::Complete { step, .. }
            | Self::Fail { step, .. }
            | Self::Resolve { step, .. }
            | Self::Signal { step, .. }
            | Self::Approve { step, .. }
            | Self::Reject { step, .. } => Some(step),
            Self::Retry { step, .. } => step.as_deref(),
            Self::Compensate | Self::Cancel | Self::Pause | Self::Resume | Self::Abandon => None,
        }
    }
}

/// What a person found of a stuck step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Resolution {
    /// Its effect is there.
    Done,
    /// Its effect is not there (never was, or was undone by hand).
    Undone,
    /// Its effect stays as it is, knowingly.
    Left,
}

/// What became of an input. Every consumed record ends as exactly one of these (DESIGN.md section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It changed its saga, or started one.
    Applied,
    /// It concerns no definition.
    Ignored,
    /// It says what was already said.
    Duplicate,
    /// It comes too late to matter; what is new in it is kept as a fact.
    Stale,
    /// It contradicts what was said before; the first one wins.
    Conflict,
    /// No saga or no command fits it: parked.
    Orphan,
    /// It cannot be read: parked.
    Malformed,
}

impl Verdict {
    /// All verdicts, in the order of the counters in Postgres.
    pub const ALL: [Self; 7] =
        [Self::Applied, Self::Ignored, Self::Duplicate, Self::Stale, Self::Conflict, Self::Orphan, Self::Malformed];

    /// The verdict as metrics, parked messages and people name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Ignored => "ignored",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::Conflict => "conflict",
            Self::Orphan => "orphan",
            Self::Malformed => "malformed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_the_second_part_of_traceparent_and_of_128_bits() {
        let trace = |traceparent: Option<&str>| {
            let trigger = Trigger {
                topic: "orders".into(),
                partition: 3,
                offset: 17,
                timestamp: Timestamp::ZERO,
                id: None,
                kind: "order".into(),
                data: Json::empty_object(),
                traceparent: traceparent.map(Arc::from),
                tracestate: None,
            };
            trigger.trace_id().map(|id| id.simple().to_string())
        };
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(trace(Some(&format!("00-{id}-00f067aa0ba902b7-01"))).as_deref(), Some(id));
        for other in ["", "00", "00-4bf9-00f067aa0ba902b7-01", "00-{4bf92f35-77b3-4da6-a3ce-929d0e0e4736}-1-01"] {
            assert_eq!(trace(Some(other)), None, "{other}");
        }
        assert_eq!(trace(None), None);
    }
}
