//! Questions about a saga that several rings ask: what is ready, when to look again, what people are told.

use super::definition::{Definition, StepIx, StepKind};
use super::phase::Phase;
use super::saga::{Action, Backward, Flight, Forward, Saga, StepState};
use super::time::Timestamp;

/// The commands that may go out as soon as their participants have room, in file order, undos first. Nothing is ready while a
/// saga is stuck or paused, and nothing of a step that a person holds.
pub fn ready(saga: &Saga) -> impl Iterator<Item = (StepIx, Action)> {
    let waits = matches!(saga.phase, Phase::Stuck | Phase::Paused | Phase::Abandoned);
    let places = || (0..saga.steps.len()).map(|at| StepIx(u16::try_from(at).expect("at most 500 steps")));
    let undos = places().filter(|step| saga.step(*step).backward == Backward::Ready).map(|step| (step, Action::Undo));
    let dos = places().filter(|step| saga.step(*step).forward == Forward::Ready).map(|step| (step, Action::Do));
    let is_held = |step: StepIx| saga.step(step).held_since().is_some() && !defect!("held step issued");
    undos.chain(dos).filter(move |(step, _)| !waits && !is_held(*step))
}

/// True when the saga only goes forward: a pivot has succeeded, or counts so at an operator's word. After lost commits an answer to a
/// command that is not issued yet tells it: of the pivot, or of a step behind it, which was sent once the pivot had succeeded.
pub(super) fn is_past_pivot(definition: &Definition, saga: &Saga) -> bool {
    let tells = |step: StepIx| {
        let (rule, state) = (definition.step(step), saga.step(step));
        let is_pivot = rule.kind == StepKind::Pivot;
        is_pivot && matches!(state.forward, Forward::Succeeded | Forward::Skipped(_))
            || (is_pivot || rule.behind_pivot) && state.succeeded_once()
    };
    !defect!("pivot passed and still compensated") && definition.places().any(tells)
}

/// True when a failure of the step cannot turn the saga, and patience does not end it: it is asked without end. Once the saga has
/// turned nothing is.
pub fn is_endless(definition: &Definition, saga: &Saga, step: StepIx) -> bool {
    saga.turned.is_none() && (definition.step(step).is_endless() || is_past_pivot(definition, saga))
}

/// True when the end of its patience decides something for an outstanding `do` of the step.
pub fn patience_decides(definition: &Definition, saga: &Saga, step: StepIx) -> bool {
    let waits_for_person = saga.blocks_of(step, Action::Do).next().is_some();
    let ends = defect!("retriable given up") || !is_endless(definition, saga, step);
    saga.phase != Phase::Stuck && !waits_for_person && ends
}

/// The command of the step in this direction that waits for its answer.
pub fn flight(saga: &Saga, step: StepIx, action: Action) -> Option<&Flight> {
    let state = saga.step(step);
    match (action, &state.forward, &state.backward) {
        (Action::Do, Forward::Issued(flight), _)
        | (Action::Undo, _, Backward::Issued(flight) | Backward::Exhausted(Some(flight))) => Some(flight),
        (Action::Do | Action::Undo, _, _) => None,
    }
}

/// Every command that waits for its answer, in file order.
pub fn outstanding(saga: &Saga) -> impl Iterator<Item = (StepIx, Action, u16)> {
    let places = (0..saga.steps.len()).map(|at| StepIx(u16::try_from(at).expect("at most 500 steps")));
    let both = places.flat_map(|step| [(step, Action::Do), (step, Action::Undo)]);
    both.filter_map(|(step, action)| flight(saga, step, action).map(|flight| (step, action, flight.attempt)))
}

/// When the saga wants to be looked at again; `None` when only an answer or a person moves it.
pub fn next_due(definition: &Definition, saga: &Saga) -> Option<Timestamp> {
    if matches!(saga.phase, Phase::Paused | Phase::Abandoned) {
        return None;
    }
    let places = definition.places().flat_map(|step| [(step, Action::Do), (step, Action::Undo)]);
    places.filter_map(|(step, action)| due(definition, saga, step, action)).min()
}

