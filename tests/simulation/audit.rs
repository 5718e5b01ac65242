//! What must be true at the end, worked out from what was written to Kafka and done by participants, and from nothing of ours but the
//! stored result. Knows no rule of `core`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use sagabus::core::{
    Action, Answer, Definition, Fact, OnExhausted, Outcome, Phase, Saga, Step, StepKind, Timestamp, Transition, Undo,
    Verdict, fold,
};
use sagabus::store::Stored;
use sagabus::wire::Received;
use uuid::Uuid;

use super::participants::effect_at;
use super::reference::Reference;
use super::world::World;

/// A partition that is not read to its end.
pub(crate) fn unread(world: &World) -> Option<String> {
    let broker = world.broker.borrow();
    for plan in &world.plans {
        let definition = plan.definition();
        for topic in [&definition.trigger_topic, &definition.reply_topic] {
            for (number, end) in broker.ends(topic) {
                let partition = (Arc::clone(topic), number);
                let next = world.database.offset(&partition).map_or(0, |(_, next, ..)| next);
                // Markers at the end are passed over when a give-up asks; nothing waits for them.
                let left = end - next - broker.markers(&partition, next, end);
                if left > 0 {
                    return Some(format!("{topic}/{number} at {next} of {end}"));
                }
            }
        }
    }
    None
}

/// Audits a world that has come to its end.
pub(crate) fn audit(world: &Rc<World>) {
    if !world.violations.borrow().is_empty() {
        return;
    }
    let sagas = world.database.sagas();
    every_trigger_has_its_saga(world, &sagas);
    every_key_has_one_saga(world, &sagas);
    every_record_has_its_verdict(world);
    super::race::audit(world);
    for stored in &sagas {
        let plan = world.plans.iter().find(|plan| plan.definition().hash == stored.row.definition_hash);
        let definition = plan.expect("it is deployed").definition();
        match read_journal(definition, stored) {
            Ok((saga, journal)) => Audited { world, definition, stored, saga: &saga, journal: &journal }.audit(),
            Err(why) => world.violated(format!("saga {}: {why}", stored.row.business_key)),
        }
    }
}

/// P1: each trigger started its saga.
fn every_trigger_has_its_saga(world: &World, sagas: &[Stored]) {
    for (topic, key) in world.triggered.borrow().difference(&world.forgotten.borrow()) {
        let names =
            world.plans.iter().map(|plan| plan.definition()).filter(|definition| definition.trigger_topic == *topic);
        for name in names.map(|definition| &definition.name) {
            let is_there =
                sagas.iter().any(|stored| stored.row.definition_name == *name && *stored.row.business_key == **key);
            if !is_there {
                world.violated(format!("trigger {key} of {name} started no saga"));
            }
        }
    }
}

fn every_key_has_one_saga(world: &World, sagas: &[Stored]) {
    let mut keys = BTreeSet::new();
    for stored in sagas {
        if !keys.insert((&stored.row.definition_name, &stored.row.business_key)) {
            world.violated(format!("{} has two sagas", stored.row.business_key));
        }
    }
}

/// The counts balance against the offsets, and what could not be read is kept aside.
fn every_record_has_its_verdict(world: &World) {
    let parked = world.database.parked();
    let topics = world.plans.iter().flat_map(|plan| [&plan.definition().trigger_topic, &plan.definition().reply_topic]);
    for topic in topics {
        for (number, _) in world.broker.borrow().ends(topic) {
            let partition = (Arc::clone(topic), number);
            let Some((first, next, gaps, counts)) = world.database.offset(&partition) else { continue };
            if next - first != counts.iter().sum::<i64>() + gaps {
                world.violated(format!(
                    "{topic}/{number} stands at {next}, which its counts do not say: {counts:?} and {gaps}"
                ));
            }
            // A second trigger that says something else is kept for a person; a second answer is a fact of its saga.
            let is_of_triggers = world.plans.iter().any(|plan| plan.definition().trigger_topic == *topic);
            let put_aside = Verdict::ALL.iter().zip(counts).filter(|(verdict, _)| {
                matches!(verdict, Verdict::Orphan | Verdict::Malformed)
                    || is_of_triggers && **verdict == Verdict::Conflict
            });
            let counted: i64 = put_aside.map(|(_, count)| count).sum();
            let kept = parked.iter().filter(|row| row.topic == *topic && row.partition == number).count();
            if i64::try_from(kept).expect("few") < counted {
                world.violated(format!("{topic}/{number} counts {counted} records aside and keeps {kept}"));
            }
        }
    }
}

