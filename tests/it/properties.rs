//! Properties of the rules over any definition and any order of inputs.

use std::sync::Arc;

use proptest::prelude::*;
use sagabus::core::{
    Action, Answer, Backward, Fact, Forward, Given, Input, Operation, Outcome, Phase, Reply, Resolution, StepIx,
    Timestamp, Transition, Verb, command_id, next_due, ready,
};
use uuid::Uuid;

use super::given::{Driven, answer, conflict};

/// Definitions that the linter would accept, of different shapes.
const SHAPES: [&str; 11] = [
    "a",
    "a; b after a; c after b",
    "a; b after a; c after a; d after b,c",
    "a; b; c after a,b pivot; d after c retriable",
    "order; clearing after order; risk after clearing pivot; accounting after risk retriable; notification after order retriable",
    "a readOnly; b skip; c after a,b; d after c pivot; e after d retriable; f after e pivot",
    "a; b after a retriable; c after b skip",
    "a; b after a; c after b readOnly; d after c; e after a skip",
    "a; w after a approval; s after a signal; b after w,s; c after b",
    "a; w after a approval; p after w pivot; s after p signal retriable; r after s retriable",
    "a retriable stays; p pivot; r after p retriable; n after p retriable; m after n retriable",
];

#[derive(Clone, Debug)]
enum Move {
    Reply { step: usize, action: bool, attempt: u16, outcome: u8 },
    Pass { millis: u64, read: bool, acknowledged: bool },
    Ask { verb: u8, step: usize },
    Undeliverable { step: usize, action: bool },
    Hold { step: usize },
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        8 => (0..6_usize, any::<bool>(), 1..4_u16, 0..7_u8)
            .prop_map(|(step, action, attempt, outcome)| Move::Reply { step, action, attempt, outcome }),
        4 => (0..12_000_u64, any::<bool>(), any::<bool>())
            .prop_map(|(millis, read, acknowledged)| Move::Pass { millis, read, acknowledged }),
        3 => (0..19_u8, 0..6_usize).prop_map(|(verb, step)| Move::Ask { verb, step }),
        1 => (0..6_usize, any::<bool>()).prop_map(|(step, action)| Move::Undeliverable { step, action }),
        1 => (0..6_usize).prop_map(|step| Move::Hold { step }),
    ]
}

