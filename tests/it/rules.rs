//! What the rules say in the corners that the stories of `scenarios` do not reach.

use sagabus::core::{
    Action, Decision, Differs, Fact, Forward, Given, Input, Json, Operation, Outcome, Phase, Refusal, Resolution,
    Rules, StepIx, StepState, StepStateName, Verb, Verdict, allowed, is_endless, issue, limits, next_due,
    step_state_name, waits_for,
};
use uuid::Uuid;

use super::given::{Driven, Plain, answer, busy, conflict, refusal, success};

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
fn verbs_have_the_names_that_the_command_line_and_the_audit_know_and_tell_their_step() {
    let step = || "a".to_owned();
    let data = Json::empty_object;
    let verbs = [
        (Verb::Republish { step: step() }, "republish"),
        (Verb::Retry { step: Some(step()), force: false }, "retry"),
        (Verb::Edit { step: step(), data: data() }, "edit"),
        (Verb::Skip { step: step(), reply: None }, "skip"),
        (Verb::Complete { step: step(), reply: data() }, "complete"),
        (Verb::Fail { step: step(), code: "NO".to_owned() }, "fail"),
        (Verb::Resolve { step: step(), outcome: Resolution::Left }, "resolve"),
    ];
    for (verb, name) in &verbs {
        assert_eq!((verb.name(), verb.step()), (*name, Some("a")));
    }
    let whole = [Verb::Compensate, Verb::Cancel, Verb::Pause, Verb::Resume, Verb::Abandon];
    let names: Vec<&str> = whole.iter().map(Verb::name).collect();
    assert_eq!(names, ["compensate", "cancel", "pause", "resume", "abandon"]);
    assert!(whole.iter().chain([&Verb::Retry { step: None, force: true }]).all(|verb| verb.step().is_none()));
}

#[test]
fn what_is_allowed_is_what_would_be_carried_out() {
    let saga = Driven::start("a; b after a");
    let rules = Rules { definition: &saga.definition, render: &Plain, held: &[] };
    let can = allowed(rules, &saga.saga, saga.now);
    assert_eq!(can, ["pause", "cancel", "compensate", "republish", "edit", "skip", "complete", "fail", "abandon"]);
}

#[test]
fn limits_are_those_that_participants_and_brokers_know() {
    let bytes = (limits::VALUE_BYTES, limits::HEADER_BYTES, limits::KEY_BYTES, limits::PARKED_BYTES);
    assert_eq!(bytes, (1_048_576, 16_384, 1_024, 4_096));
    assert_eq!((limits::BATCH_RECORDS, limits::BATCH_BYTES), (2_000, 16_777_216));
}

#[test]
fn an_undo_counts_its_own_failures_and_all_of_them() {
    let mut saga = Driven::start("a; b after a");
    for attempt in 1..=2 {
        saga.reply("a", Action::Do, attempt, busy());
        saga.pass(300);
    }
    saga.reply("a", Action::Do, 3, success());
    saga.reply("b", Action::Do, 1, refusal());
    for attempt in 1..=3 {
        assert_eq!(saga.phase(), Phase::Compensating);
        saga.reply("a", Action::Undo, attempt, busy());
        saga.pass(300);
    }
    assert_eq!(saga.phase(), Phase::Stuck, "three attempts are what the definition allows");
    saga.check_fold();
}

#[test]
fn a_late_refusal_of_a_step_that_a_person_failed_is_noted_and_no_answer() {
    let mut saga = Driven::start("look readOnly; b");
    assert_eq!(ask(&mut saga, Verb::Fail { step: "look".into(), code: "BY_HAND".into() }), None);
    let before = saga.saga.step(StepIx(0)).clone();
    assert!(matches!(before.forward, Forward::Failed(Some(_))), "its answer is still to come: {:?}", before.forward);
    assert_eq!(saga.reply("look", Action::Do, 1, refusal()).verdict, Verdict::Stale);
    let after = saga.saga.step(StepIx(0));
    assert_eq!((&after.forward, &after.reply, after.answers.len()), (&Forward::Failed(None), &None, 1));
    assert!(!after.answers[0].believed);
    saga.check_fold();
}

