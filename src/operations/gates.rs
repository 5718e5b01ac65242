//! What an open saga waits for: every gate that is not met, each with its numbers (OPERATIONS.md section 4). Pure.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::core::{
    Action, Backward, Block, BlockKind, Definition, Fact, Flight, Forward, OnExhausted, Outcome, Phase, Saga, StepIx,
    StepKind, Timestamp, Transition, Verb, Wait, due, flight, is_endless, patience_decides, waits_for,
};
use crate::store::HoldRow;

use super::moments::Moment;
use super::words::{Word, maybe_word, word};

/// Kinds of gates, the one that people should hear of first first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum GateKind {
    /// A person froze the saga.
    Paused,
    /// A person or a late answer has to remove a block.
    Stuck,
    /// A person holds the step, its participant or its definition.
    OnHold,
    /// A command is sent and not answered.
    Unanswered,
    /// The delay before the next attempt.
    RetryDelay,
    /// The command may go out as soon as an engine has room.
    Ready,
    /// A wish to turn waits for the pivot's answer.
    Wish,
    /// Steps that come before have not ended.
    Predecessors,
    /// Steps that depend on it have to be undone first.
    UndoOrder,
    /// It begins as soon as the saga goes on.
    Held,
}

/// A gate that is not met, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// Its kind.
    pub gate: GateKind,
    /// The step; `None` when it is about the saga as a whole.
    pub step: Option<String>,
    /// `do` or `undo`.
    #[serde(deserialize_with = "maybe_word")]
    #[schema(value_type = Option<String>)]
    pub action: Option<Word>,
    /// What is waited for.
    pub waits_for: String,
    /// Since when.
    pub since: Option<Moment>,
    /// Why, with numbers.
    pub because: String,
    /// The attempt that it is about.
    pub attempt: Option<u16>,
    /// Attempts in all; `None` where the step is asked without end.
    pub attempts_of: Option<u16>,
    /// How often the same command was sent again.
    pub resends: Option<u16>,
    /// What happens by itself, in order; empty: nothing does.
    pub next: Vec<Next>,
}

/// Something that happens by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Next {
    /// When.
    pub at: Moment,
    /// What.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub what: Word,
    /// What follows from it.
    pub then: Option<String>,
}

/// What the gates are read from.
struct Scene<'a> {
    definition: &'a Definition,
    saga: &'a Saga,
    journal: &'a [Transition],
    holds: &'a [HoldRow],
}

/// Every gate that is not met, the most important first; `holds`: what people hold of the definition.
pub fn gates(definition: &Definition, saga: &Saga, journal: &[Transition], holds: &[HoldRow]) -> Vec<Gate> {
    // Nobody waits for anything any more.
    if saga.phase == Phase::Abandoned {
        return Vec::new();
    }
    let scene = Scene { definition, saga, journal, holds };
    let mut found: Vec<Gate> = scene.paused().into_iter().collect();
    found.extend(saga.blocks.iter().map(|block| scene.block(block)));
    found.extend(scene.wish());
    for step in definition.places() {
        let mut of_step: Vec<Gate> = scene.forward(step).into_iter().chain(scene.backward(step)).collect();
        if saga.step(step).held_since().is_some() || scene.holds(step).next().is_some() {
            // Its timers stand still.
            of_step.iter_mut().for_each(|gate| gate.next.clear());
        }
        if !of_step.is_empty() {
            found.extend(scene.holds(step).map(|hold| scene.on_hold(step, hold)));
        }
        found.extend(of_step);
        found.extend(scene.order(step));
    }
    // Its timers stand still.
    if saga.phase == Phase::Paused {
        found.iter_mut().for_each(|gate| gate.next.clear());
    }
    found.sort_by_key(|gate| gate.gate);
    found
}

