//! An operator's action on one step. Nothing here is done to a step whose outcome is unknown but to ask again with the same id.

use std::sync::Arc;

use uuid::Uuid;

use super::super::definition::{StepIx, StepKind};
use super::super::fact::{Answer, Cause, Fact, Outcome};
use super::super::input::Resolution;
use super::super::json::Json;
use super::super::progress::{flight, is_endless};
use super::super::saga::{Action, Backward, BlockKind, Flight, Forward, Phase};
use super::draft::Draft;
use super::operation::{self, try_again};
use super::{advance, outcome};

/// The same command, the same id: always safe.
pub(super) fn republish(draft: &mut Draft<'_>, name: &str) -> Result<(), String> {
    let step = find(draft, name)?;
    let actions = outstanding(draft, step);
    if actions.is_empty() {
        return Err(format!("step {name} has no outstanding command"));
    }
    for action in actions {
        send_again(draft, step, action);
    }
    Ok(())
}

/// The directions in which the step has a command that waits for its answer.
fn outstanding(draft: &Draft<'_>, step: StepIx) -> Vec<Action> {
    let is_out = |action: &Action| flight(&draft.saga, step, *action).is_some();
    let nobody_waits = draft.saga.phase == Phase::Abandoned;
    [Action::Do, Action::Undo].into_iter().filter(|action| !nobody_waits && is_out(action)).collect()
}

/// Sends the outstanding command of this direction again, if there is one.
pub(super) fn send_again(draft: &mut Draft<'_>, step: StepIx, action: Action) {
    if let Some(attempt) = flight(&draft.saga, step, action).map(|flight| flight.attempt) {
        draft.push(Fact::Resent { step, action, attempt });
    }
}

/// A new attempt with a new id, where the last outcome is a definite failure.
pub(super) fn retry(draft: &mut Draft<'_>, name: Option<&str>, force: bool) -> Result<(), String> {
    is_open(draft)?;
    let steps = match name {
        Some(name) => vec![find(draft, name)?],
        None => draft.definition().places().filter(|step| failed_direction(draft, *step).is_some()).collect(),
    };
    if steps.is_empty() {
        return Err("no step has failed".to_owned());
    }
    for step in steps {
        let action = may_retry(draft, step, force)?;
        try_again(draft, step, action);
    }
    Ok(())
}

/// The direction in which a new attempt of the step is allowed. On a step that has succeeded it is a repeat.
fn may_retry(draft: &Draft<'_>, step: StepIx, force: bool) -> Result<Action, String> {
    if let Some(action) = failed_direction(draft, step) {
        return Ok(action);
    }
    let name = &draft.step(step).name;
    let state = draft.saga.step(step);
    let goes_forward = draft.saga.phase == Phase::Running && draft.saga.turned.is_none();
    match (&state.forward, &state.backward) {
        (_, Backward::Issued(_) | Backward::Exhausted(_)) | (Forward::Failed(Some(_)), Backward::None) => {
            Err(format!("the outcome of step {name} is unknown: use republish, resume or resolve"))
        }
        (Forward::Issued(_) | Forward::GivenUp(_) | Forward::Unclear, _) => {
            Err(format!("the outcome of step {name} is unknown: use republish"))
        }
        (Forward::Succeeded, Backward::None) if !goes_forward => {
            Err(format!("step {name} has succeeded, and only a saga that runs can repeat it"))
        }
        (Forward::Succeeded, Backward::None) if force || draft.step(step).kind == StepKind::ReadOnly => Ok(Action::Do),
        (Forward::Succeeded, Backward::None) => Err(format!("step {name} has succeeded: a repeat needs force")),
        (
            Forward::Pending
            | Forward::Ready
            | Forward::Retrying(_)
            | Forward::Succeeded
            | Forward::Failed(_)
            | Forward::Skipped(_),
            Backward::None | Backward::Ready | Backward::Retrying(_) | Backward::Done | Backward::Skipped(_),
        ) => Err(format!("step {name} has no failure that a new attempt could mend")),
    }
}

