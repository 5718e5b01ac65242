//! A participant's answer: the table of CONTRACT.md section 3, row by row.

use super::super::definition::{StepIx, StepKind, Undo};
use super::super::fact::{Answer, Cause, Fact, Outcome};
use super::super::ids::Target;
use super::super::input::{Reply, Verdict};
use super::super::limits;
use super::super::phase::Phase;
use super::super::progress::{flight, is_past_pivot};
use super::super::saga::{Action, Backward, BlockKind, Forward};
use super::age::{Age, age, locate};
use super::draft::Draft;
use super::{Refusal, outcome};

/// What the reply means for the saga.
///
/// # Errors
/// Every verdict but *applied*; facts that the saga must remember are in the draft all the same.
pub(super) fn reply(draft: &mut Draft<'_>, reply: &Reply) -> Result<(), Refusal> {
    let definition = draft.definition();
    if reply.topic != definition.reply_topic && !defect!("reply from a foreign topic applied") {
        let message = format!("read from {}, but this saga is answered on {}", reply.topic, definition.reply_topic);
        return Err(Refusal::new(Verdict::Orphan, "wrong-topic", message));
    }
    let Some(target) = locate(definition, &draft.saga, reply.command_id) else {
        let message = format!("saga {} has no command {}", reply.saga_id, reply.command_id);
        return Err(Refusal::new(Verdict::Orphan, "unknown-command", message));
    };
    if (target.action, reply.answer.outcome) == (Action::Do, Outcome::Success) {
        draft
            .rules
            .render
            .check_reply(target.step, &reply.answer.data)
            .map_err(|message| Refusal::new(Verdict::Malformed, "schema", message))?;
    }
    let answer = reply.answer.clone();
    match (age(&draft.saga, target), answer.outcome) {
        (Age::Answered, _) => Err(answered(draft, target, answer)),
        (_, Outcome::Failure) if answer.is_conflict() => Err(disputed(draft, target, answer)),
        (Age::Outstanding, Outcome::Success) => {
            outcome::succeeded(draft, target.step, target.action, target.attempt, answer);
            Ok(())
        }
        (Age::Outstanding, Outcome::Failure) => {
            outcome::failed(draft, target.step, target.action, target.attempt, answer);
            Ok(())
        }
        (Age::Outstanding, Outcome::Progress) => progressed(draft, target, answer),
        (Age::NeverIssued, Outcome::Success) => never_issued(draft, target, answer),
        (Age::CountsAsNotDone, Outcome::Success) => done_after_all(draft, target, answer),
        (Age::NeverIssued, Outcome::Failure | Outcome::Progress)
        | (Age::GivenUp | Age::CountsAsNotDone | Age::Overtaken, Outcome::Progress) => {
            Err(Refusal::new(Verdict::Stale, "nothing-new", "it says nothing that matters any more"))
        }
        (Age::GivenUp, Outcome::Success) => Err(late(draft, target, answer, "given-up", "its undo covers it")),
        (Age::GivenUp | Age::CountsAsNotDone, Outcome::Failure)
        | (Age::Overtaken, Outcome::Success | Outcome::Failure) => {
            Err(late(draft, target, answer, "overtaken", "the saga went on without it"))
        }
    }
}

/// The participant is at work. Word of it that hardly moves the deadline is not worth a journal row.
fn progressed(draft: &mut Draft<'_>, target: Target, answer: Answer) -> Result<(), Refusal> {
    let Target { step, action, attempt } = target;
    let rule = draft.step(step);
    let timeout_ms = match action {
        Action::Do => rule.timeout_ms,
        Action::Undo => rule.compensation.timeout_ms,
    };
    let clock = draft.saga.stands_since(step).unwrap_or(draft.now);
    let deadline = flight(&draft.saga, step, action).map(|flight| flight.resend_at);
    if deadline.is_some_and(|at| at.plus_millis(timeout_ms / 10) > clock.plus_millis(timeout_ms)) {
        return Err(Refusal::new(Verdict::Stale, "nothing-new", "the deadline was moved a moment ago"));
    }
    draft.push(Fact::Progressed { step, action, attempt, answer });
    Ok(())
}

/// A second answer to an answered command.
fn answered(draft: &mut Draft<'_>, target: Target, answer: Answer) -> Refusal {
    let mut kept = draft
        .saga
        .step(target.step)
        .answers
        .iter()
        .filter(|given| given.action == target.action && given.attempt == target.attempt);
    let leaves_nothing = target.action == Action::Do && !draft.step(target.step).has_effect();
    let first = kept.clone().next();
    match kept.find(|given| given.answer.says_the_same(&answer) && !defect!("duplicate taken as new")) {
        _ if leaves_nothing => {
            Refusal::new(Verdict::Duplicate, "read-only", "the first answer of a step without effect stays")
        }
        Some(known) if first == Some(known) || known.believed => {
            Refusal::new(Verdict::Duplicate, "known-answer", "the same was said before")
        }
        Some(_) => Refusal::new(Verdict::Conflict, "known-contradiction", "the same contradiction was kept before"),
        None if answer.outcome == Outcome::Progress => {
            Refusal::new(Verdict::Stale, "nothing-new", "it says nothing that matters any more")
        }
        None => contradicted(draft, target, answer),
    }
}

