//! Given, when, then: operators' actions meet late, early and contradicting answers. What is true outside must stay true inside.

use sagabus::core::{Action, Fact, Forward, Json, Phase, Resolution, StepIx, Transition, Verb, Verdict, fold};

use super::given::{Driven, TRADE, ask, busy, conflict, other_success, refusal, success};

fn fail(saga: &mut Driven, step: &str) {
    assert_eq!(ask(saga, Verb::Fail { step: step.into(), code: "BY_HAND".into() }), Verdict::Applied);
}

fn retry(step: &str, force: bool) -> Verb {
    Verb::Retry { step: Some(step.into()), force }
}

fn resolve(saga: &mut Driven, step: &str, outcome: Resolution) -> Verdict {
    ask(saga, Verb::Resolve { step: step.into(), outcome })
}

fn complete(step: &str) -> Verb {
    Verb::Complete { step: step.into(), reply: Json::empty_object() }
}

#[test]
fn an_effect_behind_the_pivot_that_is_told_after_the_saga_turned_is_kept_as_a_contradiction() {
    let text = "a; b after a pivot; c after b retriable stays; d after b readOnly";
    let mut saga = Driven::start(text);
    saga.succeed("a");
    saga.reply("b", Action::Do, 1, refusal());
    saga.reply("a", Action::Undo, 1, success());
    assert_eq!(saga.phase(), Phase::Compensated);
    assert_eq!(
        saga.reply("c", Action::Do, 1, success()).verdict,
        Verdict::Conflict,
        "nothing can undo it: a person has to know"
    );
    assert_eq!(saga.reply("d", Action::Do, 1, success()).verdict, Verdict::Applied, "what only reads leaves nothing");
}

#[test]
fn an_effect_behind_the_pivot_that_lost_facts_had_led_to_tells_that_the_pivot_was_passed() {
    let mut saga = Driven::start("a; b after a pivot; c after b retriable stays");
    assert_eq!(
        saga.reply("c", Action::Do, 1, success()).verdict,
        Verdict::Applied,
        "its command is not issued by these facts"
    );
    saga.pass(5_000);
    assert_eq!(saga.phase(), Phase::Running, "nothing is given up: the saga only goes forward");
    saga.succeed("a b c");
    assert_eq!((saga.phase(), saga.issued().len()), (Phase::Completed, 3));
    saga.check_fold();
}

#[test]
fn late_success_of_a_step_that_is_never_undone_is_its_success_and_no_attempt_follows() {
    for (shape, before, step) in
        [(TRADE, "order clearing notification risk", "accounting"), ("a retriable stays; b after a", "", "a")]
    {
        let mut saga = Driven::start(shape);
        saga.succeed(before);
        fail(&mut saga, step);
        assert_eq!(saga.phase(), Phase::Stuck);
        let issued = saga.issued();
        assert_eq!(saga.reply(step, Action::Do, 1, success()).verdict, Verdict::Applied);
        assert_ne!(saga.phase(), Phase::Stuck);
        assert_eq!(ask(&mut saga, retry(step, false)), Verdict::Stale);
        assert_eq!(ask(&mut saga, Verb::Resume), Verdict::Stale);
        let again = format!("do {step} 2");
        assert!(!saga.issued().contains(&again) && saga.issued().starts_with(&issued), "{:?}", saga.issued());
        saga.succeed("b".split(' ').filter(|_| step == "a").collect::<Vec<_>>().join(" ").as_str());
        assert_eq!(saga.phase(), Phase::Completed);
        saga.check_fold();
    }
}

#[test]
fn a_step_that_a_person_failed_before_its_time_waits_for_its_predecessors_when_it_is_tried_again() {
    for again in [Verb::Resume, retry("accounting", false)] {
        let mut saga = Driven::start(TRADE);
        fail(&mut saga, "accounting");
        assert_eq!(saga.phase(), Phase::Stuck);
        let issued = saga.issued();
        assert_eq!(ask(&mut saga, again), Verdict::Applied);
        assert_eq!((saga.phase(), saga.issued()), (Phase::Running, issued));
        saga.succeed("order clearing notification risk accounting");
        assert_eq!(saga.phase(), Phase::Completed);
        saga.check_fold();
    }
}

