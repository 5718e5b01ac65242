//! What a person holds, by the rules.

use sagabus::core::{Action, Answer, Fact, Outcome, Phase, StepIx, Verb, Verdict, next_due};

use super::given::{Driven, TRADE, answer, ask, busy, refusal, success};

fn hold(saga: &mut Driven, step: &str) {
    let place = saga.place(step).at();
    saga.held[place] = Some(saga.now);
}

fn release(saga: &mut Driven) {
    saga.held.iter_mut().for_each(|held| *held = None);
}

#[test]
fn nothing_of_a_held_step_is_issued_until_it_is_released_and_the_others_go_on() {
    let mut saga = Driven::start(TRADE);
    hold(&mut saga, "clearing");
    saga.succeed("order");
    assert_eq!(saga.issued(), ["do order 1", "do notification 1"]);
    saga.succeed("notification");
    assert!(saga.is_still(), "nothing is due: {:?}", next_due(&saga.definition, &saga.saga));
    assert_eq!(saga.pass(3_600_000).facts, [Fact::Rearmed { at: None }]);
    release(&mut saga);
    saga.pass(0);
    assert_eq!(saga.issued()[2..], ["do clearing 1"]);
    saga.check_fold();
}

#[test]
fn an_undo_waits_as_a_do_does() {
    let mut saga = Driven::start("a; b after a");
    saga.succeed("a");
    hold(&mut saga, "a");
    saga.reply("b", Action::Do, 1, refusal());
    assert_eq!((saga.phase(), saga.issued().len()), (Phase::Compensating, 2));
    release(&mut saga);
    saga.pass(0);
    assert_eq!(saga.issued()[2..], ["undo a 1"]);
}

#[test]
fn timers_stand_still_since_the_hold_began_however_late_that_is_noticed() {
    let mut saga = Driven::start("a");
    saga.now = saga.now.plus_millis(400);
    hold(&mut saga, "a");
    let noticed = saga.pass(5_000);
    assert_eq!(noticed.facts, [Fact::Held { step: StepIx(0), since: saga.saga.started_at.plus_millis(400) }]);
    assert_eq!(saga.pass(60_000).facts, [Fact::Rearmed { at: None }], "neither asked again nor given up");
    release(&mut saga);
    let released = saga.pass(0);
    assert!(matches!(released.facts[..], [Fact::Released { millis: 65_000, .. }]), "{:?}", released.facts);
    assert!(matches!(saga.pass(599).facts[..], [Fact::Rearmed { at: Some(_) }]), "400 of its 1,000 ms had passed");
    assert!(matches!(saga.pass(1).facts[..], [Fact::Resent { .. }]));
    saga.pass(3_999);
    assert_eq!(saga.phase(), Phase::Running);
    saga.pass(1);
    assert_eq!(saga.phase(), Phase::Compensating, "5,000 ms of patience without the hold");
    saga.check_fold();
}

#[test]
fn answers_are_taken_while_a_step_is_held_and_its_retry_waits_for_the_release() {
    let mut saga = Driven::start("a; b after a");
    hold(&mut saga, "a");
    saga.pass(2_000);
    saga.reply("a", Action::Do, 1, busy());
    release(&mut saga);
    saga.pass(3_000);
    assert_eq!(saga.issued().len(), 1, "its delay of 100 ms begins anew");
    saga.pass(100);
    assert_eq!(saga.issued(), ["do a 1", "do a 2"]);
    hold(&mut saga, "a");
    saga.pass(1_000);
    saga.reply("a", Action::Do, 2, success());
    assert_eq!(saga.issued()[2..], ["do b 1"], "only a is held");
}

#[test]
fn a_pause_within_a_hold_and_a_hold_within_a_pause_stop_a_timer_once() {
    for hold_first in [true, false] {
        let mut saga = Driven::start("a");
        let holds = |saga: &mut Driven| {
            hold(saga, "a");
            saga.pass(1_000)
        };
        if hold_first {
            holds(&mut saga);
            ask(&mut saga, Verb::Pause);
        } else {
            ask(&mut saga, Verb::Pause);
            let facts = holds(&mut saga).facts;
            assert!(
                !facts.iter().any(|fact| matches!(fact, Fact::Held { .. })),
                "its timers stand still anyhow: {facts:?}"
            );
        }
        saga.now = saga.now.plus_millis(10_000);
        ask(&mut saga, Verb::Resume);
        saga.now = saga.now.plus_millis(10_000);
        release(&mut saga);
        saga.pass(0);
        assert_eq!(saga.issued().len(), 1);
        assert!(matches!(saga.pass(999).facts[..], [Fact::Rearmed { .. }]), "hold first: {hold_first}");
        assert!(matches!(saga.pass(1).facts[..], [Fact::Resent { .. }]), "hold first: {hold_first}");
        saga.check_fold();
    }
}