/// `saga.conflict` for a command that has no other answer: noted once, and once more when the command turns out to wait for it.
fn disputed(draft: &mut Draft<'_>, target: Target, answer: Answer) -> Refusal {
    let mut answers = draft.saga.step(target.step).answers.iter();
    let known = answers.any(|given| {
        given.action == target.action && given.attempt == target.attempt && given.answer.says_the_same(&answer)
    });
    if known && age(&draft.saga, target) != Age::Outstanding {
        return Refusal::new(Verdict::Duplicate, "known-answer", "the same was said before");
    }
    contradicted(draft, target, answer)
}

/// The participant contradicts itself, or saw the same id with other data. The first answer wins; a person has to look.
fn contradicted(draft: &mut Draft<'_>, target: Target, answer: Answer) -> Refusal {
    let Target { step, action, attempt } = target;
    if defect!("conflict ignored") {
        return Refusal::new(Verdict::Duplicate, "known-answer", "the same was said before");
    }
    let waits = age(&draft.saga, target) == Age::Outstanding;
    let blocks = waits || !answer.is_conflict();
    let message = "the participant contradicts itself: what is true has to be found out";
    let kept = draft.saga.step(step).answers.iter().filter(|given| (given.action, given.attempt) == (action, attempt));
    if !waits && kept.count() > limits::CONTRADICTIONS {
        return Refusal::new(Verdict::Conflict, "known-contradiction", "enough contradictions were kept before");
    }
    draft.push(Fact::Conflicted { step, action, attempt, answer });
    if blocks {
        draft.block(step, action, BlockKind::Conflict, Answer::CONFLICT, message);
    }
    Refusal::new(Verdict::Conflict, "contradiction", message)
}

/// A success of a command that, by the facts that we have, was never sent: committed facts were lost.
fn never_issued(draft: &mut Draft<'_>, target: Target, answer: Answer) -> Result<(), Refusal> {
    let Target { step, action, attempt } = target;
    let undoable = matches!(draft.step(step).undo, Undo::Command(_));
    match action {
        Action::Undo if draft.saga.step(step).is_closed() => {
            Err(late(draft, target, answer, "undone-before", "the step is undone already"))
        }
        Action::Undo if draft.saga.is_final() => Err(contradicted(draft, target, answer)),
        Action::Undo => {
            outcome::succeeded(draft, step, action, attempt, answer);
            if is_past_pivot(draft.definition(), &draft.saga) {
                let message = "undone behind the pivot, by a command that was never issued";
                draft.block(step, action, BlockKind::Conflict, "saga.lost_commits", message);
            } else {
                draft.turn(Cause::LostCommits(step));
            }
            Ok(())
        }
        Action::Do if draft.saga.turned.is_some() && stays(draft, step) => Err(contradicted(draft, target, answer)),
        Action::Do => {
            draft.push(Fact::AnsweredEarly { step, attempt, answer });
            let state = draft.saga.step(step);
            let (is_free, is_done) = (state.backward == Backward::None, state.forward == Forward::Succeeded);
            let skipped = draft.saga.turned.is_none() && matches!(state.forward, Forward::Skipped(_));
            let counts_as_not_done = skipped || (draft.saga.is_final() && !is_done);
            if undoable && is_free && counts_as_not_done && draft.saga.phase != Phase::Abandoned {
                draft.push(Fact::UndoDue { step });
            }
            Ok(())
        }
    }
}

/// A late success of a step that counts as not done. It gets an undo of its own, also when the saga has ended; while the saga is being
/// undone it takes its place in that order. Where nothing can be undone, a saga that still waits for the step has what it waits for.
fn done_after_all(draft: &mut Draft<'_>, target: Target, answer: Answer) -> Result<(), Refusal> {
    let Target { step, action, attempt } = target;
    let state = draft.saga.step(step);
    let turned = draft.saga.turned.is_some();
    if state.backward != Backward::None {
        return Err(late(draft, target, answer, "undo-known", "its undo, done or due, covers it"));
    }
    if draft.saga.phase == Phase::Abandoned {
        return Err(late(draft, target, answer, "overtaken", "the saga was abandoned"));
    }
    if matches!(draft.step(step).undo, Undo::Command(_)) && !defect!("late success ignored") {
        draft.push(Fact::CameLate { step, action, attempt, answer });
        if !turned || draft.saga.is_final() {
            draft.push(Fact::UndoDue { step });
        }
        return Ok(());
    }
    if turned && stays(draft, step) {
        return Err(contradicted(draft, target, answer));
    }
    if !turned && matches!(state.forward, Forward::Failed(_)) {
        outcome::succeeded(draft, step, action, attempt, answer);
    } else {
        draft.push(Fact::CameLate { step, action, attempt, answer });
    }
    Ok(())
}

/// True for a step that must not have happened where a saga turns, and that nothing can undo: a person has to know of it.
fn stays(draft: &Draft<'_>, step: StepIx) -> bool {
    let rule = draft.step(step);
    rule.kind == StepKind::Pivot || rule.behind_pivot && rule.has_effect() && rule.undo == Undo::Nothing
}

fn late(draft: &mut Draft<'_>, target: Target, answer: Answer, code: &'static str, message: &str) -> Refusal {
    let Target { step, action, attempt } = target;
    draft.push(Fact::CameLate { step, action, attempt, answer });
    Refusal::new(Verdict::Stale, code, message)
}