#[test]
fn contradictions_of_both_directions_block_and_one_resolve_settles_both() {
    for (found, phase) in [
        (Resolution::Done, Phase::CompensatedWithSkips),
        (Resolution::Undone, Phase::Compensated),
        (Resolution::Left, Phase::CompensatedWithSkips),
    ] {
        let mut saga = Driven::start("a; b after a");
        saga.succeed("a");
        saga.reply("b", Action::Do, 1, refusal());
        assert_eq!(saga.reply("a", Action::Do, 1, other_success()).verdict, Verdict::Conflict);
        assert_eq!(saga.reply("a", Action::Undo, 1, conflict()).verdict, Verdict::Conflict);
        assert_eq!(saga.saga.blocks.len(), 2, "one for each direction");
        assert_eq!(resolve(&mut saga, "a", found), Verdict::Applied);
        assert_eq!(saga.phase(), phase);
    }
}

#[test]
fn a_contradicted_do_does_not_end_its_undo_under_way() {
    let mut saga = Driven::start("a; b after a");
    saga.succeed("a");
    saga.reply("b", Action::Do, 1, refusal());
    saga.reply("a", Action::Do, 1, other_success());
    assert_eq!(resolve(&mut saga, "a", Resolution::Done), Verdict::Applied);
    assert_eq!(saga.phase(), Phase::Compensating);
    saga.reply("a", Action::Undo, 1, success());
    assert_eq!(saga.phase(), Phase::Compensated);
}

#[test]
fn cancel_is_a_wish_while_a_person_has_to_find_out_whether_the_pivot_succeeded() {
    for (found, phase) in [(Resolution::Done, Phase::Running), (Resolution::Undone, Phase::Compensating)] {
        let mut saga = Driven::start(TRADE);
        saga.succeed("order clearing notification");
        ask(&mut saga, Verb::Pause);
        assert_eq!(saga.reply("risk", Action::Do, 1, conflict()).verdict, Verdict::Conflict);
        assert_eq!(ask(&mut saga, Verb::Cancel), Verdict::Applied);
        assert_eq!(saga.saga.turned, None, "its outcome is unknown");
        ask(&mut saga, Verb::Resume);
        assert_eq!(resolve(&mut saga, "risk", found), Verdict::Applied);
        assert_eq!((saga.phase(), saga.saga.wish), (phase, None));
    }
}

#[test]
fn a_pivot_found_done_after_the_saga_turned_waits_for_a_second_word_and_is_shown_as_left() {
    let mut saga = Driven::start(TRADE);
    saga.succeed("order clearing notification");
    saga.reply("risk", Action::Do, 1, refusal());
    saga.reply("risk", Action::Do, 1, success());
    assert_eq!(saga.phase(), Phase::Stuck);
    assert_eq!(resolve(&mut saga, "risk", Resolution::Done), Verdict::Applied);
    assert_eq!(saga.phase(), Phase::Stuck, "done behind a turned saga: as complete does");
    assert_eq!(saga.saga.blocks[0].code.as_ref(), "saga.pivot_done");
    assert_eq!(resolve(&mut saga, "risk", Resolution::Done), Verdict::Applied);
    for step in ["clearing", "notification", "order"] {
        saga.reply(step, Action::Undo, 1, success());
    }
    assert_eq!(saga.phase(), Phase::CompensatedWithSkips, "the pivot's effect stays");
}

