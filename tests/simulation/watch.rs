//! Looks at every commit, at the moment at which it happens.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use sagabus::core::{
    Action, BlockKind, Definition, Fact, Partition, StepIx, Timestamp, Transition, Verb, Wait, command_id,
};
use sagabus::store::{Change, StoreError};
use sagabus::wire::Received;
use uuid::Uuid;

use super::sometimes::of_fact;
use super::world::{Life, World};

/// A statement was refused.
pub(crate) fn refused(world: &Rc<World>, life: Life, error: &StoreError) {
    world.tell(&name(life), "postgres", || format!("[{}] refused: {error}", life.1));
    match error {
        StoreError::Fenced => world.saw("statement refused to a zombie"),
        StoreError::SagaRaced => world.saw("saga raced by another writer"),
        StoreError::OffsetMoved => world.saw("offset moved by another writer"),
        StoreError::CatalogueChanged => world.saw("catalogue changed under a batch"),
        StoreError::Defect(what) => world.violated(format!("a statement that must never be sent: {what}")),
        StoreError::Contention(_) | StoreError::Unknown(_) | StoreError::Refused { .. } | StoreError::Newer(_) => {}
    }
}

/// A statement has committed.
pub(crate) fn committed(world: &Rc<World>, life: Life, change: &Change) {
    for _ in change.redriven.iter().filter(|outcome| !outcome.stays_parked) {
        world.saw("parked record accepted when sent again");
    }
    for advance in &change.partitions {
        let counted = advance.counts.iter().sum::<i64>() + advance.gaps;
        let partition = (Arc::clone(&advance.topic), advance.partition);
        let markers = world.broker.borrow().markers(&partition, advance.from, advance.to);
        if advance.to - advance.from != counted || advance.gaps != markers {
            world.violated(format!(
                "offsets {} to {} of {}/{} count {counted}, with {} gaps where there are {markers} markers",
                advance.from, advance.to, advance.topic, advance.partition, advance.gaps
            ));
        }
    }
    for row in &change.born {
        if !world.database.is_active(row.definition_hash) {
            world.violated(format!("saga {} began with a definition that is not active", row.business_key));
        }
    }
    let now = world.outage.borrow().database_now(world.now());
    for row in &change.journal {
        let transition = Transition::decode(&row.facts).expect("facts read back");
        note(world, row.saga_id, &transition);
        world.tell(&name(life), "postgres", || tale(life, row.saga_id, row.seq, &transition.facts));
        for fact in &transition.facts {
            if let Some(what) = of_fact(fact) {
                world.saw(what);
            }
        }
        transition.facts.iter().for_each(|fact| gave_up(world, row.saga_id, fact));
        nothing_held_is_sent(world, row.saga_id, &transition.facts);
        notices_are_answered_or_withdrawn(world, row.saga_id, &transition.facts);
        if transition.now > now {
            world.violated(format!(
                "row {} of saga {} was decided {} ahead of the database's clock",
                row.seq,
                row.saga_id,
                transition.now.millis_since(now)
            ));
        }
    }
}

/// What commits while something is held was decided by it.
fn nothing_held_is_sent(world: &Rc<World>, saga: Uuid, facts: &[Fact]) {
    let holds = world.database.holds();
    for fact in facts {
        let (Fact::Issued { step, .. }
        | Fact::Resent { step, .. }
        | Fact::GivenUp { step, .. }
        | Fact::Exhausted { step, unanswered: true }
        | Fact::Blocked { step, kind: BlockKind::Unanswered, .. }) = fact
        else {
            continue;
        };
        let Some(definition) = definition(world, saga) else { continue };
        let rule = definition.step(*step);
        if let Some(hold) = holds.iter().find(|hold| hold.target.covers(&definition.name, rule)) {
            world.violated(format!("saga {saga}: {fact:?} while {} is held", hold.target));
        }
    }
}

