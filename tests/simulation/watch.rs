//! Looks at every commit, at the moment at which it happens.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use sagabus::core::{Action, Fact, Partition, StepIx, Timestamp, Transition, command_id};
use sagabus::store::{Change, SagaKey, Store as _, StoreError, Stored};
use sagabus::wire::Received;
use uuid::Uuid;

use super::sometimes::of_fact;
use super::world::{Life, World, instantly};

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
        let catalogue = instantly(world.database.store().catalogue()).expect("memory answers");
        if !catalogue.active.iter().any(|active| active.hash == row.definition_hash) {
            world.violated(format!("saga {} began with a definition that is not active", row.business_key));
        }
    }
    let now = world.outage.borrow().database_now(world.now());
    for row in &change.journal {
        let transition: Transition = serde_json::from_slice(&row.facts).expect("facts read back");
        world.tell(&name(life), "postgres", || tale(life, row.saga_id, row.seq, &transition.facts));
        for fact in &transition.facts {
            if let Some(what) = of_fact(fact) {
                world.saw(what);
            }
        }
        transition.facts.iter().for_each(|fact| gave_up(world, row.saga_id, fact));
        if world.knobs.borrow().failovers > 0 || world.outage.borrow().has_lost_facts_of(row.saga_id) {
            note_undos(world, row.saga_id, row.seq);
        }
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

/// When the undo of a step was decided, and the steps of which its saga knew that their commands had gone out.
pub(crate) struct UndoDecided {
    pub(crate) at: i64,
    pub(crate) known: BTreeSet<StepIx>,
}

/// Remembers what a row that decides undos knew.
fn note_undos(world: &World, saga: Uuid, seq: u32) {
    let Some(stored) = stored(world, saga) else { return };
    let mut known = BTreeSet::new();
    for (facts, number) in stored.journal.iter().zip(1..=seq) {
        let transition: Transition = serde_json::from_slice(facts).expect("facts read back");
        for fact in transition.facts {
            match fact {
                Fact::Issued { step, action: Action::Do, .. } | Fact::AnsweredEarly { step, .. } => {
                    _ = known.insert(step)
                }
                Fact::Ready { step, action: Action::Undo } if number == seq => {
                    let decided = UndoDecided { at: world.now(), known: known.clone() };
                    world.undos_decided.borrow_mut().entry((saga, step)).or_default().push(decided);
                }
                _ => {}
            }
        }
    }
}

fn stored(world: &World, saga: Uuid) -> Option<Stored> {
    instantly(world.database.store().load(&[SagaKey::Id(saga)])).expect("memory answers").pop()
}

/// When the command was issued, by the database's clock, as far as the journal knows.
fn issued(world: &World, saga: Uuid, meant: (StepIx, Action, u16)) -> Option<Timestamp> {
    let journal = stored(world, saga)?.journal;
    journal.iter().filter_map(|facts| serde_json::from_slice::<Transition>(facts).ok()).find_map(|row| {
        let is_meant = |fact: &Fact| match fact {
            Fact::Issued { step, action, attempt, .. } => (*step, *action, *attempt) == meant,
            _ => false,
        };
        row.facts.iter().any(is_meant).then_some(row.now)
    })
}

/// A command that reaches Kafka was decided by facts that are committed; those that a fail-over lost excuse it.
pub(crate) fn is_decided(world: &World, command: &Received) -> bool {
    let is_known = world.broker.borrow().commands.contains_key(&command.id);
    if is_known || world.outage.borrow().has_lost_commits() {
        return true;
    }
    let Some(stored) = stored(world, command.saga_id) else { return false };
    let plan = world.plans.iter().find(|plan| plan.definition().hash == stored.row.definition_hash);
    let step = plan.and_then(|plan| plan.definition().place_of(&command.step));
    step.is_some_and(|step| issued(world, command.saga_id, (step, command.action, command.attempt)).is_some())
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
    let Some(stored) = stored(world, saga).filter(|_| !is_steered) else { return };
    let Some(plan) = world.plans.iter().find(|plan| plan.definition().hash == stored.row.definition_hash) else {
        return;
    };
    let rule = plan.definition().step(step);
    let patience_ms = if action == Action::Do { rule.patience_ms } else { rule.compensation.patience_ms };
    let attempts = attempt.map_or(1..=64, |attempt| attempt..=attempt);
    let mut issued =
        attempts.rev().filter_map(|attempt| Some((attempt, issued(world, saga, (step, action, attempt))?)));
    let Some((attempt, at)) = issued.next() else { return };
    let id = command_id(saga, step, action, attempt);
    let mut wrong = Vec::new();
    if !broker.commands.contains_key(&id) && !broker.refused.contains(&saga) {
        wrong.push(format!("step {} was given up, and the broker never had its command", rule.name));
    }
    let ends = at.plus_millis(patience_ms).micros() - world.outage.borrow().clock_ahead();
    let topic = &plan.definition().reply_topic;
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
    wrong.into_iter().for_each(|what| world.violated(format!("saga {}: {what}", stored.row.business_key)));
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
