//! A decision in the making: facts so far, and the saga as they leave it, so that each rule sees what the one before decided.

use super::super::definition::{Definition, Step, StepIx};
use super::super::evolve::evolve;
use super::super::fact::{Cause, Fact};
use super::super::input::Verdict;
use super::super::phase::Phase;
use super::super::saga::{Action, BlockKind, Saga};
use super::super::time::Timestamp;
use super::{Decision, Refusal, Rendered, Rules};

/// Facts so far and the saga after them.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) rules: Rules<'a>,
    pub(super) saga: Saga,
    pub(super) facts: Vec<Fact>,
    pub(super) rendered: Vec<Rendered>,
    pub(super) now: Timestamp,
}

impl<'a> Draft<'a> {
    pub(super) fn on(rules: Rules<'a>, saga: Saga, now: Timestamp) -> Self {
        Self { rules, saga, facts: Vec::new(), rendered: Vec::new(), now }
    }

    /// Takes up a decision again, to add to its row.
    pub(super) fn of(rules: Rules<'a>, decision: Decision) -> Self {
        let Decision { saga, facts, rendered, now, .. } = decision;
        Self { rules, saga, facts, rendered, now }
    }

    pub(super) fn into_decision(self, refusal: Option<Refusal>) -> Decision {
        let verdict = refusal.as_ref().map_or(Verdict::Applied, |refusal| refusal.verdict);
        let Self { saga, facts, rendered, now, .. } = self;
        Decision { verdict, facts, rendered, saga, now, refusal }
    }

    /// Adds a fact and folds it in. The first one opens the saga's next journal row.
    pub(super) fn push(&mut self, fact: Fact) {
        if self.facts.is_empty() {
            self.saga.seq += 1;
        }
        evolve(self.rules.definition, &mut self.saga, self.now, &fact);
        self.facts.push(fact);
    }

    pub(super) fn definition(&self) -> &'a Definition {
        self.rules.definition
    }

    pub(super) fn step(&self, step: StepIx) -> &'a Step {
        self.rules.definition.step(step)
    }

    /// True while a person holds the step.
    pub(super) fn is_held(&self, step: StepIx) -> bool {
        self.rules.held_since(step).is_some()
    }

    /// Puts a block in the saga's way, once a step, direction and kind. A final saga is never blocked.
    pub(super) fn block(
        &mut self,
        step: StepIx,
        action: Action,
        kind: BlockKind,
        code: &str,
        message: impl Into<String>,
    ) {
        let known = self.saga.blocks.iter().any(|block| block.is(step, action, kind));
        if !known && !self.saga.is_final() {
            self.push(Fact::Blocked { step, action, kind, code: code.into(), message: message.into() });
        }
    }

    /// Removes the step's blocks of this direction that `which` names.
    pub(super) fn unblock(&mut self, step: StepIx, action: Action, which: impl Fn(BlockKind) -> bool) {
        let kinds: Vec<BlockKind> = self.saga.blocks_of(step, action).map(|block| block.kind).collect();
        for kind in kinds.into_iter().filter(|kind| which(*kind)) {
            self.push(Fact::Unblocked { step, action, kind });
        }
    }

    /// Turns the saga, once; a final saga never turns.
    pub(super) fn turn(&mut self, cause: Cause) {
        if self.saga.turned.is_none() && !self.saga.is_final() {
            self.push(Fact::Turned { cause });
        }
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        if self.saga.phase != phase {
            self.push(Fact::PhaseChanged { phase });
        }
    }
}