/// A saga that has turned waits for nobody's word, and no repair says yes in place of an approval.
fn notices_are_answered_or_withdrawn(world: &Rc<World>, saga: Uuid, facts: &[Fact]) {
    let Some(definition) = definition(world, saga).filter(|_| world.has_waits) else { return };
    let waits = |step: StepIx| definition.step(step).waits;
    let mut notices = world.notices.borrow_mut();
    let open = notices.entry(saga).or_default();
    let mut approved = world.approved.borrow_mut();
    for fact in facts {
        match fact {
            Fact::Issued { step, action: Action::Do, .. } => {
                let before =
                    |place: &StepIx| waits(*place) == Some(Wait::Approval) && !approved.contains(&(saga, *place));
                if let Some(missing) = ancestors(definition, *step).into_iter().find(before) {
                    world.violated(format!("saga {saga}: step {} without the approval of {}", step.0, missing.0));
                }
                if waits(*step).is_some() {
                    open.insert(*step);
                }
            }
            Fact::Failed { step, answer: None, .. } if waits(*step).is_some() => {
                let is_asked = facts.iter().any(|fact| matches!(fact, Fact::Operated { .. }));
                if open.remove(step) && !is_asked {
                    world.saw("notice withdrawn");
                }
            }
            Fact::Succeeded { step, action: Action::Do, .. } => {
                open.remove(step);
                approved.insert((saga, *step));
            }
            Fact::Failed { step, action: Action::Do, .. } | Fact::GivenUp { step, .. } | Fact::Skipped { step, .. } => {
                _ = open.remove(step)
            }
            Fact::Operated { operation } => {
                let of_approval = operation.verb.step().and_then(|name| definition.place_of(name)).and_then(waits);
                let goes_around = matches!(
                    operation.verb,
                    Verb::Complete { .. } | Verb::Skip { .. } | Verb::Fail { .. } | Verb::Resolve { .. }
                );
                if of_approval == Some(Wait::Approval) && goes_around {
                    world.violated(format!(
                        "saga {saga}: {} of a step that waits for an approval",
                        operation.verb.name()
                    ));
                }
            }
            _ => {}
        }
    }
    let has_turned = facts.iter().any(|fact| matches!(fact, Fact::Turned { .. }));
    if has_turned && !world.outage.borrow().has_lost_commits() && !open.is_empty() {
        world.violated(format!("saga {saga} has turned, and its notices {open:?} wait on"));
    }
}

/// Every step that has to be done before this one.
fn ancestors(definition: &Definition, step: StepIx) -> BTreeSet<StepIx> {
    let mut left = definition.step(step).after.clone();
    let mut found = BTreeSet::new();
    while let Some(before) = left.pop() {
        if found.insert(before) {
            left.extend(&definition.step(before).after);
        }
    }
    found
}

/// What the facts in the database say of commands.
#[derive(Default)]
pub(crate) struct Issued {
    /// When each was issued, by the database's clock.
    commands: FxHashMap<(Uuid, StepIx, Action, u16), Timestamp>,
    /// Steps of which a saga knows that their commands went out, and whose effect is not left knowingly.
    known: FxHashMap<Uuid, BTreeSet<StepIx>>,
}

/// When the undo of a step was decided, and the steps of which its saga knew that they may have to be undone before.
pub(crate) struct UndoDecided {
    pub(crate) at: i64,
    pub(crate) known: BTreeSet<StepIx>,
}

impl Issued {
    fn when(&self, saga: Uuid, step: StepIx, action: Action, attempt: u16) -> Option<Timestamp> {
        self.commands.get(&(saga, step, action, attempt)).copied()
    }

    /// Takes in a row. Returns the steps whose undo it decides, each with what was known at that moment.
    fn note(&mut self, saga: Uuid, transition: &Transition) -> Vec<(StepIx, BTreeSet<StepIx>)> {
        let known = self.known.entry(saga).or_default();
        let mut undone = Vec::new();
        for fact in &transition.facts {
            match fact {
                Fact::Issued { step, action, attempt, .. } => {
                    self.commands.entry((saga, *step, *action, *attempt)).or_insert(transition.now);
                    if *action == Action::Do {
                        known.insert(*step);
                    }
                }
                Fact::AnsweredEarly { step, .. } => _ = known.insert(*step),
                Fact::UndoSkipped { step } => _ = known.remove(step),
                Fact::Ready { step, action: Action::Undo } => undone.push((*step, known.clone())),
                _ => {}
            }
        }
        undone
    }
}

/// Remembers a row that is committed.
fn note(world: &World, saga: Uuid, transition: &Transition) {
    let undone = world.issued.borrow_mut().note(saga, transition);
    let mut decided = world.undos_decided.borrow_mut();
    for (step, known) in undone {
        decided.entry((saga, step)).or_default().push(UndoDecided { at: world.now(), known });
    }
}