/// When the step wants to be looked at again in this direction, unless the saga is paused or abandoned.
pub fn due(definition: &Definition, saga: &Saga, step: StepIx, action: Action) -> Option<Timestamp> {
    if saga.step(step).held_since().is_some() {
        return None;
    }
    match action {
        Action::Do => forward_due(definition, saga, step),
        Action::Undo => backward_due(saga, step),
    }
}

fn forward_due(definition: &Definition, saga: &Saga, step: StepIx) -> Option<Timestamp> {
    match &saga.step(step).forward {
        Forward::Retrying(at) if saga.phase == Phase::Running => Some(*at),
        Forward::Issued(flight) => flight_due(saga, step, Action::Do, flight, patience_decides(definition, saga, step)),
        Forward::Pending
        | Forward::Ready
        | Forward::Retrying(_)
        | Forward::Succeeded
        | Forward::Failed(_)
        | Forward::GivenUp(_)
        | Forward::Unclear
        | Forward::Skipped(_) => None,
    }
}

fn backward_due(saga: &Saga, step: StepIx) -> Option<Timestamp> {
    match &saga.step(step).backward {
        Backward::Retrying(at) if saga.phase != Phase::Stuck => Some(*at),
        Backward::Issued(flight) => flight_due(saga, step, Action::Undo, flight, saga.phase != Phase::Stuck),
        Backward::Exhausted(Some(flight)) => flight_due(saga, step, Action::Undo, flight, false),
        Backward::None
        | Backward::Ready
        | Backward::Retrying(_)
        | Backward::Done
        | Backward::Exhausted(None)
        | Backward::Skipped(_) => None,
    }
}

fn flight_due(saga: &Saga, step: StepIx, action: Action, flight: &Flight, patience_decides: bool) -> Option<Timestamp> {
    match (saga.is_undeliverable(step, action), patience_decides) {
        (true, false) => None,
        (true, true) => Some(flight.patience_ends),
        (false, true) => Some(flight.resend_at.min(flight.patience_ends)),
        (false, false) => Some(flight.resend_at),
    }
}

/// A step's state as people and programs are told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepStateName {
    /// Waits for predecessors.
    Pending,
    /// Waits for room at its participant.
    Ready,
    /// Its command is outstanding.
    Issued,
    /// Waits for its next attempt.
    Retrying,
    /// Done.
    Succeeded,
    /// Not done.
    Failed,
    /// Possibly done; will be undone.
    GivenUp,
    /// Its undo is at work.
    Compensating,
    /// Undone.
    Compensated,
    /// Its undo is at its end.
    CompensationFailed,
    /// Skipped, or its effect knowingly stays.
    Skipped,
}

impl StepStateName {
    /// The name in JSON and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Issued => "issued",
            Self::Retrying => "retrying",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::GivenUp => "givenUp",
            Self::Compensating => "compensating",
            Self::Compensated => "compensated",
            Self::CompensationFailed => "compensationFailed",
            Self::Skipped => "skipped",
        }
    }
}

/// How a step stands, both directions in one word.
pub fn step_state_name(state: &StepState) -> StepStateName {
    match (&state.backward, &state.forward) {
        (Backward::Ready | Backward::Issued(_) | Backward::Retrying(_), _) => StepStateName::Compensating,
        (Backward::Done, _) => StepStateName::Compensated,
        (Backward::Exhausted(_), _) => StepStateName::CompensationFailed,
        (Backward::Skipped(_), _) | (Backward::None, Forward::Skipped(_)) => StepStateName::Skipped,
        (Backward::None, Forward::Pending) => StepStateName::Pending,
        (Backward::None, Forward::Ready) => StepStateName::Ready,
        (Backward::None, Forward::Issued(_)) => StepStateName::Issued,
        (Backward::None, Forward::Retrying(_)) => StepStateName::Retrying,
        (Backward::None, Forward::Succeeded) => StepStateName::Succeeded,
        (Backward::None, Forward::Failed(_)) => StepStateName::Failed,
        (Backward::None, Forward::GivenUp(_) | Forward::Unclear) => StepStateName::GivenUp,
    }
}
