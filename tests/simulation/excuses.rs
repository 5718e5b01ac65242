//! What the audit excuses, each as narrowly as it can be argued: what nothing can know of after lost commits, and what stays by the rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use sagabus::core::{Action, Answer, Backward, Fact, Outcome, StepIx, command_id};
use sagabus::wire::{Received, Record};
use uuid::Uuid;

use super::audit::Audited;

impl Audited<'_> {
    pub(super) fn has_lost_facts(&self) -> bool {
        self.world.outage.borrow().has_lost_facts_of(self.stored.row.id)
    }

    /// True for a step whose last effect, done or undone, came of a command that went out by facts that a fail-over lost, that was never
    /// decided again, and whose answers, if any, were put aside for a person because their saga was lost too, or removed by retention, or
    /// said no more than that it is at work: nothing can know of it (docs/reliability.md, what is not covered).
    pub(super) fn is_forgotten(&self, step: &str) -> bool {
        let id = self.stored.row.id;
        let participants = self.world.participants.borrow();
        let last = participants.ledger.get(&(id, Arc::from(step))).and_then(|effects| effects.last());
        let Some(by) = last.map(|effect| effect.by).filter(|_| self.has_lost_facts()) else { return false };
        let is_issued = self.facts().any(|fact| match fact {
            Fact::Issued { step, action, attempt, .. } => command_id(id, *step, *action, *attempt) == by,
            _ => false,
        });
        let is_told =
            |(_, command, answer): &&(i64, Received, Answer)| command.id == by && answer.outcome != Outcome::Progress;
        let told = participants.answers.iter().filter(is_told).count();
        !is_issued && told <= self.put_aside(by) + self.removed(by)
    }

    /// Answers to this command that wait for a person.
    fn put_aside(&self, command: Uuid) -> usize {
        let cause = command.to_string();
        self.world.database.parked().iter().filter(|row| row.headers.contains(&cause)).count()
    }

    /// Answers to this command that retention has removed, read or not.
    fn removed(&self, command: Uuid) -> usize {
        let (broker, topic, cause) = (self.world.broker.borrow(), &self.definition.reply_topic, command.to_string());
        let is_answer = |record: &&Record| record.headers().any(|(_, value)| value == Some(cause.as_bytes()));
        let partitions = broker.ends(topic).into_iter().map(|(number, _)| (Arc::clone(topic), number));
        partitions
            .map(|partition| broker.stretch(&partition, 0, broker.bounds(&partition).0).filter(is_answer).count())
            .sum()
    }

    /// True when the undo of a step was decided, at least once until then, on facts that knew nothing of what depends on it, or left its
    /// effect knowingly: a fail-over has lost facts since, or before.
    pub(super) fn is_unknown_when_undone(&self, (step, at): (StepIx, i64), dependant: StepIx) -> bool {
        let decisions = self.world.undos_decided.borrow();
        let of_step = decisions.get(&(self.stored.row.id, step)).into_iter().flatten();
        let mut until_then = of_step.filter(|decision| decision.at <= at);
        self.has_lost_facts() && until_then.any(|decision| !decision.known.contains(&dependant))
    }

    /// True for a step of a saga that a person steered which was done, of which its journal knows nothing, and whose answers were all lost,
    /// removed by retention, or put aside while a fail-over had lost their saga: where a person said that it is not done nobody asks again.
    pub(super) fn is_untold(&self, step: &str) -> bool {
        let participants = self.world.participants.borrow();
        let successes = participants.answers.iter().filter(|(_, command, answer)| {
            let is_success = command.action == Action::Do && answer.outcome == Outcome::Success;
            command.saga_id == self.stored.row.id && *command.step == *step && is_success
        });
        let mut told: BTreeMap<Uuid, usize> = BTreeMap::new();
        successes.for_each(|(_, command, _)| *told.entry(command.id).or_insert(0) += 1);
        let is_lost = |(by, told): (&Uuid, &usize)| {
            let put_aside = if self.has_lost_facts() { self.put_aside(*by) } else { 0 };
            *told <= put_aside + self.removed(*by)
        };
        let is_known = self.facts().any(|fact| match fact {
            Fact::Succeeded { step: of, action: Action::Do, answer: Some(_), .. }
            | Fact::CameLate { step: of, action: Action::Do, .. }
            | Fact::AnsweredEarly { step: of, .. } => *self.definition.step(*of).name == *step,
            _ => false,
        });
        !is_known && told.iter().all(is_lost) && self.world.ended.borrow().contains(&self.stored.row.id)
    }

    /// True for a step that was done late, after a person had said that it is not, and whose own undo failed for good, or was skipped, after the
    /// saga had ended: the phase stays, and the step says that its effect does (ARCHITECTURE.md, decision 35).
    pub(super) fn is_left_by_a_late_undo(&self, step: StepIx) -> bool {
        let is_due = self.facts().any(|fact| matches!(fact, Fact::UndoDue { step: due } if *due == step));
        is_due && matches!(self.saga.step(step).backward, Backward::Exhausted(_) | Backward::Skipped(_))
    }
}
