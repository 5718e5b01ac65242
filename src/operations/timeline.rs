//! When each command of a saga was ready, sent and answered. Pure.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::core::{Action, Definition, Fact, StepIx, Timestamp, Transition};

use super::moments::Moment;
use super::words::{Word, maybe_word, word};

/// One attempt in one direction, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bar {
    /// The step's name.
    pub step: String,
    /// `do` or `undo`.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub action: Word,
    /// From 1.
    pub attempt: u16,
    /// When it was ready.
    pub queued_at: Moment,
    /// When it was sent.
    pub issued_at: Moment,
    /// How often it was sent again.
    pub resends: u16,
    /// When it was over.
    pub ended_at: Option<Moment>,
    /// How it ended: `succeeded`, `failed`, `givenUp`, `unanswered` or `skipped`.
    #[serde(deserialize_with = "maybe_word")]
    #[schema(value_type = Option<String>)]
    pub end: Option<Word>,
}

/// Every attempt that was sent, in the order of the steps' file, `do` before `undo`.
pub fn timeline(definition: &Definition, journal: &[Transition]) -> Vec<Bar> {
    let mut drawn = Drawn { definition, ready: Vec::new(), bars: Vec::new() };
    journal.iter().for_each(|row| row.facts.iter().for_each(|fact| drawn.add(row.now, fact)));
    drawn.bars.sort_by_key(|(step, action, bar)| (*step, *action, bar.attempt));
    drawn.bars.into_iter().map(|(.., bar)| bar).collect()
}

struct Drawn<'a> {
    definition: &'a Definition,
    ready: Vec<(StepIx, Action, Timestamp)>,
    bars: Vec<(StepIx, Action, Bar)>,
}

impl Drawn<'_> {
    fn add(&mut self, now: Timestamp, fact: &Fact) {
        match fact {
            Fact::Ready { step, action } => self.ready.push((*step, *action, now)),
            Fact::UndoDue { step } => self.ready.push((*step, Action::Undo, now)),
            Fact::Issued { step, action, attempt, .. } => self.issued(now, *step, *action, *attempt),
            Fact::Resent { step, action, .. } => {
                self.open(*step, *action).into_iter().for_each(|bar| bar.resends = bar.resends.saturating_add(1));
            }
            Fact::Succeeded { step, action, .. } => self.end(now, *step, *action, "succeeded"),
            Fact::Failed { step, action, .. } => self.end(now, *step, *action, "failed"),
            Fact::GivenUp { step, .. } => self.end(now, *step, Action::Do, "givenUp"),
            Fact::Exhausted { step, unanswered: true } => self.end(now, *step, Action::Undo, "unanswered"),
            Fact::Skipped { step, .. } => self.end(now, *step, Action::Do, "skipped"),
            Fact::UndoSkipped { step } => self.end(now, *step, Action::Undo, "skipped"),
            Fact::Started { .. }
            | Fact::Progressed { .. }
            | Fact::Refused { .. }
            | Fact::RetryDue { .. }
            | Fact::FailedForGood { .. }
            | Fact::Turned { .. }
            | Fact::Exhausted { .. }
            | Fact::Blocked { .. }
            | Fact::Unblocked { .. }
            | Fact::PhaseChanged { .. }
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

    fn issued(&mut self, now: Timestamp, step: StepIx, action: Action, attempt: u16) {
        let ready = self.ready.iter().rev().find(|(at, way, _)| (*at, *way) == (step, action));
        let bar = Bar {
            step: self.definition.steps.get(step.at()).map_or_else(|| step.0.to_string(), |step| step.name.to_string()),
            action: action.name(),
            attempt,
            queued_at: Moment(ready.map_or(now, |(.., at)| *at)),
            issued_at: Moment(now),
            resends: 0,
            ended_at: None,
            end: None,
        };
        self.bars.push((step, action, bar));
    }

    fn open(&mut self, step: StepIx, action: Action) -> Option<&mut Bar> {
        let of = |(at, way, bar): &&mut (StepIx, Action, Bar)| (*at, *way) == (step, action) && bar.end.is_none();
        self.bars.iter_mut().rev().find(of).map(|(.., bar)| bar)
    }

    fn end(&mut self, now: Timestamp, step: StepIx, action: Action, end: &'static str) {
        if let Some(bar) = self.open(step, action) {
            (bar.ended_at, bar.end) = (Some(Moment(now)), Some(end));
        }
    }
}
