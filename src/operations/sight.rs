//! What somebody may see of a saga. Its definition masks places in payloads; what stands there is masked wherever else the saga
//! repeats it: under another name in a command or reply, or in the words of a failure.
//!
//! Rows are masked before anything is told of them, so that whatever is made of a saga to be looked at is masked as well. What is
//! decided, is decided on the saga as it is.

use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::core::{Action, Fact, Operation, Render as _, StepIx, Transition};
use crate::definition::{Compiled, MASKED, Mask, Source};
use crate::store::{AuditEntry, Catalogue, Console, DefinitionRow, ListedSaga};

use super::dry_run::{DryRun, dry_run};
use super::failure::{Exit, Failure};
use super::opened::{Opened, Plans};
use super::plan::PlanJson;
use super::read::{ListedJson, listed};

/// How much of payloads is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// What definitions mask is masked.
    Masked,
    /// Everything.
    Whole,
}

/// A definition's mask, and what stands at its places in one saga.
struct Veil<'a> {
    mask: &'a Mask,
    /// The longest first, so that none hides a part of another one.
    hidden: Vec<String>,
}

impl<'a> Veil<'a> {
    /// `None`: there is nothing to hide.
    fn of(mask: &'a Mask, journal: &[Transition], sight: Sight) -> Option<Self> {
        if sight == Sight::Whole || mask.is_empty() {
            return None;
        }
        let mut hidden = Vec::new();
        for mut fact in journal.iter().flat_map(|row| &row.facts).filter_map(as_value) {
            each_payload(&mut fact, &mut |payload| hidden.extend(mask.apply(payload)), &|_| ());
        }
        hidden.sort_by(|one, other| (other.len(), other).cmp(&(one.len(), one)));
        hidden.dedup();
        Some(Self { mask, hidden })
    }

    fn row(&self, row: &Transition) -> Transition {
        let masked = |fact: &Fact| {
            let mut value = as_value(fact)?;
            self.fact(&mut value);
            Some(serde_json::from_str(&value.to_string()).expect("other payloads make no other fact"))
        };
        Transition { now: row.now, facts: row.facts.iter().filter_map(masked).collect() }
    }

    fn fact(&self, fact: &mut Value) {
        each_payload(fact, &mut |payload| self.payload(payload), &|words| *words = self.words(words));
    }

    fn payload(&self, payload: &mut Value) {
        self.mask.apply(payload);
        self.repeated(payload);
    }

