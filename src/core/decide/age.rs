//! Which command a reply answers, and how that command stands today.

use uuid::Uuid;

use super::super::definition::{Definition, StepIx, Undo};
use super::super::ids::command_id;
use super::super::limits;
use super::super::saga::{Action, Backward, Forward, Phase, Saga};
use super::advance::is_outstanding;

/// A command by its place: what its id was derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) step: StepIx,
    pub(super) action: Action,
    pub(super) attempt: u16,
}

/// How the command that a reply answers stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// It waits for this answer.
    Outstanding,
    /// An answer to it was kept before.
    Answered,
    /// Its patience ended; the step's undo covers it.
    GivenUp,
    /// It is unanswered, and an operator said that the step counts as not done.
    CountsAsNotDone,
    /// It was overtaken in another way: completed or resolved by hand, skipped, abandoned.
    Overtaken,
    /// By the facts that we have, it was never sent.
    NeverIssued,
}

/// The command of this saga that has the id `command_id`; `None` when it could not have derived it.
pub(super) fn locate(definition: &Definition, saga: &Saga, id: Uuid) -> Option<Target> {
    in_flight(definition, saga).find(|target| has_id(saga, *target, id)).or_else(|| anywhere(definition, saga, id))
}

/// The commands that wait for an answer: nearly every reply answers one of them.
fn in_flight(definition: &Definition, saga: &Saga) -> impl Iterator<Item = Target> {
    definition.places().flat_map(|step| {
        let state = saga.step(step);
        let forward = match &state.forward {
            Forward::Issued(flight) => Some(Target { step, action: Action::Do, attempt: flight.attempt }),
            Forward::Pending
            | Forward::Ready
            | Forward::Retrying(_)
            | Forward::Succeeded
            | Forward::Failed(_)
            | Forward::GivenUp(_)
            | Forward::Unclear
            | Forward::Skipped(_) => None,
        };
        let backward = match &state.backward {
            Backward::Issued(flight) | Backward::Exhausted(Some(flight)) => {
                Some(Target { step, action: Action::Undo, attempt: flight.attempt })
            }
            Backward::None
            | Backward::Ready
            | Backward::Retrying(_)
            | Backward::Done
            | Backward::Exhausted(None)
            | Backward::Skipped(_) => None,
        };
        forward.into_iter().chain(backward)
    })
}

/// Every id that this saga has derived, and those that it could have derived had commits not been lost.
fn anywhere(definition: &Definition, saga: &Saga, id: Uuid) -> Option<Target> {
    definition.places().find_map(|step| {
        let state = saga.step(step);
        let dos = state.attempts.saturating_add(limits::LOST_ATTEMPTS);
        let undos = state.undo_attempts.saturating_add(limits::LOST_ATTEMPTS);
        let undos = if matches!(definition.step(step).undo, Undo::Command(_)) { undos } else { 0 };
        [(Action::Do, dos), (Action::Undo, undos)]
            .into_iter()
            .flat_map(|(action, last)| (1..=last).map(move |attempt| Target { step, action, attempt }))
            .find(|target| has_id(saga, *target, id))
    })
}

fn has_id(saga: &Saga, target: Target, id: Uuid) -> bool {
    command_id(saga.id, target.step, target.action, target.attempt) == id
}

/// How the command stands.
pub(super) fn age(saga: &Saga, target: Target) -> Age {
    let Target { step, action, attempt } = target;
    let state = saga.step(step);
    if saga.phase != Phase::Abandoned && is_outstanding(saga, step, action, attempt) {
        return Age::Outstanding;
    }
    // `saga.conflict` says nothing about the effect: it answers nothing.
    let mut kept = state.answers.iter().filter(|given| given.action == action && given.attempt == attempt);
    if kept.any(|given| !given.answer.is_conflict()) {
        return Age::Answered;
    }
    let issued = match action {
        Action::Do => state.attempts,
        Action::Undo => state.undo_attempts,
    };
    match (action, &state.forward) {
        _ if attempt > issued => Age::NeverIssued,
        (Action::Do, Forward::Failed(_) | Forward::Skipped(_)) => Age::CountsAsNotDone,
        (Action::Do, Forward::GivenUp(flight)) if flight.attempt == attempt => Age::GivenUp,
        (
            Action::Do | Action::Undo,
            Forward::Pending
            | Forward::Ready
            | Forward::Issued(_)
            | Forward::Retrying(_)
            | Forward::Succeeded
            | Forward::Failed(_)
            | Forward::GivenUp(_)
            | Forward::Unclear
            | Forward::Skipped(_),
        ) => Age::Overtaken,
    }
}