#[test]
fn a_person_may_do_everything_with_a_held_step_but_send_its_command_again() {
    let mut saga = Driven::start("a; b after a");
    hold(&mut saga, "a");
    assert_eq!(ask(&mut saga, Verb::Republish { step: "a".into() }), Verdict::Stale);
    assert_eq!(
        ask(&mut saga, Verb::Complete { step: "a".into(), reply: sagabus::core::Json::empty_object() }),
        Verdict::Applied
    );
    assert_eq!(saga.issued(), ["do a 1", "do b 1"]);
}

#[test]
fn a_command_that_expired_while_its_step_was_held_is_followed_by_another_and_undoes_nothing() {
    let expired = || answer(Outcome::Failure, Some(Answer::EXPIRED), false, "{}");
    // Read by its participant after the release, while it is held, and after a pause.
    for case in ["released", "held", "paused"] {
        let mut saga = Driven::start("a; b after a");
        if case == "paused" {
            ask(&mut saga, Verb::Pause);
        } else {
            hold(&mut saga, "a");
        }
        saga.pass(60_000);
        if case == "released" {
            release(&mut saga);
            saga.pass(0);
        } else if case == "paused" {
            ask(&mut saga, Verb::Resume);
        }
        saga.reply("a", Action::Do, 1, expired());
        release(&mut saga);
        saga.pass(0);
        saga.pass(100);
        assert_eq!(
            (saga.issued(), saga.phase()),
            (vec!["do a 1".to_owned(), "do a 2".to_owned()], Phase::Running),
            "{case}"
        );
    }
    let mut saga = Driven::start("a; b after a");
    saga.reply("a", Action::Do, 1, expired());
    assert_eq!(saga.phase(), Phase::Compensated, "nobody held it: a failure like any other");
}

#[test]
fn delays_go_on_where_they_stood_when_the_hold_began_and_what_is_counted_anew_is_not_moved_by_what_was_before() {
    let mut saga = Driven::start("a");
    saga.reply("a", Action::Do, 1, busy());
    saga.now = saga.now.plus_millis(40);
    hold(&mut saga, "a");
    saga.pass(1_000);
    release(&mut saga);
    saga.pass(0);
    assert!(matches!(saga.pass(59).facts[..], [Fact::Rearmed { .. }]), "40 of its 100 ms had passed");
    saga.pass(1);
    assert_eq!(saga.issued().len(), 2);

    let mut saga = Driven::start("a");
    hold(&mut saga, "a");
    saga.now = saga.now.plus_millis(600);
    saga.reply("a", Action::Do, 1, answer(Outcome::Progress, None, false, "{}"));
    release(&mut saga);
    saga.pass(0);
    assert!(matches!(saga.pass(999).facts[..], [Fact::Rearmed { .. }]));
    assert!(matches!(saga.pass(1).facts[..], [Fact::Resent { .. }]), "1,000 ms after it said that it is at work");
}

#[test]
fn a_saga_that_was_abandoned_while_it_was_held_waits_for_nothing() {
    let mut saga = Driven::start("a");
    hold(&mut saga, "a");
    saga.pass(1_000);
    assert!(saga.saga.waits_for_release());
    ask(&mut saga, Verb::Abandon);
    assert!(!saga.saga.waits_for_release() && saga.is_still());
}

#[test]
fn a_hold_is_noted_where_something_is_at_work_and_counts_from_its_beginning_whatever_else_happens() {
    let progress = || answer(Outcome::Progress, None, false, "{}");
    let held = |step: u16, millis: u64, saga: &Driven| Fact::Held {
        step: StepIx(step),
        since: saga.saga.started_at.plus_millis(millis),
    };
    let mut saga = Driven::start("a; b; c after b");
    saga.now = saga.now.plus_millis(400);
    hold(&mut saga, "a");
    hold(&mut saga, "c");
    saga.now = saga.now.plus_millis(200);
    let facts = saga.reply("b", Action::Do, 1, progress()).facts;
    assert!(facts.contains(&held(0, 400, &saga)), "what b counts from now is not a's: {facts:?}");
    assert!(!facts.iter().any(|fact| matches!(fact, Fact::Held { step: StepIx(2), .. })), "nothing of c is at work");

    let mut saga = Driven::start("a");
    saga.reply("a", Action::Do, 1, busy());
    saga.now = saga.now.plus_millis(40);
    hold(&mut saga, "a");
    saga.now = saga.now.plus_millis(20);
    let edit = Verb::Edit { step: "a".into(), data: sagabus::core::Json::empty_object() };
    assert_eq!(ask(&mut saga, edit), Verdict::Applied);
    let facts = &saga.journal.last().unwrap().facts;
    assert!(facts.contains(&held(0, 40, &saga)), "what it sends next counts from nothing: {facts:?}");
    saga.check_fold();
}
