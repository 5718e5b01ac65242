//! A second opinion, naive and by sets: from the definition, the commands and the answers that were written to Kafka it says how a saga must
//! have ended, wherever that is determined. Written from CONTRACT.md and DESIGN.md; knows neither journal nor `core`'s rules.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use sagabus::core::{Action, Answer, Definition, OnExhausted, Outcome, Phase, Step, StepKind, Undo};
use sagabus::store::Stored;
use sagabus::wire::Received;
use uuid::Uuid;

use super::world::World;

/// One command, its first answer that counts, and when each was written, in microseconds.
struct Asked {
    command: Received,
    definition: String,
    answered: Option<(i64, Answer)>,
}

/// Everything that Kafka knows of one saga.
pub(crate) struct Reference<'a> {
    definition: &'a Definition,
    phase: Phase,
    hash: String,
    asked: Vec<Asked>,
    /// Values of the triggers with this saga's key.
    triggers: Vec<Vec<u8>>,
    has_lost_commits: bool,
    /// Commands were refused by the broker, or expired while something was held, records were removed, or the database's clock jumped: less
    /// is determined.
    is_vague: bool,
}

impl<'a> Reference<'a> {
    pub(crate) fn of(world: &'a Rc<World>, definition: &'a Definition, stored: &'a Stored) -> Self {
        let (broker, participants) = (world.broker.borrow(), world.participants.borrow());
        let mut first: BTreeMap<Uuid, (i64, Answer)> = BTreeMap::new();
        let of_saga = participants.answers.iter().filter(|(_, command, _)| command.saga_id == stored.row.id);
        for (at, command, answer) in of_saga.filter(|(.., answer)| answer.outcome != Outcome::Progress) {
            first.entry(command.id).or_insert((*at, answer.clone()));
        }
        let written = broker.commands.values().filter(|written| written.command.saga_id == stored.row.id);
        let asked = written.map(|written| Asked {
            command: written.command.clone(),
            definition: written.header("ce_sagadefinition").unwrap_or_default().to_owned(),
            answered: first.get(&written.command.id).cloned(),
        });
        let of_key = |record: &&sagabus::wire::Record| record.key() == Some(stored.row.business_key.as_bytes());
        let triggers = broker.records(&definition.trigger_topic).filter(of_key);
        let outage = world.outage.borrow();
        let is_expired = |(_, answer): &(i64, Answer)| answer.code.as_deref() == Some(Answer::EXPIRED);
        Self {
            definition,
            phase: stored.row.phase,
            hash: stored.row.definition_hash.to_string(),
            asked: asked.collect(),
            triggers: triggers.filter_map(|record| record.value().map(<[u8]>::to_vec)).collect(),
            has_lost_commits: outage.has_lost_commits(),
            is_vague: broker.refused.contains(&stored.row.id)
                || world.has_removed_records.get()
                || world.has_held.get() && first.values().any(is_expired)
                || outage.has_lost_commits()
                || outage.clock_ahead() > 0,
        }
    }

    /// What is wrong with how it ended.
    pub(crate) fn judge(&self) -> Result<(), String> {
        self.commands_say_what_they_must()?;
        if self.is_vague {
            return Ok(());
        }
        self.attempts_are_counted()?;
        self.undone_are_those_that_may_be_done()?;
        self.phase_is_the_one()
    }

    fn asked_of(&self, step: &str, action: Action) -> impl Iterator<Item = &Asked> {
        self.asked.iter().filter(move |asked| *asked.command.step == *step && asked.command.action == action)
    }

    fn succeeded(&self, step: &Step, action: Action) -> bool {
        let is_success = |(_, answer): &(i64, Answer)| answer.outcome == Outcome::Success;
        self.asked_of(&step.name, action).any(|asked| asked.answered.as_ref().is_some_and(is_success))
    }

    /// Definitely refused, by the word of its participant or because its tries are used up.
    fn refused(&self, step: &Step, action: Action) -> bool {
        let failures = || {
            self.asked_of(&step.name, action)
                .filter_map(|asked| asked.answered.as_ref())
                .filter(|(_, answer)| answer.outcome == Outcome::Failure)
        };
        let most = match action {
            Action::Do if step.is_endless() => usize::MAX,
            Action::Do => usize::from(step.retry.maximum_attempts),
            Action::Undo => usize::from(step.compensation.retry.maximum_attempts),
        };
        failures().any(|(_, answer)| !answer.retryable) || failures().count() >= most
    }

    /// Nobody may have known of an answer when its time was over.
    fn is_late(asked: &Asked) -> bool {
        let ends = asked.command.expires_at.map_or(i64::MIN, |at| at.micros());
        asked.answered.as_ref().is_none_or(|(at, _)| *at > ends)
    }

