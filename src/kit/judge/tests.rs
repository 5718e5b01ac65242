//! Judges on courses that no participant was needed for: those of a model that keeps the contract, and broken ones.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::{Action, Answer, Json, Outcome};

use super::super::cases::{CASES, Case};
use super::super::course::{Course, Heard};
use super::super::rule::Rule;
use super::super::script::{Data, Item, Letter, Move, Name};

/// An answer in words: `success`, `success without effect`, `failure CODE`; `/N` behind it are other data.
fn answer(words: &str) -> Answer {
    let (words, data) = words.split_once('/').unwrap_or((words, "0"));
    let code = words.strip_prefix("failure ");
    Answer {
        id: "a".into(),
        outcome: if code.is_some() { Outcome::Failure } else { Outcome::Success },
        data: Json::parse(data.as_bytes()).unwrap(),
        code: code.map(Into::into),
        retryable: false,
        without_effect: words == "success without effect",
    }
}

fn heard(name: Name, words: &str) -> Heard {
    let saga = Some(name.saga);
    Heard { command: Some(name), saga, key: saga, has_outcome: true, answer: Ok(answer(words)) }
}

fn case(number: u8) -> &'static Case {
    CASES.iter().find(|case| case.number == number).unwrap()
}

/// The rules that a case finds broken when this comes.
fn broken(number: u8, heard: Vec<Heard>, effects: &[(usize, i64)]) -> Vec<Rule> {
    let course = Course { heard, effects: effects.iter().copied().collect(), ..Course::default() };
    let mut rules = Vec::new();
    for finding in (case(number).judge)(&course).findings {
        if !rules.contains(&finding.rule) {
            rules.push(finding.rule);
        }
    }
    rules
}

/// The rules that a case of one saga finds broken when these answers come to these commands.
fn broken_by(number: u8, answers: &[(Name, &str)]) -> Vec<Rule> {
    broken(number, answers.iter().map(|(name, words)| heard(*name, words)).collect(), &[])
}

/// A participant that keeps the contract.
#[derive(Default)]
struct Model {
    answers: BTreeMap<Name, (Data, String)>,
    done: BTreeSet<usize>,
    undone: BTreeSet<usize>,
    closed: BTreeSet<usize>,
}

impl Model {
    fn deliver(&mut self, letter: Letter) -> String {
        if let Some((data, words)) = self.answers.get(&letter.name) {
            return if *data == letter.data { words.clone() } else { "failure saga.conflict".to_owned() };
        }
        let saga = letter.name.saga;
        let words = match letter.name.action {
            Action::Do if self.closed.contains(&saga) => "failure saga.step_closed".to_owned(),
            Action::Do if letter.is_expired => "failure saga.expired".to_owned(),
            Action::Do if letter.data == Data::Failing => "failure NO".to_owned(),
            Action::Do => {
                self.done.insert(saga);
                format!("success/{}", self.answers.len())
            }
            Action::Undo => {
                self.closed.insert(saga);
                let finds = self.done.contains(&saga) && self.undone.insert(saga);
                if finds { "success" } else { "success without effect" }.to_owned()
            }
        };
        self.answers.insert(letter.name, (letter.data, words.clone()));
        words
    }

    fn play(mut self, case: &Case) -> Course {
        let mut course = Course::default();
        for step in (case.script)() {
            let (Move::Send(items) | Move::Throw(items)) = step else { continue };
            for item in items {
                if let Item::Letter(letter) = item {
                    course.heard.push(heard(letter.name, &self.deliver(letter)));
                }
            }
        }
        let left = |saga| i64::from(self.done.contains(&saga)) - i64::from(self.undone.contains(&saga));
        course.effects = (0..case.sagas).map(|saga| (saga, left(saga))).collect();
        course
    }
}

#[test]
fn whoever_keeps_the_contract_passes_every_case() {
    for case in &CASES {
        let course = Model::default().play(case);
        assert_eq!((case.judge)(&course).findings, [], "case {}: {}", case.number, course.said());
    }
}

#[test]
fn silence_and_a_wrong_count_in_the_ledger_fail_every_case() {
    for case in &CASES {
        assert!(!broken(case.number, Vec::new(), &[]).is_empty(), "case {}", case.number);
        let mut course = Model::default().play(case);
        *course.effects.get_mut(&0).unwrap() += 1;
        assert_ne!((case.judge)(&course).findings, [], "case {}", case.number);
    }
}

#[test]
fn the_envelope_of_the_first_answer_must_be_right() {
    let right = heard(Name::doing(0), "success");
    for wrong in [
        Heard { command: None, ..right.clone() },
        Heard { saga: None, ..right.clone() },
        Heard { key: None, ..right.clone() },
        Heard { answer: Err("missing: ce_id is missing".to_owned()), ..right.clone() },
    ] {
        assert_eq!(broken(1, vec![wrong], &[]), [Rule::Envelope]);
    }
    assert_eq!(broken_by(1, &[(Name::doing(0), "failure NO")]), [Rule::Refused]);
    let unfit = Course { heard: vec![right.clone()], unfit: Some("no reservationId".to_owned()), ..Course::default() };
    assert_eq!((case(1).judge)(&unfit).findings[0].rule, Rule::Reply);
    assert_eq!(broken(1, vec![right], &[]), []);
}