impl Scene<'_> {
    fn name(&self, step: StepIx) -> &str {
        &self.definition.step(step).name
    }

    fn gate(&self, gate: GateKind, step: Option<(StepIx, Action)>, waits_for: String, because: String) -> Gate {
        Gate {
            gate,
            step: step.map(|(step, _)| self.name(step).to_owned()),
            action: step.map(|(_, action)| action.name()),
            waits_for,
            since: None,
            because,
            attempt: None,
            attempts_of: None,
            resends: None,
            next: Vec::new(),
        }
    }

    fn paused(&self) -> Option<Gate> {
        let since = self.saga.paused_at?;
        let facts = self.journal.iter().rev().flat_map(|row| row.facts.iter().rev());
        let mut operations = facts.filter_map(|fact| {
            let Fact::Operated { operation } = fact else { return None };
            Some(operation)
        });
        let asked = operations.find(|operation| operation.verb == Verb::Pause);
        let because = asked.map_or_else(
            || "it was paused".to_owned(),
            |asked| format!("{} paused it: {}; its timers stand still", asked.who, asked.reason),
        );
        Some(Gate { since: Some(Moment(since)), ..self.gate(GateKind::Paused, None, "a person".to_owned(), because) })
    }

    fn holds(&self, step: StepIx) -> impl Iterator<Item = &HoldRow> {
        let rule = self.definition.step(step);
        self.holds.iter().filter(|hold| hold.target.covers(&self.definition.name, rule))
    }

    fn on_hold(&self, step: StepIx, hold: &HoldRow) -> Gate {
        let HoldRow { id, target, since, who, reason } = hold;
        let because = format!(
            "{who} holds {target} (h{id}): {reason}; nothing of {} is sent, and its timers stand still",
            self.name(step)
        );
        let gate = self.gate(GateKind::OnHold, None, "a person to release it".to_owned(), because);
        Gate { step: Some(self.name(step).to_owned()), since: Some(Moment(*since)), ..gate }
    }

    fn block(&self, block: &Block) -> Gate {
        let Block { step, action, kind, code } = block;
        let said = blocked(self.journal, block);
        let message = said.map(|(_, message)| message).filter(|message| !message.is_empty());
        let what = match kind {
            BlockKind::Unanswered => "stayed unanswered",
            BlockKind::Failed => "failed for good",
            BlockKind::Conflict => "has answers that contradict each other",
            BlockKind::Undeliverable => "cannot be sent",
        };
        let way_out = match kind {
            _ if self.definition.step(*step).waits == Some(Wait::Approval) && *action == Action::Do => {
                "approve or reject answers it; retry asks again after a no"
            }
            BlockKind::Unanswered => "an answer removes it; resume asks again; resolve says what a person found",
            BlockKind::Failed => {
                "once the cause is mended, retry makes a new attempt; resolve says what a person found"
            }
            BlockKind::Conflict => "find out what is true, then resolve",
            BlockKind::Undeliverable => "mend what makes the command impossible to send, then resume",
        };
        let (attempt, of) = self.attempts(*step, *action);
        let message = message.map_or_else(String::new, |message| format!(": {message}"));
        let because = format!(
            "{} of {} ({}) {what}, {code}{message} ({way_out})",
            action.name(),
            self.name(*step),
            counted(attempt, of)
        );
        Gate {
            since: said.map(|(at, _)| Moment(at)),
            attempt: Some(attempt),
            attempts_of: of,
            ..self.gate(GateKind::Stuck, Some((*step, *action)), "a person".to_owned(), because)
        }
    }

    fn wish(&self) -> Option<Gate> {
        self.saga.wish?;
        let pivots = self.definition.places().filter(|step| self.definition.step(*step).kind == StepKind::Pivot);
        let open: Vec<&str> = pivots.filter(|step| self.in_doubt(*step)).map(|step| self.name(step)).collect();
        let because = "a person wished the saga to turn, and whether its pivot succeeds decides that".to_owned();
        Some(self.gate(GateKind::Wish, None, format!("the outcome of {}", open.join(", ")), because))
    }

    fn in_doubt(&self, step: StepIx) -> bool {
        matches!(self.saga.step(step).forward, Forward::Issued(_) | Forward::Unclear)
            || self.saga.blocks_of(step, Action::Do).next().is_some()
    }

    fn forward(&self, step: StepIx) -> Option<Gate> {
        let turned = self.saga.turned.is_some();
        match &self.saga.step(step).forward {
            Forward::Issued(_) => self.unanswered(step, Action::Do),
            Forward::Retrying(at) if !turned && !self.saga.is_final() => Some(self.retry(step, Action::Do, *at)),
            Forward::Ready if !turned => Some(self.ready(step, Action::Do)),
            Forward::Pending
            | Forward::Ready
            | Forward::Retrying(_)
            | Forward::Succeeded
            | Forward::Failed(_)
            | Forward::GivenUp(_)
            | Forward::Unclear
            | Forward::Skipped(_) => None,
        }
    }

    fn backward(&self, step: StepIx) -> Option<Gate> {
        match &self.saga.step(step).backward {
            Backward::Issued(_) | Backward::Exhausted(Some(_)) => self.unanswered(step, Action::Undo),
            Backward::Retrying(at) => Some(self.retry(step, Action::Undo, *at)),
            Backward::Ready => Some(self.ready(step, Action::Undo)),
            Backward::None | Backward::Done | Backward::Exhausted(None) | Backward::Skipped(_) => None,
        }
    }

    fn unanswered(&self, step: StepIx, action: Action) -> Option<Gate> {
        let out = flight(self.saga, step, action)?;
        let (rule, (_, of)) = (self.definition.step(step), self.attempts(step, action));
        let again = match out.resends {
            0 => String::new(),
            1 => ", sent again once".to_owned(),
            times => format!(", sent again {times} times"),
        };
        let (waits_for, because) = match rule.waits {
            Some(wait) => (
                wait.phrase().to_owned(),
                format!("{} was asked for on topic {}{again}", rule.name, rule.command_topic),
            ),
            None => {
                let (action, attempt) = (action.name(), counted(out.attempt, of));
                let topic = &rule.command_topic;
                let because = format!("{action} of {} ({attempt}, topic {topic}{again}) is not answered", rule.name);
                (format!("a reply from {}", rule.participant), because)
            }
        };
        Some(Gate {
            since: Some(Moment(out.issued_at)),
            attempt: Some(out.attempt),
            attempts_of: of,
            resends: Some(out.resends),
            next: self.next_of(step, action, out),
            ..self.gate(GateKind::Unanswered, Some((step, action)), waits_for, because)
        })
    }

    /// What happens while the command stays unanswered.
    fn next_of(&self, step: StepIx, action: Action, out: &Flight) -> Vec<Next> {
        let name = self.name(step);
        let end = match action {
            Action::Do if !patience_decides(self.definition, self.saga, step) => None,
            Action::Do if self.definition.step(step).kind == StepKind::Pivot => {
                Some("the saga becomes stuck".to_owned())
            }
            Action::Do if self.definition.step(step).waits.is_some() => {
                Some(format!("{name} has failed, and the saga is undone"))
            }
            Action::Do => Some(format!("{name} counts as possibly done, and the saga is undone")),
            Action::Undo
                if self.saga.phase == Phase::Stuck
                    || matches!(self.saga.step(step).backward, Backward::Exhausted(_)) =>
            {
                None
            }
            Action::Undo => Some(match self.definition.step(step).compensation.on_exhausted {
                OnExhausted::Block => "the saga becomes stuck".to_owned(),
                OnExhausted::Skip => format!("the undo of {name} is skipped, and its effect stays"),
            }),
        };
        let sent_again = self.saga.blocks_of(step, action).all(|block| block.kind != BlockKind::Undeliverable);
        let is_notice = self.definition.step(step).waits.is_some();
        let what = if is_notice { "the notice is sent again" } else { "the same command is sent again" };
        let resend = Next { at: Moment(out.resend_at), what, then: None };
        let end = end.map(|end| Next { at: Moment(out.patience_ends), what: "patience ends", then: Some(end) });
        let mut next: Vec<Next> = sent_again.then_some(resend).into_iter().chain(end).collect();
        next.sort();
        next
    }

    fn retry(&self, step: StepIx, action: Action, at: Timestamp) -> Gate {
        let (attempt, of) = self.attempts(step, action);
        let failures = self.saga.step(step).answers.iter().rev();
        let mut failures = failures.filter(|given| given.action == action && given.answer.outcome == Outcome::Failure);
        let code = failures.next().and_then(|given| given.answer.code.as_deref()).unwrap_or("without a code");
        let name = self.name(step);
        let because = format!("{} of {name} ({}) failed: {code}", action.name(), counted(attempt, of));
        let next = due(self.definition, self.saga, step, action).map(|_| {
            let then = format!("attempt {} of {} {name}", attempt.saturating_add(1), action.name());
            Next { at: Moment(at), what: "the delay ends", then: Some(then) }
        });
        Gate {
            attempt: Some(attempt),
            attempts_of: of,
            next: next.into_iter().collect(),
            ..self.gate(GateKind::RetryDelay, Some((step, action)), format!("the next attempt of {name}"), because)
        }
    }

    fn ready(&self, step: StepIx, action: Action) -> Gate {
        let participant = &self.definition.step(step).participant;
        let because = match self.saga.phase {
            Phase::Stuck | Phase::Paused => format!("nothing new is sent while the saga is {}", self.saga.phase),
            Phase::Running
            | Phase::Compensating
            | Phase::Completed
            | Phase::Compensated
            | Phase::CompensatedWithSkips
            | Phase::Cancelled
            | Phase::Abandoned => format!("{} of {} is ready to be sent", action.name(), self.name(step)),
        };
        let room = match self.definition.step(step).waits {
            Some(_) => "an engine".to_owned(),
            None => format!("room at {participant}"),
        };
        self.gate(GateKind::Ready, Some((step, action)), room, because)
    }

    /// Steps that come first, forward or on the way back.
    fn order(&self, step: StepIx) -> Option<Gate> {
        let first = waits_for(self.definition, self.saga, step);
        let names: Vec<&str> = first.iter().map(|first| self.name(*first)).collect();
        let (name, is_open) = (self.name(step), !self.saga.is_final());
        let goes_forward = self.saga.turned.is_none();
        if first.is_empty() {
            let held = is_open && goes_forward && self.saga.step(step).forward == Forward::Pending;
            let because = format!("{name} begins as soon as the saga goes on");
            return held.then(|| self.gate(GateKind::Held, Some((step, Action::Do)), "the saga".to_owned(), because));
        }
        let states = first.iter().map(|first| self.state(*first)).collect::<Vec<_>>().join(", ");
        let (kind, action, because) = if goes_forward {
            (GateKind::Predecessors, Action::Do, format!("{name} comes after: {states}"))
        } else {
            (GateKind::UndoOrder, Action::Undo, format!("{name} is undone after: {states}"))
        };
        Some(self.gate(kind, Some((step, action)), names.join(", "), because))
    }

    fn state(&self, step: StepIx) -> String {
        format!("{} is {}", self.name(step), crate::core::step_state_name(self.saga.step(step)).name())
    }

    /// Attempts that were made, and how many there are in all; `None` where the step is asked without end.
    fn attempts(&self, step: StepIx, action: Action) -> (u16, Option<u16>) {
        let (state, rule) = (self.saga.step(step), self.definition.step(step));
        match action {
            Action::Do if is_endless(self.definition, self.saga, step) => (state.attempts, None),
            Action::Do => (state.attempts, Some(rule.retry.maximum_attempts)),
            Action::Undo => (state.undo_attempts, Some(rule.compensation.retry.maximum_attempts)),
        }
    }
}

/// When the block came up, and its message.
pub(super) fn blocked<'a>(journal: &'a [Transition], block: &Block) -> Option<(Timestamp, &'a str)> {
    let facts = journal.iter().rev().flat_map(|row| row.facts.iter().rev().map(|fact| (row.now, fact)));
    let mut blocks = facts.filter_map(|(now, fact)| {
        let Fact::Blocked { step, action, kind, message, .. } = fact else { return None };
        block.is(*step, *action, *kind).then_some((now, message.as_str()))
    });
    blocks.next()
}

fn counted(attempt: u16, of: Option<u16>) -> String {
    // A person's retry begins a new count, so there can be more attempts than the policy has.
    match of.filter(|of| *of >= attempt) {
        Some(of) => format!("attempt {attempt} of {of}"),
        None => format!("attempt {attempt}"),
    }
}
