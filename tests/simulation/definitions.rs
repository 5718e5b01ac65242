//! Definitions of many shapes, made by chance once and compiled once: chains, forks, joins, pivots, steps that nothing undoes. Each in
//! two versions, the second of which takes over while sagas of the first are running.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use sagabus::definition::{Compiled, Source};
use sagabus::store::DefinitionRow;

use super::choices::Choices;

/// Two versions of one definition.
pub(crate) struct Shape {
    pub(crate) plans: [Arc<Compiled>; 2],
    pub(crate) rows: [DefinitionRow; 2],
}

impl Shape {
    /// More steps than definitions usually have.
    pub(crate) fn is_large(&self) -> bool {
        self.plans[0].definition().steps.len() > 20
    }
}

/// Shapes that every schedule chooses from.
const SHAPES: u64 = 190;
/// From here on they have steps that wait and command nobody.
const WAITING: u64 = 160;

/// All shapes, the simple ones first.
pub(crate) fn shapes() -> Vec<Shape> {
    (0..SHAPES).map(shape).collect()
}

/// The fixed shape of the crash points: a, then b and c beside each other, then the pivot d, then e. `skips`: an undo that fails is skipped.
pub(crate) fn workshop(skips: bool) -> Shape {
    let on_exhausted = if skips { "skip" } else { "block" };
    let versions = [1, 2].map(|version| {
        let text = format!(
            "{}  a: {{participant: p0, command: {{type: act.a, data: \"${{trigger.data}}\"}}, compensate: {{type: undo}}}}\n  \
             b: {{after: [a], participant: p1, command: {{type: act.b, data: \"${{trigger.data}}\"}}, compensate: {{type: undo}}}}\n  \
             c: {{after: [a], participant: p2, command: {{type: act.c, data: \"${{trigger.data}}\"}}, compensate: {{type: undo}}}}\n  \
             d: {{after: [b, c], participant: p0, kind: pivot, command: {{type: act.d, data: \"${{trigger.data}}\"}}}}\n  \
             e: {{after: [d], participant: p1, kind: retriable, command: {{type: act.e, data: \"${{trigger.data}}\"}}}}\n",
            head("workshop", version, on_exhausted)
        );
        compile("workshop", version, text).expect("a definition without faults")
    });
    let [(first, first_row), (second, second_row)] = versions;
    Shape { plans: [first, second], rows: [first_row, second_row] }
}

fn shape(number: u64) -> Shape {
    let most = match number {
        0..4 => u32::try_from(number).expect("small") + 1,
        159 => 200,
        _ if number % 8 == 7 => 20,
        _ => 6,
    };
    let steps = if most > 20 { most } else { Choices::from_seed(number).between(1, most) };
    let versions = [1, 2].map(|version| {
        // A shape that the linter refuses is drawn again: it knows better which graphs can be undone.
        (0..).find_map(|draw| load(number, version, draw, steps)).expect("a shape is accepted some time")
    });
    let [(first, first_row), (second, second_row)] = versions;
    Shape { plans: [first, second], rows: [first_row, second_row] }
}

fn load(number: u64, version: u32, draw: u64, steps: u32) -> Option<(Arc<Compiled>, DefinitionRow)> {
    let mut choices = Choices::from_seed(number * 1_000_003 + draw);
    let yaml = text(number, version, steps, &mut choices);
    compile(&format!("d{number}"), version, yaml)
}

fn compile(name: &str, version: u32, yaml: String) -> Option<(Arc<Compiled>, DefinitionRow)> {
    let source = Source { file: format!("{name}.saga.yaml"), yaml, schemas: BTreeMap::new() };
    let compiled = Compiled::load(&source).ok()?;
    let definition = compiled.definition();
    let row = DefinitionRow { hash: definition.hash, name: Arc::clone(&definition.name), version, body: source.body() };
    Some((Arc::new(compiled), row))
}

/// The text of one definition. In front of the pivot (if there is one) steps may fail; behind it they are retried without end.
fn text(number: u64, version: u32, steps: u32, choices: &mut Choices) -> String {
    let name = format!("d{number}");
    let on_exhausted = if choices.below(3) == 2 { "skip" } else { "block" };
    let mut text = head(&name, version, on_exhausted);
    let pivot = (choices.below(2) == 1).then(|| choices.below(steps));
    text.push_str(&lines(steps, pivot, number >= WAITING, choices));
    text
}

fn head(name: &str, version: u32, on_exhausted: &str) -> String {
    format!(
        "saga: v1\nname: {name}\nversion: {version}\ntrigger: {{topic: {name}.triggers, type: go}}\nbusinessKey: ${{trigger.data.id}}\n\
         defaults:\n  timeout: 1s\n  patience: 5s\n  retry: {{maximumAttempts: 3, initialInterval: 200ms, maximumInterval: 2s}}\n  \
         compensation: {{timeout: 1s, patience: 6s, retry: {{maximumAttempts: 4, maximumInterval: 2s}}, onExhausted: {on_exhausted}}}\n\
         steps:\n"
    )
}

fn lines(steps: u32, pivot: Option<u32>, waits: bool, choices: &mut Choices) -> String {
    let mut text = String::new();
    for step in 0..steps {
        let after = predecessors(step, pivot, choices);
        let is_before = pivot.is_none_or(|pivot| step < pivot);
        let participant = choices.below(3);
        let data = if choices.below(2) == 0 {
            "\"${trigger.data}\"".to_owned()
        } else {
            "{id: \"${trigger.data.id}\"}".to_owned()
        };
        let after = if after.is_empty() { String::new() } else { format!("after: [{}], ", after.join(", ")) };
        if waits && Some(step) != pivot && choices.below(3) == 0 {
            let kind = if is_before { "readOnly" } else { "retriable" };
            let answer = if choices.below(2) == 0 { "approval" } else { "signal" };
            let notice = format!("wait: {{for: {answer}, type: read.s{step}, data: {data}}}");
            _ = writeln!(text, "  s{step}: {{{after}kind: {kind}, {notice}, patience: 7s}}");
            continue;
        }
        let (kind, command, undo) = if Some(step) == pivot {
            ("pivot", "act", "")
        } else if !is_before {
            ("retriable", "act", "")
        } else {
            match choices.below(6) {
                0..4 => ("compensatable", "act", ", compensate: {type: undo}"),
                4 => ("readOnly", "read", ""),
                _ => ("retriable", "act", ", compensate: {type: undo}"),
            }
        };
        _ = writeln!(
            text,
            "  s{step}: {{{after}participant: p{participant}, kind: {kind}, command: {{type: {command}.s{step}, data: {data}}}{undo}}}"
        );
    }
    text
}

fn predecessors(step: u32, pivot: Option<u32>, choices: &mut Choices) -> Vec<String> {
    let name = |step: u32| format!("s{step}");
    match pivot {
        // Everything that may fail comes before the pivot.
        Some(pivot) if step == pivot => (0..step).map(name).collect(),
        Some(pivot) if step > pivot => vec![name(choices.between(pivot, step - 1))],
        Some(_) | None => {
            let mut after: Vec<u32> = (0..choices.below(3).min(step)).map(|_| choices.below(step)).collect();
            after.sort_unstable();
            after.dedup();
            after.into_iter().map(name).collect()
        }
    }
}