fn answer_of(outcome: u8) -> Answer {
    match outcome {
        0 | 1 => answer(Outcome::Success, None, false, "{}"),
        2 => answer(Outcome::Failure, Some("NO"), false, "{}"),
        3 => answer(Outcome::Failure, Some("BUSY"), true, "{}"),
        4 => answer(Outcome::Progress, None, false, "{}"),
        5 => conflict(),
        _ => answer(Outcome::Success, None, false, r#"{"other":1}"#),
    }
}

fn direction(is_do: bool) -> Action {
    if is_do { Action::Do } else { Action::Undo }
}

fn verb(number: u8, step: String) -> Verb {
    let data = sagabus::core::Json::empty_object;
    match number {
        0 => Verb::Republish { step },
        1 => Verb::Retry { step: Some(step), force: false },
        2 => Verb::Edit { step, data: data() },
        3 => Verb::Skip { step, reply: Some(data()) },
        4 => Verb::Complete { step, reply: data() },
        5 => Verb::Fail { step, code: "BY_HAND".into() },
        6 => Verb::Compensate,
        7 => Verb::Cancel,
        8 => Verb::Pause,
        9 => Verb::Resume,
        10 => Verb::Resolve { step, outcome: Resolution::Left },
        11 => Verb::Resolve { step, outcome: Resolution::Done },
        12 => Verb::Resolve { step, outcome: Resolution::Undone },
        13 => Verb::Retry { step: Some(step), force: true },
        14 => Verb::Retry { step: None, force: false },
        15 => Verb::Approve { step, reply: None },
        16 => Verb::Reject { step, code: "BY_HAND".into() },
        17 => Verb::Signal { step, data: None },
        _ => Verb::Abandon,
    }
}

fn play(saga: &mut Driven, made: &Move) {
    let rows = saga.journal.len();
    carry_out(saga, made);
    for fact in saga.journal[rows..].iter().flat_map(|row| &row.facts) {
        let (Fact::Issued { step, .. }
        | Fact::Resent { step, .. }
        | Fact::GivenUp { step, .. }
        | Fact::Exhausted { step, unanswered: true }) = fact
        else {
            continue;
        };
        assert!(saga.held[step.at()].is_none(), "{fact:?} of a held step");
    }
}

fn carry_out(saga: &mut Driven, made: &Move) {
    let count = saga.definition.steps.len();
    let name = |step: &usize| saga.definition.steps[step % count].name.to_string();
    match made {
        Move::Reply { step, action, attempt, outcome } => {
            let step = name(step);
            saga.reply(&step, direction(*action), *attempt, answer_of(*outcome));
        }
        Move::Pass { millis, read, acknowledged } => {
            saga.now = saga.now.plus_millis(*millis);
            let replies_read_until = if *read { saga.now } else { Timestamp::ZERO };
            saga.input(&Input::Timer { replies_read_until, acknowledged: *acknowledged });
        }
        Move::Ask { verb: number, step } => {
            let verb = verb(*number, name(step));
            let operation = Operation { id: Uuid::nil(), verb, who: "p".into(), reason: "p".into(), expect_seq: None };
            saga.input(&Input::Operation(operation));
        }
        // Holds it, or releases it.
        Move::Hold { step } => {
            let held = &mut saga.held[step % count];
            *held = if held.is_some() { None } else { Some(saga.now) };
        }
        Move::Undeliverable { step, action } => {
            let step = StepIx(u16::try_from(step % count).unwrap());
            let code = Arc::from("saga.undeliverable");
            saga.input(&Input::Undeliverable {
                step,
                action: direction(*action),
                attempt: 1,
                code,
                message: String::new(),
            });
        }
    }
}

/// What must hold after every input.
fn check(saga: &Driven, before: Phase) {
    saga.check_fold();
    if before.is_final() {
        assert_eq!(saga.phase(), before, "a final saga never changes phase");
    }
    let is_quiet = matches!(saga.phase(), Phase::Stuck | Phase::Paused) || saga.phase().is_final();
    let is_held = saga.saga.waits_for_release();
    let moves_by_itself = next_due(&saga.definition, &saga.saga).is_some() || ready(&saga.saga).next().is_some();
    assert!(is_quiet || is_held || moves_by_itself, "a silent saga: {:?}", saga.saga);
    assert!(
        saga.phase() != Phase::Stuck || !saga.saga.blocks.is_empty(),
        "stuck, and nothing to mend: {:?}",
        saga.saga
    );
    let facts: Vec<&Fact> = saga.journal.iter().flat_map(|row| &row.facts).collect();
    for step in saga.definition.places() {
        let state = saga.saga.step(step);
        let is_undone = state.backward == Backward::Done && state.forward == Forward::Succeeded;
        assert!(saga.phase() != Phase::Completed || !is_undone, "completed, and step {} was undone", step.0);
        // Attempt 0 is a person's word.
        let undone = facts.iter().filter(
            |fact| matches!(fact, Fact::Succeeded { step: of, action: Action::Undo, attempt: 1.., .. } if *of == step),
        );
        assert!(undone.count() <= 1, "step {} is undone twice", step.0);
        let undo_after = facts
            .iter()
            .skip_while(|fact| !matches!(fact, Fact::Succeeded { step: of, action: Action::Undo, .. } if *of == step))
            .any(|fact| matches!(fact, Fact::Issued { step: of, action: Action::Undo, .. } if *of == step));
        assert!(!undo_after, "an undo of step {} is issued after it was undone", step.0);
    }
}

/// Everything outstanding is answered truthfully, and time passes: the saga must come to an end, or wait for a person.
fn settle(saga: &mut Driven) {
    saga.held.iter_mut().for_each(|held| *held = None);
    saga.pass(0);
    for _ in 0..400 {
        if saga.phase() == Phase::Paused {
            let operation = Operation {
                id: Uuid::nil(),
                verb: Verb::Resume,
                who: "p".into(),
                reason: "p".into(),
                expect_seq: None,
            };
            saga.input(&Input::Operation(operation));
        }
        let outstanding: Vec<(StepIx, Action, u16)> = saga
            .definition
            .places()
            .flat_map(|step| [Action::Do, Action::Undo].map(|action| (step, action)))
            .filter_map(|(step, action)| {
                let state = saga.saga.step(step);
                let attempt = if action == Action::Do { state.attempts } else { state.undo_attempts };
                (attempt > 0).then_some((step, action, attempt))
            })
            .collect();
        for (step, action, attempt) in outstanding {
            let id = command_id(saga.saga.id, step, action, attempt);
            let state = saga.saga.step(step);
            let of_it = |given: &&Given| (given.action, given.attempt) == (action, attempt);
            if state.answers.iter().filter(of_it).any(|given| !given.answer.is_conflict()) {
                continue;
            }
            let (topic, saga_id) = (Arc::clone(&saga.definition.reply_topic), saga.saga.id);
            saga.input(&Input::Reply(Reply { topic, saga_id, command_id: id, answer: answer_of(0) }));
        }
        saga.pass(3_000);
        if saga.phase().is_final() {
            return;
        }
    }
    assert_eq!(saga.phase(), Phase::Stuck, "neither ended nor stuck: {:?}", saga.saga);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_fold_is_the_saga_nothing_is_undone_twice_and_every_saga_ends(
        shape in 0..SHAPES.len(),
        made in proptest::collection::vec(moves(), 0..40),
    ) {
        let mut saga = Driven::start(SHAPES[shape]);
        for one in &made {
            let before = saga.phase();
            play(&mut saga, one);
            check(&saga, before);
        }
        saga.check_online();
        settle(&mut saga);
        check(&saga, Phase::Running);
        saga.check_online();
        for row in &saga.journal {
            let stored = row.encode();
            prop_assert_eq!(&Transition::decode(&stored).unwrap(), row);
            prop_assert!(Transition::decode(&stored[..stored.len() - 1]).is_err(), "a row that is cut is refused");
            prop_assert!(Transition::decode(&[&stored[..], b"\0"].concat()).is_err(), "as is one with something behind it");
            let text = serde_json::to_vec(row).unwrap();
            prop_assert_eq!(&serde_json::from_slice::<Transition>(&text).unwrap(), row, "programs read facts as JSON");
        }
    }

    #[test]
    fn the_same_answer_twice_changes_nothing_the_second_time(
        shape in 0..SHAPES.len(),
        made in proptest::collection::vec(moves(), 0..20),
        step in 0..6_usize,
        outcome in 0..4_u8,
    ) {
        let mut saga = Driven::start(SHAPES[shape]);
        for one in &made {
            play(&mut saga, one);
        }
        let step = saga.definition.steps[step % saga.definition.steps.len()].name.to_string();
        saga.reply(&step, Action::Do, 1, answer_of(outcome));
        let (phase, issued) = (saga.phase(), saga.issued());
        let again = saga.reply(&step, Action::Do, 1, answer_of(outcome));
        prop_assert_eq!(again.facts, vec![]);
        prop_assert_eq!((saga.phase(), saga.issued()), (phase, issued));
    }
}
