//! What each fact does to the state of a step: the hands of `evolve`.

use std::sync::Arc;

use super::definition::{Definition, StepIx};
use super::fact::{Answer, Cause, Outcome};
use super::hash::Sha256;
use super::ids::command_id;
use super::json::Json;
use super::phase::Phase;
use super::retry::RetryPolicy;
use super::saga::{Action, Backward, Block, BlockKind, Flight, Forward, Given, Saga, SagaError, StepClock, StepState};
use super::time::Timestamp;

/// When a fact was decided, and the definition that says what follows from it in time.
#[derive(Clone, Copy)]
pub(super) struct Clocks<'a> {
    pub(super) definition: &'a Definition,
    pub(super) now: Timestamp,
}

impl Clocks<'_> {
    /// Timeout in milliseconds, and how the pace slows at which the same command is sent again.
    fn pace(&self, step: StepIx, action: Action) -> (u64, &RetryPolicy) {
        let step = self.definition.step(step);
        match action {
            Action::Do => (step.timeout_ms, &step.retry),
            Action::Undo => (step.compensation.timeout_ms, &step.compensation.retry),
        }
    }

    fn patience(self, step: StepIx, action: Action) -> u64 {
        match action {
            Action::Do => self.definition.step(step).patience_ms,
            Action::Undo => self.definition.step(step).compensation.patience_ms,
        }
    }
}

pub(super) fn ready(saga: &mut Saga, step: StepIx, action: Action) {
    let state = saga.step_mut(step);
    match action {
        Action::Do => state.forward = Forward::Ready,
        Action::Undo => {
            if state.backward == Backward::None {
                state.failures = 0;
            }
            state.backward = Backward::Ready;
        }
    }
}

pub(super) fn issued(
    clocks: Clocks<'_>,
    saga: &mut Saga,
    step: StepIx,
    action: Action,
    attempt: u16,
    data_hash: Sha256,
) {
    let (timeout_ms, _) = clocks.pace(step, action);
    let patience_ends = clocks.now.plus_millis(clocks.patience(step, action));
    let flight = Flight {
        attempt,
        seq: saga.seq,
        issued_at: clocks.now,
        resend_at: clocks.now.plus_millis(timeout_ms),
        resends: 0,
        patience_ends,
        expires_at: patience_ends,
        data_hash,
        cause: Arc::clone(&saga.cause),
    };
    let state = saga.step_mut(step);
    match action {
        Action::Do => {
            state.attempts = attempt;
            state.forward = Forward::Issued(flight);
        }
        Action::Undo => {
            state.undo_attempts = attempt;
            state.backward = Backward::Issued(flight);
        }
    }
}

pub(super) fn succeeded(saga: &mut Saga, step: StepIx, action: Action, attempt: u16, answer: Option<&Answer>) {
    if let Some(answer) = answer {
        keep(saga, step, action, attempt, answer, true);
        saga.cause = Arc::clone(&answer.id);
    }
    let state = saga.step_mut(step);
    state.failures = 0;
    match action {
        Action::Do => {
            state.forward = Forward::Succeeded;
            if let Some(answer) = answer {
                state.reply = Some(answer.data.clone());
            }
        }
        Action::Undo => {
            state.undo_attempts = state.undo_attempts.max(attempt);
            state.backward = Backward::Done;
        }
    }
}

pub(super) fn failed(saga: &mut Saga, step: StepIx, action: Action, attempt: u16, answer: Option<&Answer>) {
    let Some(answer) = answer else {
        let state = saga.step_mut(step);
        state.forward = Forward::Failed(forward_flight(std::mem::take(&mut state.forward)));
        return;
    };
    keep(saga, step, action, attempt, answer, true);
    saga.cause = Arc::clone(&answer.id);
    let state = saga.step_mut(step);
    state.failures = if defect!("failures not counted") { 1 } else { state.failures.saturating_add(1) };
    halted(saga, step, action);
}

/// The direction at work has ended without success and without a command outstanding.
pub(super) fn halted(saga: &mut Saga, step: StepIx, action: Action) {
    match action {
        Action::Do => saga.step_mut(step).forward = Forward::Failed(None),
        Action::Undo => saga.step_mut(step).backward = Backward::Exhausted(None),
    }
}

pub(super) fn skipped(saga: &mut Saga, step: StepIx, reply: Option<&Json>) {
    let state = saga.step_mut(step);
    state.forward = Forward::Skipped(forward_flight(std::mem::take(&mut state.forward)));
    state.reply = reply.cloned();
}

