//! What the rules say in the corners that the stories of `scenarios` do not reach.

use sagabus::core::{
    Action, Differs, Fact, Input, Operation, Phase, Refusal, Resolution, StepIx, StepStateName, Verb, Verdict,
    is_endless, next_due, step_state_name,
};
use uuid::Uuid;

use super::given::{Driven, busy, conflict, refusal, success};

fn ask(saga: &mut Driven, verb: Verb) -> Option<Refusal> {
    let operation = Operation { id: Uuid::nil(), verb, who: "ada".into(), reason: "test".into(), expect_seq: None };
    saga.input(&Input::Operation(operation)).refusal
}

#[test]
fn a_step_is_given_up_although_another_one_was_blocked_in_the_same_wake_up() {
    let mut saga = Driven::start("a; b after a");
    assert_eq!(ask(&mut saga, Verb::Skip { step: "a".into(), reply: None }), None);
    saga.reply("a", Action::Do, 1, success());
    assert_eq!(saga.issued()[1..], ["do b 1", "undo a 1"]);
    saga.now = saga.now.plus_millis(4_900);
    saga.reply("b", Action::Do, 1, busy());
    saga.pass(100);
    assert_eq!(saga.issued()[3..], ["do b 2"]);
    saga.pass(5_000);
    let facts = &saga.journal.last().expect("a row").facts;
    assert!(
        facts.iter().any(|fact| matches!(fact, Fact::Blocked { step: StepIx(0), action: Action::Undo, .. })),
        "{facts:?}"
    );
    assert!(facts.iter().any(|fact| matches!(fact, Fact::GivenUp { step: StepIx(1), .. })), "{facts:?}");
    saga.check_fold();
}

#[test]
fn a_refusal_says_its_verdict_and_its_reason() {
    let mut saga = Driven::start("a");
    let refusal = ask(&mut saga, Verb::Resume).expect("it runs");
    assert!(
        refusal.to_string().starts_with("stale: refused: only a saga that is paused or stuck can be resumed"),
        "{refusal}"
    );
    assert_eq!(refusal.can, ["pause", "cancel", "compensate", "republish", "skip", "complete", "fail", "abandon"]);
    let differs = Differs { step: StepIx(3), action: Action::Do, attempt: 1, message: "other data".to_owned() };
    assert_eq!(differs.to_string(), "render the command of step 3 again: other data");
}

#[test]
fn names_are_those_that_people_and_metrics_know() {
    let verdicts = Verdict::ALL.map(Verdict::name);
    assert_eq!(verdicts, ["applied", "ignored", "duplicate", "stale", "conflict", "orphan", "malformed"]);
    assert_eq!(StepStateName::GivenUp.name(), "givenUp");
    assert_eq!(StepStateName::CompensationFailed.name(), "compensationFailed");
}

#[test]
fn a_saga_that_was_abandoned_is_never_due() {
    let mut saga = Driven::start("a; b after a");
    assert!(next_due(&saga.definition, &saga.saga).is_some());
    assert_eq!(ask(&mut saga, Verb::Abandon), None);
    assert_eq!((saga.phase(), next_due(&saga.definition, &saga.saga)), (Phase::Abandoned, None));
}

#[test]
fn a_stuck_saga_is_not_woken_for_a_new_attempt_that_it_may_not_make() {
    let mut saga = Driven::start("a; b");
    saga.reply("b", Action::Do, 1, busy());
    saga.reply("a", Action::Do, 1, conflict());
    assert_eq!((saga.phase(), saga.is_still()), (Phase::Stuck, true));
    assert_eq!(saga.pass(60_000).facts, [Fact::Rearmed { at: None }]);
    assert_eq!(ask(&mut saga, Verb::Resolve { step: "a".into(), outcome: Resolution::Done }), None);
    saga.pass(0);
    assert_eq!(saga.issued().last().map(String::as_str), Some("do b 2"));
}

#[test]
fn an_undo_that_is_at_its_end_is_told_apart_from_one_at_work() {
    for is_answered in [true, false] {
        let mut saga = Driven::start("a; b after a");
        saga.succeed("a");
        saga.reply("b", Action::Do, 1, refusal());
        let a = saga.place("a");
        assert_eq!(step_state_name(saga.saga.step(a)), StepStateName::Compensating);
        if is_answered {
            saga.reply("a", Action::Undo, 1, refusal());
        } else {
            saga.pass(10_000);
        }
        assert_eq!((saga.phase(), saga.is_still()), (Phase::Stuck, is_answered), "what is unanswered is asked again");
        assert_eq!(step_state_name(saga.saga.step(a)), StepStateName::CompensationFailed);
        saga.check_fold();
    }
}

#[test]
fn once_a_saga_has_turned_nothing_is_asked_without_end() {
    let mut saga = Driven::start("a; b after a retriable; c after a");
    saga.succeed("a");
    let b = saga.place("b");
    assert!(is_endless(&saga.definition, &saga.saga, b));
    assert_eq!(ask(&mut saga, Verb::Cancel), None);
    assert!(!is_endless(&saga.definition, &saga.saga, b));
}
