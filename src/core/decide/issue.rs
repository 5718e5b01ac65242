//! A ready step becomes an issued command: its data is rendered, its id and hash are settled.

use super::super::definition::{RenderError, StepIx};
use super::super::fact::{Answer, Cause, Fact, Outcome};
use super::super::hash::Sha256;
use super::super::json::Json;
use super::super::progress::ready;
use super::super::saga::{Action, Backward, BlockKind, Forward, Saga};
use super::draft::Draft;
use super::{Decision, Rendered, Rules, advance, outcome};

/// Issues the command of `step` in the decision's row. A step that is not ready (any more) is left alone: a pick may be
/// overtaken by an earlier pick of the same turn.
pub fn issue(rules: Rules<'_>, decision: Decision, step: StepIx, action: Action) -> Decision {
    if !is_ready(&decision.saga, step, action) {
        return decision;
    }
    let (verdict, refusal) = (decision.verdict, decision.refusal.clone());
    let mut draft = Draft::of(rules, decision);
    match next_attempt(&draft, step, action) {
        Ok((attempt, data)) => issued(&mut draft, Rendered { step, action, attempt, data }),
        Err(error) => refused(&mut draft, step, action, error),
    }
    advance::advance(&mut draft);
    Decision { verdict, refusal, ..draft.into_decision(None) }
}

/// Issues everything that is ready: dispatch without limits.
pub fn issue_all(rules: Rules<'_>, mut decision: Decision) -> Decision {
    loop {
        let next = ready(&decision.saga).next();
        let Some((step, action)) = next else { return decision };
        decision = issue(rules, decision, step, action);
    }
}

fn is_ready(saga: &Saga, step: StepIx, action: Action) -> bool {
    ready(saga).any(|ready| ready == (step, action))
}

/// The number and the data of the attempt that is to be issued. A number is never used twice: its id would be.
fn next_attempt(draft: &Draft<'_>, step: StepIx, action: Action) -> Result<(u16, Json), RenderError> {
    let state = draft.saga.step(step);
    let attempts = match action {
        Action::Do => state.attempts,
        Action::Undo => state.undo_attempts,
    };
    let used_up = || RenderError { code: "saga.attempts", message: format!("all {attempts} attempts are used up") };
    let attempts = if defect!("new attempt under the old id") { 0 } else { attempts };
    let attempt = attempts.checked_add(1).ok_or_else(used_up)?;
    Ok((attempt, draft.rules.render.data(&draft.saga, step, action)?))
}

fn issued(draft: &mut Draft<'_>, rendered: Rendered) {
    let Rendered { step, action, attempt, ref data } = rendered;
    let data_hash = Sha256::of(data.get().as_bytes());
    draft.rendered.push(rendered);
    draft.push(Fact::Issued { step, action, attempt, data_hash });
    if let Some(answer) = answered_early(&draft.saga, step, action, attempt) {
        outcome::succeeded(draft, step, action, attempt, answer);
    }
}

/// The success that came before its command was issued (committed facts had been lost).
fn answered_early(saga: &Saga, step: StepIx, action: Action, attempt: u16) -> Option<Answer> {
    let answers = saga.step(step).answers.iter();
    let mut of_attempt = answers.filter(|given| given.action == action && given.attempt == attempt);
    of_attempt.find(|given| given.answer.outcome == Outcome::Success).map(|given| given.answer.clone())
}

/// The data cannot be made. Before a `do` that may fail this is a definitive failure; behind the pivot and in an undo a person
/// has to look (DESIGN.md section 6).
fn refused(draft: &mut Draft<'_>, step: StepIx, action: Action, error: RenderError) {
    let RenderError { code, message } = error;
    draft.push(Fact::Refused { step, action, code: code.into(), message: message.clone() });
    match action {
        Action::Do => outcome::over(draft, step, Cause::Step(step), code, message),
        Action::Undo => draft.block(step, action, BlockKind::Failed, code, message),
    }
    debug_assert!(!matches!(
        (action, &draft.saga.step(step).forward, &draft.saga.step(step).backward),
        (Action::Do, Forward::Ready, _) | (Action::Undo, _, Backward::Ready)
    ));
}