    fn commands_say_what_they_must(&self) -> Result<(), String> {
        let mut sources: BTreeSet<usize> = BTreeSet::new();
        for asked in &self.asked {
            let command = &asked.command;
            if asked.definition != self.hash && !self.has_lost_commits {
                return Err(format!("the command of {} names definition {}", command.step, asked.definition));
            }
            let id = format!(r#"{{"id":"{}"}}"#, command.key);
            let said = command.data.get().as_bytes();
            let is_whole = self.triggers.iter().position(|trigger| trigger == said);
            if said != id.as_bytes() && is_whole.is_none() {
                return Err(format!("the command of {} carries {}", command.step, command.data.get()));
            }
            sources.extend(is_whole);
        }
        // A second trigger of the key says something else, and begins nothing.
        let values: BTreeSet<&Vec<u8>> = sources.iter().map(|place| &self.triggers[*place]).collect();
        if values.len() > 1 && !self.has_lost_commits {
            Err("its commands carry the data of two triggers".to_owned())
        } else {
            Ok(())
        }
    }

    fn attempts_are_counted(&self) -> Result<(), String> {
        for step in &self.definition.steps {
            for action in [Action::Do, Action::Undo] {
                let mut attempts: Vec<u16> =
                    self.asked_of(&step.name, action).map(|asked| asked.command.attempt).collect();
                attempts.sort_unstable();
                if !attempts.iter().copied().eq(1..=u16::try_from(attempts.len()).expect("few attempts")) {
                    return Err(format!("attempts of {} are {attempts:?}", step.name));
                }
                let most = match action {
                    Action::Do if step.is_endless() => u16::MAX,
                    Action::Do => step.retry.maximum_attempts,
                    Action::Undo => step.compensation.retry.maximum_attempts,
                };
                if attempts.last().is_some_and(|last| *last > most) {
                    return Err(format!("step {} was tried {attempts:?} times, {most} are allowed", step.name));
                }
            }
        }
        Ok(())
    }

    /// What is undone was done, or nobody knew; what was done in a saga that was undone is undone, or its undo failed.
    fn undone_are_those_that_may_be_done(&self) -> Result<(), String> {
        for step in &self.definition.steps {
            let may_be_done =
                self.succeeded(step, Action::Do) || self.asked_of(&step.name, Action::Do).any(Self::is_late);
            let is_asked = self.asked_of(&step.name, Action::Undo).next().is_some();
            if is_asked && !may_be_done {
                return Err(format!("step {} is undone, which was never done", step.name));
            }
            let must_be_undone = self.phase == Phase::Compensated && matches!(step.undo, Undo::Command(_));
            if must_be_undone && self.succeeded(step, Action::Do) && !self.succeeded(step, Action::Undo) {
                return Err(format!("step {} was done and not undone", step.name));
            }
        }
        Ok(())
    }

    fn phase_is_the_one(&self) -> Result<(), String> {
        let steps = || self.definition.steps.iter();
        let must_turn: Vec<&str> = steps()
            .filter(|step| !step.is_endless() && self.refused(step, Action::Do))
            .map(|step| &*step.name)
            .collect();
        let may_turn = steps()
            .filter(|step| step.kind != StepKind::Pivot && !step.is_endless())
            .any(|step| self.asked_of(&step.name, Action::Do).any(Self::is_late));
        let blocked = steps().any(|step| step.is_endless() && self.refused(step, Action::Do));
        let undo_failed = |policy: OnExhausted| {
            steps().any(|step| {
                let failed = self.refused(step, Action::Undo) && !self.succeeded(step, Action::Undo);
                step.compensation.on_exhausted == policy && failed
            })
        };
        let undo_late = steps().any(|step| self.asked_of(&step.name, Action::Undo).any(Self::is_late));
        let all_done = steps().all(|step| self.succeeded(step, Action::Do));
        let (turns, stuck) = (!must_turn.is_empty(), blocked || undo_failed(OnExhausted::Block));
        let allowed: &[Phase] = match (turns, may_turn) {
            (false, false) if blocked => &[Phase::Stuck],
            (false, false) => &[Phase::Completed],
            (false, true) if blocked => &[Phase::Stuck, Phase::Compensated, Phase::CompensatedWithSkips],
            (false, true) => &[Phase::Completed, Phase::Compensated, Phase::CompensatedWithSkips, Phase::Stuck],
            (true, _) if undo_failed(OnExhausted::Block) => &[Phase::Stuck],
            (true, _) if undo_failed(OnExhausted::Skip) => &[Phase::CompensatedWithSkips, Phase::Stuck],
            (true, _) if undo_late => &[Phase::Compensated, Phase::CompensatedWithSkips],
            (true, _) => &[Phase::Compensated],
        };
        let is_allowed = allowed.contains(&self.phase) || turns && stuck && self.phase == Phase::Stuck;
        if !is_allowed {
            return Err(format!("it must be {allowed:?}: refused {must_turn:?}, blocked {blocked}, late {may_turn}"));
        }
        if self.phase == Phase::Stuck && !stuck {
            return Err("nothing keeps it stuck".to_owned());
        }
        if self.phase == Phase::Completed && !all_done {
            return Err("it counts as completed, and not every step was done".to_owned());
        }
        Ok(())
    }
}
