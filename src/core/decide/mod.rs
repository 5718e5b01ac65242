//! What an input does to a saga, as facts. One file an input; this one only delegates.
//!
//! ```text
//! start, reply, timer, operation, undeliverable --> facts --> advance --> ready steps --> (dispatch chooses) --> issue
//! ```
//! `advance` runs after every input: it is the one place that knows what follows from the state (ready steps, undo order, phases).

mod advance;
mod age;
mod draft;
mod hold;
mod issue;
mod operation;
mod outcome;
mod repair;
mod reply;
mod resolve;
mod start;
mod timer;
mod wait;

use std::fmt;

use super::definition::{Definition, Render, StepIx};
use super::fact::Fact;
use super::input::{Input, Verdict};
use super::json::Json;
use super::saga::{Action, Saga};
use super::time::Timestamp;

use draft::Draft;

pub use advance::waits_for;
pub use issue::{issue, issue_all};
pub use operation::CHANGED;
pub use start::start;

/// What the rules need to know of a definition: its steps, and the seam that renders its data.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The checked definition that the saga is pinned to.
    pub definition: &'a Definition,
    /// Its expressions and schemas.
    pub render: &'a dyn Render,
    /// Since when a person holds each of its steps, by their places; empty where none is held.
    pub held: &'a [Option<Timestamp>],
}

impl Rules<'_> {
    /// Since when a person holds the step; `None` when nobody does.
    pub fn held_since(&self, step: StepIx) -> Option<Timestamp> {
        self.held.get(step.at()).copied().flatten()
    }
}

/// What was decided: at most one journal row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What became of the input.
    pub verdict: Verdict,
    /// The facts of the row; empty when there is nothing to write.
    pub facts: Vec<Fact>,
    /// The data of the commands that it issues: not stored, made again from the facts where they are needed later.
    pub rendered: Vec<Rendered>,
    /// The saga after the facts; its `seq` counts the row.
    pub saga: Saga,
    /// When it was decided.
    pub now: Timestamp,
    /// Why the input was not applied; `None` when it was.
    pub refusal: Option<Refusal>,
}

impl Decision {
    /// A decision without facts yet: the dispatcher adds what it issues.
    pub fn quiet(saga: Saga, now: Timestamp) -> Self {
        Self { verdict: Verdict::Applied, facts: Vec::new(), rendered: Vec::new(), saga, now, refusal: None }
    }
}

/// The data of a command, as its *issued* fact has their hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The step.
    pub step: StepIx,
    /// The direction.
    pub action: Action,
    /// The attempt.
    pub attempt: u16,
    /// The data.
    pub data: Json,
}

/// Why an input was not applied. Not an error: every refusal is a verdict with a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The verdict.
    pub verdict: Verdict,
    /// A short stable word, such as `unknown-command`.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// The operator's verbs that would be allowed; empty for records.
    pub can: Vec<&'static str>,
}

impl Refusal {
    fn new(verdict: Verdict, code: &'static str, message: impl Into<String>) -> Self {
        Self { verdict, code, message: message.into(), can: Vec::new() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.verdict.name(), self.code, self.message)
    }
}

/// The operator's verbs that would be carried out on the saga as it stands, for one step of it at least.
pub fn allowed(rules: Rules<'_>, saga: &Saga, now: Timestamp) -> Vec<&'static str> {
    repair::allowed(&Draft::on(rules, saga.clone(), now))
}

/// What `input` does to `saga` at `now`. Commands that became ready are facts; `issue` sends them on their way.
pub fn decide(rules: Rules<'_>, saga: &Saga, input: &Input, now: Timestamp) -> Decision {
    let mut draft = Draft::on(rules, saga.clone(), now);
    let outcome = match input {
        Input::Trigger(trigger) => Err(start::again(saga, trigger)),
        Input::Reply(answer) => reply::reply(&mut draft, answer),
        Input::Timer { replies_read_until, acknowledged } => {
            timer::timer(&mut draft, *replies_read_until, *acknowledged);
            Ok(())
        }
        Input::Operation(operation) => operation::operation(&mut draft, operation),
        Input::Undeliverable { step, action, attempt, code, message } => {
            outcome::undeliverable(&mut draft, *step, *action, *attempt, code, message);
            Ok(())
        }
    };
    if !draft.facts.is_empty() {
        advance::advance(&mut draft);
    }
    draft.into_decision(outcome.err())
}
