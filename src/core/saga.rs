//! A saga's state: the fold of its facts. Plain data; every change is in `evolve`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::definition::StepIx;
use super::fact::{Answer, Cause, Outcome};
use super::hash::Sha256;
use super::input::Trigger;
use super::json::Json;
use super::phase::Phase;
use super::time::Timestamp;

/// One running or ended instance of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saga {
    /// Derived from definition name, business key and the trigger's timestamp.
    pub id: Uuid,
    /// The content hash of the definition that it is pinned to.
    pub definition: Sha256,
    /// Kafka key of all its records; unique in its definition's name.
    pub business_key: Arc<str>,
    /// The record that started it.
    pub trigger: Arc<Trigger>,
    /// Number of journal rows that are folded in: the highest seq.
    pub seq: u32,
    /// Where it stands.
    pub phase: Phase,
    /// When it was decided to start it.
    pub started_at: Timestamp,
    /// When its final phase was decided.
    pub finished_at: Option<Timestamp>,
    /// When it was paused, while it is.
    pub paused_at: Option<Timestamp>,
    /// Its steps, by their place in the definition; shared, since a decision changes few of them and begins with a copy.
    pub steps: Vec<Arc<StepState>>,
    /// Why it turned; `None` while it goes forward.
    pub turned: Option<Cause>,
    /// A wish to turn that waits for the pivot's answer.
    pub wish: Option<Cause>,
    /// What it cannot remove by itself; `stuck` while there is any.
    pub blocks: Vec<Block>,
    /// What went wrong first.
    pub error: Option<SagaError>,
    /// Id of the latest trigger or reply that moved it: the `ce_causationid` of what is issued next.
    pub cause: Arc<str>,
}

impl Saga {
    /// The state of the step at `step`.
    pub fn step(&self, step: StepIx) -> &StepState {
        &self.steps[step.at()]
    }

    /// The state of the step at `step`, to change it.
    pub fn step_mut(&mut self, step: StepIx) -> &mut StepState {
        Arc::make_mut(&mut self.steps[step.at()])
    }

    /// The state of every step, to change it.
    pub(super) fn steps_mut(&mut self) -> impl Iterator<Item = &mut StepState> {
        self.steps.iter_mut().map(Arc::make_mut)
    }

    /// What stands in the saga's way at this step, in this direction.
    pub fn blocks_of(&self, step: StepIx, action: Action) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(move |block| (block.step, block.action) == (step, action))
    }

    /// When the clocks of the step at `step` stopped, while they stand: the saga is paused, or the step is held.
    pub(super) fn stands_since(&self, step: StepIx) -> Option<Timestamp> {
        [self.paused_at, self.step(step).held_since()].into_iter().flatten().min()
    }

    /// True while a person holds one of its steps, as far as its journal knows.
    pub(super) fn is_held(&self) -> bool {
        self.steps.iter().any(|state| state.held_since().is_some())
    }

    /// True while a release would let it go on: a person holds a step of it that has something to send, or waits for an answer.
    pub fn waits_for_release(&self) -> bool {
        let is_open = !matches!(self.phase, Phase::Paused | Phase::Abandoned);
        is_open && self.steps.iter().any(|state| state.held_since().is_some() && state.is_at_work())
    }

    /// True while the broker refuses this command, or it cannot be rendered: it is not sent again.
    pub(super) fn is_undeliverable(&self, step: StepIx, action: Action) -> bool {
        self.blocks_of(step, action).any(|block| block.kind == BlockKind::Undeliverable)
    }

    /// True once nothing more is decided about the whole saga.
    pub fn is_final(&self) -> bool {
        self.phase.is_final()
    }
}

/// The direction of a command: `ce_sagaaction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// The step itself.
    Do,
    /// Its compensation.
    Undo,
}

impl Action {
    /// The value of the header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Do => "do",
            Self::Undo => "undo",
        }
    }
}

/// A step in one saga: its way forward and its way back are told apart, for a late success may need an undo of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepState {
    /// The `do` side.
    pub forward: Forward,
    /// The `undo` side.
    pub backward: Backward,
    /// `do` ids issued so far.
    pub attempts: u16,
    /// `undo` ids issued so far.
    pub undo_attempts: u16,
    /// Failures in a row that the retry policy counts, of the direction at work.
    pub failures: u16,
    /// What later steps read as `steps.<name>.reply`.
    pub reply: Option<Json>,
    /// Every answer that was kept: what duplicates and conflicts are told by.
    pub answers: Vec<Given>,
    /// Data that an operator gave for the next `do`, and for the next `undo`.
    pub edited: (Option<Json>, Option<Json>),
    /// Whether its timers run.
    pub clock: StepClock,
}

/// Whether the timers of a step run. (While the saga is paused none does.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StepClock {
    /// They do, and always did.
    #[default]
    Runs,
    /// They stand still since then: a person holds the step, its participant or its definition.
    Stands(Timestamp),
    /// They do, again since then.
    RunsAgain(Timestamp),
}

impl StepState {
    /// Since when its timers stand still, while a person holds it.
    pub fn held_since(&self) -> Option<Timestamp> {
        match self.clock {
            StepClock::Stands(since) => Some(since),
            StepClock::Runs | StepClock::RunsAgain(_) => None,
        }
    }

    /// The data that an operator gave for this direction.
    pub fn edited(&self, action: Action) -> Option<&Json> {
        match action {
            Action::Do => self.edited.0.as_ref(),
            Action::Undo => self.edited.1.as_ref(),
        }
    }