fn read_journal(definition: &Definition, stored: &Stored) -> Result<(Saga, Vec<Transition>), String> {
    let journal: Result<Vec<Transition>, _> = stored.journal.iter().map(|facts| Transition::decode(facts)).collect();
    let journal = journal.map_err(|error| error.to_string())?;
    let saga = fold(definition, stored.row.id, &journal).map_err(|error| error.to_string())?;
    Ok((saga, journal))
}

/// One saga, with all that is known of it.
pub(crate) struct Audited<'a> {
    pub(super) world: &'a Rc<World>,
    pub(super) definition: &'a Definition,
    pub(super) stored: &'a Stored,
    pub(super) saga: &'a Saga,
    journal: &'a [Transition],
}

impl Audited<'_> {
    fn violated(&self, what: &str) {
        let row = &self.stored.row;
        self.world.violated(format!("saga {} ({}, {}): {what}", row.business_key, row.definition_name, row.phase));
    }

    pub(super) fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.journal.iter().flat_map(|row| &row.facts)
    }

    fn audit(&self) {
        if self.saga.phase != self.stored.row.phase {
            self.violated(&format!("its journal says {}", self.saga.phase));
        }
        if self.saga.is_final() != self.stored.row.finished_at.is_some() {
            self.violated("its row does not say when it was finished");
        }
        self.is_announced();
        self.patience_was_kept();
        if self.has_contradiction() {
            // Its participant broke the contract: that it was noticed is all that can be asked.
            let is_noticed = self.facts().any(|fact| matches!(fact, Fact::Conflicted { .. } | Fact::CameLate { .. }));
            if !is_noticed && !self.world.outage.borrow().has_lost_commits() {
                self.violated("a participant contradicted itself, and nobody noticed");
            }
            return;
        }
        self.asked_again_at_its_pace();
        let is_steered = self.world.steered.borrow().contains(&self.stored.row.id);
        let is_ended = self.world.ended.borrow().contains(&self.stored.row.id);
        // Evidence of lost facts that reaches a saga after its end is kept as a conflict, with an alarm: P16 asks for no more.
        let is_detected = self.has_lost_facts() && self.facts().any(|fact| matches!(fact, Fact::Conflicted { .. }));
        // An effect that nothing can undo, told after a person had turned the saga, is kept as a conflict, with an alarm.
        let is_noted = self.facts().any(|fact| matches!(fact, Fact::Conflicted { .. }));
        if is_ended && !is_noted && !self.world.participants.borrow().contradicted.contains(&self.stored.row.id) {
            self.effects_fit_the_outcome();
        }
        if is_steered || is_detected || self.world.participants.borrow().contradicted.contains(&self.stored.row.id) {
            return;
        }
        self.effects_fit_the_outcome();
        self.commands_had_their_causes();
        self.undone_in_reverse();
        if let Err(what) = Reference::of(self.world, self.definition, self.stored).judge() {
            self.violated(&what);
        }
    }

    /// Two answers to one command that say different things were written.
    fn has_contradiction(&self) -> bool {
        let participants = self.world.participants.borrow();
        let mut said: BTreeMap<Uuid, Outcome> = BTreeMap::new();
        let of_saga = participants.answers.iter().filter(|(_, command, _)| command.saga_id == self.stored.row.id);
        // A step that only reads may say something new each time.
        let counts = |command: &Received, answer: &Answer| {
            answer.outcome != Outcome::Progress && !command.kind.starts_with("read.")
        };
        let mut finals = of_saga.filter(|(_, command, answer)| counts(command, answer));
        finals.any(|(_, command, answer)| *said.entry(command.id).or_insert(answer.outcome) != answer.outcome)
    }

    /// Each end and each `stuck` is an event.
    fn is_announced(&self) {
        let id = self.stored.row.id.to_string();
        let kind = format!("sagabus.saga.{}", self.saga.phase);
        if !self.saga.is_final() && self.saga.phase != Phase::Stuck {
            return;
        }
        let broker = self.world.broker.borrow();
        let is_there = broker.records(&self.definition.outcome_topic).any(|record| {
            let header = |name: &str| record.headers().find(|(key, _)| *key == name).and_then(|(_, value)| value);
            header("ce_correlationid") == Some(id.as_bytes()) && header("ce_type") == Some(kind.as_bytes())
        });
        drop(broker);
        if !is_there {
            self.violated("its end was not announced");
        }
    }

    /// A command is asked again only when nothing was heard of it for its time-out.
    fn asked_again_at_its_pace(&self) {
        let mut heard: BTreeMap<(u16, Action), Timestamp> = BTreeMap::new();
        for (row, fact) in self.journal.iter().flat_map(|row| row.facts.iter().map(move |fact| (row, fact))) {
            let (step, action) = match fact {
                Fact::Issued { step, action, .. }
                | Fact::Progressed { step, action, .. }
                | Fact::Resent { step, action, .. } => (*step, *action),
                _ => continue,
            };
            let rule = self.definition.step(step);
            let pace = if action == Action::Do { rule.timeout_ms } else { rule.compensation.timeout_ms };
            let before = heard.insert((step.0, action), row.now);
            let waited = before.map_or(u64::MAX, |before| row.now.millis_since(before));
            let is_pushed = self.world.steered.borrow().contains(&self.stored.row.id);
            if matches!(fact, Fact::Resent { .. }) && waited < pace && !is_pushed {
                self.violated(&format!("step {} was asked again after {waited} ms", step.0));
            }
        }
    }

    /// Nothing is given up before its patience has ended, without the time that a person kept it paused or held.
    fn patience_was_kept(&self) {
        let mut issued: BTreeMap<(u16, u16), Timestamp> = BTreeMap::new();
        let (mut paused_at, mut held) = (None, BTreeMap::new());
        for row in self.journal {
            for fact in &row.facts {
                match fact {
                    Fact::PhaseChanged { phase: Phase::Paused } => paused_at = Some(row.now),
                    Fact::Thawed { .. } => {
                        let ms = paused_at.take().map_or(0, |at| row.now.millis_since(at));
                        let free = issued.iter_mut().filter(|((step, _), _)| !held.contains_key(step));
                        free.for_each(|(_, at)| *at = at.plus_millis(ms));
                    }
                    Fact::Held { step, since } => _ = held.insert(step.0, *since),
                    Fact::Released { step, .. } => {
                        let ms = held.remove(&step.0).map_or(0, |since| row.now.millis_since(since));
                        let of_step = issued.iter_mut().filter(|((place, _), _)| *place == step.0);
                        of_step.for_each(|(_, at)| *at = at.plus_millis(ms));
                    }
                    Fact::Issued { step, action: Action::Do, attempt, .. } => {
                        issued.insert((step.0, *attempt), row.now);
                    }
                    Fact::GivenUp { step, attempt } => {
                        let patience = self.definition.step(*step).patience_ms;
                        let waited = issued.get(&(step.0, *attempt)).map_or(0, |at| row.now.millis_since(*at));
                        if waited < patience {
                            self.violated(&format!("step {} was given up after {waited} ms", step.0));
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn effect(&self, step: &str) -> i32 {
        self.world.participants.borrow().effect(&(self.stored.row.id, Arc::from(step)))
    }

    /// P4, P8: what is there is what the outcome says.
    fn effects_fit_the_outcome(&self) {
        let has_effect = |step: &&Step| step.kind != StepKind::ReadOnly && step.waits.is_none();
        for step in self.definition.steps.iter().filter(has_effect) {
            let expected = match (self.saga.phase, &step.undo) {
                (Phase::Completed, _) => 1,
                (Phase::Compensated | Phase::Cancelled, Undo::Command(_)) => 0,
                (Phase::Compensated | Phase::Cancelled, Undo::Nothing)
                    if step.kind == StepKind::Pivot || step.behind_pivot =>
                {
                    0
                }
                _ => continue,
            };
            let there = self.effect(&step.name);
            let place = self.definition.place_of(&step.name).expect("a step of the definition");
            let is_left = expected == 0 && self.is_left_by_a_late_undo(place);
            if there != expected && !is_left && !self.is_forgotten(&step.name) && !self.is_untold(&step.name) {
                self.violated(&format!("step {} has effect {there}, not {expected}", step.name));
            }
        }
        let may_skip = self.definition.steps.iter().any(|step| step.compensation.on_exhausted == OnExhausted::Skip);
        if self.saga.phase == Phase::CompensatedWithSkips && !may_skip {
            self.violated("nothing may be skipped");
        }
        let is_asked = self.world.ended.borrow().contains(&self.stored.row.id);
        if matches!(self.saga.phase, Phase::Cancelled | Phase::Abandoned | Phase::Paused) && !is_asked {
            self.violated("nobody asked for that");
        }
    }

    /// A command goes out after what it depends on has answered; a new attempt after a failure that may be tried again.
    fn commands_had_their_causes(&self) {
        let broker = self.world.broker.borrow();
        let participants = self.world.participants.borrow();
        let id = self.stored.row.id;
        let has_held = self.world.has_held.get();
        let may_be_tried_again = |answer: &Answer| has_held && answer.code.as_deref() == Some(Answer::EXPIRED);
        let answered = |step: &str, action: Action, attempt: Option<u16>, outcome: Outcome, before: i64| {
            participants.answers.iter().any(|(at, command, answer)| {
                *at <= before
                    && command.saga_id == id
                    && *command.step == *step
                    && command.action == action
                    && attempt.is_none_or(|attempt| command.attempt == attempt)
                    && answer.outcome == outcome
                    && (outcome != Outcome::Failure || answer.retryable || may_be_tried_again(answer))
            })
        };
        let mut wrong = Vec::new();
        for written in broker.commands.values().filter(|written| written.command.saga_id == id) {
            let command = &written.command;
            let place = self.definition.place_of(&command.step).expect("steps of the definition");
            if command.action == Action::Do {
                for before in &self.definition.step(place).after {
                    let name = &self.definition.step(*before).name;
                    if !answered(name, Action::Do, None, Outcome::Success, written.at) {
                        wrong.push(format!("{} went out before {name} was done", command.step));
                    }
                }
            }
            let is_next = command.attempt > 1;
            if is_next
                && !answered(&command.step, command.action, Some(command.attempt - 1), Outcome::Failure, written.at)
            {
                wrong.push(format!("attempt {} of {} without a failure before", command.attempt, command.step));
            }
        }
        drop((broker, participants));
        wrong.iter().for_each(|what| self.violated(what));
    }

    /// A step is undone only after everything that depends on it.
    fn undone_in_reverse(&self) {
        if self.facts().any(|fact| matches!(fact, Fact::UndoSkipped { .. } | Fact::UndoDue { .. })) {
            return;
        }
        let participants = self.world.participants.borrow();
        let id: Uuid = self.stored.row.id;
        let ledger = |name: &Arc<str>| participants.ledger.get(&(id, Arc::clone(name)));
        let mut wrong = Vec::new();
        for step in &self.definition.steps {
            let Some(effects) = ledger(&step.name) else { continue };
            let place = self.definition.place_of(&step.name).expect("a step of the definition");
            for at in effects.iter().filter(|effect| effect.sign < 0).map(|effect| effect.at) {
                for dependant in &step.before {
                    let after = self.definition.step(*dependant);
                    let there = ledger(&after.name).map_or(0, |effects| effect_at(effects, at));
                    let is_wrong = there != 0 && after.undo != Undo::Nothing;
                    let is_excused =
                        || self.is_unknown_when_undone((place, at), *dependant) || self.is_forgotten(&after.name);
                    if is_wrong && !is_excused() {
                        wrong.push(format!("{} was undone before {}", step.name, after.name));
                    }
                }
            }
        }
        drop(participants);
        wrong.iter().for_each(|what| self.violated(what));
    }
}