#[test]
fn a_late_success_is_the_reply_of_a_step_that_was_skipped_without_one_alone() {
    for (given, kept) in [(None, "{}"), (Some(r#"{"by":"hand"}"#), r#"{"by":"hand"}"#)] {
        let mut saga = Driven::start("look readOnly; b");
        let reply = given.map(|text| Json::parse(text.as_bytes()).unwrap());
        assert_eq!(ask(&mut saga, Verb::Skip { step: "look".into(), reply }), None);
        assert_eq!(saga.reply("look", Action::Do, 1, success()).verdict, Verdict::Applied);
        assert_eq!(saga.saga.step(StepIx(0)).reply.as_ref().map(Json::get), Some(kept));
        assert!(saga.saga.step(StepIx(0)).answers[0].believed, "it had its effect");
    }
}

#[test]
fn an_answer_that_came_before_its_command_is_believed_once_it_comes_again() {
    let mut saga = Driven::start("a; b after a");
    saga.reply("b", Action::Do, 1, success());
    assert!(!saga.saga.step(StepIx(1)).answers[0].believed, "it is only noted");
    saga.succeed("a b");
    let answers = &saga.saga.step(StepIx(1)).answers;
    assert_eq!((answers.len(), answers[0].believed), (1, true));
    assert_eq!(saga.phase(), Phase::Completed);
}

#[test]
fn a_success_that_was_only_noted_tells_an_effect_where_no_fact_issued_its_attempt() {
    let given = |attempt, believed| Given { action: Action::Do, attempt, answer: success(), believed };
    let step = |attempts, given| StepState { attempts, answers: vec![given], ..StepState::default() };
    assert!(step(0, given(1, false)).succeeded_once());
    assert!(!step(1, given(1, false)).succeeded_once(), "another answer to it was believed, or is to come");
    assert!(step(1, given(1, true)).succeeded_once());
}

#[test]
fn people_are_told_which_steps_a_step_or_its_undo_waits_for() {
    let told = |saga: &Driven, step: &str| {
        let waits = waits_for(&saga.definition, &saga.saga, saga.place(step)).into_iter();
        waits.map(|place| saga.definition.step(place).name.to_string()).collect::<Vec<_>>().join(" ")
    };
    let mut saga = Driven::start("a; b after a; c after b; d after b; e after a; f after c,d");
    assert_eq!((told(&saga, "a"), told(&saga, "b"), told(&saga, "f")), (String::new(), "a".into(), "c d".into()));
    saga.succeed("a b c e");
    assert_eq!(
        (told(&saga, "f"), told(&saga, "d")),
        ("d".into(), String::new()),
        "d is out, it waits for its answer alone"
    );
    // The saga turns while nothing is out: undos wait for those of the steps behind.
    saga.reply("d", Action::Do, 1, refusal());
    assert_eq!(saga.phase(), Phase::Compensating);
    assert_eq!((told(&saga, "a"), told(&saga, "b"), told(&saga, "c")), ("b c e".into(), "c".into(), String::new()));
    saga.reply("c", Action::Undo, 1, success());
    assert_eq!((told(&saga, "a"), told(&saga, "b"), told(&saga, "d")), ("b e".into(), String::new(), String::new()));
    // While an answer is out, the undos that are not due wait for it.
    let mut saga = Driven::start("a; b after a; c");
    saga.succeed("a");
    assert_eq!(ask(&mut saga, Verb::Cancel), None);
    assert_eq!((told(&saga, "a"), told(&saga, "b")), ("b c".into(), String::new()));
    saga.reply("b", Action::Do, 1, refusal());
    saga.reply("c", Action::Do, 1, refusal());
    saga.reply("a", Action::Undo, 1, success());
    assert_eq!((saga.phase(), told(&saga, "a")), (Phase::Cancelled, String::new()));
}

#[test]
fn a_late_success_of_an_attempt_that_was_given_up_is_said_to_be_covered() {
    let mut saga = Driven::start("a; b after a");
    saga.pass(5_000);
    let late = saga.reply("a", Action::Do, 1, success()).refusal.expect("it counts no more");
    assert_eq!(late.code, "given-up");
}

#[test]
fn issuing_keeps_what_was_decided_and_leaves_alone_what_is_not_ready() {
    let saga = Driven::start("a; b after a");
    let rules = Rules { definition: &saga.definition, render: &Plain, held: &[] };
    let refusal = Refusal { verdict: Verdict::Stale, code: "kept", message: "kept".to_owned(), can: Vec::new() };
    let decision =
        Decision { verdict: Verdict::Stale, refusal: Some(refusal), ..Decision::quiet(saga.saga.clone(), saga.now) };
    let left = issue(rules, decision.clone(), saga.place("b"), Action::Do);
    assert_eq!((left.facts.len(), &left.refusal), (0, &decision.refusal), "b waits for a");
    let mut ready = decision;
    ready.saga.step_mut(saga.place("b")).forward = Forward::Ready;
    let issued = issue(rules, ready, saga.place("b"), Action::Do);
    assert_eq!((issued.verdict, issued.refusal.map(|refusal| refusal.code)), (Verdict::Stale, Some("kept")));
    assert_eq!(issued.facts.len(), 1);
}

#[test]
fn five_phases_are_final() {
    let open = [Phase::Running, Phase::Compensating, Phase::Stuck, Phase::Paused];
    assert!(Phase::ALL.into_iter().all(|phase| phase.is_final() != open.contains(&phase)));
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

#[test]
fn word_of_progress_counts_from_a_tenth_of_the_timeout_on() {
    let mut saga = Driven::start("a; b after a");
    let at_work = || answer(Outcome::Progress, None, false, "{}");
    saga.now = saga.now.plus_millis(99);
    assert_eq!(saga.reply("a", Action::Do, 1, at_work()).verdict, Verdict::Stale);
    saga.now = saga.now.plus_millis(1);
    assert_eq!(saga.reply("a", Action::Do, 1, at_work()).verdict, Verdict::Applied);
}

#[test]
fn an_undo_that_the_broker_has_not_acknowledged_is_not_sent_again() {
    let mut saga = Driven::start("a; b after a");
    saga.succeed("a");
    saga.reply("b", Action::Do, 1, refusal());
    saga.now = saga.now.plus_millis(1_000);
    let resent = |saga: &mut Driven, acknowledged| {
        let decision = saga.input(&Input::Timer { replies_read_until: saga.now, acknowledged });
        decision.facts.iter().any(|fact| matches!(fact, Fact::Resent { action: Action::Undo, .. }))
    };
    assert!(!resent(&mut saga, false) && resent(&mut saga, true));
}
