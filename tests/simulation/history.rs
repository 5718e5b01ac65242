//! Histories for the real stack: calm schedules with scripted answers, whose outcome does not hang on the moment at which anything happens.
//! `tests/it/recorded.rs` replays them on Kafka and Postgres and must see the same phases and the same effects.

use std::collections::BTreeMap;

use sagabus::core::{Action, StepKind};
use sagabus::definition::Source;
use serde_json::json;

use super::choices::Choices;
use super::definitions::{Shape, shapes};
use super::knobs::Knobs;
use super::schedule::{Ended, Given, Interference, run_with};
use super::script::{Line, Says, Script};
use super::search::attempt;
use super::story::Story;

/// Schedules of one history that must end alike, with other delays each.
const ALIKE: u64 = 24;

/// Lines of JSON: definition, what is said to which command, phase, effects.
pub(crate) fn record(count: usize) -> Vec<String> {
    let shapes = shapes();
    let small = |shape: &&Shape| shape.plans[0].definition().steps.len() <= 8;
    let drawn = (0..).zip(shapes.iter().filter(small).cycle());
    drawn.filter_map(|(number, shape)| line(number, shape)).take(count).collect()
}

fn line(number: u64, shape: &Shape) -> Option<String> {
    let script = draw(shape, &mut Choices::from_seed(number));
    let ended: Vec<Ended> = (0..ALIKE).map(|seed| play(shape, &script, seed)).collect();
    let [(_, phase, effects)] = &ended[0].outcome[..] else { return None };
    if ended.iter().any(|other| !other.violations.is_empty() || other.outcome != ended[0].outcome) {
        return None;
    }
    let source = Source::from_body(&shape.rows[0].body).expect("it was compiled");
    let says: BTreeMap<String, &str> = script.lines.iter().map(said).collect();
    Some(json!({ "definition": source.yaml, "says": says, "phase": phase, "effects": effects }).to_string())
}

fn play(shape: &Shape, script: &Script, seed: u64) -> Ended {
    let knobs = Knobs { answer_slow: 2_000, ..Knobs::calm(1) };
    let given = Given { knobs, script: script.clone(), interference: Interference::new() };
    attempt(|| run_with(Choices::from_seed(seed), given, &[shape], Story::default()))
}

/// Some commands fail, or fail for now; every other one succeeds.
fn draw(shape: &Shape, choices: &mut Choices) -> Script {
    let mut lines = Vec::new();
    for step in &shape.plans[0].definition().steps {
        let mut line = |action, attempt, says| lines.push(Line { step: step.name.to_string(), action, attempt, says });
        match choices.below(10) {
            8 if step.kind != StepKind::Retriable => line(Action::Do, None, Says::No),
            7 | 8 => line(Action::Do, Some(1), Says::Busy),
            _ => {}
        }
        match choices.below(8) {
            7 => line(Action::Undo, None, Says::No),
            6 => line(Action::Undo, Some(1), Says::Busy),
            _ => {}
        }
    }
    Script { lines, ..Script::default() }
}

fn said(line: &Line) -> (String, &'static str) {
    let attempt = line.attempt.map_or("any".to_owned(), |attempt| attempt.to_string());
    let says = if line.says == Says::No { "no" } else { "busy" };
    (format!("{} {} {attempt}", line.step, line.action.name()), says)
}