pub(super) fn resent(clocks: Clocks<'_>, saga: &mut Saga, step: StepIx, action: Action, attempt: u16) {
    let (timeout_ms, policy) = clocks.pace(step, action);
    let id = command_id(saga.id, step, action, attempt);
    if let Some(flight) = flight_mut(saga, step, action, attempt) {
        flight.resends = flight.resends.saturating_add(1);
        let seed = [id.as_bytes().as_slice(), &flight.resends.to_be_bytes()].concat();
        flight.resend_at = clocks.now.plus_millis(policy.resend_ms(timeout_ms, flight.resends, &seed));
    }
}

pub(super) fn progressed(clocks: Clocks<'_>, saga: &mut Saga, step: StepIx, action: Action, attempt: u16) {
    let (timeout_ms, _) = clocks.pace(step, action);
    if let Some(flight) = flight_mut(saga, step, action, attempt)
        && !defect!("deadline not extended by progress")
    {
        flight.resends = 0;
        flight.resend_at = clocks.now.plus_millis(timeout_ms);
    }
}

pub(super) fn blocked(clocks: Clocks<'_>, saga: &mut Saga, block: Block, message: &str) {
    blame(clocks, saga, block.step, &block.code, message);
    saga.blocks.push(block);
}

pub(super) fn phase_changed(now: Timestamp, saga: &mut Saga, phase: Phase) {
    saga.phase = phase;
    saga.finished_at = phase.is_final().then_some(now);
    saga.paused_at = (phase == Phase::Paused).then_some(now);
}

pub(super) fn answered_early(saga: &mut Saga, step: StepIx, attempt: u16, answer: &Answer) {
    keep(saga, step, Action::Do, attempt, answer, false);
    saga.step_mut(step).reply.get_or_insert_with(|| answer.data.clone());
}

pub(super) fn retry_due(saga: &mut Saga, step: StepIx, action: Action, at: Timestamp) {
    let state = saga.step_mut(step);
    match action {
        Action::Do => state.forward = Forward::Retrying(at),
        Action::Undo => state.backward = Backward::Retrying(at),
    }
}

pub(super) fn given_up(saga: &mut Saga, step: StepIx) {
    let state = saga.step_mut(step);
    if let Some(flight) = forward_flight(std::mem::take(&mut state.forward)) {
        state.forward = Forward::GivenUp(flight);
    }
}

/// A saga that turns leaves the queue: what was not issued never will be, and nothing is tried again, so that a step which failed
/// for good no longer needs a person.
pub(super) fn turned(saga: &mut Saga, cause: Cause) {
    saga.turned = Some(cause);
    saga.wish = None;
    saga.blocks.retain(|block| (block.action, block.kind) != (Action::Do, BlockKind::Failed));
    saga.steps_mut().for_each(turn);
}

pub(super) fn exhausted(saga: &mut Saga, step: StepIx, unanswered: bool) {
    let state = saga.step_mut(step);
    let flight = flight_of(std::mem::take(&mut state.backward));
    state.backward = Backward::Exhausted(flight.filter(|_| unanswered));
}

pub(super) fn undo_skipped(saga: &mut Saga, step: StepIx) {
    let state = saga.step_mut(step);
    state.backward = Backward::Skipped(flight_of(std::mem::take(&mut state.backward)));
}

pub(super) fn came_late(saga: &mut Saga, step: StepIx, action: Action, attempt: u16, answer: &Answer) {
    let state = saga.step_mut(step);
    let happened = (action, answer.outcome) == (Action::Do, Outcome::Success) && state.backward == Backward::None;
    let counts = happened && matches!(state.forward, Forward::Failed(_) | Forward::Skipped(_));
    if counts && (matches!(state.forward, Forward::Failed(_)) || state.reply.is_none()) {
        // Its undo may need it. Successors of a skipped step read what the operator gave, if anything.
        state.reply = Some(answer.data.clone());
    }
    answered_late(state, action);
    keep(saga, step, action, attempt, answer, counts);
}

fn turn(state: &mut StepState) {
    match state.forward {
        Forward::Ready => state.forward = Forward::Pending,
        Forward::Retrying(_) => state.forward = Forward::Failed(None),
        Forward::Pending
        | Forward::Issued(_)
        | Forward::Succeeded
        | Forward::Failed(_)
        | Forward::GivenUp(_)
        | Forward::Unclear
        | Forward::Skipped(_) => {}
    }
}

fn answered_late(state: &mut StepState, action: Action) {
    match (action, &mut state.forward, &mut state.backward) {
        (Action::Do, Forward::Failed(flight) | Forward::Skipped(flight), _)
        | (Action::Undo, _, Backward::Skipped(flight)) => {
            *flight = None;
        }
        (Action::Do | Action::Undo, _, _) => {}
    }
}

