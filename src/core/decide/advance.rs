//! What follows from the state, after every input: which steps are ready, in which order undos run, which phase it is.

use super::super::definition::{Definition, StepIx, Undo};
use super::super::fact::{Cause, Fact};
use super::super::phase::Phase;
use super::super::progress::flight;
use super::super::saga::{Action, Backward, Forward, Saga};
use super::draft::Draft;
use super::{hold, wait};

/// Moves the saga on as far as it goes by itself.
pub(super) fn advance(draft: &mut Draft<'_>) {
    go_on(draft);
    hold::settle(draft);
}

fn go_on(draft: &mut Draft<'_>) {
    if draft.saga.is_final() {
        return;
    }
    if draft.saga.turned.is_some() {
        wait::withdraw(draft);
    }
    if draft.saga.phase == Phase::Paused {
        return;
    }
    if !draft.saga.blocks.is_empty() {
        draft.enter(Phase::Stuck);
        return;
    }
    if draft.saga.turned.is_some() {
        draft.enter(Phase::Compensating);
        undo(draft);
    } else {
        if draft.saga.phase == Phase::Stuck {
            wait::renew(draft);
        }
        draft.enter(Phase::Running);
        go_forward(draft);
    }
}

fn go_forward(draft: &mut Draft<'_>) {
    let definition = draft.definition();
    for step in definition.places() {
        if draft.saga.step(step).forward == Forward::Pending && may_begin(draft, step) {
            draft.push(Fact::Ready { step, action: Action::Do });
        }
    }
    let saga = &draft.saga;
    if definition.places().all(|step| is_done(saga, step) && !saga.step(step).is_undoing()) {
        draft.enter(Phase::Completed);
    }
}

/// True when everything that the step waits for is done.
pub(super) fn may_begin(draft: &Draft<'_>, step: StepIx) -> bool {
    let mut after = draft.step(step).after.iter();
    let joins = defect!("join on any instead of all") && after.clone().any(|before| is_done(&draft.saga, *before));
    joins || after.all(|before| is_done(&draft.saga, *before))
}

/// Compensation in reverse dependency order, independent branches in parallel; steps in flight settle first.
fn undo(draft: &mut Draft<'_>) {
    let definition = draft.definition();
    let in_flight = definition.places().any(|step| matches!(draft.saga.step(step).forward, Forward::Issued(_)));
    if in_flight && !defect!("undo while a do is in flight") {
        return;
    }
    let mut cleared = vec![false; definition.steps.len()];
    for step in definition.order.iter().rev() {
        let rule = definition.step(*step);
        let behind = if defect!("undo in forward order") { &rule.after } else { &rule.before };
        let behind_are_cleared = defect!("undo beside its dependant") || behind.iter().all(|after| cleared[after.at()]);
        let due = needs_undo(definition, &draft.saga, *step);
        if due && behind_are_cleared && draft.saga.step(*step).backward == Backward::None {
            draft.push(Fact::Ready { step: *step, action: Action::Undo });
        }
        cleared[step.at()] = behind_are_cleared && !due;
    }
    if cleared.iter().all(|cleared| *cleared) {
        let phase = final_phase(&draft.saga);
        draft.enter(phase);
    }
}

fn final_phase(saga: &Saga) -> Phase {
    if saga.steps.iter().any(|state| matches!(state.backward, Backward::Skipped(_))) {
        Phase::CompensatedWithSkips
    } else if saga.turned == Some(Cause::Cancel) {
        Phase::Cancelled
    } else {
        Phase::Compensated
    }
}

/// True while the step has, or may have, an effect that is to be undone and is not.
pub(super) fn needs_undo(definition: &Definition, saga: &Saga, step: StepIx) -> bool {
    if !matches!(definition.step(step).undo, Undo::Command(_)) {
        return false;
    }
    let state = saga.step(step);
    match &state.backward {
        Backward::Done | Backward::Skipped(_) => false,
        Backward::Ready | Backward::Issued(_) | Backward::Retrying(_) | Backward::Exhausted(_) => true,
        Backward::None => {
            let is_unseen = defect!("unknown taken as failed") && matches!(state.forward, Forward::GivenUp(_));
            let is_feared = defect!("failed taken as unknown") && matches!(state.forward, Forward::Failed(_));
            is_feared || state.may_be_done() && !is_unseen
        }
    }
}

/// The steps that have to settle before this one begins, or before its undo does once the saga has turned; empty when it waits for none.
pub fn waits_for(definition: &Definition, saga: &Saga, step: StepIx) -> Vec<StepIx> {
    let (rule, state) = (definition.step(step), saga.step(step));
    let is_out = |place: &StepIx| matches!(saga.step(*place).forward, Forward::Issued(_));
    if saga.is_final() {
        Vec::new()
    } else if saga.turned.is_none() {
        let waits = state.forward == Forward::Pending;
        rule.after.iter().filter(|before| waits && !is_done(saga, **before)).copied().collect()
    } else if state.backward != Backward::None || !needs_undo(definition, saga, step) {
        Vec::new()
    } else if definition.places().any(|place| is_out(&place)) {
        definition.places().filter(is_out).collect()
    } else {
        behind(definition, step).into_iter().filter(|after| needs_undo(definition, saga, *after)).collect()
    }
}

/// Every step that depends on this one, in file order.
pub(super) fn behind(definition: &Definition, step: StepIx) -> Vec<StepIx> {
    let mut is_behind = vec![false; definition.steps.len()];
    for place in &definition.order {
        let after = &definition.step(*place).after;
        is_behind[place.at()] = after.iter().any(|before| *before == step || is_behind[before.at()]);
    }
    definition.places().filter(|place| is_behind[place.at()]).collect()
}

/// True when nothing is to be done for the step any more. A step that was undone is not done.
fn is_done(saga: &Saga, step: StepIx) -> bool {
    let state = saga.step(step);
    match state.forward {
        Forward::Succeeded => state.backward != Backward::Done,
        Forward::Skipped(_) => true,
        Forward::Pending
        | Forward::Ready
        | Forward::Issued(_)
        | Forward::Retrying(_)
        | Forward::Failed(_)
        | Forward::GivenUp(_)
        | Forward::Unclear => false,
    }
}

/// True while this attempt waits for its answer.
pub(super) fn is_outstanding(saga: &Saga, step: StepIx, action: Action, attempt: u16) -> bool {
    let is_meant = |meant: u16| meant == attempt || defect!("answer to an earlier attempt applied");
    flight(saga, step, action).is_some_and(|flight| is_meant(flight.attempt))
}
