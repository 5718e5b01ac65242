//! The outcome of a stuck step, as a person found it.

use super::super::definition::{StepIx, StepKind};
use super::super::fact::Fact;
use super::super::input::Resolution;
use super::super::phase::Phase;
use super::super::progress::is_endless;
use super::super::saga::{Action, Backward, BlockKind, Forward};
use super::draft::Draft;
use super::repair::{done_by_hand, find, not_done_by_hand, refuse_wish};
use super::wait;

/// The outcome of a stuck step, as a person found it: it settles both directions. On a saga that has ended it settles a late undo.
pub(super) fn resolve(draft: &mut Draft<'_>, name: &str, found: Resolution) -> Result<(), String> {
    let step = find(draft, name)?;
    may_resolve(draft, step)?;
    if found != Resolution::Undone {
        wait::is_approved(draft, step)?;
    }
    let undo_failed = draft.saga.is_final() || draft.saga.blocks_of(step, Action::Undo).next().is_some();
    for action in [Action::Do, Action::Undo] {
        draft.unblock(step, action, |_| true);
    }
    match found {
        Resolution::Done => found_done(draft, step, undo_failed),
        Resolution::Undone => found_undone(draft, step),
        Resolution::Left => found_left(draft, step),
    }
    refuse_wish(draft, step);
    close(draft, step);
    Ok(())
}

pub(super) fn may_resolve(draft: &Draft<'_>, step: StepIx) -> Result<(), String> {
    wait::is_no_approval(draft, step)?;
    let name = &draft.step(step).name;
    let blocked = draft.saga.blocks.iter().any(|block| block.step == step);
    match draft.saga.phase {
        Phase::Stuck if blocked => Ok(()),
        Phase::Completed | Phase::Compensated | Phase::CompensatedWithSkips | Phase::Cancelled
            if matches!(draft.saga.step(step).backward, Backward::Exhausted(_)) =>
        {
            Ok(())
        }
        Phase::Running
        | Phase::Compensating
        | Phase::Stuck
        | Phase::Paused
        | Phase::Completed
        | Phase::Compensated
        | Phase::CompensatedWithSkips
        | Phase::Cancelled
        | Phase::Abandoned => Err(format!("the saga is not stuck at step {name}")),
    }
}

fn found_done(draft: &mut Draft<'_>, step: StepIx, undo_failed: bool) {
    let before = draft.saga.step(step).clone();
    let turned = draft.saga.turned.is_some();
    // Where the saga goes forward, an undo that has not gone out would take away what is found done.
    let undo_waits = !turned && before.backward == Backward::Ready;
    if undo_failed || undo_waits || before.backward == Backward::Done {
        draft.push(Fact::UndoSkipped { step });
    }
    match (&before.forward, &before.backward) {
        // Everything else is undone, and this cannot be: it stays.
        (Forward::Succeeded, Backward::None) if turned && draft.step(step).kind == StepKind::Pivot => {
            draft.push(Fact::UndoSkipped { step });
        }
        (Forward::Succeeded, _) => {}
        (_, Backward::None) => done_by_hand(draft, step, None),
        (Forward::Skipped(_), _) => {}
        (_, _) if turned => {}
        (_, _) => done_by_hand(draft, step, None),
    }
}

fn found_undone(draft: &mut Draft<'_>, step: StepIx) {
    let state = draft.saga.step(step);
    let (is_done, attempt) = (state.forward == Forward::Succeeded, state.attempts);
    let undone_by_hand = Fact::Succeeded { step, action: Action::Undo, attempt: 0, answer: None };
    match &state.backward {
        Backward::Done => {}
        Backward::Ready
        | Backward::Issued(_)
        | Backward::Retrying(_)
        | Backward::Exhausted(_)
        | Backward::Skipped(_) => draft.push(undone_by_hand),
        Backward::None => {
            // Where the saga may turn, its effect was there and a person undid it. Where it may not, the step is to be done again.
            if is_done && !is_endless(draft.definition(), &draft.saga, step) {
                draft.push(undone_by_hand);
            }
            // Otherwise a late success gets an undo of its own.
            not_done_by_hand(draft, step, attempt, "saga.resolved_undone", "said by an operator");
        }
    }
}

fn found_left(draft: &mut Draft<'_>, step: StepIx) {
    if !matches!(draft.saga.step(step).forward, Forward::Succeeded | Forward::Skipped(_)) {
        draft.push(Fact::Skipped { step, reply: None });
    }
    draft.push(Fact::UndoSkipped { step });
}

/// A step of a saga that goes forward, which will not be done by itself any more (its undo has closed it, or its `do` is over), waits
/// for a person to skip or complete it: the saga must not stand still silently.
fn close(draft: &mut Draft<'_>, step: StepIx) {
    let state = draft.saga.step(step);
    let is_over = match &state.forward {
        Forward::Skipped(_) => false,
        Forward::Succeeded => state.backward == Backward::Done,
        Forward::Failed(_) | Forward::GivenUp(_) | Forward::Unclear => true,
        Forward::Pending | Forward::Ready | Forward::Retrying(_) | Forward::Issued(_) => state.is_closed(),
    };
    let is_said = draft.saga.blocks_of(step, Action::Do).any(|block| block.kind == BlockKind::Failed);
    if draft.saga.turned.is_some() || !is_over || is_said {
        return;
    }
    let attempt = state.attempts;
    draft.push(Fact::Failed { step, action: Action::Do, attempt, answer: None });
    let message = "its undo closes it for good: skip or complete it by hand";
    draft.block(step, Action::Do, BlockKind::Failed, "saga.step_closed", message);
}
