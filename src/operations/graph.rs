//! A saga's steps as a graph with the state of each: for a browser (mermaid), for Graphviz (dot), for a terminal (ascii). Pure.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::core::{Definition, Saga, StepIx, step_state_name};

/// In which language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum GraphFormat {
    /// Mermaid's flowchart.
    #[default]
    Mermaid,
    /// Graphviz.
    Dot,
    /// Lines, each step below its predecessors.
    Ascii,
}

/// A state of a step in one character.
pub fn mark(state: &str) -> &'static str {
    match state {
        "succeeded" => "●",
        "compensated" => "↩",
        "failed" | "compensationFailed" => "✗",
        "givenUp" => "?",
        "pending" | "skipped" => "○",
        _ => "◐",
    }
}

/// Draws the saga.
pub fn graph(definition: &Definition, saga: &Saga, format: GraphFormat) -> String {
    match format {
        GraphFormat::Mermaid => mermaid(definition, saga),
        GraphFormat::Dot => dot(definition, saga),
        GraphFormat::Ascii => ascii(definition, saga),
    }
}

fn state(saga: &Saga, step: StepIx) -> &'static str {
    step_state_name(saga.step(step)).name()
}

/// Colours by state: what is well, under way, undone, wrong.
fn color(state: &str) -> &'static str {
    match mark(state) {
        "●" => "#b7e4c7",
        "◐" => "#ffe8a3",
        "↩" => "#cfe2ff",
        "✗" | "?" => "#f5c2c7",
        _ => "#eeeeee",
    }
}

fn arrows(definition: &Definition) -> impl Iterator<Item = (StepIx, StepIx)> + '_ {
    definition.places().flat_map(|step| definition.step(step).after.iter().map(move |before| (*before, step)))
}

fn mermaid(definition: &Definition, saga: &Saga) -> String {
    let mut text = "flowchart LR\n".to_owned();
    for step in definition.places() {
        let (name, state) = (&definition.step(step).name, state(saga, step));
        _ = writeln!(text, "  s{}[\"{name}<br/>{state}\"]", step.0);
        _ = writeln!(text, "  style s{} fill:{}", step.0, color(state));
    }
    arrows(definition).for_each(|(before, after)| _ = writeln!(text, "  s{} --> s{}", before.0, after.0));
    text
}

fn dot(definition: &Definition, saga: &Saga) -> String {
    let mut text = "digraph saga {\n  rankdir=LR;\n  node [shape=box, style=filled];\n".to_owned();
    for step in definition.places() {
        let (name, state) = (&definition.step(step).name, state(saga, step));
        _ = writeln!(text, "  \"{name}\" [label=\"{name}\\n{state}\", fillcolor=\"{}\"];", color(state));
    }
    for (before, after) in arrows(definition) {
        _ = writeln!(text, "  \"{}\" -> \"{}\";", definition.step(before).name, definition.step(after).name);
    }
    text + "}\n"
}

/// Each step as far to the right as its longest way from the start.
fn ascii(definition: &Definition, saga: &Saga) -> String {
    let mut depths = vec![0_usize; definition.steps.len()];
    let mut text = String::new();
    for step in &definition.order {
        let rule = definition.step(*step);
        depths[step.at()] = rule.after.iter().map(|before| depths[before.at()] + 1).max().unwrap_or(0);
        let after: Vec<&str> = rule.after.iter().map(|before| &*definition.step(*before).name).collect();
        let after = if after.is_empty() { String::new() } else { format!("  after {}", after.join(", ")) };
        let state = state(saga, *step);
        _ = writeln!(text, "{}{} {}  {state}{after}", "    ".repeat(depths[step.at()]), mark(state), rule.name);
    }
    text
}
