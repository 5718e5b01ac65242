//! A wake-up: re-sends, due retries, the end of patience. Replies of the same batch are decided before it.

use super::super::definition::{StepIx, StepKind};
use super::super::fact::Fact;
use super::super::phase::Phase;
use super::super::progress::{next_due, patience_decides};
use super::super::saga::{Action, Backward, BlockKind, Flight, Forward};
use super::super::time::Timestamp;
use super::draft::Draft;
use super::{hold, outcome};

/// What is due at the draft's `now`, but of steps that a person holds. A wake-up that comes too early re-arms itself; a give-up that may
/// not be decided yet writes nothing and comes back by its lease.
pub(super) fn timer(draft: &mut Draft<'_>, replies_read_until: Timestamp, acknowledged: bool) {
    hold::settle(draft);
    if draft.saga.phase != Phase::Paused {
        for step in draft.definition().places() {
            if draft.saga.step(step).held_since().is_some() {
                continue;
            }
            forward(draft, step, replies_read_until, acknowledged);
            backward(draft, step, replies_read_until, acknowledged);
        }
    }
    let next = next_due(draft.definition(), &draft.saga);
    if draft.facts.is_empty() && next.is_none_or(|at| at > draft.now) {
        draft.push(Fact::Rearmed { at: next });
    }
}

fn forward(draft: &mut Draft<'_>, step: StepIx, read_until: Timestamp, acknowledged: bool) {
    let (now, phase) = (draft.now, draft.saga.phase);
    match draft.saga.step(step).forward.clone() {
        Forward::Retrying(at) if at <= now && phase == Phase::Running => {
            draft.push(Fact::Ready { step, action: Action::Do });
        }
        Forward::Issued(flight) if acknowledged && phase != Phase::Abandoned => {
            if flight.patience_ends <= now && patience_decides(draft.definition(), &draft.saga, step) {
                if read_until >= flight.patience_ends {
                    patience_over(draft, step, &flight);
                }
            } else {
                resend(draft, step, Action::Do, &flight);
            }
        }
        Forward::Pending
        | Forward::Ready
        | Forward::Issued(_)
        | Forward::Retrying(_)
        | Forward::Succeeded
        | Forward::Failed(_)
        | Forward::GivenUp(_)
        | Forward::Unclear
        | Forward::Skipped(_) => {}
    }
}

fn backward(draft: &mut Draft<'_>, step: StepIx, read_until: Timestamp, acknowledged: bool) {
    let (now, phase) = (draft.now, draft.saga.phase);
    if phase == Phase::Abandoned {
        return;
    }
    match draft.saga.step(step).backward.clone() {
        Backward::Retrying(at) if at <= now && phase != Phase::Stuck => {
            draft.push(Fact::Ready { step, action: Action::Undo });
        }
        Backward::Issued(flight) if acknowledged && flight.patience_ends <= now && phase != Phase::Stuck => {
            if read_until >= flight.patience_ends {
                let message = "the undo stayed unanswered for its patience".to_owned();
                outcome::exhausted(draft, step, true, "saga.undo_unanswered", message);
            }
        }
        Backward::Issued(flight) | Backward::Exhausted(Some(flight)) if acknowledged => {
            resend(draft, step, Action::Undo, &flight);
        }
        Backward::None
        | Backward::Ready
        | Backward::Issued(_)
        | Backward::Retrying(_)
        | Backward::Done
        | Backward::Exhausted(_)
        | Backward::Skipped(_) => {}
    }
}

fn patience_over(draft: &mut Draft<'_>, step: StepIx, flight: &Flight) {
    if draft.step(step).kind == StepKind::Pivot {
        let message = "the pivot stayed unanswered for its patience: nothing may be undone before its outcome is known";
        draft.block(step, Action::Do, BlockKind::Unanswered, "saga.outcome_unknown", message);
    } else {
        outcome::given_up(draft, step, flight.attempt);
    }
}

fn resend(draft: &mut Draft<'_>, step: StepIx, action: Action, flight: &Flight) {
    let is_due = flight.resend_at <= draft.now && !draft.saga.is_undeliverable(step, action);
    if is_due && defect!("new attempt id on time-out") {
        draft.push(Fact::RetryDue { step, action, at: draft.now });
    } else if is_due {
        draft.push(Fact::Resent { step, action, attempt: flight.attempt });
    }
}
