//! Printing: tables for people, JSON for programs. The only place that writes to standard output.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the command line is for")]

use std::io::IsTerminal as _;

use comfy_table::Table;
use serde::Serialize;

use crate::operations::{Failure, ListedJson, ParkedJson, Shown};

/// Says why a command failed.
pub(super) fn complain(failure: &Failure) {
    eprintln!("sagabus: {failure}");
}

/// Says something beside the data.
pub(super) fn note(text: &str) {
    eprintln!("{text}");
}

/// Prints data as they are.
pub(super) fn print(text: &str) {
    println!("{text}");
}

/// Prints data as JSON.
pub(super) fn json(value: &impl Serialize) {
    println!("{}", serde_json::to_string_pretty(value).expect("output is plain data"));
}

/// True when people look at standard error, in colour.
pub(super) fn is_colored() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(head.to_vec());
    table
}

fn or_dash(text: Option<&str>) -> &str {
    text.unwrap_or("-")
}

/// Sagas, a line each.
pub(super) fn sagas(sagas: &[ListedJson]) {
    let mut rows = table(&["ID", "DEFINITION", "KEY", "PHASE", "STARTED", "FINISHED", "ERROR"]);
    for saga in sagas {
        let error = saga.error.as_ref().map(|error| format!("{} {}", or_dash(error.step.as_deref()), error.code));
        rows.add_row(vec![
            saga.id.to_string(),
            format!("{} v{}", saga.definition, saga.version),
            saga.business_key.escape_debug().to_string(),
            saga.phase.to_owned(),
            saga.started_at.clone(),
            or_dash(saga.finished_at.as_deref()).to_owned(),
            error.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    println!("{}", rows.trim_fmt());
}

/// Parked messages, a line each.
pub(super) fn parked(messages: &[ParkedJson]) {
    let mut rows = table(&["ID", "PLACE", "PARKED", "KEY", "REASON"]);
    for message in messages {
        rows.add_row(vec![
            message.id.to_string(),
            format!("{}/{} @ {}", message.topic, message.partition, message.offset),
            message.parked_at.clone(),
            or_dash(message.key.as_deref()).to_owned(),
            message.reason.escape_debug().to_string(),
        ]);
    }
    println!("{}", rows.trim_fmt());
}

/// One saga: a sentence, its steps as a graph, its journal.
pub(super) fn saga(shown: &Shown) {
    let saga = &shown.saga;
    println!("SAGA   {}  {} v{}  key {}", saga.id, saga.definition, saga.version, saga.business_key.escape_debug());
    println!("NOW    {}", shown.summary);
    let mut rows = table(&["STEP", "AFTER", "KIND", "STATE", "DO", "UNDO"]);
    for step in &shown.steps {
        rows.add_row(vec![
            format!("{} {}", mark(step.state), step.name),
            if step.after.is_empty() { "-".to_owned() } else { step.after.join(", ") },
            step.kind.to_owned(),
            step.state.to_owned(),
            step.attempts.to_string(),
            step.undo_attempts.to_string(),
        ]);
    }
    println!("\n{}\n", rows.trim_fmt());
    for row in &shown.journal {
        println!("{:>4}  {}", row.seq, row.at);
        for fact in &row.facts {
            let name = fact.get("fact").and_then(|name| name.as_str()).unwrap_or("?");
            let rest: Vec<String> = fact
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(key, _)| *key != "fact")
                .map(|(key, value)| said(key, value))
                .collect();
            println!("        {name:<14} {}", rest.join("  "));
        }
    }
}

fn said(key: &str, value: &serde_json::Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), |text| text.escape_debug().to_string());
    let short: String = text.chars().take(160).collect();
    if short.len() < text.len() { format!("{key}={short}...") } else { format!("{key}={short}") }
}

fn mark(state: &str) -> &'static str {
    match state {
        "succeeded" => "●",
        "compensated" => "↩",
        "failed" | "compensationFailed" => "✗",
        "givenUp" => "?",
        "pending" | "skipped" => "○",
        _ => "◐",
    }
}