#[test]
fn a_new_attempt_is_refused_while_the_participant_contradicts_itself() {
    let mut saga = Driven::start("a; b after a");
    saga.reply("a", Action::Do, 1, busy());
    assert_eq!(saga.reply("a", Action::Do, 1, success()).verdict, Verdict::Conflict);
    for verb in [Verb::Resume, retry("a", false), Verb::Retry { step: None, force: false }] {
        assert_eq!(ask(&mut saga, verb), Verdict::Stale);
    }
    assert_eq!(saga.issued(), ["do a 1"]);
    assert_eq!(resolve(&mut saga, "a", Resolution::Done), Verdict::Applied);
    assert_eq!(saga.issued(), ["do a 1", "do b 1"]);

    let mut saga = Driven::start("a; b after a");
    saga.succeed("a");
    saga.reply("b", Action::Do, 1, refusal());
    saga.reply("a", Action::Undo, 1, busy());
    assert_eq!(saga.reply("a", Action::Undo, 1, success()).verdict, Verdict::Conflict);
    assert_eq!(ask(&mut saga, retry("a", false)), Verdict::Stale);
}

#[test]
fn a_damaged_journal_is_an_error_and_never_a_panic() {
    let saga = Driven::start("a");
    let foreign = [
        Fact::Ready { step: StepIx(9), action: Action::Do },
        Fact::Turned { cause: sagabus::core::Cause::Step(StepIx(9)) },
        Fact::FailedForGood { step: StepIx(9), code: "X".into(), message: String::new() },
    ];
    for fact in foreign {
        let mut journal = saga.journal.clone();
        let mut same = saga.saga.clone();
        sagabus::core::evolve(&saga.definition, &mut same, saga.now, &fact);
        assert_eq!(same, saga.saga, "a fact that does not fit changes nothing");
        journal.push(Transition { now: saga.now, facts: vec![fact] });
        assert!(fold(&saga.definition, saga.saga.id, &journal).is_err());
    }
}

#[test]
fn a_late_undo_that_failed_on_an_ended_saga_is_tried_again_or_resolved() {
    let ended = |undo| {
        let mut saga = Driven::start("a; b after a");
        saga.succeed("a");
        fail(&mut saga, "b");
        saga.reply("a", Action::Undo, 1, success());
        saga.reply("b", Action::Do, 1, success());
        saga.reply("b", Action::Undo, 1, undo);
        assert_eq!(saga.phase(), Phase::Compensated);
        saga
    };
    let mut saga = ended(refusal());
    assert_eq!(ask(&mut saga, retry("b", false)), Verdict::Applied);
    assert_eq!(saga.issued().last().map(String::as_str), Some("undo b 2"));
    saga.reply("b", Action::Undo, 2, success());
    assert_eq!(ask(&mut saga, retry("b", false)), Verdict::Stale);
    for found in [Resolution::Done, Resolution::Undone, Resolution::Left] {
        let mut saga = ended(refusal());
        assert_eq!(resolve(&mut saga, "a", found), Verdict::Stale, "nothing is wrong with it");
        assert_eq!(resolve(&mut saga, "b", found), Verdict::Applied);
        assert_eq!((saga.phase(), saga.is_still()), (Phase::Compensated, true));
        assert_eq!(resolve(&mut saga, "b", found), Verdict::Stale);
    }
    let mut saga = ended(conflict());
    assert_eq!(ask(&mut saga, retry("b", false)), Verdict::Stale, "its outcome is unknown");
    assert_eq!(resolve(&mut saga, "b", Resolution::Undone), Verdict::Applied);
    saga.check_fold();
}

#[test]
fn a_conflict_that_came_before_its_command_counts_again_once_the_command_is_issued() {
    let mut saga = Driven::start("a; b after a");
    assert_eq!(saga.reply("b", Action::Do, 1, conflict()).verdict, Verdict::Conflict);
    assert_eq!(saga.reply("b", Action::Do, 1, conflict()).verdict, Verdict::Duplicate);
    saga.succeed("a");
    assert_eq!(saga.reply("b", Action::Do, 1, conflict()).verdict, Verdict::Conflict);
    assert_eq!(saga.phase(), Phase::Stuck);
    assert_eq!(saga.reply("b", Action::Do, 1, conflict()).verdict, Verdict::Duplicate);
}

