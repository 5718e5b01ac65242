//! Judges: what came, held against what the contract requires. Pure functions, one a case, and the few claims that they share.

use crate::core::{Answer, Outcome};

use super::course::{Course, answer_said, command_said, fails_with, has_effect, is_same};
use super::rule::{Judged, Rule};
use super::script::{Garbage, Name};

/// What a closed step refuses a `do` with.
const STEP_CLOSED: &str = "saga.step_closed";
/// Sagas of case 3: each is one try at meeting.
pub(super) const MEETINGS: usize = 20;
/// Pairs of case 8.
pub(super) const PAIRS: usize = 200;
/// Sagas of case 12: the restart finds each in another state.
pub(super) const INTERRUPTED: usize = 10;
/// Good commands of case 13: one before, one behind each piece of garbage. The garbage's sagas are counted on from here.
pub(super) const GOOD: usize = Garbage::ALL.len() + 1;

/// The first answer, or a finding that there is none.
fn answered<'a>(course: &'a Course, judged: &mut Judged, name: Name) -> Option<&'a Answer> {
    let first = course.first(name);
    if first.is_none() {
        judged.wrong(Rule::Silence, format!("no answer to {}", command_said(name)));
    }
    first
}

/// The `do` that a case builds on must have had its effect.
fn done(course: &Course, judged: &mut Judged, saga: usize) -> bool {
    let name = Name::doing(saga);
    let Some(answer) = answered(course, judged, name) else { return false };
    if !has_effect(answer) {
        judged.wrong(Rule::Refused, format!("do: {}, where a success with its effect was needed", answer_said(answer)));
        return false;
    }
    true
}

/// All answers to a command are one and the same.
fn one_answer(course: &Course, judged: &mut Judged, name: Name, rule: Rule) {
    let answers = course.answers(name);
    let Some((first, later)) = answers.split_first() else { return };
    if let Some(other) = later.iter().find(|answer| !is_same(first, answer)) {
        let data = if answer_said(first) == answer_said(other) { " with other data" } else { "" };
        let (command, first, other) = (command_said(name), answer_said(first), answer_said(other));
        judged.wrong(rule, format!("{command}: first {first}, then {other}{data}"));
    }
}

/// A command was answered more than once.
fn again(course: &Course, judged: &mut Judged, name: Name, rule: Rule) {
    if course.answers(name).len() == 1 {
        judged.wrong(rule, format!("no answer to the second delivery of {}", command_said(name)));
    }
}

/// The ledger, where there is one, shows this many effects of a saga's step.
fn effects(course: &Course, judged: &mut Judged, saga: usize, expected: i64, rule: Rule) {
    if let Some(found) = course.effects.get(&saga).filter(|found| **found != expected) {
        judged.wrong(rule, format!("the ledger shows {found} effects, where {expected} is right"));
    }
}

/// An undo succeeded.
fn undone<'a>(course: &'a Course, judged: &mut Judged, name: Name, rule: Rule) -> Option<&'a Answer> {
    let answer = answered(course, judged, name)?;
    if answer.outcome != Outcome::Success {
        judged.wrong(rule, format!("{}: {}, where success was needed", command_said(name), answer_said(answer)));
        return None;
    }
    Some(answer)
}

/// An undo succeeded and found something to undo.
fn took_back(course: &Course, judged: &mut Judged, saga: usize) {
    let answer = undone(course, judged, Name::undoing(saga), Rule::UndoneOnce);
    if answer.is_some_and(|answer| answer.without_effect) {
        judged.wrong(Rule::UndoneOnce, "undo: success without effect, though its do had one");
    }
}

/// A `do` of a closed step was refused.
fn refused(course: &Course, judged: &mut Judged, name: Name) {
    if let Some(answer) = answered(course, judged, name).filter(|answer| !fails_with(answer, STEP_CLOSED)) {
        let (command, said) = (command_said(name), answer_said(answer));
        judged.wrong(Rule::Closed, format!("{command}: {said}, where failure {STEP_CLOSED} was needed"));
    }
}

/// 1: one `do`.
pub(super) fn plain_do(course: &Course) -> Judged {
    let (mut judged, name) = (Judged::default(), Name::doing(0));
    for heard in &course.heard {
        if let Err(reason) = &heard.answer {
            judged.wrong(Rule::Envelope, format!("an answer that Sagabus cannot read: {reason}"));
            continue;
        }
        for (is_right, what) in [
            (heard.command == Some(name), "ce_causationid is not the command's ce_id"),
            (heard.saga == Some(0), "ce_correlationid is not the command's"),
            (heard.key == Some(0), "the record's key is not the command's"),
        ] {
            if !is_right {
                judged.wrong(Rule::Envelope, what);
            }
        }
    }
    if let Some(unfit) = &course.unfit {
        judged.wrong(Rule::Reply, unfit);
    }
    if judged.findings.is_empty() {
        done(course, &mut judged, 0);
    }
    effects(course, &mut judged, 0, 1, Rule::StoredReply);
    judged
}

