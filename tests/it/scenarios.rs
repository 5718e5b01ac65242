//! Given, when, then: what the rules of DESIGN and the table of the contract say of single sagas.

use sagabus::core::{Action, Fact, Input, Outcome, Phase, Resolution, Timestamp, Verb, Verdict};
use uuid::Uuid;

use super::given::{Driven, TRADE, answer, ask, busy, refusal, success};

#[test]
fn steps_run_in_order_and_the_saga_completes() {
    let mut saga = Driven::start(TRADE);
    assert_eq!(saga.issued(), ["do order 1"]);
    saga.succeed("order");
    assert_eq!(saga.issued()[1..], ["do clearing 1", "do notification 1"]);
    saga.succeed("clearing risk accounting notification");
    assert_eq!(saga.phase(), Phase::Completed);
    saga.check_fold();
}

#[test]
fn a_join_waits_for_all_its_predecessors() {
    let mut saga = Driven::start("a; b; c after a,b");
    saga.succeed("a");
    assert_eq!(saga.issued(), ["do a 1", "do b 1"]);
    saga.succeed("b");
    assert_eq!(saga.issued()[2..], ["do c 1"]);
}

#[test]
fn what_was_done_is_undone_in_reverse_dependency_order_branches_in_parallel() {
    let mut saga = Driven::start("a; b after a; c after a; d after b,c; e after d pivot");
    saga.succeed("a b c d");
    saga.reply("e", Action::Do, 1, refusal());
    assert_eq!(saga.phase(), Phase::Compensating);
    assert_eq!(saga.issued()[5..], ["undo d 1"]);
    saga.reply("d", Action::Undo, 1, success());
    assert_eq!(saga.issued()[6..], ["undo b 1", "undo c 1"]);
    saga.reply("c", Action::Undo, 1, success());
    assert_eq!(saga.issued().len(), 8, "a waits for b");
    saga.reply("b", Action::Undo, 1, success());
    saga.reply("a", Action::Undo, 1, success());
    assert_eq!(saga.phase(), Phase::Compensated);
    saga.check_fold();
}

#[test]
fn steps_in_flight_settle_before_anything_is_undone() {
    let mut saga = Driven::start("a; b after a; c after a");
    saga.succeed("a");
    saga.reply("b", Action::Do, 1, refusal());
    assert_eq!(saga.issued().len(), 3, "c is in flight");
    saga.succeed("c");
    assert_eq!(saga.issued()[3..], ["undo c 1"]);
}

#[test]
fn a_timeout_asks_again_with_the_same_id_and_patience_ends_in_an_undo() {
    let mut saga = Driven::start("a; b after a");
    saga.succeed("a");
    let again = saga.pass(1_000);
    assert!(matches!(again.facts[..], [Fact::Resent { attempt: 1, .. }]));
    assert_eq!(saga.saga.step(saga.place("b")).attempts, 1);
    saga.pass(4_000);
    assert_eq!(saga.issued()[2..], ["undo b 1"]);
    let late = saga.reply("b", Action::Do, 1, success());
    assert_eq!(late.verdict, Verdict::Stale);
    assert!(matches!(late.facts[..], [Fact::CameLate { .. }]), "its undo covers it");
    assert_eq!(saga.reply("b", Action::Do, 1, success()).verdict, Verdict::Duplicate);
    saga.reply("b", Action::Undo, 1, success());
    saga.reply("a", Action::Undo, 1, success());
    assert_eq!(saga.phase(), Phase::Compensated);
}

#[test]
fn nothing_is_given_up_before_the_replies_were_read_and_the_command_was_acknowledged() {
    let mut saga = Driven::start("a");
    saga.now = saga.now.plus_millis(6_000);
    for (replies_read_until, acknowledged) in [(Timestamp::ZERO, true), (saga.now, false)] {
        let decision = saga.input(&Input::Timer { replies_read_until, acknowledged });
        assert_eq!(decision.facts, [], "it waits, and writes nothing");
    }
    saga.pass(0);
    assert_eq!(saga.phase(), Phase::Compensating);
}