#[test]
fn a_step_whose_undo_is_due_cannot_be_completed_and_the_saga_ends_without_it() {
    let mut saga = Driven::start("a; n after a retriable; b after a");
    saga.succeed("a");
    fail(&mut saga, "n");
    saga.reply("n", Action::Do, 1, success());
    assert_eq!(ask(&mut saga, complete("n")), Verdict::Stale);
    assert_eq!(ask(&mut saga, Verb::Skip { step: "n".into(), reply: None }), Verdict::Applied);
    saga.succeed("b");
    assert_eq!(saga.phase(), Phase::Running);
    saga.reply("n", Action::Undo, 1, success());
    assert_eq!(saga.phase(), Phase::Completed);
    assert!(matches!(saga.saga.step(saga.place("n")).forward, Forward::Skipped(_)));
}

#[test]
fn a_step_found_undone_behind_the_pivot_is_not_done_and_waits_for_a_person() {
    let mut saga = Driven::start("a; p after a pivot; n after a retriable");
    saga.succeed("a p");
    assert_eq!(saga.reply("n", Action::Undo, 1, success()).verdict, Verdict::Applied, "lost commits");
    saga.succeed("n");
    assert_eq!(saga.phase(), Phase::Stuck);
    assert_eq!(resolve(&mut saga, "n", Resolution::Undone), Verdict::Applied);
    assert_eq!(saga.phase(), Phase::Stuck, "it is not done, so the saga is not completed");
    assert_eq!(ask(&mut saga, Verb::Resume), Verdict::Stale, "its participant has closed it");
    assert_eq!(ask(&mut saga, complete("n")), Verdict::Applied);
    assert_eq!(saga.phase(), Phase::Completed);

    let mut saga = Driven::start("p pivot; r after p retriable; s after p retriable");
    saga.succeed("p r");
    saga.reply("r", Action::Do, 1, other_success());
    assert_eq!(resolve(&mut saga, "r", Resolution::Undone), Verdict::Applied);
    assert_eq!(saga.phase(), Phase::Stuck);
    assert_eq!(ask(&mut saga, retry("r", false)), Verdict::Applied, "a person says that its effect is not there");
    assert_eq!(saga.issued().last().map(String::as_str), Some("do r 2"));
}

#[test]
fn a_repeat_is_refused_once_a_successor_was_sent_what_the_step_answered() {
    let mut saga = Driven::start("a; b; c after a,b");
    saga.succeed("a");
    assert_eq!(ask(&mut saga, retry("a", true)), Verdict::Applied, "nobody has read its answer");
    saga.reply("a", Action::Do, 2, success());
    saga.succeed("b");
    assert_eq!(ask(&mut saga, retry("a", true)), Verdict::Stale);
    assert_eq!(saga.issued().last().map(String::as_str), Some("do c 1"));
}

#[test]
fn an_undo_reads_the_late_reply_of_a_step_that_was_skipped_without_one() {
    let mut saga = Driven::start("a; b after a");
    ask(&mut saga, Verb::Skip { step: "a".into(), reply: None });
    saga.reply("a", Action::Do, 1, other_success());
    assert_eq!(saga.saga.step(saga.place("a")).reply, Some(other_success().data));
}

#[test]
fn a_success_that_the_facts_do_not_know_is_kept_whatever_became_of_its_step() {
    let mut saga = Driven::start("a; b after a");
    saga.succeed("a");
    assert_eq!(saga.reply("a", Action::Do, 2, success()).verdict, Verdict::Applied, "done by another attempt");
    saga.reply("b", Action::Do, 1, refusal());
    saga.reply("a", Action::Undo, 1, success());
    assert_eq!(saga.phase(), Phase::Compensated);
    assert_eq!(saga.reply("a", Action::Do, 3, success()).verdict, Verdict::Applied, "its undo covers it");
    assert_eq!((saga.phase(), saga.is_still()), (Phase::Compensated, true));

    let mut saga = Driven::start("a readOnly; b after a");
    fail(&mut saga, "a");
    assert_eq!(saga.reply("a", Action::Do, 1, success()).verdict, Verdict::Applied, "there is nothing to undo");
    assert_eq!(saga.phase(), Phase::Compensated);
}

