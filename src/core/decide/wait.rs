//! Steps that command nobody: their command is a notice on the outcome topic, and whoever can answer does, a service by a reply, a person
//! by an action. What is said of such a step is no repair: it is what the saga waits for.

use std::sync::Arc;

use super::super::definition::{StepIx, Wait};
use super::super::fact::Fact;
use super::super::input::Operation;
use super::super::json::Json;
use super::super::saga::{Action, Forward};
use super::advance::behind;
use super::draft::Draft;
use super::repair;

/// What the step waits for has happened.
pub(super) fn signal(
    draft: &mut Draft<'_>,
    name: &str,
    data: Option<&Json>,
    operation: &Operation,
) -> Result<(), String> {
    let step = awaited(draft, name, Wait::Signal)?;
    let data = data.cloned().unwrap_or_else(Json::empty_object);
    repair::succeed_by_hand(draft, step, &data, operation.id)
}

/// A person's yes. Without a reply of its own successors read who gave it, and why.
pub(super) fn approve(
    draft: &mut Draft<'_>,
    name: &str,
    reply: Option<&Json>,
    operation: &Operation,
) -> Result<(), String> {
    let step = awaited(draft, name, Wait::Approval)?;
    let said = || serde_json::json!({ "approvedBy": operation.who, "reason": operation.reason }).to_string();
    let reply = reply.cloned().unwrap_or_else(|| Json::parse(said().as_bytes()).expect("it was written as JSON"));
    repair::succeed_by_hand(draft, step, &reply, operation.id)
}

/// A person's no: a definite failure.
pub(super) fn reject(draft: &mut Draft<'_>, name: &str, code: &str) -> Result<(), String> {
    let step = awaited(draft, name, Wait::Approval)?;
    let attempt = draft.saga.step(step).attempts;
    // The reason is the audit's: what went wrong is announced to whoever reads the outcome topic.
    repair::not_done_by_hand(draft, step, attempt, code, "said by an approver");
    Ok(())
}

/// The step called `name`, if it waits for this.
fn awaited(draft: &Draft<'_>, name: &str, answer: Wait) -> Result<StepIx, String> {
    let step = repair::find(draft, name)?;
    may_answer(draft, step, answer).map(|()| step)
}

/// Whether the step waits for this. One whose notice was refused, or answered with a no that could not turn the saga, still does.
pub(super) fn may_answer(draft: &Draft<'_>, step: StepIx, answer: Wait) -> Result<(), String> {
    let name = &draft.step(step).name;
    match (draft.step(step).waits, &draft.saga.step(step).forward) {
        (None, _) => Err(format!("step {name} waits for its participant: use complete or fail")),
        (Some(Wait::Signal), _) if answer != Wait::Signal => {
            Err(format!("step {name} waits for a signal: use signal or fail"))
        }
        (Some(Wait::Approval), _) if answer != Wait::Approval => Err(approval_only(name)),
        (Some(_), Forward::Pending | Forward::Ready) => Err(format!("step {name} waits for nothing yet")),
        // A service contradicts itself about nothing that happened.
        (Some(_), Forward::Unclear) => repair::is_open(draft),
        (
            Some(_),
            Forward::Issued(_)
            | Forward::Retrying(_)
            | Forward::Succeeded
            | Forward::Failed(_)
            | Forward::GivenUp(_)
            | Forward::Skipped(_),
        ) => repair::may_settle(draft, step).map(|_| ()),
    }
}

/// Nobody says how a step ended that comes after an approval which is not given.
pub(super) fn is_approved(draft: &Draft<'_>, step: StepIx) -> Result<(), String> {
    let definition = draft.definition();
    let is_missing = |place: &StepIx| {
        let is_approval = definition.step(*place).waits == Some(Wait::Approval);
        is_approval && draft.saga.step(*place).forward != Forward::Succeeded
    };
    let mut missing = definition.places().filter(is_missing);
    match missing.find(|approval| behind(definition, *approval).contains(&step)) {
        Some(approval) if !defect!("approval gone around behind it") => {
            let (name, approval) = (&draft.step(step).name, &draft.step(approval).name);
            Err(format!("step {name} comes after {approval}, which is not approved"))
        }
        Some(_) | None => Ok(()),
    }
}

/// An approval is given or refused by who may: no other verb goes around it.
pub(super) fn is_no_approval(draft: &Draft<'_>, step: StepIx) -> Result<(), String> {
    let rule = draft.step(step);
    if rule.waits == Some(Wait::Approval) && !defect!("approval gone around") {
        Err(approval_only(&rule.name))
    } else {
        Ok(())
    }
}

fn approval_only(name: &Arc<str>) -> String {
    format!("step {name} waits for an approval: use approve or reject")
}

/// While a saga was stuck nothing was given up: what waits for somebody's word begins anew then, instead of ending at once.
pub(super) fn renew(draft: &mut Draft<'_>) {
    for step in draft.definition().places() {
        let Forward::Issued(flight) = &draft.saga.step(step).forward else { continue };
        if draft.step(step).waits.is_some() && flight.patience_ends <= draft.now {
            draft.push(Fact::Renewed { step, action: Action::Do });
        }
    }
}

/// A saga that has turned waits for nobody: steps that only wait are over at once, and what is said of them later is too late.
pub(super) fn withdraw(draft: &mut Draft<'_>) {
    for step in draft.definition().places() {
        let state = draft.saga.step(step);
        let (is_open, attempt) = (matches!(state.forward, Forward::Issued(_) | Forward::Unclear), state.attempts);
        let waits = is_open && draft.step(step).waits.is_some();
        if waits && !defect!("notice not withdrawn") {
            draft.push(Fact::Failed { step, action: Action::Do, attempt, answer: None });
            draft.unblock(step, Action::Do, |_| true);
        }
    }
}