#[test]
fn progress_extends_the_deadline_and_not_the_patience() {
    let mut saga = Driven::start("a");
    saga.now = saga.now.plus_millis(900);
    saga.reply("a", Action::Do, 1, answer(Outcome::Progress, None, false, "{}"));
    assert!(matches!(saga.pass(900).facts[..], [Fact::Rearmed { .. }]), "nothing is due");
    assert!(matches!(saga.pass(100).facts[..], [Fact::Resent { .. }]));
    saga.pass(3_100);
    assert_eq!(saga.phase(), Phase::Compensating);
}

#[test]
fn retryable_failures_get_new_attempts_until_they_are_used_up() {
    let mut saga = Driven::start("a");
    saga.reply("a", Action::Do, 1, busy());
    assert_eq!(saga.issued().len(), 1);
    saga.pass(100);
    saga.reply("a", Action::Do, 2, busy());
    assert!(matches!(saga.pass(100).facts[..], [Fact::Rearmed { .. }]), "the second delay is 200 ms");
    saga.pass(100);
    saga.reply("a", Action::Do, 3, busy());
    assert_eq!(saga.issued(), ["do a 1", "do a 2", "do a 3"]);
    assert_eq!(saga.phase(), Phase::Compensated);
}

#[test]
fn a_pivot_that_stays_unanswered_makes_the_saga_stuck_until_it_is_answered() {
    for (outcome, phase) in [(success(), Phase::Running), (refusal(), Phase::Compensating)] {
        let mut saga = Driven::start(TRADE);
        saga.succeed("order clearing notification");
        saga.pass(5_000);
        assert_eq!(saga.phase(), Phase::Stuck);
        assert_eq!(saga.saga.error.as_ref().map(|error| &*error.code), Some("saga.outcome_unknown"));
        saga.pass(2_000);
        assert_eq!(saga.reply("risk", Action::Do, 1, outcome).verdict, Verdict::Applied);
        assert_eq!(saga.phase(), phase);
    }
}

#[test]
fn behind_the_pivot_nothing_turns_and_steps_are_asked_without_end() {
    let mut saga = Driven::start(TRADE);
    saga.succeed("order clearing notification risk");
    for _ in 0..20 {
        saga.pass(10_000);
    }
    assert_eq!(saga.phase(), Phase::Running);
    saga.reply("accounting", Action::Do, 1, refusal());
    assert_eq!(saga.phase(), Phase::Stuck);
    assert_eq!(ask(&mut saga, Verb::Cancel), Verdict::Stale);
    assert_eq!(ask(&mut saga, Verb::Resume), Verdict::Applied);
    saga.reply("accounting", Action::Do, 2, success());
    assert_eq!(saga.phase(), Phase::Completed);
}

#[test]
fn an_undo_that_fails_for_good_blocks_or_is_skipped_as_the_definition_says() {
    let mut saga = Driven::start("a; b after a");
    saga.succeed("a");
    saga.reply("b", Action::Do, 1, refusal());
    saga.reply("a", Action::Undo, 1, refusal());
    assert_eq!(saga.phase(), Phase::Stuck);
    assert_eq!(ask(&mut saga, Verb::Resume), Verdict::Applied);
    saga.reply("a", Action::Undo, 2, success());
    assert_eq!(saga.phase(), Phase::Compensated);

    let mut saga = Driven::start("a skip; b after a");
    saga.succeed("a");
    saga.reply("b", Action::Do, 1, refusal());
    saga.reply("a", Action::Undo, 1, refusal());
    assert_eq!(saga.phase(), Phase::CompensatedWithSkips);
}

#[test]
fn an_undo_that_stays_unanswered_makes_stuck_and_its_late_success_unsticks() {
    let mut saga = Driven::start("a; b after a");
    saga.succeed("a");
    saga.reply("b", Action::Do, 1, refusal());
    saga.pass(10_000);
    assert_eq!(saga.phase(), Phase::Stuck);
    assert!(matches!(saga.pass(2_000).facts[..], [Fact::Resent { action: Action::Undo, attempt: 1, .. }]));
    saga.reply("a", Action::Undo, 1, success());
    assert_eq!(saga.phase(), Phase::Compensated);
}

