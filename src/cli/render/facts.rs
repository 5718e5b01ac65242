//! Journals, and what a dry run would add to them: a line a fact.

use std::fmt::Write as _;

use serde_json::Value;

use crate::operations::{DryRun, JournalRow, Times};

use super::{lines, printable, table};

/// Longer values are cut, and show it.
const VALUE_CHARS: usize = 160;

/// Journal rows: a line a row, below it a line a fact.
pub fn history(rows: &[JournalRow], times: Times) -> String {
    let mut text = String::new();
    for row in rows {
        _ = writeln!(text, "{:>4}  {}", row.seq, times.column(row.at.0));
        row.facts.iter().for_each(|fact| _ = writeln!(text, "        {}", fact_line(fact)));
    }
    text
}

/// A journal row in one line: what happened, without what it holds.
pub fn row(row: &JournalRow, times: Times) -> String {
    let facts: Vec<String> = row.facts.iter().map(words).collect();
    format!("{:>4}  {}  {}", row.seq, times.column(row.at.0), printable(&facts.join("; ")))
}

/// A fact's name, its step, and what tells it from others of its name.
fn words(fact: &Value) -> String {
    let text = |key: &str| fact.get(key).and_then(Value::as_str);
    let undo = text("action").filter(|action| *action == "undo");
    let code = fact.get("answer").and_then(|answer| answer.get("code")).and_then(Value::as_str);
    let operation = fact.get("operation");
    let verb = operation.and_then(|operation| operation.get("verb")).and_then(|verb| {
        let of_object = || verb.as_object().and_then(|members| members.keys().next()).map(String::as_str);
        verb.as_str().or_else(of_object)
    });
    let by =
        operation.and_then(|operation| operation.get("who")).and_then(Value::as_str).map(|who| format!("by {who}"));
    let told =
        [text("fact"), undo, text("step"), text("phase"), text("cause"), text("code"), code, verb, by.as_deref()];
    told.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// What would be written and sent, or why it would be refused.
pub fn dry_run(tried: &DryRun) -> String {
    let mut text = format!("DRY RUN   {} of {} at row {}: nothing is written\n", tried.verb, tried.saga_id, tried.seq);
    if let Some(refusal) = &tried.refusal {
        _ = writeln!(text, "REFUSED   {}", printable(&refusal.message));
        return text;
    }
    _ = writeln!(text, "PHASE     {} -> {}", tried.phase, tried.phase_after);
    tried.announces.iter().for_each(|phase| _ = writeln!(text, "ANNOUNCES {phase}"));
    _ = writeln!(text, "FACTS");
    tried.facts.iter().for_each(|fact| _ = writeln!(text, "  {}", fact_line(fact)));
    if tried.commands.is_empty() {
        _ = writeln!(text, "COMMANDS  none");
        return text;
    }
    _ = writeln!(text, "COMMANDS");
    let mut rows = table(&["STEP", "ACTION", "ATTEMPT", "TOPIC", "TYPE", "ID", "DATA"]);
    for command in &tried.commands {
        rows.add_row([
            &command.step,
            command.action,
            &command.attempt.to_string(),
            &command.topic,
            &command.kind,
            &command.id.to_string(),
            &cut(&printable(command.data.get())),
        ]);
    }
    text + &lines(&rows)
}

fn fact_line(fact: &Value) -> String {
    let name = fact.get("fact").and_then(Value::as_str).unwrap_or("?");
    let members = fact.as_object().into_iter().flatten().filter(|(key, _)| *key != "fact");
    let said: Vec<String> = members.map(|(key, value)| said(key, value)).collect();
    format!("{name:<14} {}", said.join("  ")).trim_end().to_owned()
}

fn said(key: &str, value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), |text| text.escape_debug().to_string());
    format!("{key}={}", cut(&text))
}

fn cut(text: &str) -> String {
    let short: String = text.chars().take(VALUE_CHARS).collect();
    if short.len() < text.len() { format!("{short}...") } else { short }
}
