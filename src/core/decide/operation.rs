//! An operator's action on a saga as a whole; `repair` holds those on one step. Each is an input like a reply: decided,
//! journalled, refused with the verbs that would be allowed (OPERATIONS.md section 7).

use super::super::definition::{StepIx, StepKind};
use super::super::fact::{Cause, Fact};
use super::super::input::{Operation, Verb, Verdict};
use super::super::phase::Phase;
use super::super::progress::is_past_pivot;
use super::super::saga::{Action, Backward, Block, BlockKind, Forward};
use super::draft::Draft;
use super::{Refusal, advance, hold, repair, resolve, wait};

/// The code of an action that is refused because it was asked for of an earlier row of the journal.
pub const CHANGED: &str = "changed";

/// Carries out `operation`, or leaves the draft as it was.
///
/// # Errors
/// The state does not allow it, or the saga has moved on: with the verbs that are allowed.
pub(super) fn operation(draft: &mut Draft<'_>, operation: &Operation) -> Result<(), Refusal> {
    if let Some(expected) = operation.expect_seq.filter(|expected| *expected != draft.saga.seq) {
        let reason = format!("the saga has moved on from journal row {expected} to {}", draft.saga.seq);
        return Err(refusal(draft, CHANGED, &reason));
    }
    let before = draft.saga.clone();
    draft.push(Fact::Operated { operation: operation.clone() });
    carry_out(draft, operation).map_err(|reason| {
        draft.facts.clear();
        draft.saga = before;
        refusal(draft, "refused", &reason)
    })
}

/// The reason, the phase, and what would be carried out.
fn refusal(draft: &Draft<'_>, code: &'static str, reason: &str) -> Refusal {
    let can = repair::allowed(draft);
    let message = format!("{reason} (phase {}; can: {})", draft.saga.phase, can.join(", "));
    Refusal { can, ..Refusal::new(Verdict::Stale, code, message) }
}

fn carry_out(draft: &mut Draft<'_>, operation: &Operation) -> Result<(), String> {
    match &operation.verb {
        Verb::Cancel => turn(draft, Cause::Cancel),
        Verb::Compensate => turn(draft, Cause::Compensate),
        Verb::Pause => pause(draft),
        Verb::Resume => resume(draft),
        Verb::Abandon => abandon(draft),
        Verb::Republish { step } => repair::republish(draft, step),
        Verb::Retry { step, force } => repair::retry(draft, step.as_deref(), *force),
        Verb::Edit { step, data } => repair::edit(draft, step, data),
        Verb::Skip { step, reply } => repair::skip(draft, step, reply.as_ref()),
        Verb::Complete { step, reply } => repair::complete(draft, step, reply, operation.id),
        Verb::Fail { step, code } => repair::fail(draft, step, code),
        Verb::Resolve { step, outcome } => resolve::resolve(draft, step, *outcome),
        Verb::Signal { step, data } => wait::signal(draft, step, data.as_ref(), operation),
        Verb::Approve { step, reply } => wait::approve(draft, step, reply.as_ref(), operation),
        Verb::Reject { step, code } => wait::reject(draft, step, code),
    }
}

/// Whether the saga may be turned, now or by a wish.
pub(super) fn may_turn(draft: &Draft<'_>) -> Result<(), String> {
    if !matches!(draft.saga.phase, Phase::Running | Phase::Paused) || draft.saga.turned.is_some() {
        return Err("only a saga that goes forward can be turned".to_owned());
    }
    if is_past_pivot(draft.definition(), &draft.saga) {
        return Err("its pivot has succeeded, so it only goes forward".to_owned());
    }
    if draft.saga.wish.is_some() {
        return Err("the wish to turn is kept already, until the pivot is answered".to_owned());
    }
    Ok(())
}

fn turn(draft: &mut Draft<'_>, cause: Cause) -> Result<(), String> {
    may_turn(draft)?;
    if pivot_is_in_doubt(draft) {
        draft.push(Fact::TurnWished { cause });
        return Ok(());
    }
    thaw(draft);
    draft.turn(cause);
    draft.enter(Phase::Compensating);
    Ok(())
}

/// True while nobody knows whether a pivot has its effect: it is in flight, or a person has to find out.
fn pivot_is_in_doubt(draft: &Draft<'_>) -> bool {
    let mut pivots = draft.definition().places().filter(|step| draft.step(*step).kind == StepKind::Pivot);
    pivots.any(|step| {
        matches!(draft.saga.step(step).forward, Forward::Issued(_) | Forward::Unclear)
            || draft.saga.blocks_of(step, Action::Do).next().is_some()
    })
}