    /// True while a command of it wants to go out or waits for its answer, in either direction.
    pub(super) fn is_at_work(&self) -> bool {
        matches!(self.forward, Forward::Ready | Forward::Issued(_) | Forward::Retrying(_))
            || matches!(
                self.backward,
                Backward::Ready | Backward::Issued(_) | Backward::Retrying(_) | Backward::Exhausted(Some(_))
            )
    }

    pub(super) fn edit(&mut self, action: Action, data: Json) {
        match action {
            Action::Do => self.edited.0 = Some(data),
            Action::Undo => self.edited.1 = Some(data),
        }
    }

    /// True when a `do` had an effect that its state may not show: an attempt that was never issued by the facts that we have, one
    /// that a repeat followed, or one that succeeded late, after it counted as not done.
    pub fn succeeded_once(&self) -> bool {
        self.answers.iter().any(|given| {
            let counts = given.believed || given.attempt > self.attempts;
            given.action == Action::Do && given.answer.outcome == Outcome::Success && counts
        })
    }

    /// True when the `do` has, or may have, had its effect.
    pub fn may_be_done(&self) -> bool {
        matches!(self.forward, Forward::Succeeded | Forward::GivenUp(_) | Forward::Unclear) || self.succeeded_once()
    }

    /// True while the step's undo is due or under way.
    pub(super) fn is_undoing(&self) -> bool {
        !matches!(self.backward, Backward::None | Backward::Done | Backward::Skipped(_))
    }

    /// True when the last attempt in this direction has no other answer than `saga.conflict`: its outcome is unknown.
    pub(super) fn is_disputed(&self, action: Action) -> bool {
        let last = match action {
            Action::Do => self.attempts,
            Action::Undo => self.undo_attempts,
        };
        let mut of_last =
            self.answers.iter().filter(|given| (given.action, given.attempt) == (action, last)).peekable();
        of_last.peek().is_some() && of_last.all(|given| given.answer.is_conflict())
    }

    /// True when an undo of the step is known to have succeeded: the participant refuses every later `do` of it.
    pub(super) fn is_closed(&self) -> bool {
        let undone =
            |given: &Given| given.believed && given.action == Action::Undo && given.answer.outcome == Outcome::Success;
        self.backward == Backward::Done || self.answers.iter().any(undone)
    }
}

/// The `do` side of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Forward {
    /// Waiting for predecessors.
    #[default]
    Pending,
    /// Its command may go out.
    Ready,
    /// Its command is outstanding.
    Issued(Flight),
    /// A new attempt is due at this moment.
    Retrying(Timestamp),
    /// Done.
    Succeeded,
    /// Not done, for good. With a flight: an operator said so while this command was unanswered.
    Failed(Option<Flight>),
    /// Possibly done: unanswered for its patience.
    GivenUp(Flight),
    /// Possibly done: the participant answered `saga.conflict`.
    Unclear,
    /// Counts as not done, at an operator's word. With a flight: this command was unanswered.
    Skipped(Option<Flight>),
}

/// The `undo` side of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Backward {
    /// Not asked for (yet).
    #[default]
    None,
    /// It may go out.
    Ready,
    /// It is outstanding.
    Issued(Flight),
    /// A new attempt is due at this moment.
    Retrying(Timestamp),
    /// Undone.
    Done,
    /// It will not succeed by itself. With a flight: it is unanswered, and asked again without end.
    Exhausted(Option<Flight>),
    /// Its effect stays, knowingly. With a flight: this command was unanswered.
    Skipped(Option<Flight>),
}

/// A command that went out and has no final answer yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    /// Its attempt, from 1.
    pub attempt: u16,
    /// The journal row whose commit let it go.
    pub seq: u32,
    /// When it was decided: `ce_time`.
    pub issued_at: Timestamp,
    /// When the same command is sent again.
    pub resend_at: Timestamp,
    /// How often it was sent again since it was issued or last heard of: each time it waits longer.
    pub resends: u16,
    /// When patience ends.
    pub patience_ends: Timestamp,
    /// `ce_expirytime`: the first `patience_ends`, never moved, so that a re-sent command is the same record.
    pub expires_at: Timestamp,
    /// SHA-256 of its data.
    pub data_hash: Sha256,
    /// Its `ce_causationid`.
    pub cause: Arc<str>,
}

/// An answer that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Direction and attempt that it answers.
    pub action: Action,
    /// See `action`.
    pub attempt: u16,
    /// What it said.
    pub answer: Answer,
    /// True for one that was acted on; false for what was only noted: late, early and conflicting ones.
    pub believed: bool,
}

/// Something that a saga cannot remove by itself; one for each step, direction and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where it stands.
    pub step: StepIx,
    /// In which direction.
    pub action: Action,
    /// What would remove it.
    pub kind: BlockKind,
    /// A short stable word, as in `error.code`.
    pub code: Arc<str>,
}

impl Block {
    /// True for the block that these three name.
    pub fn is(&self, step: StepIx, action: Action, kind: BlockKind) -> bool {
        (self.step, self.action, self.kind) == (step, action, kind)
    }
}

/// What would remove a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BlockKind {
    /// An answer, or a person.
    Unanswered,
    /// A person: the last answer was a failure, so a new attempt is possible.
    Failed,
    /// A person who finds out what is true: the participant contradicts itself.
    Conflict,
    /// A person, after mending what makes the command impossible to send.
    Undeliverable,
}

/// What went wrong first in a saga.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SagaError {
    /// The step's name; `None` when no step is to blame.
    pub step: Option<Arc<str>>,
    /// A short stable word.
    pub code: Arc<str>,
    /// For people.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direction_is_named_as_its_header_says() {
        assert_eq!((Action::Do.name(), Action::Undo.name()), ("do", "undo"));
    }
}
