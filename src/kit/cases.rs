//! The fourteen cases of CONTRACT.md section 7, as data: what is sent, what is required, who judges.

use super::course::Course;
use super::judge;
use super::rule::Judged;
use super::script::{Data, Garbage, Item, Letter, Move, Name, send};

/// What a case needs of the participant or of the person who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// A step that has an effect.
    Effect,
    /// A step that can be undone.
    Undo,
    /// Data that the participant refuses.
    FailingData,
    /// A way to restart it.
    Restart,
}

/// One case.
#[derive(Debug)]
pub(super) struct Case {
    /// Its number in the contract's table.
    pub(super) number: u8,
    /// Its name there.
    pub(super) name: &'static str,
    /// What is sent, for people.
    pub(super) sent: &'static str,
    /// What is required, for people.
    pub(super) required: &'static str,
    /// What it needs.
    pub(super) needs: &'static [Need],
    /// Its sagas.
    pub(super) sagas: usize,
    /// What is done, in order.
    pub(super) script: fn() -> Vec<Move>,
    /// Who judges what came.
    pub(super) judge: fn(&Course) -> Judged,
}

/// The case that opens a run: it shows that somebody answers, and is judged by nobody.
pub(super) const FIRST_CONTACT: Case = Case {
    number: 0,
    name: "first contact",
    sent: "do",
    required: "an answer",
    needs: &[],
    sagas: 1,
    script: || vec![send([doing(0)])],
    judge: |_| Judged::default(),
};

/// In the order in which they are run: what needs a restart, and what may make a careless participant stop, comes last.
pub(super) const CASES: [Case; 14] = [
    Case {
        number: 1,
        name: "plain do",
        sent: "do",
        required: "success with correlation, causation, outcome, key and topic right",
        needs: &[],
        sagas: 1,
        script: || vec![send([doing(0)])],
        judge: judge::plain_do,
    },
    Case {
        number: 2,
        name: "duplicate do",
        sent: "do, same again after the reply",
        required: "same outcome and data, one effect",
        needs: &[Need::Effect],
        sagas: 1,
        script: || vec![send([doing(0)]), send([doing(0)])],
        judge: judge::duplicate_do,
    },
    Case {
        number: 3,
        name: "concurrent duplicate",
        sent: "the same do twice at once, on two partitions if there are; 20 sagas",
        required: "two equal replies, one effect",
        needs: &[Need::Effect],
        sagas: judge::MEETINGS,
        script: || vec![at_once(judge::MEETINGS, |saga| [doing(saga), doing(saga)])],
        judge: judge::concurrent_duplicate,
    },
    Case {
        number: 4,
        name: "undo",
        sent: "do, undo",
        required: "success, effect gone",
        needs: &[Need::Undo],
        sagas: 1,
        script: || vec![send([doing(0)]), send([undoing(0)])],
        judge: judge::undo,
    },
    Case {
        number: 5,
        name: "duplicate undo",
        sent: "do, undo, undo again",
        required: "equal replies, undone once",
        needs: &[Need::Undo],
        sagas: 1,
        script: || vec![send([doing(0)]), send([undoing(0)]), send([undoing(0)])],
        judge: judge::duplicate_undo,
    },
    Case {
        number: 6,
        name: "second undo attempt",
        sent: "do, undo, undo attempt 2 (new id); and with both undo attempts at once",
        required: "success, undone once",
        needs: &[Need::Undo],
        sagas: 2,
        script: || {
            let second = |saga| Letter::from(Name::undoing(saga).attempt(2));
            vec![
                send([doing(0), doing(1)]),
                send([undoing(0)]),
                send([second(0)]),
                send([undoing(1).on(0), second(1).opposite(0)]),
            ]
        },
        judge: judge::second_undo,
    },
    Case {
        number: 7,
        name: "undo before do",
        sent: "undo, then do",
        required: "undo succeeds without effect; do fails saga.step_closed; no effect",
        needs: &[Need::Undo],
        sagas: 1,
        script: || vec![send([undoing(0)]), send([doing(0)])],
        judge: judge::undo_before_do,
    },
    Case {
        number: 8,
        name: "undo and do at once",
        sent: "both without waiting, 200 pairs",
        required: "never an effect left over",
        needs: &[Need::Undo],
        sagas: judge::PAIRS,
        script: || {
            let pair = |saga: usize| {
                let pair = [doing(saga), undoing(saga)];
                // An order that no number of partitions makes regular: each of them gets both, in both orders.
                if saga.count_ones().is_multiple_of(2) { pair } else { [pair[1], pair[0]] }
            };
            vec![at_once(judge::PAIRS, pair)]
        },
        judge: judge::undo_with_do,
    },
    Case {
        number: 9,
        name: "do again after undo, new attempt",
        sent: "do, undo, do attempt 2",
        required: "refused (saga.step_closed); no effect",
        needs: &[Need::Undo],
        sagas: 1,
        script: || vec![send([doing(0)]), send([undoing(0)]), send([Name::doing(0).attempt(2).into()])],
        judge: judge::do_after_undo,
    },
    Case {
        number: 10,
        name: "changed data",
        sent: "do, same id with other data, the first one again",
        required: "failure saga.conflict; first effect stays",
        needs: &[Need::Effect],
        sagas: 1,
        script: || vec![send([doing(0)]), send([doing(0).with(Data::Changed)]), send([doing(0)])],
        judge: judge::changed_data,
    },
    Case {
        number: 11,
        name: "definite failure is remembered",
        sent: "a do that is refused, again; attempt 2 with good data",
        required: "equal failure twice; the new attempt is judged anew",
        needs: &[Need::Effect, Need::FailingData],
        sagas: 1,
        script: || {
            let failing = doing(0).with(Data::Failing);
            vec![send([failing]), send([failing]), send([Name::doing(0).attempt(2).into()])]
        },
        judge: judge::definite_failure,
    },
    Case {
        number: 12,
        name: "crash between effect and reply",
        sent: "10 do, a restart before their replies are read, the same again",
        required: "one effect, a reply",
        needs: &[Need::Effect, Need::Restart],
        sagas: judge::INTERRUPTED,
        script: || {
            let all: Vec<Item> = (0..judge::INTERRUPTED).map(|saga| Item::Letter(doing(saga))).collect();
            vec![Move::Throw(all.clone()), Move::Restart, Move::Send(all)]
        },
        judge: judge::crash,
    },
    Case {
        number: 14,
        name: "cold start, old command",
        sent: "do, restart, same do; expired do",
        required: "stored reply; expired one refused or done once",
        needs: &[Need::Effect, Need::Restart],
        sagas: 2,
        script: || vec![send([doing(0)]), Move::Restart, send([doing(0)]), send([doing(1).expired()])],
        judge: judge::cold_start,
    },
    Case {
        number: 13,
        name: "garbage between good records",
        sent: "not JSON, no headers, null, 1 MiB, two ce_id, each between good do",
        required: "good ones around it are answered; no reply to garbage that carries an outcome",
        needs: &[],
        sagas: judge::GOOD + Garbage::ALL.len(),
        script: || {
            let mut items = vec![Item::Letter(doing(0).on(0))];
            for (place, kind) in Garbage::ALL.into_iter().enumerate() {
                items.push(Item::Garbage(kind, Name::doing(judge::GOOD + place)));
                items.push(Item::Letter(doing(place + 1).on(0)));
            }
            vec![Move::Send(items), Move::Listen]
        },
        judge: judge::garbage,
    },
];