    fn repeated(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.words(text),
            Value::Number(number) if self.hidden.contains(&number.to_string()) => *value = Value::from(MASKED),
            Value::Array(items) => items.iter_mut().for_each(|item| self.repeated(item)),
            Value::Object(members) => members.values_mut().for_each(|member| self.repeated(member)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn data(&self, text: &str) -> Box<RawValue> {
        let mut data = serde_json::from_str(text).unwrap_or_else(|_| Value::from(MASKED));
        self.payload(&mut data);
        RawValue::from_string(data.to_string()).expect("it was written as JSON")
    }

    fn words(&self, text: &str) -> String {
        self.hidden.iter().fold(text.to_owned(), |text, hidden| text.replace(hidden, MASKED))
    }
}

/// `None`: there is a number in it that is none to us, such as 1e999. What cannot be read cannot be masked, and is not shown.
fn as_value(fact: &Fact) -> Option<Value> {
    serde_json::to_value(fact).ok()
}

/// Foreign data within facts, and words that may quote them.
fn each_payload(value: &mut Value, payload: &mut impl FnMut(&mut Value), words: &impl Fn(&mut String)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match (&**name, member) {
                    (_, Value::Null) => {}
                    ("data" | "reply", member) => payload(member),
                    ("message" | "reason", Value::String(text)) => words(text),
                    (_, member) => each_payload(member, payload, words),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_payload(item, payload, words)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl Opened {
    /// The saga as somebody may see it: to be looked at, not to be decided on.
    #[must_use]
    pub fn seen(mut self, sight: Sight) -> Self {
        let plan = Arc::clone(&self.plan);
        let Some(veil) = Veil::of(plan.mask(), &self.journal, sight) else { return self };
        self.journal.iter_mut().for_each(|row| *row = veil.row(row));
        if let Some(error) = &mut self.saga.error {
            error.message = veil.words(&error.message);
        }
        self
    }
}

/// The data of the command of a step of this saga (as it is), as somebody may see them; `None` when they cannot be rendered.
pub(super) fn command_data(opened: &Opened, step: StepIx, sight: Sight) -> Option<Box<RawValue>> {
    let data = opened.plan.data(&opened.saga, step, Action::Do).ok()?;
    match Veil::of(opened.plan.mask(), &opened.journal, sight) {
        Some(veil) => Some(veil.data(data.get())),
        None => RawValue::from_string(data.get().to_owned()).ok(),
    }
}

/// What an operation would do, decided on the saga as it is, told as somebody may see it.
pub fn tried(opened: &Opened, operation: &Operation, sight: Sight) -> DryRun {
    let mut tried = dry_run(opened.rules(), &opened.saga, operation, opened.now);
    let Some(veil) = Veil::of(opened.plan.mask(), &opened.journal, sight) else { return tried };
    tried.facts.iter_mut().for_each(|fact| veil.fact(fact));
    for command in &mut tried.commands {
        command.data = veil.data(command.data.get());
    }
    if let Some(refusal) = &mut tried.refusal {
        refusal.message = veil.words(&refusal.message);
    }
    tried
}

/// Sagas in a list, as somebody may see them. A list is made of rows without journals, so what went wrong in a saga whose definition
/// masks anything is told by its code alone.
pub(super) async fn listed_for(
    console: &Console,
    found: &[ListedSaga],
    sight: Sight,
) -> Result<Vec<ListedJson>, Failure> {
    let (mut plans, mut seen) = (Plans::default(), Vec::with_capacity(found.len()));
    for saga in found {
        let mut one = listed(saga);
        if let (Sight::Masked, Some(error)) = (sight, &mut one.error) {
            // A definition that cannot be read may mask anything.
            let plan = plans.get(console, saga.row.definition_hash).await?;
            if !plan.is_ok_and(|plan| plan.mask().is_empty()) {
                MASKED.clone_into(&mut error.message);
            }
        }
        seen.push(one);
    }
    Ok(seen)
}

/// Whether records of this topic, or of any, may hold what a definition in force masks. One that cannot be read may mask anything.
pub(super) async fn is_masked_topic(console: &Console, topic: Option<&str>) -> Result<bool, Failure> {
    let Catalogue { active, pinned, .. } = console.catalogue().await?;
    let is_open = |row: &DefinitionRow| {
        let plan = Source::from_body(&row.body).ok().and_then(|source| Compiled::load(&source).ok());
        plan.is_some_and(|plan| {
            let definition = plan.definition();
            let is_own =
                |topic: &str| [&definition.trigger_topic, &definition.reply_topic].iter().any(|own| ***own == *topic);
            plan.mask().is_empty() || !topic.is_none_or(is_own)
        })
    };
    Ok(!active.iter().chain(&pinned).all(is_open))
}

/// Hides in plans what an operator said with `--reply` or `--data`, where a definition in force masks anything: it is for sagas of any
/// definition, and there are no rows of theirs to learn from what stands where.
///
/// # Errors
/// The database does not answer.
pub async fn hide_said(console: &Console, plans: &mut [PlanJson], sight: Sight) -> Result<(), Failure> {
    let hidden = |plan: &PlanJson| {
        let read = serde_json::from_str(plan.action.get());
        // What cannot be read cannot be masked, and is not shown.
        let (mut action, mut holds_any) = read.map_or_else(|_| (Value::from(MASKED), true), |action| (action, false));
        each_payload(&mut action, &mut |payload| (*payload, holds_any) = (Value::from(MASKED), true), &|_| ());
        holds_any.then(|| RawValue::from_string(action.to_string()).expect("it was written as JSON"))
    };
    let hidden: Vec<_> = plans.iter().map(hidden).collect();
    if sight == Sight::Whole || hidden.iter().all(Option::is_none) || !is_masked_topic(console, None).await? {
        return Ok(());
    }
    for (plan, hidden) in plans.iter_mut().zip(hidden) {
        plan.action = hidden.unwrap_or_else(|| plan.action.clone());
    }
    Ok(())
}

/// Lets somebody see everything of `target`, once the audit has been told who, what and why.
///
/// # Errors
/// The reason is empty (exit 2), or the audit cannot be told (6).
pub async fn reveal(console: &Console, who: &str, target: &str, reason: &str) -> Result<Sight, Failure> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(Failure::new(Exit::Usage, "--reason is empty", "say why: it is stored"));
    }
    let entry = AuditEntry {
        who: who.to_owned(),
        verb: "reveal".to_owned(),
        target: target.chars().take(500).collect(),
        reason: reason.to_owned(),
        outcome: "decided".to_owned(),
        message: None,
    };
    console.tell(&entry).await?;
    Ok(Sight::Whole)
}
