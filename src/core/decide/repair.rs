//! An operator's action on one step. Nothing here is done to a step whose outcome is unknown but to ask again with the same id.

use std::sync::Arc;

use uuid::Uuid;

use super::super::definition::{StepIx, StepKind};
use super::super::fact::{Answer, Cause, Fact, Outcome};
use super::super::input::Resolution;
use super::super::json::Json;
use super::super::saga::{Action, Backward, BlockKind, Flight, Forward, Phase};
use super::draft::Draft;
use super::operation::{is_undoing, try_again};
use super::outcome;

/// The same command, the same id: always safe.
pub(super) fn republish(draft: &mut Draft<'_>, name: &str) -> Result<(), String> {
    let step = find(draft, name)?;
    let before = draft.facts.len();
    send_again(draft, step, Action::Do);
    send_again(draft, step, Action::Undo);
    if draft.facts.len() == before || draft.saga.phase == Phase::Abandoned {
        return Err(format!("step {name} has no outstanding command"));
    }
    Ok(())
}

/// Sends the outstanding command of this direction again, if there is one.
pub(super) fn send_again(draft: &mut Draft<'_>, step: StepIx, action: Action) {
    let state = draft.saga.step(step);
    let attempt = match (action, &state.forward, &state.backward) {
        (Action::Do, Forward::Issued(flight), _)
        | (Action::Undo, _, Backward::Issued(flight) | Backward::Exhausted(Some(flight))) => flight.attempt,
        (Action::Do | Action::Undo, _, _) => return,
    };
    draft.push(Fact::Resent { step, action, attempt });
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
        let label = Arc::clone(&draft.step(step).name);
        let repeatable = draft.saga.phase == Phase::Running && draft.saga.turned.is_none();
        match (failed_direction(draft, step), &draft.saga.step(step).forward) {
            (Some(action), _) => try_again(draft, step, action),
            (None, Forward::Succeeded) if repeatable && (force || draft.step(step).kind == StepKind::ReadOnly) => {
                try_again(draft, step, Action::Do);
            }
            (None, Forward::Succeeded) => return Err(format!("step {label} has succeeded: a repeat needs force")),
            (None, Forward::Issued(_) | Forward::GivenUp(_) | Forward::Unclear) => {
                return Err(format!("the outcome of step {label} is unknown: use republish"));
            }
            (
                None,
                Forward::Pending | Forward::Ready | Forward::Retrying(_) | Forward::Failed(_) | Forward::Skipped(_),
            ) => {
                return Err(format!("step {label} has no failure that a new attempt could mend"));
            }
        }
    }
    Ok(())
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
    let state = draft.saga.step(step);
    let action = match (&state.forward, &state.backward) {
        (_, Backward::Ready | Backward::Retrying(_) | Backward::Exhausted(None)) => Action::Undo,
        (Forward::Pending | Forward::Ready | Forward::Retrying(_) | Forward::Failed(None), Backward::None) => {
            Action::Do
        }
        (_, _) => {
            return Err(format!("step {name} has no attempt before it whose data could be changed"));
        }
    };
    draft.push(Fact::Edited { step, action, data: data.clone() });
    Ok(())
}

/// The step counts as skipped; successors read `reply`.
pub(super) fn skip(draft: &mut Draft<'_>, name: &str, reply: Option<&Json>) -> Result<(), String> {
    let (step, _) = not_done(draft, name)?;
    draft.push(Fact::Skipped { step, reply: reply.cloned() });
    unblock(draft, step);
    if draft.step(step).kind == StepKind::Pivot && draft.saga.wish.is_some() {
        draft.push(Fact::WishRefused);
    }
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
    let message = "said by an operator".to_owned();
    draft.push(Fact::Failed { step, action: Action::Do, attempt, answer: None });
    unblock(draft, step);
    if draft.saga.turned.is_some() {
        return;
    }
    if draft.step(step).is_endless() {
        draft.block(step, Action::Do, BlockKind::Failed, code, message);
    } else {
        draft.push(Fact::FailedForGood { step, code: code.into(), message });
        let cause = draft.saga.wish.unwrap_or(Cause::Step(step));
        draft.turn(cause);
    }
}

/// The outcome of a stuck step, as a person found it.
pub(super) fn resolve(draft: &mut Draft<'_>, name: &str, found: Resolution) -> Result<(), String> {
    let step = find(draft, name)?;
    if draft.saga.phase != Phase::Stuck || !draft.saga.blocks.iter().any(|block| block.step == step) {
        return Err(format!("the saga is not stuck at step {name}"));
    }
    match (is_undoing(draft, step), found) {
        (true, Resolution::Undone) => {
            draft.push(Fact::Succeeded { step, action: Action::Undo, attempt: 0, answer: None });
        }
        (true, Resolution::Done | Resolution::Left) => draft.push(Fact::UndoSkipped { step }),
        (false, Resolution::Done) => {
            draft.push(Fact::Unblocked { step });
            if draft.saga.step(step).forward != Forward::Succeeded {
                draft.push(Fact::Succeeded { step, action: Action::Do, attempt: 0, answer: None });
                outcome::done(draft, step);
            }
        }
        (false, Resolution::Undone) if draft.step(step).is_endless() && draft.saga.turned.is_none() => {
            return Err(format!("nothing is undone behind the pivot: retry, complete or skip step {name}"));
        }
        (false, Resolution::Undone) => {
            let attempt = draft.saga.step(step).attempts;
            not_done_by_hand(draft, step, attempt, "saga.resolved_undone");
        }
        (false, Resolution::Left) => {
            if draft.saga.step(step).forward != Forward::Succeeded {
                draft.push(Fact::Skipped { step, reply: None });
            }
            draft.push(Fact::UndoSkipped { step });
        }
    }
    unblock(draft, step);
    Ok(())
}

/// The step called `name`, if it is not done and may still be said to be this or that; with its outstanding command.
fn not_done(draft: &Draft<'_>, name: &str) -> Result<(StepIx, Option<Flight>), String> {
    is_open(draft)?;
    let step = find(draft, name)?;
    let turned = draft.saga.turned.is_some();
    match &draft.saga.step(step).forward {
        _ if is_undoing(draft, step) => Err(format!("step {name} is being undone: use resolve when it is stuck")),
        Forward::Issued(flight) => Ok((step, Some(flight.clone()))),
        Forward::Pending | Forward::Ready | Forward::Retrying(_) | Forward::Failed(None) if !turned => Ok((step, None)),
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
