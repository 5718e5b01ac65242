//! What follows from success, failure and the end of patience, in both directions.

use std::sync::Arc;

use super::super::definition::{OnExhausted, StepIx, StepKind};
use super::super::fact::{Answer, Cause, Fact};
use super::super::progress::{flight, is_endless};
use super::super::saga::{Action, BlockKind};
use super::advance;
use super::draft::Draft;

/// The effect happened: the outstanding command was answered with success.
pub(super) fn succeeded(draft: &mut Draft<'_>, step: StepIx, action: Action, attempt: u16, answer: Answer) {
    draft.push(Fact::Succeeded { step, action, attempt, answer: Some(answer) });
    match action {
        Action::Do => done(draft, step),
        Action::Undo if defect!("undo twice") && attempt == 1 => retry(draft, step, Action::Undo),
        Action::Undo => answered(draft, step, action),
    }
}

/// The step is done, by an answer or by a person's word.
pub(super) fn done(draft: &mut Draft<'_>, step: StepIx) {
    answered(draft, step, Action::Do);
    if draft.step(step).kind != StepKind::Pivot {
        return;
    }
    if draft.saga.wish.is_some() {
        draft.push(Fact::WishRefused);
    }
    if draft.saga.turned.is_some() {
        draft.block(
            step,
            Action::Do,
            BlockKind::Conflict,
            "saga.pivot_done",
            "the pivot succeeded after the saga had turned",
        );
    }
}

/// The outstanding command was answered with a definite failure.
pub(super) fn failed(draft: &mut Draft<'_>, step: StepIx, action: Action, attempt: u16, answer: Answer) {
    let retryable = answer.retryable;
    let stood_still = action == Action::Do && expired_while_its_timers_stood(draft, step, &answer);
    let code = answer.code.clone().unwrap_or_else(|| Arc::from("saga.failed"));
    let message = answer.data.text_member("message").unwrap_or_default();
    draft.push(Fact::Failed { step, action, attempt, answer: Some(answer) });
    match action {
        Action::Do => failed_forward(draft, step, (retryable, stood_still), &code, message),
        Action::Undo => failed_backward(draft, step, retryable, &code, message),
    }
}

/// True where the participant found a command too late that is not: a person had paused the saga or held the step, which the command's
/// expiry does not say. It has not run, so another attempt is safe.
fn expired_while_its_timers_stood(draft: &Draft<'_>, step: StepIx, answer: &Answer) -> bool {
    let was_moved =
        flight(&draft.saga, step, Action::Do).is_some_and(|flight| flight.patience_ends > flight.expires_at);
    let stands = draft.saga.stands_since(step).is_some() || draft.is_held(step);
    answer.code.as_deref() == Some(Answer::EXPIRED) && (was_moved || stands)
}

/// `stood_still`: it is tried again, however often it was.
fn failed_forward(
    draft: &mut Draft<'_>,
    step: StepIx,
    (retryable, stood_still): (bool, bool),
    code: &Arc<str>,
    message: String,
) {
    answered(draft, step, Action::Do);
    let rule = draft.step(step);
    let failures = draft.saga.step(step).failures;
    let endless = is_endless(draft.definition(), &draft.saga, step);
    let wish = draft.saga.wish.filter(|_| rule.kind == StepKind::Pivot);
    if draft.saga.turned.is_some() {
        // Once turned, no step gets a new attempt: a definite failure settles it.
    } else if let Some(wish) = wish {
        draft.turn(wish);
    } else if stood_still || retryable && (endless || failures < rule.retry.maximum_attempts) {
        retry(draft, step, Action::Do);
    } else {
        over(draft, step, Cause::Step(step), code, message);
    }
}