/// The direction in which the step's last outcome is a definite failure that a new attempt could mend.
fn failed_direction(draft: &Draft<'_>, step: StepIx) -> Option<Action> {
    let state = draft.saga.step(step);
    let blocked = draft.saga.blocks.iter().any(|block| block.step == step && block.kind == BlockKind::Failed);
    match (&state.forward, &state.backward) {
        (_, Backward::Retrying(_)) => Some(Action::Undo),
        (_, Backward::Exhausted(None)) if blocked => Some(Action::Undo),
        (Forward::Retrying(_), Backward::None) => Some(Action::Do),
        (Forward::Failed(None), Backward::None) if blocked => Some(Action::Do),
        (_, _) => None,
    }
}

/// Other data for the next attempt. Never while a command is outstanding: the same id with other data would be a lie.
pub(super) fn edit(draft: &mut Draft<'_>, name: &str, data: &Json) -> Result<(), String> {
    is_open(draft)?;
    let step = find(draft, name)?;
    let Some(action) = next_direction(draft, step) else {
        return Err(format!("step {name} has no attempt before it whose data could be changed"));
    };
    draft.push(Fact::Edited { step, action, data: data.clone() });
    Ok(())
}

/// The direction of the step's next attempt, if one may follow.
fn next_direction(draft: &Draft<'_>, step: StepIx) -> Option<Action> {
    let state = draft.saga.step(step);
    match (&state.forward, &state.backward) {
        (_, Backward::Ready | Backward::Retrying(_) | Backward::Exhausted(None)) => Some(Action::Undo),
        (Forward::Issued(_), Backward::None) => None,
        (_, Backward::None) if draft.saga.turned.is_some() => advance::needs_undo(draft, step).then_some(Action::Undo),
        (Forward::Pending | Forward::Ready | Forward::Retrying(_) | Forward::Failed(None), Backward::None) => {
            Some(Action::Do)
        }
        (_, _) => None,
    }
}

/// The step counts as skipped; successors read `reply`.
pub(super) fn skip(draft: &mut Draft<'_>, name: &str, reply: Option<&Json>) -> Result<(), String> {
    let (step, _) = not_done(draft, name)?;
    draft.push(Fact::Skipped { step, reply: reply.cloned() });
    unblock(draft, step);
    refuse_wish(draft, step);
    Ok(())
}

/// Success by hand. Attempt 0 stands for the person: a late answer to a real attempt is told apart from it.
pub(super) fn complete(draft: &mut Draft<'_>, name: &str, reply: &Json, operation: Uuid) -> Result<(), String> {
    let (step, _) = not_done(draft, name)?;
    draft.rules.render.check_reply(step, reply)?;
    let answer = Answer {
        id: Arc::from(operation.to_string()),
        outcome: Outcome::Success,
        data: reply.clone(),
        code: None,
        retryable: false,
        without_effect: false,
    };
    draft.push(Fact::Succeeded { step, action: Action::Do, attempt: 0, answer: Some(answer) });
    unblock(draft, step);
    outcome::done(draft, step);
    Ok(())
}

/// Definite failure by hand. The late success of a command that was outstanding gets an undo of its own.
pub(super) fn fail(draft: &mut Draft<'_>, name: &str, code: &str) -> Result<(), String> {
    let (step, flight) = not_done(draft, name)?;
    not_done_by_hand(draft, step, flight.map_or(0, |flight| flight.attempt), code);
    Ok(())
}

fn not_done_by_hand(draft: &mut Draft<'_>, step: StepIx, attempt: u16, code: &str) {
    draft.push(Fact::Failed { step, action: Action::Do, attempt, answer: None });
    unblock(draft, step);
    if draft.saga.turned.is_none() {
        let cause = draft.saga.wish.unwrap_or(Cause::Step(step));
        outcome::over(draft, step, cause, code, "said by an operator".to_owned());
    }
}