fn doing(saga: usize) -> Letter {
    Name::doing(saga).into()
}

fn undoing(saga: usize) -> Letter {
    Name::undoing(saga).into()
}

/// Two letters for each saga, on opposite partitions.
fn at_once(sagas: usize, pair: impl Fn(usize) -> [Letter; 2]) -> Move {
    let both = |saga| {
        let [one, other] = pair(saga);
        [Item::Letter(one.on(saga)), Item::Letter(other.opposite(saga))]
    };
    Move::Send((0..sagas).flat_map(both).collect())
}

#[cfg(test)]
mod tests {
    use crate::core::Action;

    use super::*;

    #[test]
    fn every_case_of_the_contract_is_there_once() {
        let mut numbers = CASES.map(|case| case.number);
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(1..=14));
    }

    #[test]
    fn scripts_stay_within_their_sagas_and_need_what_they_use() {
        for case in &CASES {
            let moves = (case.script)();
            let items = moves.iter().flat_map(|step| match step {
                Move::Send(items) | Move::Throw(items) => items.as_slice(),
                Move::Restart | Move::Listen => &[],
            });
            for item in items {
                let (name, data) = match item {
                    Item::Letter(letter) => (letter.name, letter.data),
                    Item::Garbage(_, name) => (*name, Data::Good),
                };
                assert!(name.saga < case.sagas, "case {}", case.number);
                assert!(name.action == Action::Do || case.needs.contains(&Need::Undo), "case {}", case.number);
                assert!(data != Data::Failing || case.needs.contains(&Need::FailingData), "case {}", case.number);
            }
            assert_eq!(moves.contains(&Move::Restart), case.needs.contains(&Need::Restart), "case {}", case.number);
        }
    }
}