pub(super) fn conflicted(saga: &mut Saga, step: StepIx, action: Action, attempt: u16, answer: &Answer) {
    keep(saga, step, action, attempt, answer, false);
    if !answer.is_conflict() || flight_mut(saga, step, action, attempt).is_none() {
        return;
    }
    match action {
        Action::Do => saga.step_mut(step).forward = Forward::Unclear,
        Action::Undo => saga.step_mut(step).backward = Backward::Exhausted(None),
    }
}

pub(super) fn renewed(clocks: Clocks<'_>, saga: &mut Saga, step: StepIx, action: Action) {
    let patience_ends = clocks.now.plus_millis(clocks.patience(step, action));
    let state = saga.step_mut(step);
    state.failures = 0;
    match (action, &mut state.forward, &mut state.backward) {
        (Action::Do, Forward::Failed(flight), _) => {
            state.forward = flight.take().map_or(Forward::Pending, Forward::Issued);
        }
        (Action::Undo, _, Backward::Exhausted(flight)) => {
            if let Some(flight) = flight.take() {
                state.backward = Backward::Issued(flight);
            }
        }
        (Action::Do | Action::Undo, _, _) => {}
    }
    if let (Action::Do, Forward::Issued(flight), _) | (Action::Undo, _, Backward::Issued(flight)) =
        (action, &mut state.forward, &mut state.backward)
    {
        flight.patience_ends = patience_ends;
        flight.resends = 0;
    }
}

/// The step's timers stood still for so long and run again at `now`.
pub(super) fn thaw(state: &mut StepState, now: Timestamp, millis: u64) {
    state.clock = StepClock::RunsAgain(now);
    let millis = if defect!("pause does not freeze patience") { 0 } else { millis };
    let later = |at: &mut Timestamp| *at = at.plus_millis(millis);
    match &mut state.forward {
        Forward::Issued(flight) => {
            later(&mut flight.resend_at);
            later(&mut flight.patience_ends);
        }
        Forward::Retrying(at) => later(at),
        Forward::Pending
        | Forward::Ready
        | Forward::Succeeded
        | Forward::Failed(_)
        | Forward::GivenUp(_)
        | Forward::Unclear
        | Forward::Skipped(_) => {}
    }
    match &mut state.backward {
        Backward::Issued(flight) | Backward::Exhausted(Some(flight)) => {
            later(&mut flight.resend_at);
            later(&mut flight.patience_ends);
        }
        Backward::Retrying(at) => later(at),
        Backward::None | Backward::Ready | Backward::Done | Backward::Exhausted(None) | Backward::Skipped(_) => {}
    }
}

/// Keeps an answer, once; a believed one replaces what was only noted.
fn keep(saga: &mut Saga, step: StepIx, action: Action, attempt: u16, answer: &Answer, believed: bool) {
    let answers = &mut saga.step_mut(step).answers;
    let known = answers
        .iter_mut()
        .find(|given| given.action == action && given.attempt == attempt && given.answer.says_the_same(answer));
    match known {
        Some(given) => given.believed |= believed,
        None => answers.push(Given { action, attempt, answer: answer.clone(), believed }),
    }
}

pub(super) fn blame(clocks: Clocks<'_>, saga: &mut Saga, step: StepIx, code: &Arc<str>, message: &str) {
    if saga.error.is_none() {
        let step = Some(Arc::clone(&clocks.definition.step(step).name));
        saga.error = Some(SagaError { step, code: Arc::clone(code), message: message.to_owned() });
    }
}

fn flight_mut(saga: &mut Saga, step: StepIx, action: Action, attempt: u16) -> Option<&mut Flight> {
    let state = saga.step_mut(step);
    let flight = match (action, &mut state.forward, &mut state.backward) {
        (Action::Do, Forward::Issued(flight), _) => flight,
        (Action::Undo, _, Backward::Issued(flight) | Backward::Exhausted(Some(flight))) => flight,
        (Action::Do | Action::Undo, _, _) => return None,
    };
    (flight.attempt == attempt).then_some(flight)
}

fn forward_flight(forward: Forward) -> Option<Flight> {
    match forward {
        Forward::Issued(flight) | Forward::GivenUp(flight) => Some(flight),
        Forward::Failed(flight) | Forward::Skipped(flight) => flight,
        Forward::Pending | Forward::Ready | Forward::Retrying(_) | Forward::Succeeded | Forward::Unclear => None,
    }
}

fn flight_of(backward: Backward) -> Option<Flight> {
    match backward {
        Backward::Issued(flight) => Some(flight),
        Backward::Exhausted(flight) | Backward::Skipped(flight) => flight,
        Backward::None | Backward::Ready | Backward::Retrying(_) | Backward::Done => None,
    }
}
