//! A saga definition after checking: what the rules need to know of it. Made by the ring `definition`; immutable.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::hash::Sha256;
use super::json::Json;
use super::retry::RetryPolicy;
use super::saga::{Action, Saga};

/// A step's place in its definition's file order. The journal names steps by it: the definition is pinned by its hash, so the
/// number keeps its meaning for ever; people are shown the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepIx(pub u16);

impl StepIx {
    /// The place as an index into `Definition::steps` or `Saga::steps`.
    pub fn at(self) -> usize {
        usize::from(self.0)
    }
}

/// One version of a saga's steps. `steps` is in file order, acyclic, at most 500.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// SHA-256 of the file's bytes (and of the schemas it names): its identity.
    pub hash: Sha256,
    /// The saga's name, such as `trade-settlement`.
    pub name: Arc<str>,
    /// The version as in the file.
    pub version: u32,
    /// Topic of the records that start a saga.
    pub trigger_topic: Arc<str>,
    /// `ce_type` of the records that start a saga.
    pub trigger_type: Arc<str>,
    /// Where participants answer.
    pub reply_topic: Arc<str>,
    /// Where ends and `stuck` are announced, and what steps wait for that command nobody.
    pub outcome_topic: Arc<str>,
    /// The steps in file order.
    pub steps: Vec<Step>,
    /// All steps, each after its predecessors.
    pub order: Vec<StepIx>,
}

impl Definition {
    /// The step at `step`.
    pub fn step(&self, step: StepIx) -> &Step {
        &self.steps[step.at()]
    }

    /// The steps that command a participant: the others wait.
    pub fn commanding(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.waits.is_none())
    }

    /// Places of all steps in file order.
    pub fn places(&self) -> impl DoubleEndedIterator<Item = StepIx> + use<> {
        let count = u16::try_from(self.steps.len()).expect("a definition has at most 500 steps");
        (0..count).map(StepIx)
    }

    /// The place of the step called `name`.
    pub fn place_of(&self, name: &str) -> Option<StepIx> {
        self.places().find(|step| &*self.step(*step).name == name)
    }
}

/// One node of the graph: a participant's command, and how it is undone; or what is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Unique in the definition.
    pub name: Arc<str>,
    /// The service that the step talks to.
    pub participant: Arc<str>,
    /// Where its commands go: the participant's command topic, or, where it commands nobody, the definition's outcome topic.
    pub command_topic: Arc<str>,
    /// What it waits for, where it commands nobody: its command is a notice, for whoever can answer.
    pub waits: Option<Wait>,
    /// What the step's failure and success mean for the saga.
    pub kind: StepKind,
    /// Direct predecessors: all must be done before this step is ready.
    pub after: Vec<StepIx>,
    /// Direct successors: the steps whose `after` names this one.
    pub before: Vec<StepIx>,
    /// True when a pivot is among its ancestors: it runs only once the saga can no longer be undone.
    pub behind_pivot: bool,
    /// `ce_type` of its command.
    pub command_type: Arc<str>,
    /// How it is undone.
    pub undo: Undo,
    /// How long to wait for a reply before the same command is sent again, in milliseconds.
    pub timeout_ms: u64,
    /// How long a command may stay unanswered in all, from the fact *issued*, in milliseconds.
    pub patience_ms: u64,
    /// Retry of retryable failures.
    pub retry: RetryPolicy,
    /// Clocks, retry and end of its compensation.
    pub compensation: CompensationPolicy,
}

impl Step {
    /// True when the step is asked without end: it never fails for good, and patience does not end it.
    pub fn is_endless(&self) -> bool {
        self.kind == StepKind::Retriable || self.behind_pivot
    }

    /// True when the step may do something outside: it neither only reads nor only waits.
    pub fn has_effect(&self) -> bool {
        self.kind != StepKind::ReadOnly && self.waits.is_none()
    }

    /// True when patience ends the step: nobody waits for its answer any longer, and its command says so (`ce_expirytime`).
    pub fn expires(&self) -> bool {
        !self.is_endless() && self.kind != StepKind::Pivot
    }
}

/// What a step's failure and success mean for the saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// May fail; is undone by its compensation.
    Compensatable,
    /// May fail; once it has succeeded the saga only goes forward.
    Pivot,
    /// Never fails for good: asked again without end.
    Retriable,
    /// Has no effect, may fail, needs no undo.
    ReadOnly,
}

/// What a step waits for that commands nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Word that something has happened.
    Signal,
    /// A person's yes or no.
    Approval,
}

impl Wait {
    /// As definition files and people name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Approval => "approval",
        }
    }

    /// The name with its article, in sentences.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Signal => "a signal",
            Self::Approval => "an approval",
        }
    }
}

/// How a step is undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undo {
    /// By a command of this `ce_type`.
    Command(Arc<str>),
    /// Not at all: it has no effect, runs behind the pivot, is the pivot, or says `compensate: none` (its effect may stay).
    Nothing,
}

/// Clocks, retry and end of a compensation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompensationPolicy {
    /// As `Step::timeout_ms`, for the undo command.
    pub timeout_ms: u64,
    /// As `Step::patience_ms`, for the undo command.
    pub patience_ms: u64,
    /// Retry of retryable failures of the undo.
    pub retry: RetryPolicy,
    /// What happens when the undo failed for good.
    pub on_exhausted: OnExhausted,
}

/// What a compensation that failed for good does to its saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExhausted {
    /// The saga becomes `stuck` and waits for a person.
    Block,
    /// The saga goes on and ends `compensated_with_skips`.
    Skip,
}

/// Renders a command's data and checks a reply's: the seam through which the rules use expressions and JSON Schemas.
///
/// Must be pure: the same definition and saga give the same bytes, today and after any restart (CONTRACT.md section 2).
pub trait Render: fmt::Debug {
    /// The data of the command of `step` in direction `action`, from the saga's trigger and replies.
    ///
    /// # Errors
    /// An expression that cannot be evaluated (`saga.expression`), data that breaks its schema (`saga.schema`), or data over
    /// the limit (`saga.too_large`).
    fn data(&self, saga: &Saga, step: StepIx, action: Action) -> Result<Json, RenderError>;

    /// Whether `data` fits the schema of the replies of `step`.
    ///
    /// # Errors
    /// What does not fit, as text for people.
    fn check_reply(&self, step: StepIx, data: &Json) -> Result<(), String>;
}

/// Why a command's data could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderError {
    /// `saga.expression`, `saga.schema` or `saga.too_large`.
    pub code: &'static str,
    /// What was attempted and why it failed, for people.
    pub message: String,
}
