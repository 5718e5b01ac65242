//! Which command a reply answers, and how that command stands today.

use uuid::Uuid;

use super::super::definition::{Definition, Undo};
use super::super::ids::{Target, command_named};
use super::super::limits;
use super::super::phase::Phase;
use super::super::saga::{Action, Forward, Saga};
use super::advance::is_outstanding;

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

/// The command of this saga that has the id `id`: one that it issued, or could have issued had commits not been lost.
pub(super) fn locate(definition: &Definition, saga: &Saga, id: Uuid) -> Option<Target> {
    let target = command_named(saga.id, id)?;
    let step = definition.steps.get(target.step.at())?;
    let state = saga.step(target.step);
    let issued = match (target.action, &step.undo) {
        (Action::Do, _) => state.attempts,
        (Action::Undo, Undo::Command(_)) => state.undo_attempts,
        (Action::Undo, Undo::Nothing) => return None,
    };
    (1..=issued.saturating_add(limits::LOST_ATTEMPTS)).contains(&target.attempt).then_some(target)
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