#[test]
fn late_success_of_a_step_an_operator_failed_is_undone_even_when_the_saga_has_ended() {
    let mut saga = Driven::start("a; b after a");
    saga.succeed("a");
    assert_eq!(ask(&mut saga, Verb::Fail { step: "b".into(), code: "BY_HAND".into() }), Verdict::Applied);
    saga.reply("a", Action::Undo, 1, success());
    assert_eq!(saga.phase(), Phase::Compensated);
    assert_eq!(saga.reply("b", Action::Do, 1, success()).verdict, Verdict::Applied);
    assert_eq!(saga.issued().last().map(String::as_str), Some("undo b 1"));
    assert_eq!(saga.phase(), Phase::Compensated, "the phase stays");
    saga.reply("b", Action::Undo, 1, success());
    saga.check_fold();
}

#[test]
fn a_skipped_step_that_succeeds_after_all_is_undone_while_the_saga_goes_on() {
    let mut saga = Driven::start("a; b after a");
    assert_eq!(ask(&mut saga, Verb::Skip { step: "a".into(), reply: None }), Verdict::Applied);
    assert_eq!(saga.issued(), ["do a 1", "do b 1"]);
    saga.reply("a", Action::Do, 1, success());
    assert_eq!(saga.issued()[2..], ["undo a 1"]);
    saga.succeed("b");
    assert_eq!(saga.phase(), Phase::Running, "the undo is under way");
    saga.reply("a", Action::Undo, 1, success());
    assert_eq!(saga.phase(), Phase::Completed);
}

#[test]
fn cancel_turns_before_the_pivot_and_is_a_wish_while_it_is_in_flight() {
    let mut saga = Driven::start(TRADE);
    saga.succeed("order");
    assert_eq!(ask(&mut saga, Verb::Cancel), Verdict::Applied);
    saga.succeed("clearing notification");
    for step in ["clearing", "notification", "order"] {
        saga.reply(step, Action::Undo, 1, success());
    }
    assert_eq!(saga.phase(), Phase::Cancelled);

    for (outcome, phase) in
        [(refusal(), Phase::Compensating), (busy(), Phase::Compensating), (success(), Phase::Running)]
    {
        let mut saga = Driven::start(TRADE);
        saga.succeed("order clearing notification");
        assert_eq!(ask(&mut saga, Verb::Cancel), Verdict::Applied);
        assert_eq!(saga.phase(), Phase::Running, "kept until the pivot is answered");
        saga.reply("risk", Action::Do, 1, outcome);
        assert_eq!(saga.phase(), phase);
    }
}

#[test]
fn a_paused_saga_keeps_answers_and_its_timers_stand_still() {
    let mut saga = Driven::start("a; b after a");
    assert_eq!(ask(&mut saga, Verb::Pause), Verdict::Applied);
    saga.pass(60_000);
    saga.succeed("a");
    assert_eq!((saga.phase(), saga.issued().len()), (Phase::Paused, 1));
    assert_eq!(ask(&mut saga, Verb::Resume), Verdict::Applied);
    assert_eq!(saga.issued()[1..], ["do b 1"]);
    let mut saga = Driven::start("a");
    saga.now = saga.now.plus_millis(600);
    ask(&mut saga, Verb::Pause);
    saga.now = saga.now.plus_millis(60_000);
    ask(&mut saga, Verb::Resume);
    assert!(matches!(saga.pass(399).facts[..], [Fact::Rearmed { .. }]));
    assert!(matches!(saga.pass(1).facts[..], [Fact::Resent { .. }]));
}

#[test]
fn a_participant_that_contradicts_itself_stops_its_saga_for_a_person() {
    let mut saga = Driven::start("a; b after a");
    saga.succeed("a");
    assert_eq!(saga.reply("a", Action::Do, 1, success()).verdict, Verdict::Duplicate);
    assert_eq!(saga.reply("a", Action::Do, 1, refusal()).verdict, Verdict::Conflict);
    assert_eq!(saga.phase(), Phase::Stuck);
    assert_eq!(ask(&mut saga, Verb::Resume), Verdict::Stale, "what is true has to be found out");
    assert_eq!(ask(&mut saga, Verb::Resolve { step: "a".into(), outcome: Resolution::Done }), Verdict::Applied);
    assert_eq!(saga.phase(), Phase::Running);

    let mut saga = Driven::start("a");
    let conflict = answer(Outcome::Failure, Some("saga.conflict"), false, "{}");
    assert_eq!(saga.reply("a", Action::Do, 1, conflict).verdict, Verdict::Conflict);
    assert_eq!((saga.phase(), saga.issued().len()), (Phase::Stuck, 1), "possibly done, no new attempt");
}