#[test]
fn an_answer_that_changes_is_found() {
    let (doing, undoing) = (Name::doing(0), Name::undoing(0));
    assert_eq!(broken_by(2, &[(doing, "success/1"), (doing, "success/2")]), [Rule::StoredReply]);
    assert_eq!(broken_by(2, &[(doing, "success")]), [Rule::StoredReply], "no second answer");
    let undone = |again| broken_by(5, &[(doing, "success"), (undoing, "success"), (undoing, again)]);
    assert_eq!(undone("success without effect"), [Rule::StoredReply]);
    assert_eq!(undone("success"), []);
    let failing = |again, anew| broken_by(11, &[(doing, "failure NO"), (doing, again), (doing.attempt(2), anew)]);
    assert_eq!(failing("success", "success"), [Rule::Remembered]);
    assert_eq!(failing("failure NO", "failure NO"), [Rule::Remembered], "a new attempt is judged anew");
    assert_eq!(broken_by(11, &[(doing, "success"), (doing.attempt(2), "success")]), [Rule::Refused]);
    let changed = |second, third| broken_by(10, &[(doing, "success/1"), (doing, second), (doing, third)]);
    assert_eq!(changed("success/1", "success/1"), [Rule::Conflict]);
    assert_eq!(changed("failure saga.conflict", "success/2"), [Rule::Conflict], "the first answer stays");
    assert_eq!(changed("failure saga.conflict", "success/1"), []);
}

#[test]
fn what_undoes_too_little_or_too_much_is_found() {
    let (doing, undoing) = (Name::doing(0), Name::undoing(0));
    assert_eq!(broken_by(4, &[(doing, "success"), (undoing, "success without effect")]), [Rule::UndoneOnce]);
    assert_eq!(broken_by(4, &[(doing, "success"), (undoing, "failure NO")]), [Rule::UndoneOnce]);
    assert_eq!(broken_by(7, &[(undoing, "success"), (doing, "failure saga.step_closed")]), [Rule::Closed]);
    assert_eq!(broken_by(7, &[(undoing, "success without effect"), (doing, "success")]), [Rule::Closed]);
    assert_eq!(broken_by(7, &[(undoing, "success without effect"), (doing, "failure NO")]), [Rule::Closed]);
    let second = |second: &'static str| {
        let course = |saga| {
            let (doing, undoing) = (Name::doing(saga), Name::undoing(saga));
            [(doing, "success"), (undoing, "success"), (undoing.attempt(2), second)]
        };
        broken_by(6, &[course(0), course(1)].concat())
    };
    assert_eq!((second("success without effect"), second("success")), (vec![], vec![Rule::UndoneOnce]));
    let anew = |words| broken_by(9, &[(doing, "success"), (undoing, "success"), (doing.attempt(2), words)]);
    assert_eq!((anew("failure saga.step_closed"), anew("success")), (vec![], vec![Rule::Closed]));
}

#[test]
fn one_bad_pair_among_two_hundred_is_found() {
    let mut course = Model::default().play(case(8));
    for (doing, undoing) in
        [("success", "success without effect"), ("failure saga.step_closed", "success"), ("failure NO", "success")]
    {
        let mut heard = course.heard.clone();
        heard.retain(|heard| heard.key != Some(7));
        heard.extend([super::tests::heard(Name::doing(7), doing), super::tests::heard(Name::undoing(7), undoing)]);
        assert_eq!(broken(8, heard, &[]), [Rule::Race], "{doing}, {undoing}");
    }
    course.heard.retain(|heard| heard.key != Some(7));
    assert_eq!(broken(8, course.heard, &[]), [Rule::Silence]);
}

#[test]
fn garbage_is_answered_by_nobody_and_stops_nobody() {
    let course = Model::default().play(case(13));
    let garbage = Name::doing(super::GOOD);
    let with = |heard| [course.heard.clone(), vec![heard]].concat();
    assert_eq!(broken(13, with(heard(garbage, "failure BAD_REQUEST")), &[]), [Rule::Malformed]);
    let by_key = Heard { command: None, saga: None, ..heard(garbage, "success") };
    assert_eq!(broken(13, with(by_key.clone()), &[]), [Rule::Malformed], "told by its key alone");
    assert_eq!(broken(13, with(Heard { has_outcome: false, ..by_key }), &[]), [], "a note without an outcome");
    let stopped = course.heard[..2].to_vec();
    assert_eq!(broken(13, stopped, &[]), [Rule::Malformed]);
}

#[test]
fn an_expired_do_that_is_done_is_a_note_and_no_failure() {
    let mut course = Model::default().play(case(14));
    course.heard.retain(|heard| heard.key != Some(1));
    course.heard.push(heard(Name::doing(1), "success"));
    course.effects.insert(1, 1);
    let judged = (case(14).judge)(&course);
    assert_eq!((judged.findings.len(), judged.notes.len()), (0, 1));
    assert_eq!(
        broken_by(14, &[(Name::doing(0), "success"), (Name::doing(0), "success"), (Name::doing(1), "failure NO")]),
        [Rule::Expired]
    );
}
