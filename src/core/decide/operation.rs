//! An operator's action on a saga as a whole; `repair` holds those on one step. Each is an input like a reply: decided,
//! journalled, refused with the verbs that would be allowed (OPERATIONS.md section 7).

use super::super::definition::{StepIx, StepKind};
use super::super::fact::{Cause, Fact};
use super::super::input::{Operation, Verb, Verdict};
use super::super::saga::{Action, Backward, Block, BlockKind, Forward, Phase, Saga};
use super::draft::Draft;
use super::outcome::is_past_pivot;
use super::{Refusal, repair};

/// Carries out `operation`, or leaves the draft as it was.
///
/// # Errors
/// The state does not allow it, or the saga has moved on: with the verbs that are allowed.
pub(super) fn operation(draft: &mut Draft<'_>, operation: &Operation) -> Result<(), Refusal> {
    if let Some(expected) = operation.expect_seq.filter(|expected| *expected != draft.saga.seq) {
        let message = format!("the saga has moved on from journal row {expected} to {}", draft.saga.seq);
        return Err(Refusal::new(Verdict::Stale, "changed", message));
    }
    let before = draft.saga.clone();
    draft.push(Fact::Operated { operation: operation.clone() });
    carry_out(draft, operation).map_err(|reason| {
        draft.facts.clear();
        draft.saga = before;
        let can = allowed(&draft.saga);
        let message = format!("{reason} (phase {}; can: {})", draft.saga.phase, can.join(", "));
        Refusal { can, ..Refusal::new(Verdict::Stale, "refused", message) }
    })
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
        Verb::Resolve { step, outcome } => repair::resolve(draft, step, *outcome),
    }
}

/// The verbs that the saga's phase allows.
fn allowed(saga: &Saga) -> Vec<&'static str> {
    match saga.phase {
        Phase::Running if saga.turned.is_none() => {
            vec!["cancel", "compensate", "pause", "republish", "retry", "edit", "skip", "complete", "fail", "abandon"]
        }
        Phase::Running | Phase::Compensating => vec!["pause", "republish", "retry", "abandon"],
        Phase::Paused => vec!["resume", "cancel", "compensate", "edit", "abandon"],
        Phase::Stuck => {
            vec!["resume", "republish", "retry", "edit", "skip", "complete", "fail", "resolve", "abandon"]
        }
        Phase::Completed | Phase::Compensated | Phase::CompensatedWithSkips | Phase::Cancelled | Phase::Abandoned => {
            Vec::new()
        }
    }
}

fn turn(draft: &mut Draft<'_>, cause: Cause) -> Result<(), String> {
    if !matches!(draft.saga.phase, Phase::Running | Phase::Paused) || draft.saga.turned.is_some() {
        return Err("only a saga that goes forward can be turned".to_owned());
    }
    if is_past_pivot(draft) {
        return Err("its pivot has succeeded, so it only goes forward".to_owned());
    }
    if pivot_is_in_flight(draft) {
        if draft.saga.wish.is_some() {
            return Err("the wish to turn is kept already, until the pivot is answered".to_owned());
        }
        draft.push(Fact::TurnWished { cause });
        return Ok(());
    }
    thaw(draft);
    draft.turn(cause);
    draft.enter(Phase::Compensating);
    Ok(())
}

fn pivot_is_in_flight(draft: &Draft<'_>) -> bool {
    draft.definition().places().any(|step| {
        draft.step(step).kind == StepKind::Pivot && matches!(draft.saga.step(step).forward, Forward::Issued(_))
    })
}

fn pause(draft: &mut Draft<'_>) -> Result<(), String> {
    if !matches!(draft.saga.phase, Phase::Running | Phase::Compensating) {
        return Err("only a saga that is under way can be paused".to_owned());
    }
    draft.enter(Phase::Paused);
    Ok(())
}

fn resume(draft: &mut Draft<'_>) -> Result<(), String> {
    match draft.saga.phase {
        Phase::Paused => {
            thaw(draft);
            draft.enter(if draft.saga.turned.is_some() { Phase::Compensating } else { Phase::Running });
            Ok(())
        }
        Phase::Stuck => draft.saga.blocks.clone().iter().try_for_each(|block| resume_block(draft, block)),
        Phase::Running
        | Phase::Compensating
        | Phase::Completed
        | Phase::Compensated
        | Phase::CompensatedWithSkips
        | Phase::Cancelled
        | Phase::Abandoned => Err("only a saga that is paused or stuck can be resumed".to_owned()),
    }
}

/// Where the last answer is a failure, a new attempt with a fresh count; where there is none, the same id with new patience.
fn resume_block(draft: &mut Draft<'_>, block: &Block) -> Result<(), String> {
    let Block { step, action, kind, code } = block;
    let name = &draft.step(*step).name;
    match kind {
        BlockKind::Conflict => Err(format!("what is true of step {name} has to be found out: use resolve")),
        BlockKind::Undeliverable if &**code == "saga.rendering" => {
            Err(format!("the command of step {name} renders differently from what was issued: use resolve"))
        }
        BlockKind::Failed => {
            try_again(draft, *step, *action);
            Ok(())
        }
        BlockKind::Unanswered | BlockKind::Undeliverable => {
            draft.push(Fact::Unblocked { step: *step });
            draft.push(Fact::Renewed { step: *step, action: *action });
            repair::send_again(draft, *step, *action);
            Ok(())
        }
    }
}

/// A new attempt with a fresh count.
pub(super) fn try_again(draft: &mut Draft<'_>, step: StepIx, action: Action) {
    if draft.saga.blocks.iter().any(|block| block.step == step) {
        draft.push(Fact::Unblocked { step });
    }
    draft.push(Fact::Renewed { step, action });
    draft.push(Fact::Ready { step, action });
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

/// True when the step's undo is at work or at its end: what an operator says of the step is then about the undo.
pub(super) fn is_undoing(draft: &Draft<'_>, step: StepIx) -> bool {
    draft.saga.step(step).backward != Backward::None
}