#[test]
fn evidence_of_lost_commits_is_acted_on() {
    let mut saga = Driven::start("a; b after a");
    assert_eq!(saga.reply("b", Action::Do, 1, success()).verdict, Verdict::Applied, "answered early");
    saga.succeed("a");
    assert_eq!(saga.phase(), Phase::Completed, "used when the step is issued");

    let mut saga = Driven::start("a; b after a");
    saga.reply("b", Action::Do, 1, success());
    saga.reply("a", Action::Do, 1, refusal());
    assert_eq!(saga.issued()[1..], ["undo b 1"], "compensated when the saga turns");

    let mut saga = Driven::start("a; b after a");
    saga.succeed("a");
    assert_eq!(saga.reply("a", Action::Undo, 1, success()).verdict, Verdict::Applied);
    assert!(saga.saga.turned.is_some(), "somebody had decided to undo");
}

#[test]
fn what_no_saga_could_have_sent_is_an_orphan() {
    let mut saga = Driven::start("a");
    let mut foreign = saga.reply("a", Action::Do, 1, success());
    assert_eq!(foreign.verdict, Verdict::Applied);
    foreign = saga.reply("a", Action::Do, 900, success());
    assert_eq!(foreign.verdict, Verdict::Orphan);
    let reply = sagabus::core::Reply {
        topic: "elsewhere".into(),
        saga_id: saga.saga.id,
        command_id: Uuid::nil(),
        answer: success(),
    };
    assert_eq!(saga.input(&Input::Reply(reply)).refusal.map(|refusal| refusal.code), Some("wrong-topic"));
}

#[test]
fn the_second_answer_of_a_read_only_step_is_a_duplicate_whatever_it_says() {
    let mut saga = Driven::start("a readOnly; b after a");
    saga.succeed("a");
    assert_eq!(saga.reply("a", Action::Do, 1, refusal()).verdict, Verdict::Duplicate);
    assert_eq!(saga.phase(), Phase::Running);
}

#[test]
fn a_command_that_the_broker_refuses_makes_its_saga_stuck_and_is_not_asked_again() {
    let mut saga = Driven::start("a");
    let step = saga.place("a");
    let refused = Input::Undeliverable {
        step,
        action: Action::Do,
        attempt: 1,
        code: "saga.undeliverable".into(),
        message: String::new(),
    };
    saga.input(&refused);
    assert_eq!(saga.phase(), Phase::Stuck);
    assert!(!saga.pass(60_000).facts.iter().any(|fact| matches!(fact, Fact::Resent { .. })));
    assert_eq!(ask(&mut saga, Verb::Resume), Verdict::Applied);
    saga.succeed("a");
    assert_eq!(saga.phase(), Phase::Completed);
}

#[test]
fn an_abandoned_saga_does_nothing_any_more() {
    let mut saga = Driven::start("a; b after a");
    saga.succeed("a");
    assert_eq!(ask(&mut saga, Verb::Abandon), Verdict::Applied);
    let seen = saga.issued().len();
    assert_eq!(saga.reply("b", Action::Do, 1, success()).verdict, Verdict::Stale);
    saga.pass(60_000);
    assert_eq!((saga.phase(), saga.issued().len()), (Phase::Abandoned, seen));
    assert_eq!(ask(&mut saga, Verb::Resume), Verdict::Stale);
}

#[test]
fn an_edit_changes_the_next_attempt_only_and_a_refused_action_writes_nothing() {
    let mut saga = Driven::start("a; b after a");
    let data = sagabus::core::Json::parse(br#"{"x":1}"#).unwrap();
    let before = saga.journal.len();
    assert_eq!(
        ask(&mut saga, Verb::Edit { step: "a".into(), data: data.clone() }),
        Verdict::Stale,
        "its command is outstanding"
    );
    assert_eq!(saga.journal.len(), before);
    assert_eq!(ask(&mut saga, Verb::Edit { step: "b".into(), data: data.clone() }), Verdict::Applied);
    saga.succeed("a");
    assert_eq!(saga.saga.step(saga.place("b")).edited(Action::Do), Some(&data));
}
