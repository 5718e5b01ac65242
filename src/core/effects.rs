//! What must be sent once the facts are safe. Derived from facts and state, so that a takeover sends the same records again.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::decide::{Rendered, Rules};
use super::definition::{StepIx, Undo};
use super::fact::Fact;
use super::hash::Sha256;
use super::ids::{announcement_id, command_id};
use super::json::Json;
use super::phase::Phase;
use super::progress::flight;
use super::saga::{Action, Flight, Saga, SagaError};
use super::time::Timestamp;

/// Something to send after the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A command to a participant.
    Command(Box<Command>),
    /// An event about the saga, for whoever wants to know.
    Announcement(Box<Announcement>),
}

/// A command to a participant: everything that its record needs (CONTRACT.md section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// `ce_correlationid`.
    pub saga_id: Uuid,
    /// The record's key and `ce_subject`.
    pub business_key: Arc<str>,
    /// Part of `ce_source`.
    pub definition_name: Arc<str>,
    /// Part of `ce_source`.
    pub definition_version: u32,
    /// `ce_sagadefinition`.
    pub definition_hash: Sha256,
    /// The participant's command topic.
    pub topic: Arc<str>,
    /// `ce_type`.
    pub kind: Arc<str>,
    /// `ce_replyto`.
    pub reply_topic: Arc<str>,
    /// The step's place.
    pub step: StepIx,
    /// `ce_sagastep`.
    pub step_name: Arc<str>,
    /// `ce_sagaaction`.
    pub action: Action,
    /// `ce_sagaattempt`.
    pub attempt: u16,
    /// `ce_id`.
    pub id: Uuid,
    /// `ce_time`.
    pub decided_at: Timestamp,
    /// `ce_expirytime`: only where patience ends the step.
    pub expires_at: Option<Timestamp>,
    /// `ce_causationid`.
    pub cause: Arc<str>,
    /// W3C Trace Context of the trigger.
    pub traceparent: Option<Arc<str>>,
    /// See `traceparent`.
    pub tracestate: Option<Arc<str>>,
    /// The record's value.
    pub data: Json,
}

/// An event about a saga that ended or is stuck (CONTRACT.md section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// `ce_id`, derived from saga and seq.
    pub id: Uuid,
    /// The saga.
    pub saga_id: Uuid,
    /// The record's key.
    pub business_key: Arc<str>,
    /// The definition's name.
    pub definition_name: Arc<str>,
    /// The definition's version.
    pub definition_version: u32,
    /// The definition's outcome topic.
    pub topic: Arc<str>,
    /// The phase that it announces.
    pub phase: Phase,
    /// When the saga began.
    pub started_at: Timestamp,
    /// When it ended, if it did.
    pub finished_at: Option<Timestamp>,
    /// What went wrong first.
    pub error: Option<SagaError>,
    /// The journal row that announces it.
    pub seq: u32,
    /// When that row was decided.
    pub at: Timestamp,
}

/// A command whose data renders differently from what the journal says. It is never sent: its saga becomes `stuck`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differs {
    /// The step.
    pub step: StepIx,
    /// The direction.
    pub action: Action,
    /// The attempt.
    pub attempt: u16,
    /// What is different, for people.
    pub message: String,
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "render the command of step {} again: {}", self.step.0, self.message)
    }
}

impl std::error::Error for Differs {}