/// 2: the same `do` after its answer.
pub(super) fn duplicate_do(course: &Course) -> Judged {
    let (mut judged, name) = (Judged::default(), Name::doing(0));
    if done(course, &mut judged, 0) {
        again(course, &mut judged, name, Rule::StoredReply);
        one_answer(course, &mut judged, name, Rule::StoredReply);
    }
    effects(course, &mut judged, 0, 1, Rule::StoredReply);
    judged
}

/// 3: the same `do` twice at once.
pub(super) fn concurrent_duplicate(course: &Course) -> Judged {
    let mut judged = Judged::default();
    for saga in 0..MEETINGS {
        let name = Name::doing(saga);
        if done(course, &mut judged, saga) {
            again(course, &mut judged, name, Rule::AtTheSameTime);
            one_answer(course, &mut judged, name, Rule::AtTheSameTime);
        }
        effects(course, &mut judged, saga, 1, Rule::AtTheSameTime);
    }
    judged
}

/// 4: `do`, then `undo`.
pub(super) fn undo(course: &Course) -> Judged {
    let mut judged = Judged::default();
    if done(course, &mut judged, 0) {
        took_back(course, &mut judged, 0);
    }
    effects(course, &mut judged, 0, 0, Rule::UndoneOnce);
    judged
}

/// 5: the same `undo` again.
pub(super) fn duplicate_undo(course: &Course) -> Judged {
    let (mut judged, name) = (Judged::default(), Name::undoing(0));
    if done(course, &mut judged, 0) {
        took_back(course, &mut judged, 0);
        again(course, &mut judged, name, Rule::StoredReply);
        one_answer(course, &mut judged, name, Rule::StoredReply);
    }
    effects(course, &mut judged, 0, 0, Rule::UndoneOnce);
    judged
}

/// 6: a second attempt of the `undo`: after the first one (saga 0), and at once with it (saga 1).
pub(super) fn second_undo(course: &Course) -> Judged {
    let mut judged = Judged::default();
    for saga in 0..2 {
        if done(course, &mut judged, saga) {
            let attempts = [Name::undoing(saga), Name::undoing(saga).attempt(2)];
            let answers = attempts.map(|name| undone(course, &mut judged, name, Rule::UndoneOnce));
            match answers.iter().flatten().filter(|answer| has_effect(answer)).count() {
                1 => {}
                0 if answers.iter().any(Option::is_none) => {}
                0 => judged.wrong(Rule::UndoneOnce, "neither undo had an effect, though the do had one"),
                _ => judged.wrong(Rule::UndoneOnce, "both undo attempts say that they had an effect: undone twice"),
            }
        }
        effects(course, &mut judged, saga, 0, Rule::UndoneOnce);
    }
    judged
}

/// 7: `undo` first, then its `do`.
pub(super) fn undo_before_do(course: &Course) -> Judged {
    let mut judged = Judged::default();
    let answer = undone(course, &mut judged, Name::undoing(0), Rule::Closed);
    if answer.is_some_and(has_effect) {
        judged.wrong(
            Rule::Closed,
            "undo: success with an effect, though there was nothing to undo (ce_sagaeffect: false)",
        );
    }
    refused(course, &mut judged, Name::doing(0));
    effects(course, &mut judged, 0, 0, Rule::Closed);
    judged
}

/// 8: `undo` and `do` without waiting, many pairs.
pub(super) fn undo_with_do(course: &Course) -> Judged {
    let mut judged = Judged::default();
    let (mut left, mut invented, mut otherwise, mut silent) = (0, 0, 0, 0);
    for saga in 0..PAIRS {
        match (course.first(Name::doing(saga)), course.first(Name::undoing(saga))) {
            (Some(doing), Some(undoing)) => {
                let known = has_effect(doing) || fails_with(doing, STEP_CLOSED);
                match (has_effect(doing), has_effect(undoing)) {
                    _ if !known || undoing.outcome != Outcome::Success => otherwise += 1,
                    (true, false) => left += 1,
                    (false, true) => invented += 1,
                    (true, true) | (false, false) => {}
                }
            }
            (None, _) | (_, None) => silent += 1,
        }
        if course.effects.get(&saga).is_some_and(|found| *found != 0) {
            let found = course.effects[&saga];
            judged.wrong(Rule::Race, format!("the ledger shows {found} effects of a pair, where 0 is right"));
        }
    }
    for (count, rule, what) in [
        (left, Rule::Race, "an effect is left over: the do succeeded, its undo found nothing"),
        (invented, Rule::Race, "the undo undid a do that was refused"),
        (otherwise, Rule::Race, "the do was neither done nor refused with saga.step_closed, or the undo failed"),
        (silent, Rule::Silence, "the do or the undo was not answered"),
    ] {
        if count > 0 {
            judged.wrong(rule, format!("{count} of {PAIRS} pairs: {what}"));
        }
    }
    judged
}