#[test]
fn a_participant_that_never_says_the_same_twice_cannot_fill_the_journal() {
    let mut saga = Driven::start("a; b after a");
    saga.succeed("a");
    for n in 0..200 {
        let other = super::given::answer(sagabus::core::Outcome::Success, None, false, &format!("{{\"n\":{n}}}"));
        assert_eq!(saga.reply("a", Action::Do, 1, other).verdict, Verdict::Conflict);
    }
    assert!(saga.journal.len() < 12, "{} rows", saga.journal.len());
    assert!(saga.saga.step(saga.place("a")).answers.len() < 10);

    let mut saga = Driven::start("a");
    let rows = saga.journal.len();
    for _ in 0..200 {
        saga.reply("a", Action::Do, 1, super::given::answer(sagabus::core::Outcome::Progress, None, false, "{}"));
    }
    assert!(saga.journal.len() <= rows + 1, "word of work that moves no deadline is not kept");
}

#[test]
fn a_refusal_behind_a_conflict_is_kept_once() {
    let mut saga = Driven::start("a");
    saga.reply("a", Action::Do, 1, conflict());
    let refused = super::given::answer(sagabus::core::Outcome::Failure, Some("NO"), false, "{}");
    assert_eq!(saga.reply("a", Action::Do, 1, refused.clone()).facts.len(), 1);
    assert_eq!(
        saga.reply("a", Action::Do, 1, refused).facts,
        [],
        "it was kept, although its data are those of the conflict"
    );
}

#[test]
fn a_step_that_a_person_failed_while_it_was_unanswered_is_asked_again_with_the_same_id_when_its_saga_goes_on() {
    let mut saga = Driven::start(TRADE);
    saga.succeed("order clearing notification risk");
    fail(&mut saga, "accounting");
    assert_eq!(saga.phase(), Phase::Stuck);
    let before = saga.issued();
    for step in [Some("accounting".to_owned()), None] {
        let retry = Verb::Retry { step, force: false };
        assert_eq!(ask(&mut saga, retry.clone()), Verdict::Stale, "{retry:?}: its outcome is unknown");
    }
    assert_eq!(ask(&mut saga, Verb::Resume), Verdict::Applied);
    assert_eq!(saga.issued(), before, "nobody knows how the first attempt ended: no other one begins");
    assert_eq!(saga.reply("accounting", Action::Do, 1, success()).verdict, Verdict::Applied);
    assert_eq!(saga.phase(), Phase::Completed);
}

#[test]
fn a_step_that_was_refused_for_good_is_tried_anew_when_its_saga_goes_on() {
    let mut saga = Driven::start(TRADE);
    saga.succeed("order clearing notification risk");
    saga.reply("accounting", Action::Do, 1, refusal());
    assert_eq!((saga.phase(), ask(&mut saga, Verb::Resume)), (Phase::Stuck, Verdict::Applied));
    assert_eq!(saga.issued().last().map(String::as_str), Some("do accounting 2"));
}

#[test]
fn an_undo_that_waits_for_its_next_attempt_is_tried_at_once_where_a_person_says_so() {
    let mut saga = Driven::start(TRADE);
    saga.succeed("order");
    saga.reply("clearing", Action::Do, 1, refusal());
    saga.reply("notification", Action::Do, 1, success());
    saga.reply("notification", Action::Undo, 1, success());
    saga.reply("order", Action::Undo, 1, busy());
    let waits = saga.issued().len();
    assert_eq!(ask(&mut saga, retry("order", false)), Verdict::Applied);
    assert_eq!((saga.issued().len(), saga.issued().last().map(String::as_str)), (waits + 1, Some("undo order 2")));
}

