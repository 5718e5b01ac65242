//! Exhaustive crash points: fixed workloads, calm but for one blow. The engine is killed, or its future dropped, at poll 1, at poll 2, and
//! so on to the last; each time the world must come to its end, pass the audit, and where nothing depends on the moment end as if
//! nothing had happened. Then pairs of blows, by chance.

use std::collections::BTreeMap;

use sagabus::core::{Action, Verb};

use super::choices::Choices;
use super::definitions::{Shape, workshop};
use super::knobs::{DROPS, Knobs};
use super::schedule::{Blow, Ended, Given, Interference, run_with};
use super::script::{Line, Says, Script};
use super::search::attempt;
use super::story::Story;

/// A fixed piece of work.
struct Workload {
    name: &'static str,
    skips: bool,
    engines: u32,
    has_names: bool,
    /// Its outcome may depend on the moment of the blow.
    is_timed: bool,
    script: Script,
}

/// Every workload, with how it ends when it is left alone.
pub(crate) struct Enumeration {
    shapes: [Shape; 2],
    workloads: Vec<(Workload, Ended)>,
    /// Cases before those of each workload.
    before: Vec<u64>,
    singles: u64,
}

/// Ways in which one poll is struck: killed with what its client held, killed without it, dropped.
const WAYS: u64 = if DROPS { 3 } else { 2 };

fn line(step: &str, action: Action, attempt: Option<u16>, says: Says) -> Line {
    Line { step: step.to_owned(), action, attempt, says }
}

/// a, then b and c beside each other, then the pivot d, then e.
fn workloads() -> Vec<Workload> {
    let plain = |name, lines: Vec<Line>| Workload {
        name,
        skips: false,
        engines: 1,
        has_names: true,
        is_timed: false,
        script: Script { lines, ..Script::default() },
    };
    let timed = |name, lines, asked| Workload {
        is_timed: true,
        script: Script { lines, asked, contest: None },
        ..plain(name, Vec::new())
    };
    let (go, undo) = (Action::Do, Action::Undo);
    let no = |step| line(step, go, None, Says::No);
    let undo_no = line("b", undo, None, Says::No);
    vec![
        plain("success", vec![]),
        Workload { has_names: false, ..plain("success without a name", vec![]) },
        Workload { engines: 2, ..plain("success on two engines", vec![]) },
        plain("failure of a", vec![no("a")]),
        plain("failure of b", vec![no("b")]),
        plain("failure of c", vec![no("c")]),
        plain("failure of d", vec![no("d")]),
        Workload { engines: 2, ..plain("failure of d on two engines", vec![no("d")]) },
        plain("failure of e", vec![no("e")]),
        plain("retry", vec![line("b", go, Some(1), Says::Busy), line("e", go, Some(1), Says::Busy)]),
        plain("retries used up", vec![line("c", go, None, Says::Busy)]),
        timed("asked again", vec![line("b", go, None, Says::Silent(3))], vec![]),
        timed("late reply", vec![line("b", go, None, Says::Late(8_000))], vec![]),
        timed("late reply of the pivot", vec![line("d", go, None, Says::Late(9_000))], vec![]),
        timed("progress", vec![line("c", go, None, Says::Progress(1_800))], vec![]),
        plain("undo tried again", vec![no("d"), line("b", undo, Some(1), Says::Busy)]),
        plain("undo tries used up", vec![no("d"), line("b", undo, None, Says::Busy)]),
        plain("undo fails: stuck", vec![no("d"), undo_no.clone()]),
        Workload { skips: true, ..plain("undo fails: skipped", vec![no("d"), undo_no]) },
        timed("late undo", vec![no("d"), line("c", undo, None, Says::Late(9_000))], vec![]),
        timed("cancel at once", vec![], vec![(5, Verb::Cancel)]),
        timed("cancel while asked", vec![line("b", go, None, Says::Late(1_500))], vec![(900, Verb::Cancel)]),
        timed(
            "pause while asked",
            vec![line("b", go, None, Says::Late(7_000))],
            vec![(500, Verb::Pause), (4_000, Verb::Resume)],
        ),
        timed("pause and resume", vec![], vec![(8, Verb::Pause), (3_000, Verb::Resume)]),
        timed(
            "late success of a step that a person failed",
            vec![line("b", go, None, Says::Late(4_000))],
            vec![(1_500, Verb::Fail { step: "b".to_owned(), code: "BY_HAND".to_owned() })],
        ),
    ]
}

fn given(workload: &Workload, interference: Interference, lost_with_process: u32) -> Given {
    let calm = Knobs::calm(2);
    let (engines, has_names) = (workload.engines, workload.has_names);
    let knobs = Knobs { engines, has_names, lost_with_process, partitions: 2, ..calm };
    Given { knobs, script: workload.script.clone(), interference }
}

impl Enumeration {
    /// Runs every workload once in peace.
    pub(crate) fn new() -> Self {
        let shapes = [workshop(false), workshop(true)];
        let (mut before, mut singles) = (Vec::new(), 0);
        let in_peace = |workload: Workload| {
            let shape = &shapes[usize::from(workload.skips)];
            let calm = given(&workload, Interference::new(), 0);
            let ended = attempt(|| run_with(Choices::from_tape(Vec::new()), calm, &[shape], Story::default()));
            before.push(singles);
            singles += ended.polls * WAYS;
            (workload, ended)
        };
        let workloads = workloads().into_iter().map(in_peace).collect();
        Self { shapes, workloads, before, singles }
    }

    /// Cases with one blow; those behind them have two.
    pub(crate) fn singles(&self) -> u64 {
        self.singles
    }

    /// Workloads that fail when they are left alone.
    pub(crate) fn broken(&self) -> Vec<String> {
        let broken = self.workloads.iter().filter(|(_, ended)| !ended.violations.is_empty());
        broken.map(|(workload, ended)| format!("{}: {}", workload.name, ended.violations.join("; "))).collect()
    }

    /// Runs the case with this number.
    pub(crate) fn run(&self, number: u64, story: Story) -> Ended {
        let (place, blows, lost_with_process) = self.case(number);
        let (workload, in_peace) = &self.workloads[place];
        let shape = &self.shapes[usize::from(workload.skips)];
        let struck = given(workload, blows.clone(), lost_with_process);
        let mut ended = attempt(|| run_with(Choices::from_tape(Vec::new()), struck, &[shape], story));
        if !workload.is_timed && ended.violations.is_empty() && ended.outcome != in_peace.outcome {
            let (one, other) = (&ended.outcome, &in_peace.outcome);
            ended.violations.push(format!("it ends with {one:?}, in peace with {other:?}"));
        }
        let name = workload.name;
        ended.violations.iter_mut().for_each(|what| *what = format!("{what} [{name}, {blows:?}]"));
        ended
    }

    fn case(&self, number: u64) -> (usize, Interference, u32) {
        let mut chance = fastrand::Rng::with_seed(number);
        let is_pair = number >= self.singles;
        let first = if is_pair { chance.u64(0..self.singles) } else { number };
        let place = self.before.iter().rposition(|before| *before <= first).expect("the first one begins at 0");
        let (at, way) = ((first - self.before[place]) / WAYS + 1, (first - self.before[place]) % WAYS);
        let blow = |way: u64| if way == 2 { Blow::Drop } else { Blow::Kill };
        let mut blows = BTreeMap::from([(at, blow(way))]);
        if is_pair {
            blows.insert(at + 1 + chance.u64(0..60), blow(chance.u64(0..WAYS)));
        }
        (place, blows, if way == 1 { 10_000 } else { 0 })
    }
}