/// What the facts of journal row `seq` lead to, on the saga as it stands after them (or later). Commands only while they are
/// outstanding, announcements always: so a row that is emitted twice, or late, does no harm. `rendered`: data of that row's commands
/// that are at hand, since the row was decided a moment ago.
pub fn effects(
    rules: Rules<'_>,
    saga: &Saga,
    seq: u32,
    now: Timestamp,
    facts: &[Fact],
    rendered: &[Rendered],
) -> Vec<Result<Effect, Differs>> {
    let mut found = Vec::new();
    for fact in facts {
        match fact {
            Fact::Issued { step, action, attempt, .. } | Fact::Resent { step, action, attempt } => {
                // Only while it has no final answer.
                if let Some(flight) = flight(saga, *step, *action).filter(|flight| flight.attempt == *attempt) {
                    let is_it = |one: &&Rendered| (one.step, one.action, one.attempt) == (*step, *action, *attempt);
                    let data = match rendered.iter().find(is_it) {
                        Some(rendered) => Ok(rendered.data.clone()),
                        None => render_again(rules, saga, *step, *action, flight),
                    };
                    found.push(data.and_then(|data| command(rules, saga, *step, *action, flight, data)));
                }
            }
            Fact::PhaseChanged { phase } if phase.is_final() || *phase == Phase::Stuck => {
                found.push(Ok(announcement(rules, saga, *phase, seq, now)));
            }
            Fact::PhaseChanged { .. }
            | Fact::Started { .. }
            | Fact::Ready { .. }
            | Fact::Progressed { .. }
            | Fact::Succeeded { .. }
            | Fact::Failed { .. }
            | Fact::Refused { .. }
            | Fact::RetryDue { .. }
            | Fact::GivenUp { .. }
            | Fact::FailedForGood { .. }
            | Fact::Skipped { .. }
            | Fact::Turned { .. }
            | Fact::Exhausted { .. }
            | Fact::UndoSkipped { .. }
            | Fact::UndoDue { .. }
            | Fact::Blocked { .. }
            | Fact::Unblocked { .. }
            | Fact::AnsweredEarly { .. }
            | Fact::CameLate { .. }
            | Fact::Conflicted { .. }
            | Fact::Undeliverable { .. }
            | Fact::Rearmed { .. }
            | Fact::Operated { .. }
            | Fact::TurnWished { .. }
            | Fact::WishRefused
            | Fact::Edited { .. }
            | Fact::Renewed { .. }
            | Fact::Thawed { .. }
            | Fact::Held { .. }
            | Fact::Released { .. } => {}
        }
    }
    found
}

/// The data of a command that was issued earlier, the same as then.
fn render_again(rules: Rules<'_>, saga: &Saga, step: StepIx, action: Action, flight: &Flight) -> Result<Json, Differs> {
    let differs = |message: String| Differs { step, action, attempt: flight.attempt, message };
    let data = rules.render.data(saga, step, action).map_err(|error| differs(error.message))?;
    if Sha256::of(data.get().as_bytes()) != flight.data_hash {
        return Err(differs("the data differ from those that were issued".to_owned()));
    }
    Ok(data)
}

fn command(
    rules: Rules<'_>,
    saga: &Saga,
    place: StepIx,
    action: Action,
    flight: &Flight,
    data: Json,
) -> Result<Effect, Differs> {
    let definition = rules.definition;
    let step = definition.step(place);
    let differs = |message: String| Differs { step: place, action, attempt: flight.attempt, message };
    let (kind, expires_at) = match (action, &step.undo) {
        (Action::Do, _) => (Arc::clone(&step.command_type), step.expires().then_some(flight.expires_at)),
        (Action::Undo, Undo::Command(kind)) => (Arc::clone(kind), None),
        (Action::Undo, Undo::Nothing) => return Err(differs("the step has no compensation".to_owned())),
    };
    Ok(Effect::Command(Box::new(Command {
        saga_id: saga.id,
        business_key: Arc::clone(&saga.business_key),
        definition_name: Arc::clone(&definition.name),
        definition_version: definition.version,
        definition_hash: definition.hash,
        topic: Arc::clone(&step.command_topic),
        kind,
        reply_topic: Arc::clone(&definition.reply_topic),
        step: place,
        step_name: Arc::clone(&step.name),
        action,
        attempt: flight.attempt,
        id: command_id(saga.id, place, action, flight.attempt),
        decided_at: flight.issued_at,
        expires_at,
        cause: Arc::clone(&flight.cause),
        traceparent: saga.trigger.traceparent.clone(),
        tracestate: saga.trigger.tracestate.clone(),
        data,
    })))
}

fn announcement(rules: Rules<'_>, saga: &Saga, phase: Phase, seq: u32, now: Timestamp) -> Effect {
    Effect::Announcement(Box::new(Announcement {
        id: announcement_id(saga.id, seq),
        saga_id: saga.id,
        business_key: Arc::clone(&saga.business_key),
        definition_name: Arc::clone(&rules.definition.name),
        definition_version: rules.definition.version,
        topic: Arc::clone(&rules.definition.outcome_topic),
        phase,
        started_at: saga.started_at,
        finished_at: saga.finished_at,
        error: saga.error.clone(),
        seq,
        at: now,
    }))
}
