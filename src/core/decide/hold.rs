//! Steps that a person holds: nothing of them is sent, and their timers stand still from the moment of the hold to its end.
//!
//! A hold is no input of the saga: it is true of many, and is met with whatever happens to each next. So a timer that would have been
//! due meanwhile finds that it stood still, since the hold began.

use super::super::fact::Fact;
use super::super::phase::Phase;
use super::super::saga::{Backward, Forward, StepClock, StepState};
use super::super::time::Timestamp;
use super::draft::Draft;

/// Notes which steps are held now and which are not any more. While a saga is paused its timers stand still anyhow.
pub(super) fn settle(draft: &mut Draft<'_>) {
    let is_free = draft.rules.held.is_empty() && !draft.saga.is_held();
    if is_free || matches!(draft.saga.phase, Phase::Paused | Phase::Abandoned) {
        return;
    }
    for step in draft.definition().places() {
        let held = draft.rules.held_since(step);
        let state = draft.saga.step(step);
        match (held, state.held_since()) {
            (Some(since), None) if state.is_at_work() => {
                // What this row counts from now begins now.
                let is_new = draft.facts.iter().any(|fact| counts_from_now(fact) && fact.step() == Some(step));
                let since = if is_new { draft.now } else { since.max(ran_until(state)).min(draft.now) };
                draft.push(Fact::Held { step, since });
            }
            (None, Some(since)) => {
                let stood = draft.now.millis_since(since);
                let millis = if defect!("hold does not freeze patience") { 0 } else { stood };
                draft.push(Fact::Released { step, millis });
            }
            (Some(_), _) | (None, None) => {}
        }
    }
}

/// True for a fact that sets a timer.
fn counts_from_now(fact: &Fact) -> bool {
    matches!(fact, Fact::RetryDue { .. } | Fact::Progressed { .. } | Fact::Renewed { .. } | Fact::Resent { .. })
}

/// The last moment until which its timers ran anyhow: a command's run since it was issued, and none is moved twice for the same stretch.
fn ran_until(state: &StepState) -> Timestamp {
    let forward = if let Forward::Issued(flight) = &state.forward { flight.issued_at } else { Timestamp::ZERO };
    let backward = match &state.backward {
        Backward::Issued(flight) | Backward::Exhausted(Some(flight)) => flight.issued_at,
        Backward::None
        | Backward::Ready
        | Backward::Retrying(_)
        | Backward::Done
        | Backward::Exhausted(None)
        | Backward::Skipped(_) => Timestamp::ZERO,
    };
    let again = match state.clock {
        StepClock::RunsAgain(at) => at,
        StepClock::Runs | StepClock::Stands(_) => Timestamp::ZERO,
    };
    forward.max(backward).max(again)
}