/// The outcome of a stuck step, as a person found it.
pub(super) fn resolve(draft: &mut Draft<'_>, name: &str, found: Resolution) -> Result<(), String> {
    let step = find(draft, name)?;
    let of_step = |action: Action| {
        draft.saga.phase == Phase::Stuck
            && draft.saga.blocks.iter().any(|block| block.step == step && block.action == action)
    };
    match (of_step(Action::Undo), of_step(Action::Do)) {
        (true, _) => resolve_undo(draft, step, found),
        (false, true) => resolve_do(draft, step, found)?,
        (false, false) => return Err(format!("the saga is not stuck at step {name}")),
    }
    unblock(draft, step);
    refuse_wish(draft, step);
    close(draft, step);
    Ok(())
}

fn resolve_undo(draft: &mut Draft<'_>, step: StepIx, found: Resolution) {
    let is_undone = draft.saga.step(step).backward == Backward::Done;
    match found {
        Resolution::Undone if is_undone => {}
        Resolution::Undone => draft.push(Fact::Succeeded { step, action: Action::Undo, attempt: 0, answer: None }),
        Resolution::Done | Resolution::Left => draft.push(Fact::UndoSkipped { step }),
    }
}

fn resolve_do(draft: &mut Draft<'_>, step: StepIx, found: Resolution) -> Result<(), String> {
    let state = draft.saga.step(step);
    let is_done = state.forward == Forward::Succeeded;
    let (is_undone, turned) = (state.backward == Backward::Done, draft.saga.turned.is_some());
    let by_hand = |action| Fact::Succeeded { step, action, attempt: 0, answer: None };
    match (found, &state.backward) {
        (Resolution::Done, _) if is_undone && turned => draft.push(Fact::UndoSkipped { step }),
        (Resolution::Done, _) if is_done => {}
        (Resolution::Done, _) => draft.push(by_hand(Action::Do)),
        (
            Resolution::Undone,
            Backward::Ready | Backward::Issued(_) | Backward::Retrying(_) | Backward::Exhausted(_),
        ) => {
            draft.push(by_hand(Action::Undo));
        }
        (Resolution::Undone, Backward::Done | Backward::Skipped(_)) => {}
        (Resolution::Undone, Backward::None) if is_endless(draft.definition(), &draft.saga, step) => {
            let name = &draft.step(step).name;
            return Err(format!("nothing is undone behind the pivot: retry, complete or skip step {name}"));
        }
        (Resolution::Undone, Backward::None) => {
            let attempt = state.attempts;
            if is_done {
                // Its effect was there, and a person undid it. Otherwise a late success gets an undo of its own.
                draft.push(by_hand(Action::Undo));
            }
            not_done_by_hand(draft, step, attempt, "saga.resolved_undone");
        }
        (Resolution::Left, _) => {
            if !is_done {
                draft.push(Fact::Skipped { step, reply: None });
            }
            draft.push(Fact::UndoSkipped { step });
        }
    }
    Ok(())
}

/// A step of a saga that goes forward, which will not be done by itself any more (its undo has closed it, or its `do` is over), waits
/// for a person to skip or complete it: the saga must not stand still silently.
fn close(draft: &mut Draft<'_>, step: StepIx) {
    let state = draft.saga.step(step);
    let is_over = match &state.forward {
        Forward::Succeeded | Forward::Skipped(_) => false,
        Forward::Failed(_) | Forward::GivenUp(_) | Forward::Unclear => true,
        Forward::Pending | Forward::Ready | Forward::Retrying(_) | Forward::Issued(_) => state.is_closed(),
    };
    if draft.saga.turned.is_some() || !is_over {
        return;
    }
    let attempt = state.attempts;
    draft.push(Fact::Failed { step, action: Action::Do, attempt, answer: None });
    let message = "its undo closes it for good: skip or complete it by hand";
    draft.block(step, Action::Do, BlockKind::Failed, "saga.step_closed", message);
}