#[test]
fn a_step_that_is_found_done_is_undone_like_any_other_when_its_saga_turns() {
    let text = "a; b after a; c after b pivot";
    let disputed = |saga: &mut Driven| {
        assert_eq!(saga.reply("a", Action::Do, 1, refusal()).verdict, Verdict::Conflict);
        assert_eq!(resolve(saga, "a", Resolution::Done), Verdict::Applied);
    };
    let mut before = Driven::start(text);
    before.succeed("a");
    disputed(&mut before);
    before.succeed("b");
    before.reply("c", Action::Do, 1, refusal());
    let mut after = Driven::start(text);
    after.succeed("a b");
    after.reply("c", Action::Do, 1, refusal());
    disputed(&mut after);
    for mut saga in [before, after] {
        saga.reply("b", Action::Undo, 1, success());
        assert_eq!(saga.issued().last().map(String::as_str), Some("undo a 1"));
        saga.reply("a", Action::Undo, 1, success());
        assert_eq!(saga.phase(), Phase::Compensated);
    }
}

#[test]
fn a_pivot_that_is_found_done_in_a_saga_that_goes_on_has_nothing_skipped() {
    let mut saga = Driven::start("a; b after a pivot; c after b retriable");
    saga.succeed("a b");
    saga.reply("b", Action::Do, 1, refusal());
    assert_eq!(resolve(&mut saga, "b", Resolution::Done), Verdict::Applied);
    saga.succeed("c");
    assert_eq!(saga.phase(), Phase::Completed);
    assert!(!saga.journal.iter().flat_map(|row| &row.facts).any(|fact| matches!(fact, Fact::UndoSkipped { .. })));
}

#[test]
fn what_is_found_done_where_the_saga_goes_forward_counts_as_done_and_its_waiting_undo_does_not_go_out() {
    let mut saga = Driven::start(TRADE);
    saga.succeed("order");
    fail(&mut saga, "notification");
    saga.reply("notification", Action::Do, 1, success());
    assert_eq!(resolve(&mut saga, "notification", Resolution::Done), Verdict::Applied);
    saga.succeed("clearing risk accounting");
    assert_eq!(saga.phase(), Phase::Completed, "{:?}", saga.issued());
    assert!(!saga.issued().contains(&"undo notification 1".to_owned()), "{:?}", saga.issued());
    saga.check_fold();
}

#[test]
fn what_is_found_done_in_a_saga_that_has_turned_stays_given_up() {
    let mut saga = Driven::start("a; b after a; c after b pivot");
    saga.succeed("a");
    saga.pass(5_000);
    saga.reply("b", Action::Undo, 1, refusal());
    assert_eq!((saga.phase(), resolve(&mut saga, "b", Resolution::Done)), (Phase::Stuck, Verdict::Applied));
    let b = saga.place("b");
    assert!(matches!(saga.saga.step(b).forward, Forward::GivenUp(_)), "{:?}", saga.saga.step(b));
}

#[test]
fn a_step_that_is_found_undone_is_not_undone_again() {
    let mut saga = Driven::start("a; b after a; c after b pivot");
    saga.succeed("a");
    saga.reply("a", Action::Do, 1, refusal());
    assert_eq!(resolve(&mut saga, "a", Resolution::Undone), Verdict::Applied);
    saga.reply("b", Action::Do, 1, success());
    saga.reply("b", Action::Undo, 1, success());
    assert!(!saga.issued().contains(&"undo a 1".to_owned()), "{:?}", saga.issued());
    assert_eq!(saga.phase(), Phase::Compensated);
}

#[test]
fn a_pivot_that_is_skipped_refuses_the_wish_to_turn() {
    let mut saga = Driven::start("a; b after a pivot; c after b retriable");
    saga.succeed("a");
    assert_eq!(ask(&mut saga, Verb::Cancel), Verdict::Applied);
    assert!(saga.saga.wish.is_some(), "its answer decides");
    assert_eq!(ask(&mut saga, Verb::Skip { step: "b".into(), reply: None }), Verdict::Applied);
    assert!(saga.saga.wish.is_none());
    saga.succeed("c");
    assert_eq!(saga.phase(), Phase::Completed);
}
