//! Journals as they may lie in a damaged database: refused, or folded as far as they fit; never a panic.

use std::sync::Arc;

use sagabus::core::{
    Action, BlockKind, Cause, Fact, FoldError, Phase, Saga, Sha256, StepIx, Timestamp, Transition, evolve, fold,
};

use super::given::{Driven, success};

const NOWHERE: StepIx = StepIx(9);

fn folded(saga: &Driven, journal: &[Transition]) -> Result<Saga, FoldError> {
    fold(&saga.definition, saga.saga.id, journal)
}

/// A fact of every kind that names a step.
fn facts_of(step: StepIx) -> Vec<Fact> {
    let (action, attempt, code, message) = (Action::Do, 1, Arc::<str>::from("x"), String::new());
    let data_hash = Sha256::of(b"");
    vec![
        Fact::Ready { step, action },
        Fact::Issued { step, action, attempt, data_hash },
        Fact::Resent { step, action, attempt },
        Fact::Progressed { step, action, attempt, answer: success() },
        Fact::Succeeded { step, action, attempt, answer: None },
        Fact::Failed { step, action, attempt, answer: None },
        Fact::Refused { step, action, code: Arc::clone(&code), message: message.clone() },
        Fact::RetryDue { step, action, at: Timestamp::ZERO },
        Fact::GivenUp { step, attempt },
        Fact::FailedForGood { step, code: Arc::clone(&code), message: message.clone() },
        Fact::Skipped { step, reply: None },
        Fact::Turned { cause: Cause::Step(step) },
        Fact::Turned { cause: Cause::LostCommits(step) },
        Fact::Exhausted { step, unanswered: true },
        Fact::UndoSkipped { step },
        Fact::UndoDue { step },
        Fact::Blocked { step, action, kind: BlockKind::Failed, code: Arc::clone(&code), message: message.clone() },
        Fact::Unblocked { step, action, kind: BlockKind::Failed },
        Fact::AnsweredEarly { step, attempt, answer: success() },
        Fact::CameLate { step, action, attempt, answer: success() },
        Fact::Conflicted { step, action, attempt, answer: success() },
        Fact::Undeliverable { step, action, attempt, code, message },
        Fact::TurnWished { cause: Cause::Step(step) },
        Fact::Edited { step, action, data: sagabus::core::Json::empty_object() },
        Fact::Renewed { step, action },
    ]
}

#[test]
fn a_journal_that_names_a_step_its_definition_does_not_have_is_refused() {
    let saga = Driven::start("a; b after a");
    for fact in facts_of(NOWHERE) {
        let mut journal = saga.journal.clone();
        journal.push(Transition { now: saga.now, facts: vec![fact.clone()] });
        let refused = folded(&saga, &journal).expect_err("a step that there is not");
        assert_eq!(refused.message, "it names a step that its definition does not have", "{fact:?}");
        let mut unchanged = saga.saga.clone();
        evolve(&saga.definition, &mut unchanged, saga.now, &fact);
        assert_eq!(unchanged, saga.saga, "a fact that does not fit changes nothing: {fact:?}");
    }
    for fact in facts_of(StepIx(1)) {
        let journal = [&saga.journal[..], &[Transition { now: saga.now, facts: vec![fact] }]].concat();
        assert!(folded(&saga, &journal).is_ok(), "the last step is a step");
    }
}

#[test]
fn a_journal_that_does_not_begin_or_belongs_to_another_definition_is_refused() {
    let saga = Driven::start("a; b after a");
    let refused = |journal: &[Transition]| folded(&saga, journal).expect_err("it is damaged").to_string();
    assert!(refused(&[]).ends_with("it is empty"));
    assert!(refused(&[Transition { now: saga.now, facts: Vec::new() }]).contains("does not begin"));
    assert!(refused(&saga.journal[1..]).contains("empty"));
    let other = Driven::start("a");
    assert!(refused(&other.journal).ends_with("it belongs to another definition"));
    assert!(refused(&other.journal).contains(&saga.saga.id.to_string()), "it says whose journal it is");
}

#[test]
fn a_fold_counts_its_rows_and_takes_the_moment_of_the_first() {
    let mut saga = Driven::start("a");
    let began = saga.now;
    saga.pass(300);
    saga.succeed("a");
    let folded = folded(&saga, &saga.journal).expect("it folds");
    assert_eq!((folded.seq, folded.started_at, folded.finished_at), (3, began, Some(saga.now)));
    assert_eq!(folded.phase, Phase::Completed);
}