/// A pivot that counts as done refuses the wish to turn.
fn refuse_wish(draft: &mut Draft<'_>, step: StepIx) {
    let is_done = matches!(draft.saga.step(step).forward, Forward::Succeeded | Forward::Skipped(_));
    if is_done && draft.step(step).kind == StepKind::Pivot && draft.saga.wish.is_some() {
        draft.push(Fact::WishRefused);
    }
}

/// The verbs that would be carried out on the saga as it stands, for one step of it at least.
pub(super) fn allowed(draft: &Draft<'_>) -> Vec<&'static str> {
    let any = |may: &dyn Fn(StepIx) -> bool| draft.definition().places().any(may);
    let is_open = is_open(draft).is_ok();
    let may_turn = operation::may_turn(draft).is_ok();
    let may_settle = any(&|step| may_settle(draft, step).is_ok());
    let is_stuck = draft.saga.phase == Phase::Stuck;
    let verbs = [
        ("resume", operation::may_resume(draft).is_ok()),
        ("pause", operation::may_pause(draft)),
        ("cancel", may_turn),
        ("compensate", may_turn),
        ("republish", any(&|step| !outstanding(draft, step).is_empty())),
        ("retry", is_open && any(&|step| may_retry(draft, step, false).is_ok())),
        ("edit", is_open && any(&|step| next_direction(draft, step).is_some())),
        ("skip", may_settle),
        ("complete", may_settle),
        ("fail", may_settle),
        ("resolve", is_stuck),
        ("abandon", is_open),
    ];
    verbs.into_iter().filter(|(_, may)| *may).map(|(verb, _)| verb).collect()
}

/// The step called `name`, if a person may still say how it ended; with its outstanding command.
fn not_done(draft: &Draft<'_>, name: &str) -> Result<(StepIx, Option<Flight>), String> {
    let step = find(draft, name)?;
    Ok((step, may_settle(draft, step)?))
}

/// The command that is outstanding, if a person may still say how the step ended.
fn may_settle(draft: &Draft<'_>, step: StepIx) -> Result<Option<Flight>, String> {
    is_open(draft)?;
    let name = &draft.step(step).name;
    let turned = draft.saga.turned.is_some();
    let state = draft.saga.step(step);
    match &state.forward {
        _ if turned && state.backward != Backward::None => {
            Err(format!("step {name} is being undone: use resolve when it is stuck"))
        }
        Forward::Issued(flight) => Ok(Some(flight.clone())),
        Forward::Failed(flight) if !turned => Ok(flight.clone()),
        Forward::Pending | Forward::Ready | Forward::Retrying(_) if !turned => Ok(None),
        Forward::Succeeded => Err(format!("step {name} has succeeded")),
        Forward::GivenUp(_) | Forward::Unclear => {
            Err(format!("step {name} is possibly done: use resolve when it is stuck"))
        }
        Forward::Pending | Forward::Ready | Forward::Retrying(_) | Forward::Failed(_) | Forward::Skipped(_) => {
            Err(format!("step {name} is over"))
        }
    }
}

fn is_open(draft: &Draft<'_>) -> Result<(), String> {
    if draft.saga.is_final() { Err("it has ended".to_owned()) } else { Ok(()) }
}

fn find(draft: &Draft<'_>, name: &str) -> Result<StepIx, String> {
    draft.definition().place_of(name).ok_or_else(|| {
        let names: Vec<&str> = draft.definition().steps.iter().map(|step| &*step.name).collect();
        format!("there is no step {name}; its steps are {}", names.join(", "))
    })
}

fn unblock(draft: &mut Draft<'_>, step: StepIx) {
    if draft.saga.blocks.iter().any(|block| block.step == step) {
        draft.push(Fact::Unblocked { step });
    }
}