/// The step is over without success. That turns the saga; where nothing may be undone a person has to look.
pub(super) fn over(draft: &mut Draft<'_>, step: StepIx, cause: Cause, code: &str, message: String) {
    if is_endless(draft.definition(), &draft.saga, step) {
        draft.block(step, Action::Do, BlockKind::Failed, code, message);
    } else {
        draft.push(Fact::FailedForGood { step, code: code.into(), message });
        draft.turn(cause);
    }
}

fn failed_backward(draft: &mut Draft<'_>, step: StepIx, retryable: bool, code: &Arc<str>, message: String) {
    answered(draft, step, Action::Undo);
    let failures = draft.saga.step(step).failures;
    let maximum = draft.step(step).compensation.retry.maximum_attempts;
    if retryable && (failures < maximum || defect!("undo tried without end")) {
        retry(draft, step, Action::Undo);
    } else {
        exhausted(draft, step, false, code, message);
    }
}

/// A new attempt comes after the policy's delay.
fn retry(draft: &mut Draft<'_>, step: StepIx, action: Action) {
    let rule = draft.step(step);
    let state = draft.saga.step(step);
    let (policy, attempt) = match action {
        Action::Do => (&rule.retry, state.attempts),
        Action::Undo => (&rule.compensation.retry, state.undo_attempts),
    };
    let mut seed = draft.saga.id.as_bytes().to_vec();
    seed.extend_from_slice(&step.0.to_be_bytes());
    seed.extend_from_slice(action.name().as_bytes());
    seed.extend_from_slice(&attempt.to_be_bytes());
    let clock = draft.saga.stands_since(step).unwrap_or(draft.now);
    let at = clock.plus_millis(policy.delay_ms(state.failures, &seed));
    draft.push(Fact::RetryDue { step, action, at });
}

/// An undo is at its end: by its definition the saga waits for a person, or goes on without it. On a final saga (a late undo)
/// the fact stands alone: a final saga never changes phase.
pub(super) fn exhausted(draft: &mut Draft<'_>, step: StepIx, unanswered: bool, code: &str, message: String) {
    draft.push(Fact::Exhausted { step, unanswered });
    match draft.step(step).compensation.on_exhausted {
        OnExhausted::Skip => draft.push(Fact::UndoSkipped { step }),
        OnExhausted::Block => {
            let kind = if unanswered { BlockKind::Unanswered } else { BlockKind::Failed };
            draft.block(step, Action::Undo, kind, code, message);
        }
    }
}

/// A `do` that may be given up has stayed unanswered for its patience.
pub(super) fn given_up(draft: &mut Draft<'_>, step: StepIx, attempt: u16) {
    draft.push(Fact::GivenUp { step, attempt });
    if draft.saga.turned.is_none() {
        let message = match draft.step(step).waits {
            Some(_) => "nobody answered in time",
            None => "unanswered for its patience: possibly done, so it is undone",
        };
        draft.push(Fact::FailedForGood { step, code: "saga.unanswered".into(), message: message.to_owned() });
        draft.turn(Cause::Step(step));
    }
}

/// The broker refused a command for good, or its data cannot be rendered as they were issued.
pub(super) fn undeliverable(
    draft: &mut Draft<'_>,
    step: StepIx,
    action: Action,
    attempt: u16,
    code: &Arc<str>,
    message: &str,
) {
    let outstanding = advance::is_outstanding(&draft.saga, step, action, attempt);
    if outstanding && !draft.saga.is_undeliverable(step, action) {
        let message = message.to_owned();
        draft.push(Fact::Undeliverable { step, action, attempt, code: Arc::clone(code), message: message.clone() });
        draft.block(step, action, BlockKind::Undeliverable, code, message);
    }
}

/// An answer removes what waited for one in its direction. What a person has to find out stays.
fn answered(draft: &mut Draft<'_>, step: StepIx, action: Action) {
    draft.unblock(step, action, |kind| match kind {
        BlockKind::Unanswered | BlockKind::Failed | BlockKind::Undeliverable => true,
        BlockKind::Conflict => false,
    });
}
