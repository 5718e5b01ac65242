//! An operator's action on one step. Nothing here is done to a step whose outcome is unknown but to ask again with the same id.

use std::sync::Arc;

use uuid::Uuid;

use super::super::definition::{StepIx, StepKind, Wait};
use super::super::fact::{Answer, Cause, Fact, Outcome};
use super::super::json::Json;
use super::super::phase::Phase;
use super::super::progress::flight;
use super::super::saga::{Action, Backward, BlockKind, Flight, Forward};
use super::draft::Draft;
use super::operation::{self, try_again};
use super::{advance, outcome, resolve, wait};

/// The same command, the same id: always safe.
pub(super) fn republish(draft: &mut Draft<'_>, name: &str) -> Result<(), String> {
    let step = find(draft, name)?;
    let actions = outstanding(draft, step);
    if actions.is_empty() {
        return Err(format!("step {name} has no outstanding command"));
    }
    if draft.is_held(step) {
        return Err(format!("step {name} is held: once it is released, its command is sent again by itself"));
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

/// Sends the outstanding command of this direction again, if there is one and nobody holds the step.
pub(super) fn send_again(draft: &mut Draft<'_>, step: StepIx, action: Action) {
    let flight = flight(&draft.saga, step, action).filter(|_| !draft.is_held(step));
    if let Some(attempt) = flight.map(|flight| flight.attempt) {
        draft.push(Fact::Resent { step, action, attempt });
    }
}

/// A new attempt with a new id, where the last outcome is a definite failure.
pub(super) fn retry(draft: &mut Draft<'_>, name: Option<&str>, force: bool) -> Result<(), String> {
    let steps = match name {
        Some(name) => vec![find(draft, name)?],
        None => draft.definition().places().filter(|step| failed_direction(draft, *step).is_some()).collect(),
    };
    if steps.is_empty() {
        is_open(draft)?;
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
        operation::may_try_again(draft, step, action)?;
        return Ok(action);
    }
    is_open(draft)?;
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
        (Forward::Succeeded, Backward::None) if has_followers(draft, step) => {
            Err(format!("steps behind {name} were sent what it answered: a repeat could answer otherwise"))
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

/// True once a successor of the step has begun.
fn has_followers(draft: &Draft<'_>, step: StepIx) -> bool {
    draft.step(step).before.iter().any(|after| draft.saga.step(*after).forward != Forward::Pending)
}

/// The direction in which the step's last outcome is a definite failure that a new attempt could mend. Nothing blocks a saga that
/// has ended, so there a late undo that is at its end says so itself.
fn failed_direction(draft: &Draft<'_>, step: StepIx) -> Option<Action> {
    let state = draft.saga.step(step);
    let blocked = |action: Action| draft.saga.blocks_of(step, action).any(|block| block.kind == BlockKind::Failed);
    let has_ended = draft.saga.is_final();
    match (&state.forward, &state.backward) {
        _ if draft.saga.phase == Phase::Abandoned => None,
        (_, Backward::Retrying(_)) => Some(Action::Undo),
        (_, Backward::Exhausted(None)) if has_ended && !state.is_disputed(Action::Undo) => Some(Action::Undo),
        (_, Backward::Exhausted(None)) if blocked(Action::Undo) => Some(Action::Undo),
        (Forward::Retrying(_), Backward::None) => Some(Action::Do),
        (Forward::Failed(None), Backward::None) if blocked(Action::Do) => Some(Action::Do),
        // A person said no: asked again it is another question.
        (Forward::Failed(Some(_)), Backward::None) if draft.step(step).waits.is_some() && blocked(Action::Do) => {
            Some(Action::Do)
        }
        (_, _) => None,
    }
}

/// Other data for the next attempt. Never while a command is outstanding: the same id with other data would be a lie.
pub(super) fn edit(draft: &mut Draft<'_>, name: &str, data: &Json) -> Result<(), String> {
    is_open(draft)?;
    let step = find(draft, name)?;
    let action = may_edit(draft, step)?;
    draft.push(Fact::Edited { step, action, data: data.clone() });
    Ok(())
}

/// The direction of the step's next attempt, if its data may be changed: who approves sees what the definition says.
fn may_edit(draft: &Draft<'_>, step: StepIx) -> Result<Action, String> {
    match next_direction(draft, step) {
        Some(Action::Do) => wait::is_no_approval(draft, step).map(|()| Action::Do),
        Some(Action::Undo) => Ok(Action::Undo),
        None => Err(format!("step {} has no attempt before it whose data could be changed", draft.step(step).name)),
    }
}

/// The direction of the step's next attempt, if one may follow.
fn next_direction(draft: &Draft<'_>, step: StepIx) -> Option<Action> {
    let state = draft.saga.step(step);
    match (&state.forward, &state.backward) {
        (_, Backward::Ready | Backward::Retrying(_) | Backward::Exhausted(None)) => Some(Action::Undo),
        (Forward::Issued(_), Backward::None) => None,
        (_, Backward::None) if draft.saga.turned.is_some() => {
            advance::needs_undo(draft.definition(), &draft.saga, step).then_some(Action::Undo)
        }
        (Forward::Pending | Forward::Ready | Forward::Retrying(_) | Forward::Failed(None), Backward::None) => {
            Some(Action::Do)
        }
        (_, _) => None,
    }
}

/// The step counts as skipped; successors read `reply`.
pub(super) fn skip(draft: &mut Draft<'_>, name: &str, reply: Option<&Json>) -> Result<(), String> {
    let step = find(draft, name)?;
    may_skip(draft, step)?;
    draft.push(Fact::Skipped { step, reply: reply.cloned() });
    draft.unblock(step, Action::Do, |_| true);
    refuse_wish(draft, step);
    Ok(())
}

/// Success by hand. Attempt 0 stands for the person: a late answer to a real attempt is told apart from it.
pub(super) fn complete(draft: &mut Draft<'_>, name: &str, reply: &Json, operation: Uuid) -> Result<(), String> {
    let step = find(draft, name)?;
    may_complete(draft, step)?;
    succeed_by_hand(draft, step, reply, operation)
}

/// The step's success, said by a person, if the reply fits its schema.
pub(super) fn succeed_by_hand(
    draft: &mut Draft<'_>,
    step: StepIx,
    reply: &Json,
    operation: Uuid,
) -> Result<(), String> {
    draft.rules.render.check_reply(step, reply)?;
    let answer = Answer {
        id: Arc::from(operation.to_string()),
        outcome: Outcome::Success,
        data: reply.clone(),
        code: None,
        retryable: false,
        without_effect: false,
    };
    done_by_hand(draft, step, Some(answer));
    Ok(())
}

/// The effect is there, says a person; also where an undo is known to have succeeded: then it stays.
pub(super) fn done_by_hand(draft: &mut Draft<'_>, step: StepIx, answer: Option<Answer>) {
    draft.unblock(step, Action::Do, |_| true);
    if draft.saga.step(step).backward == Backward::Done {
        draft.push(Fact::UndoSkipped { step });
    }
    draft.push(Fact::Succeeded { step, action: Action::Do, attempt: 0, answer });
    outcome::done(draft, step);
}

/// Definite failure by hand. The late success of a command that was outstanding gets an undo of its own.
pub(super) fn fail(draft: &mut Draft<'_>, name: &str, code: &str) -> Result<(), String> {
    let step = find(draft, name)?;
    let flight = may_say(draft, step)?;
    not_done_by_hand(draft, step, flight.map_or(0, |flight| flight.attempt), code, "said by an operator");
    Ok(())
}

/// The step's definite failure, said by a person.
pub(super) fn not_done_by_hand(draft: &mut Draft<'_>, step: StepIx, attempt: u16, code: &str, message: &str) {
    draft.push(Fact::Failed { step, action: Action::Do, attempt, answer: None });
    draft.unblock(step, Action::Do, |_| true);
    if draft.saga.turned.is_none() {
        let cause = draft.saga.wish.unwrap_or(Cause::Step(step));
        outcome::over(draft, step, cause, code, message.to_owned());
    }
}

/// A pivot that counts as done refuses the wish to turn.
pub(super) fn refuse_wish(draft: &mut Draft<'_>, step: StepIx) {
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
    let may_settle = any(&|step| may_say(draft, step).is_ok());
    let may_answer = |answer| any(&|step| wait::may_answer(draft, step, answer).is_ok());
    let (signal, approve) = (may_answer(Wait::Signal), may_answer(Wait::Approval));
    let verbs = [
        ("signal", signal),
        ("approve", approve),
        ("reject", approve),
        ("resume", operation::may_resume(draft).is_ok()),
        ("pause", operation::may_pause(draft)),
        ("cancel", may_turn),
        ("compensate", may_turn),
        ("republish", any(&|step| !outstanding(draft, step).is_empty() && !draft.is_held(step))),
        ("retry", any(&|step| may_retry(draft, step, false).is_ok())),
        ("edit", is_open && any(&|step| may_edit(draft, step).is_ok())),
        ("skip", any(&|step| may_skip(draft, step).is_ok())),
        ("complete", any(&|step| may_complete(draft, step).is_ok())),
        ("fail", may_settle),
        ("resolve", any(&|step| resolve::may_resolve(draft, step).is_ok())),
        ("abandon", is_open),
    ];
    verbs.into_iter().filter(|(_, may)| *may).map(|(verb, _)| verb).collect()
}

/// As `may_settle`, for any person who may repair.
fn may_say(draft: &Draft<'_>, step: StepIx) -> Result<Option<Flight>, String> {
    wait::is_no_approval(draft, step)?;
    may_settle(draft, step)
}

/// The command that is outstanding, if a person may still say how the step ended.
pub(super) fn may_settle(draft: &Draft<'_>, step: StepIx) -> Result<Option<Flight>, String> {
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

/// Whether a person may say that what comes after the step may begin.
fn may_skip(draft: &Draft<'_>, step: StepIx) -> Result<(), String> {
    may_say(draft, step)?;
    wait::is_approved(draft, step)
}

/// A step whose undo is due cannot be called done: the undo would take the effect away again.
fn may_complete(draft: &Draft<'_>, step: StepIx) -> Result<(), String> {
    may_skip(draft, step)?;
    if draft.saga.step(step).is_undoing() {
        return Err(format!("step {} is being undone: it can be skipped", draft.step(step).name));
    }
    Ok(())
}

pub(super) fn is_open(draft: &Draft<'_>) -> Result<(), String> {
    if draft.saga.is_final() { Err("it has ended".to_owned()) } else { Ok(()) }
}

pub(super) fn find(draft: &Draft<'_>, name: &str) -> Result<StepIx, String> {
    draft.definition().place_of(name).ok_or_else(|| {
        let names: Vec<&str> = draft.definition().steps.iter().map(|step| &*step.name).collect();
        format!("there is no step {name}; its steps are {}", names.join(", "))
    })
}
