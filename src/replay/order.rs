//! The order of undos, read from the recorded facts (P4): a step is undone only after every step that depends on it. Calculated
//! apart from the rules that decided it: all dependants, one by one, at the moment when the undo became ready.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::core::{
    Action, Backward, Definition, Fact, Forward, Outcome, Saga, StepIx, StepState, Transition, Undo, evolve, fold,
};

/// Each undo that became ready too early, for people, in a journal that folds.
pub(super) fn violations(definition: &Definition, saga_id: Uuid, journal: &[Transition]) -> Vec<String> {
    let Some(mut saga) = begun(definition, saga_id, journal) else { return Vec::new() };
    let mut found = Vec::new();
    for (place, row) in journal.iter().enumerate() {
        for fact in row.facts.iter().skip(usize::from(place == 0)) {
            if let Some(step) = undo_in_order(&saga, fact) {
                let standing = dependants(definition, step).into_iter().find(|other| stands(definition, &saga, *other));
                found.extend(standing.map(|other| {
                    let name = |step: StepIx| &definition.step(step).name;
                    format!("row {}: {} is undone before {}, which depends on it", place + 1, name(step), name(other))
                }));
            }
            evolve(definition, &mut saga, row.now, fact);
        }
    }
    found
}

/// The saga at its fact *started*.
fn begun(definition: &Definition, saga_id: Uuid, journal: &[Transition]) -> Option<Saga> {
    let first = journal.first()?;
    let started = Transition { now: first.now, facts: first.facts.iter().take(1).cloned().collect() };
    fold(definition, saga_id, &[started]).ok()
}

/// The step whose undo this fact makes ready in the order of a compensation. A new attempt has its order from the first one, and the
/// undo of a success that came late, to a saga that goes forward or has ended, has none.
fn undo_in_order(saga: &Saga, fact: &Fact) -> Option<StepIx> {
    let Fact::Ready { step, action: Action::Undo } = fact else { return None };
    let is_first = saga.step(*step).backward == Backward::None;
    (is_first && saga.turned.is_some() && !saga.is_final()).then_some(*step)
}

/// Every step behind this one.
fn dependants(definition: &Definition, step: StepIx) -> BTreeSet<StepIx> {
    let mut found = BTreeSet::new();
    let mut left = definition.step(step).before.clone();
    while let Some(next) = left.pop() {
        if found.insert(next) {
            left.extend(&definition.step(next).before);
        }
    }
    found
}

/// True while the step has, or may have, an effect that is to be undone, or its outcome is not known.
fn stands(definition: &Definition, saga: &Saga, step: StepIx) -> bool {
    let state = saga.step(step);
    if matches!(state.forward, Forward::Issued(_)) {
        return true;
    }
    match &state.backward {
        Backward::Done | Backward::Skipped(_) => false,
        Backward::Ready | Backward::Issued(_) | Backward::Retrying(_) | Backward::Exhausted(_) => true,
        Backward::None => definition.step(step).undo != Undo::Nothing && may_have_happened(state),
    }
}

fn may_have_happened(state: &StepState) -> bool {
    match state.forward {
        Forward::Succeeded | Forward::GivenUp(_) | Forward::Unclear => true,
        Forward::Pending
        | Forward::Ready
        | Forward::Issued(_)
        | Forward::Retrying(_)
        | Forward::Failed(_)
        | Forward::Skipped(_) => state.answers.iter().any(|given| {
            let counts = given.believed || given.attempt > state.attempts;
            given.action == Action::Do && given.answer.outcome == Outcome::Success && counts
        }),
    }
}