/// A database that has lost commits knows no more than its journals.
pub(crate) fn lost_commits(world: &World) {
    let mut issued = Issued::default();
    for stored in world.database.sagas() {
        for facts in &stored.journal {
            issued.note(stored.row.id, &Transition::decode(facts).expect("facts read back"));
        }
    }
    *world.issued.borrow_mut() = issued;
}

/// The definition that a saga is pinned to.
fn definition(world: &World, saga: Uuid) -> Option<&Definition> {
    let hash = world.database.row(saga)?.definition_hash;
    world.plans.iter().map(|plan| plan.definition()).find(|definition| definition.hash == hash)
}

/// A command that reaches Kafka was decided by facts that are committed; those that a fail-over lost excuse it.
pub(crate) fn is_decided(world: &World, command: &Received) -> bool {
    let is_known = world.broker.borrow().commands.contains_key(&command.id);
    if is_known || world.outage.borrow().has_lost_commits() {
        return true;
    }
    let step = definition(world, command.saga_id).and_then(|definition| definition.place_of(&command.step));
    let issued = world.issued.borrow();
    step.is_some_and(|step| issued.when(command.saga_id, step, command.action, command.attempt).is_some())
}

/// Giving up is never decided blind: the broker had the command, and every answer to it that was written before its patience ended has
/// been judged, unless retention removed it.
fn gave_up(world: &Rc<World>, saga: Uuid, fact: &Fact) {
    let (step, action, attempt) = match fact {
        Fact::GivenUp { step, attempt } => (*step, Action::Do, Some(*attempt)),
        Fact::Exhausted { step, unanswered: true } => (*step, Action::Undo, None),
        _ => return,
    };
    let broker = world.broker.borrow();
    let is_steered = world.steered.borrow().contains(&saga);
    let Some(definition) = definition(world, saga).filter(|_| !is_steered) else { return };
    let rule = definition.step(step);
    let patience_ms = if action == Action::Do { rule.patience_ms } else { rule.compensation.patience_ms };
    let attempts = attempt.map_or(1..=64, |attempt| attempt..=attempt);
    let issued = world.issued.borrow();
    let mut issued = attempts.rev().filter_map(|attempt| Some((attempt, issued.when(saga, step, action, attempt)?)));
    let Some((attempt, at)) = issued.next() else { return };
    let id = command_id(saga, step, action, attempt);
    let mut wrong = Vec::new();
    if !broker.commands.contains_key(&id) && !broker.refused.contains(&saga) {
        wrong.push(format!("step {} was given up, and the broker never had its command", rule.name));
    }
    let ends = at.plus_millis(patience_ms).micros() - world.outage.borrow().clock_ahead();
    let topic = &definition.reply_topic;
    for (number, end) in broker.ends(topic) {
        let partition: Partition = (Arc::clone(topic), number);
        let next = world.database.offset(&partition).map_or(0, |(_, next, ..)| next);
        let (begin, _) = broker.bounds(&partition);
        let header = |record: &sagabus::wire::Record, name: &str| {
            record.headers().find(|(key, _)| *key == name).and_then(|(_, value)| value.map(<[u8]>::to_vec))
        };
        let is_answer = |record: &&sagabus::wire::Record| {
            header(record, "ce_causationid").is_some_and(|cause| cause == id.to_string().into_bytes())
                && header(record, "ce_sagaoutcome").is_some_and(|outcome| outcome != b"progress")
                && record.timestamp().micros() < ends
        };
        if broker.stretch(&partition, next.max(begin), end).any(|record| is_answer(&record)) {
            wrong.push(format!("step {} was given up while its answer waits in {topic}/{number}", rule.name));
        }
    }
    drop(broker);
    wrong.into_iter().for_each(|what| world.violated(format!("saga {saga}: {what}")));
}

/// An engine's column in the story.
pub(crate) fn name((slot, _): Life) -> String {
    format!("engine{slot}")
}

fn tale((_, life): Life, saga: Uuid, seq: u32, facts: &[Fact]) -> String {
    let words: Vec<String> = facts
        .iter()
        .map(|fact| {
            let text = format!("{fact:?}");
            let word = text.split([' ', '{', '(']).next().unwrap_or_default().to_owned();
            let step = text.split("StepIx(").nth(1).and_then(|rest| rest.split(')').next());
            step.map_or(word.clone(), |step| format!("{word} s{step}"))
        })
        .collect();
    format!("[{life}] {}#{seq}: {}", &saga.to_string()[24..], words.join(", "))
}