/// 9: `do`, `undo`, and a new attempt of the `do`.
pub(super) fn do_after_undo(course: &Course) -> Judged {
    let mut judged = Judged::default();
    if done(course, &mut judged, 0) && undone(course, &mut judged, Name::undoing(0), Rule::UndoneOnce).is_some() {
        refused(course, &mut judged, Name::doing(0).attempt(2));
    }
    effects(course, &mut judged, 0, 0, Rule::Closed);
    judged
}

/// 10: a `do`, the same id with other data, the first one again.
pub(super) fn changed_data(course: &Course) -> Judged {
    let mut judged = Judged::default();
    if done(course, &mut judged, 0) {
        let answers = course.answers(Name::doing(0));
        let (conflicts, others): (Vec<&Answer>, Vec<&Answer>) =
            answers.into_iter().partition(|answer| answer.is_conflict());
        if conflicts.is_empty() {
            judged.wrong(Rule::Conflict, "no failure saga.conflict for the same id with other data");
        }
        if let Some(other) = others.iter().find(|answer| !is_same(others[0], answer)) {
            judged.wrong(
                Rule::Conflict,
                format!("the first answer did not stay: then {}, or other data", answer_said(other)),
            );
        } else if others.len() < 2 {
            judged.wrong(Rule::Conflict, "the first answer did not come again when its command did");
        }
    }
    effects(course, &mut judged, 0, 1, Rule::Conflict);
    judged
}

/// 11: a `do` that is refused, again, and a new attempt with good data.
pub(super) fn definite_failure(course: &Course) -> Judged {
    let (mut judged, name) = (Judged::default(), Name::doing(0));
    if let Some(first) = answered(course, &mut judged, name) {
        if first.outcome == Outcome::Failure {
            again(course, &mut judged, name, Rule::Remembered);
            one_answer(course, &mut judged, name, Rule::Remembered);
        } else {
            judged.wrong(Rule::Refused, "do: success; --failing-data must be what this participant refuses");
        }
        let anew = name.attempt(2);
        if let Some(answer) = answered(course, &mut judged, anew).filter(|answer| !has_effect(answer)) {
            let (command, said) = (command_said(anew), answer_said(answer));
            judged.wrong(Rule::Remembered, format!("{command}: {said}, though its data are good: not judged anew"));
        }
    }
    effects(course, &mut judged, 0, 1, Rule::Remembered);
    judged
}

/// 12: several `do`, a restart before their answers are read, the same again.
pub(super) fn crash(course: &Course) -> Judged {
    let mut judged = Judged::default();
    for saga in 0..INTERRUPTED {
        let name = Name::doing(saga);
        if done(course, &mut judged, saga) {
            one_answer(course, &mut judged, name, Rule::OneTransaction);
        }
        effects(course, &mut judged, saga, 1, Rule::OneTransaction);
    }
    judged
}

/// 13: garbage between good commands.
pub(super) fn garbage(course: &Course) -> Judged {
    let mut judged = Judged::default();
    for saga in 0..GOOD {
        match course.first(Name::doing(saga)) {
            Some(answer) if has_effect(answer) => {}
            Some(answer) => {
                judged.wrong(Rule::Malformed, format!("good command {} of {GOOD}: {}", saga + 1, answer_said(answer)));
            }
            None => judged.wrong(Rule::Malformed, format!("no answer to good command {} of {GOOD}", saga + 1)),
        }
        effects(course, &mut judged, saga, 1, Rule::Malformed);
    }
    for (place, kind) in Garbage::ALL.into_iter().enumerate() {
        let saga = GOOD + place;
        let about = |heard: &&super::course::Heard| {
            heard.key == Some(saga) || heard.saga == Some(saga) || heard.command.is_some_and(|name| name.saga == saga)
        };
        if course.heard.iter().filter(about).any(|heard| heard.has_outcome) {
            judged.wrong(Rule::Malformed, format!("an answer with an outcome to {}", kind.said()));
        }
        effects(course, &mut judged, saga, 0, Rule::Malformed);
    }
    judged
}

/// 14: a `do`, a restart, the same `do` (saga 0); a `do` that is too late (saga 1).
pub(super) fn cold_start(course: &Course) -> Judged {
    let (mut judged, name) = (Judged::default(), Name::doing(0));
    if done(course, &mut judged, 0) {
        again(course, &mut judged, name, Rule::OneTransaction);
        one_answer(course, &mut judged, name, Rule::OneTransaction);
    }
    effects(course, &mut judged, 0, 1, Rule::OneTransaction);
    expired(course, &mut judged, Name::doing(1));
    judged
}

fn expired(course: &Course, judged: &mut Judged, late: Name) {
    let Some(answer) = answered(course, judged, late) else { return };
    let done_late = has_effect(answer);
    if done_late {
        judged.notes.push(format!("the expired do was done: it should be refused with {}", Answer::EXPIRED));
    } else if !fails_with(answer, Answer::EXPIRED) {
        judged.wrong(
            Rule::Expired,
            format!("expired do: {}, where failure {} was needed", answer_said(answer), Answer::EXPIRED),
        );
    }
    effects(course, judged, late.saga, i64::from(done_late), Rule::Expired);
}

#[cfg(test)]
mod tests;
