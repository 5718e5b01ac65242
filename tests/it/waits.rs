//! Steps that wait and command nobody, by the rules.

use sagabus::core::{Action, Fact, Forward, Json, Phase, Resolution, Verb, Verdict, Wait};

use super::given::{Driven, ask, busy, conflict, refusal, success, told};

const LARGE: &str = "order; nod after order approval; pay after nod";

fn approve(step: &str) -> Verb {
    Verb::Approve { step: step.into(), reply: None }
}

fn reject(step: &str) -> Verb {
    Verb::Reject { step: step.into(), code: "REJECTED".into() }
}

fn signal(step: &str) -> Verb {
    Verb::Signal { step: step.into(), data: Some(Json::parse(br#"{"dock":7}"#).unwrap()) }
}

#[test]
fn an_approval_lets_the_saga_go_on_and_successors_read_who_gave_it() {
    let mut saga = Driven::start(LARGE);
    saga.succeed("order");
    assert_eq!(saga.issued(), ["do order 1", "do nod 1"]);
    assert_eq!(ask(&mut saga, approve("nod")), Verdict::Applied);
    assert_eq!(saga.issued()[2..], ["do pay 1"]);
    let reply = saga.saga.step(saga.place("nod")).reply.clone().unwrap();
    assert_eq!(reply.get(), r#"{"approvedBy":"ada","reason":"test"}"#);
    assert_eq!(ask(&mut saga, approve("nod")), Verdict::Stale, "it was given");
    assert_eq!(saga.reply("nod", Action::Do, 1, refusal()).verdict, Verdict::Stale, "a service comes too late");
    saga.succeed("pay");
    assert_eq!(saga.phase(), Phase::Completed);
    saga.check_fold();
}

#[test]
fn what_waits_commands_nobody_and_has_its_name_in_files_and_in_sentences() {
    let saga = Driven::start("order; nod after order approval; w after nod signal; pay after w");
    let commanding: Vec<&str> = saga.definition.commanding().map(|step| &*step.name).collect();
    assert_eq!(commanding, ["order", "pay"]);
    let said = [Wait::Approval, Wait::Signal].map(|wait| (wait.name(), wait.phrase()));
    assert_eq!(said, [("approval", "an approval"), ("signal", "a signal")]);
}

#[test]
fn a_rejection_undoes_the_saga() {
    let mut saga = Driven::start(LARGE);
    saga.succeed("order");
    assert_eq!(ask(&mut saga, reject("nod")), Verdict::Applied);
    assert_eq!(saga.issued()[2..], ["undo order 1"]);
    let error = saga.saga.error.clone().unwrap();
    let told = (error.step.as_deref(), &*error.code, &*error.message);
    assert_eq!(told, (Some("nod"), "REJECTED", "said by an approver"), "why is not for everybody");
    saga.reply("order", Action::Undo, 1, success());
    assert_eq!(saga.phase(), Phase::Compensated);
    saga.check_fold();
}

#[test]
fn a_service_may_answer_a_notice_and_a_signal_has_its_data() {
    let mut saga = Driven::start("a; w after a signal; b after w");
    saga.succeed("a w");
    assert_eq!(saga.issued()[2..], ["do b 1"]);
    let mut saga = Driven::start("a; w after a signal; b after w");
    saga.succeed("a");
    assert_eq!(ask(&mut saga, signal("w")), Verdict::Applied);
    assert_eq!(saga.saga.step(saga.place("w")).reply.clone().unwrap().get(), r#"{"dock":7}"#);
    let mut saga = Driven::start("a; w after a signal; b after w");
    saga.succeed("a");
    saga.reply("w", Action::Do, 1, busy());
    saga.pass(1_000);
    assert_eq!(saga.issued()[2..], ["do w 2"], "not now: a new notice");
}

#[test]
fn a_notice_is_not_repeated_and_after_its_patience_the_saga_is_undone() {
    let mut saga = Driven::start(LARGE);
    saga.succeed("order");
    assert!(matches!(saga.pass(4_999).facts[..], [Fact::Rearmed { at: Some(_) }]), "nobody is asked again");
    saga.pass(1);
    assert_eq!(saga.issued()[2..], ["undo order 1"]);
    let error = saga.saga.error.clone().unwrap();
    assert_eq!((&*error.code, &*error.message), ("saga.unanswered", "nobody answered in time"));
    assert_eq!(ask(&mut saga, approve("nod")), Verdict::Stale, "too late");
    saga.check_fold();
}

#[test]
fn a_saga_that_has_turned_waits_for_nobody_and_what_is_said_later_does_no_harm() {
    for late in [success(), refusal(), conflict()] {
        let mut saga = Driven::start("a; w after a approval; s after a signal; b after a; c after w,s,b");
        saga.succeed("a");
        saga.reply("b", Action::Do, 1, refusal());
        assert_eq!(saga.issued()[4..], ["undo a 1"], "at once");
        let waits = saga.place("w");
        assert!(matches!(saga.saga.step(waits).forward, Forward::Failed(Some(_))));
        assert_eq!(ask(&mut saga, approve("w")), Verdict::Stale);
        saga.reply("w", Action::Do, 1, late);
        assert_eq!(saga.phase(), Phase::Compensating);
        saga.reply("a", Action::Undo, 1, success());
        assert_eq!(saga.phase(), Phase::Compensated);
        saga.check_fold();
    }
}

#[test]
fn a_notice_that_a_service_contradicts_itself_about_stops_no_saga_that_turns() {
    let mut saga = Driven::start("a; w after a approval; b after a; c after w,b");
    saga.succeed("a");
    saga.reply("w", Action::Do, 1, conflict());
    assert_eq!(saga.phase(), Phase::Stuck);
    saga.reply("b", Action::Do, 1, refusal());
    assert_eq!((saga.phase(), saga.issued().last().cloned()), (Phase::Compensating, Some("undo a 1".to_owned())));
    saga.check_fold();
}

#[test]
fn a_saga_that_turns_while_it_is_paused_waits_for_nobody_either() {
    let mut saga = Driven::start("a; w after a approval; b after a; c after w,b");
    saga.succeed("a");
    ask(&mut saga, Verb::Pause);
    saga.reply("b", Action::Do, 1, refusal());
    assert!(matches!(saga.saga.step(saga.place("w")).forward, Forward::Failed(Some(_))));
    assert_eq!(saga.phase(), Phase::Paused);
    ask(&mut saga, Verb::Resume);
    assert_eq!(saga.issued()[3..], ["undo a 1"]);
    saga.check_fold();
}

#[test]
fn a_person_who_cancels_waits_for_no_notice() {
    let mut saga = Driven::start(LARGE);
    saga.succeed("order");
    ask(&mut saga, Verb::Pause);
    assert_eq!(ask(&mut saga, Verb::Cancel), Verdict::Applied);
    assert_eq!(saga.issued()[2..], ["undo order 1"]);
}

#[test]
fn nothing_but_an_approval_answers_a_step_that_waits_for_one() {
    let mut saga = Driven::start(LARGE);
    assert_eq!(ask(&mut saga, approve("nod")), Verdict::Stale, "it does not wait yet");
    assert_eq!(ask(&mut saga, approve("order")), Verdict::Stale, "its participant answers");
    saga.succeed("order");
    let (step, reply) = ("nod".to_owned(), Json::empty_object());
    let around = [
        Verb::Skip { step: step.clone(), reply: None },
        Verb::Complete { step: step.clone(), reply },
        Verb::Fail { step: step.clone(), code: "NO".into() },
        Verb::Resolve { step, outcome: Resolution::Done },
        signal("nod"),
    ];
    for verb in around {
        assert_eq!(ask(&mut saga, verb.clone()), Verdict::Stale, "{verb:?}");
    }
    let refused = told(&mut saga, Verb::Skip { step: "nod".into(), reply: None }).refusal.unwrap().message;
    assert!(refused.starts_with("step nod waits for an approval: use approve or reject ("), "{refused}");
    saga.reply("nod", Action::Do, 1, conflict());
    assert_eq!(saga.phase(), Phase::Stuck);
    let resolve = Verb::Resolve { step: "nod".into(), outcome: Resolution::Left };
    assert_eq!(ask(&mut saga, resolve), Verdict::Stale, "nor where its service contradicts itself");
    assert_eq!(ask(&mut saga, approve("nod")), Verdict::Applied);
    assert_eq!(saga.phase(), Phase::Running);
    saga.check_fold();

    let mut saga = Driven::start("w signal; b after w");
    assert_eq!(ask(&mut saga, approve("w")), Verdict::Stale, "an approval is no signal");
    assert_eq!(ask(&mut saga, Verb::Skip { step: "w".into(), reply: None }), Verdict::Applied);
}

#[test]
fn behind_the_pivot_a_no_waits_for_another_word() {
    let retry = || Verb::Retry { step: Some("w".into()), force: false };
    for again in [approve("w"), Verb::Resume, retry()] {
        let mut saga = Driven::start("a; p after a pivot; w after p approval retriable; b after w retriable");
        saga.succeed("a p");
        saga.pass(60_000);
        assert_eq!((saga.phase(), saga.issued().len()), (Phase::Running, 3), "nobody gives up there");
        assert_eq!(ask(&mut saga, reject("w")), Verdict::Applied);
        assert_eq!(saga.phase(), Phase::Stuck, "nothing may be undone");
        assert_eq!(ask(&mut saga, again.clone()), Verdict::Applied, "they have thought again");
        if again != approve("w") {
            assert_eq!(saga.issued()[3..], ["do w 2"], "another question");
            saga.reply("w", Action::Do, 2, success());
        }
        saga.succeed("b");
        assert_eq!(saga.phase(), Phase::Completed, "again: {again:?}, {:?}", saga.issued());
        saga.check_fold();
    }
}

#[test]
fn a_held_notice_is_withdrawn_as_well() {
    let mut saga = Driven::start("a; w after a approval; b after a; c after w,b");
    saga.succeed("a");
    let place = saga.place("w").at();
    saga.held[place] = Some(saga.now);
    saga.reply("b", Action::Do, 1, refusal());
    assert_eq!(saga.issued()[3..], ["undo a 1"], "nothing is sent for it");
    saga.check_fold();
}

#[test]
fn nothing_behind_an_approval_begins_before_it_is_given() {
    let mut saga = Driven::start("nod approval; hop after nod; w after hop signal; pay after w");
    for step in ["hop", "w"] {
        let (step, reply) = (step.to_owned(), Json::empty_object());
        assert_eq!(ask(&mut saga, Verb::Skip { step: step.clone(), reply: None }), Verdict::Stale);
        assert_eq!(ask(&mut saga, Verb::Complete { step, reply }), Verdict::Stale);
    }
    let edit = |step: &str| Verb::Edit { step: step.into(), data: Json::empty_object() };
    ask(&mut saga, approve("nod"));
    assert_eq!(ask(&mut saga, Verb::Skip { step: "hop".into(), reply: None }), Verdict::Applied);
    assert_eq!(saga.issued(), ["do nod 1", "do hop 1", "do w 1"]);
    assert_eq!(ask(&mut saga, edit("pay")), Verdict::Applied);

    let mut saga = Driven::start("a; nod after a approval; pay after nod");
    assert_eq!(ask(&mut saga, edit("nod")), Verdict::Stale, "approvers see what the definition says");
}

#[test]
fn two_who_answer_one_notice_differently_do_not_stop_a_saga_and_the_first_counts() {
    for wait in ["approval", "signal"] {
        let mut saga = Driven::start(&format!("p pivot; w after p {wait} retriable; b after w retriable"));
        saga.succeed("p w");
        for second in [refusal(), super::given::other_success()] {
            assert_eq!(saga.reply("w", Action::Do, 1, second).verdict, Verdict::Duplicate);
        }
        assert_eq!((saga.phase(), saga.issued().len()), (Phase::Running, 3));
    }
}

#[test]
fn a_notice_that_stood_behind_a_stuck_step_begins_anew_instead_of_ending() {
    let mut saga = Driven::start("a; w after a approval; b after a retriable stays; c after w,b");
    saga.succeed("a");
    saga.reply("b", Action::Do, 1, refusal());
    assert_eq!(saga.phase(), Phase::Stuck);
    saga.pass(60_000);
    assert_eq!(ask(&mut saga, Verb::Retry { step: None, force: false }), Verdict::Applied);
    saga.pass(0);
    assert_eq!(saga.phase(), Phase::Running, "nobody could be late meanwhile");
    saga.reply("b", Action::Do, 2, success());
    saga.pass(4_999);
    assert_eq!(saga.phase(), Phase::Running);
    saga.pass(1);
    assert_eq!(saga.phase(), Phase::Compensating);
    saga.check_fold();
}

#[test]
fn an_answer_to_another_step_gives_nobody_more_time() {
    let mut saga = Driven::start("a; w after a approval; b after a; c after w,b");
    saga.succeed("a");
    // The patience of the notice is over, and what ends it comes behind the answer of b.
    saga.now = saga.now.plus_millis(5_000);
    assert_eq!(saga.reply("b", Action::Do, 1, success()).verdict, Verdict::Applied);
    saga.pass(0);
    assert_eq!(saga.phase(), Phase::Compensating);
    saga.check_fold();
}

#[test]
fn what_is_behind_an_approval_is_not_found_done_before_it_is_given() {
    let resolve = |outcome| Verb::Resolve { step: "pay".into(), outcome };
    for (outcome, verdict) in
        [(Resolution::Done, Verdict::Stale), (Resolution::Left, Verdict::Stale), (Resolution::Undone, Verdict::Applied)]
    {
        let mut saga = Driven::start("order; nod after order approval; pay after nod retriable");
        saga.succeed("order");
        ask(&mut saga, Verb::Fail { step: "pay".into(), code: "NO".into() });
        assert_eq!(saga.phase(), Phase::Stuck);
        assert_eq!(ask(&mut saga, resolve(outcome)), verdict, "{outcome:?}");
        saga.check_fold();
    }
}
