//! Printing: tables for people, JSON for programs. The only place that writes to standard output.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the command line is for")]

use std::io::IsTerminal as _;

use serde::Serialize;

use crate::operations::Failure;

use super::arguments::{ListFormat, OutputFormat};

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

/// Prints data as JSON, a line each.
pub(super) fn json_lines(values: &[impl Serialize]) {
    values.iter().for_each(|value| println!("{}", serde_json::to_string(value).expect("output is plain data")));
}

/// Prints one thing: as JSON, or as `table` writes it.
pub(super) fn one<T: Serialize>(format: OutputFormat, value: &T, table: impl FnOnce(&T) -> String) {
    match format {
        OutputFormat::Json => json(value),
        OutputFormat::Table => print(table(value).trim_end()),
    }
}

/// Prints many of the same: `name` is what each is called by.
pub(super) fn many<T: Serialize>(
    format: ListFormat,
    values: &[T],
    name: impl Fn(&T) -> String,
    table: impl FnOnce(&[T]) -> String,
) {
    match format {
        ListFormat::Json => json(&values),
        ListFormat::Jsonl => json_lines(values),
        ListFormat::Name => values.iter().for_each(|value| print(&name(value))),
        ListFormat::Table => print(table(values).trim_end()),
    }
}

/// Says that a list was cut, if it was.
pub(super) fn cut(is_cut: bool, limit: usize) {
    if is_cut {
        note(&format!("the list is cut at {limit}: --limit shows more"));
    }
}