/// True while there is something that a pause could freeze.
pub(super) fn may_pause(draft: &Draft<'_>) -> bool {
    matches!(draft.saga.phase, Phase::Running | Phase::Compensating)
}

fn pause(draft: &mut Draft<'_>) -> Result<(), String> {
    if !may_pause(draft) {
        return Err("only a saga that is under way can be paused".to_owned());
    }
    // From here on nobody asks what is held: its timers stand still anyhow.
    hold::settle(draft);
    draft.enter(Phase::Paused);
    Ok(())
}

/// Whether the saga can go on as it stands.
pub(super) fn may_resume(draft: &Draft<'_>) -> Result<(), String> {
    match draft.saga.phase {
        Phase::Paused => Ok(()),
        Phase::Stuck => draft.saga.blocks.iter().try_for_each(|block| may_resume_block(draft, block)),
        Phase::Running
        | Phase::Compensating
        | Phase::Completed
        | Phase::Compensated
        | Phase::CompensatedWithSkips
        | Phase::Cancelled
        | Phase::Abandoned => Err("only a saga that is paused or stuck can be resumed".to_owned()),
    }
}

/// Whether a new attempt, or the same command again, may take this block away.
fn may_resume_block(draft: &Draft<'_>, block: &Block) -> Result<(), String> {
    let Block { step, action, kind, code } = block;
    let name = &draft.step(*step).name;
    match kind {
        BlockKind::Conflict => {
            wait::is_no_approval(draft, *step)?;
            Err(format!("what is true of step {name} has to be found out: use resolve"))
        }
        BlockKind::Undeliverable if &**code == "saga.rendering" => {
            wait::is_no_approval(draft, *step)?;
            Err(format!("the command of step {name} renders differently from what was issued: use resolve"))
        }
        BlockKind::Failed if *action == Action::Do && draft.saga.step(*step).backward != Backward::None => {
            Err(format!("the undo of step {name} closes it for good: skip or complete it by hand"))
        }
        BlockKind::Failed | BlockKind::Unanswered | BlockKind::Undeliverable => Ok(()),
    }
}

fn resume(draft: &mut Draft<'_>) -> Result<(), String> {
    may_resume(draft)?;
    if draft.saga.phase == Phase::Paused {
        thaw(draft);
        draft.enter(if draft.saga.turned.is_some() { Phase::Compensating } else { Phase::Running });
        return Ok(());
    }
    for Block { step, action, kind, .. } in draft.saga.blocks.clone() {
        if kind == BlockKind::Failed && !is_unanswered(draft, step, action) {
            try_again(draft, step, action);
        } else {
            draft.push(Fact::Unblocked { step, action, kind });
            draft.push(Fact::Renewed { step, action });
            repair::send_again(draft, step, action);
        }
    }
    Ok(())
}

/// True where nobody but a person has said how the command ended: it is asked again, with the same id and new patience. To a notice
/// that is an answer like any other.
fn is_unanswered(draft: &Draft<'_>, step: StepIx, action: Action) -> bool {
    let is_out = matches!(draft.saga.step(step).forward, Forward::Failed(Some(_)));
    action == Action::Do && is_out && draft.step(step).waits.is_none()
}

/// Whether a new attempt of the step could be the right answer to all that blocks it in this direction.
pub(super) fn may_try_again(draft: &Draft<'_>, step: StepIx, action: Action) -> Result<(), String> {
    draft.saga.blocks_of(step, action).try_for_each(|block| may_resume_block(draft, block))
}

/// A new attempt with a fresh count. A step that a person failed before its time waits for its predecessors again.
pub(super) fn try_again(draft: &mut Draft<'_>, step: StepIx, action: Action) {
    draft.unblock(step, action, |_| true);
    draft.push(Fact::Renewed { step, action });
    let waits = action == Action::Do && draft.saga.step(step).forward == Forward::Pending;
    if !waits || advance::may_begin(draft, step) {
        draft.push(Fact::Ready { step, action });
    }
}

fn abandon(draft: &mut Draft<'_>) -> Result<(), String> {
    if draft.saga.is_final() {
        return Err("it has ended".to_owned());
    }
    draft.enter(Phase::Abandoned);
    Ok(())
}

/// Timers stood still while the saga was paused: everything due is due that much later.
fn thaw(draft: &mut Draft<'_>) {
    if let Some(paused_at) = draft.saga.paused_at {
        let millis = draft.now.millis_since(paused_at);
        draft.push(Fact::Thawed { millis });
    }
}
