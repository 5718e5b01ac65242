//! Two operators and a late answer meet at one saga. Both operators have seen the same journal row: of those who act on it one wins at
//! most, and whoever does not is told what the saga has come to and what can still be done.

use std::rc::Rc;

use sagabus::core::{Action, Resolution, Verb};
use sagabus::store::OperationState;
use uuid::Uuid;

use super::choices::Choices;
use super::definitions::workshop;
use super::knobs::Knobs;
use super::schedule::{Ended, Given, Interference, run_with};
use super::script::{Line, Says, Script};
use super::story::Story;
use super::world::World;

/// When the operators look, in milliseconds: the pivot's patience has ended, and the saga waits for a person.
const LOOKED_AT: u32 = 12_000;
/// Within so many milliseconds they act and the answer comes: an engine takes up what is asked within 500 ms.
const WITHIN: u32 = 700;

/// What one operator asks, so long after both have looked.
#[derive(Clone, Debug)]
pub(crate) struct Contest {
    pub(crate) looked_at_ms: i64,
    pub(crate) asked: Vec<(i64, Verb)>,
}

/// An action of a contest: the request, its saga, and the journal row that the operator had seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contested {
    pub(crate) id: Uuid,
    pub(crate) saga_id: Uuid,
    pub(crate) seen: u32,
}

/// Runs the race with this number.
pub(crate) fn run(number: u64, story: Story) -> Ended {
    let mut choices = Choices::from_seed(number);
    let pivot = || "d".to_owned();
    let verb = |choices: &mut Choices| match choices.below(5) {
        0 => Verb::Resolve { step: pivot(), outcome: Resolution::Done },
        1 => Verb::Resolve { step: pivot(), outcome: Resolution::Undone },
        2 => Verb::Resume,
        3 => Verb::Fail { step: pivot(), code: "BY_HAND".to_owned() },
        _ => Verb::Abandon,
    };
    let asked = (0..2).map(|_| (i64::from(choices.below(WITHIN)), verb(&mut choices))).collect();
    let late = Says::Late(LOOKED_AT + choices.below(WITHIN));
    let line = Line { step: pivot(), action: Action::Do, attempt: None, says: late };
    let contest = Contest { looked_at_ms: LOOKED_AT.into(), asked };
    let script = Script { lines: vec![line], asked: Vec::new(), contest: Some(contest) };
    let knobs = Knobs {
        engines: 2,
        partitions: 2,
        unsafe_ms: LOOKED_AT + 2 * WITHIN,
        contention: choices.below(3) * 500,
        statement_slow: choices.below(2) * 500,
        ..Knobs::calm(1)
    };
    run_with(choices, Given { knobs, script, interference: Interference::new() }, &[&workshop(false)], story)
}

/// Both operators look now, and ask later.
pub(crate) fn look(world: &Rc<World>, asked: &[(i64, Verb)]) {
    for stored in world.database.sagas() {
        let seen = u32::try_from(stored.journal.len()).expect("few rows");
        for (number, (later_ms, verb)) in (1_u128..).zip(asked.to_vec()) {
            let contested = Contested { id: Uuid::from_u128(8_000_000 + number), saga_id: stored.row.id, seen };
            world.carry(later_ms * 1_000, move |world| {
                world.contested.borrow_mut().push(contested);
                super::people::ask(world, contested.saga_id, contested.id, verb, Some(seen));
            });
        }
    }
}

/// Of those who had seen the same row one was heeded at most; the others were told that it has moved on, and what can be done.
pub(crate) fn audit(world: &World) {
    let contested = world.contested.borrow();
    let outcome = |one: &Contested| world.database.outcome(one.id).expect("it was asked for");
    let heeded = contested.iter().filter(|one| outcome(one).state == OperationState::Decided).count();
    if heeded > 1 {
        world.violated(format!("{heeded} operators who had seen the same row were heeded"));
    }
    for one in contested.iter() {
        let outcome = outcome(one);
        let message = outcome.message.unwrap_or_default();
        let is_refused = outcome.state == OperationState::Refused;
        let says_moved = message.starts_with(&format!("the saga has moved on from journal row {} to ", one.seen));
        let is_moved = outcome.code == Some("changed") && says_moved;
        let is_by_state = outcome.seq_before == Some(one.seen) && !is_moved;
        if is_refused && !(message.contains("; can: ") && (is_moved || is_by_state)) {
            world.violated(format!("an operator was refused without a reason: {message}"));
        }
        match outcome.state {
            OperationState::Decided => world.saw("race won by an operator"),
            OperationState::Refused if heeded == 0 && is_moved => world.saw("race won by an answer"),
            OperationState::Refused if is_moved => world.saw("race lost to an operator"),
            OperationState::Refused | OperationState::Pending | OperationState::Unknown => {}
        }
    }
}
