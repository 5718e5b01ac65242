//! Printing: tables for people, JSON for programs. The only place that writes to standard output.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the command line is for")]

use std::io::IsTerminal as _;

use serde::Serialize;

use crate::kit::{Report, Row};
use crate::operations::{BalanceReport, Failure, Meaning, VerifyReport};

use super::render::{or_dash, printable, table};

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

/// What the online checks found: a line each, the first offenders, a sum.
pub(super) fn verified(report: &VerifyReport) {
    let mut rows = table(&["CHECK", "MEANS", "FOUND"]);
    let meaning = |meaning| match meaning {
        Meaning::Wrong => "wrong",
        Meaning::Look => "look",
    };
    for found in &report.checks {
        rows.add_row([found.check.name(), meaning(found.meaning), &found.count.to_string()]);
    }
    println!("{}", rows.trim_fmt());
    let mut rows = table(&["CHECK", "ID", "KEY", "WHAT"]);
    for (check, offender) in report.checks.iter().flat_map(|found| found.first.iter().map(|first| (found.check, first)))
    {
        let (key, what) = (or_dash(offender.key.as_deref()).escape_debug(), offender.what.escape_debug());
        rows.add_row([check.name(), &offender.id, &key.to_string(), &what.to_string()]);
    }
    if !rows.is_empty() {
        println!("\n{}", rows.trim_fmt());
    }
    println!("\n{} wrong, {} to look at; {} sagas folded", report.wrong, report.look, report.sagas_folded);
}

/// Every partition's account, those that do not balance, a sum.
pub(super) fn balanced(report: &BalanceReport) {
    let mut rows =
        table(&["PARTITION", "FIRST", "NEXT", "GAPS", "VERDICTS", "DIFFERENCE", "LOW", "END", "LAG", "STOPPED"]);
    let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    for account in &report.partitions {
        let verdicts: Vec<String> = account
            .verdicts
            .iter()
            .filter(|(_, count)| **count != 0)
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        rows.add_row([
            format!("{}/{}", account.topic, account.partition),
            account.first.to_string(),
            account.next.to_string(),
            account.gaps.to_string(),
            if verdicts.is_empty() { "-".to_owned() } else { verdicts.join(", ") },
            account.difference.to_string(),
            number(account.low),
            number(account.end),
            number(account.lag),
            or_dash(account.stopped_because.as_deref()).escape_debug().to_string(),
        ]);
    }
    println!("{}", rows.trim_fmt());
    let mut rows = table(&["PARTITION", "DOES NOT BALANCE"]);
    for offender in &report.offenders {
        rows.add_row([&offender.id, &offender.what]);
    }
    if !rows.is_empty() {
        println!("\n{}", rows.trim_fmt());
    }
    let passed: i64 = report.partitions.iter().map(|account| account.next.saturating_sub(account.first)).sum();
    let count = report.offenders.len();
    println!("\n{passed} offsets passed in {} partitions; {count} offenders", report.partitions.len());
}

/// What the participant kit found: a line a case, then what is behind those that are more than a pass.
pub(super) fn kit(report: &Report) {
    let mut rows = table(&["CASE", "", "SENT", "REQUIRED", "CAME", "VERDICT"]);
    rows.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    for row in &report.cases {
        let came = printable(&row.came);
        rows.add_row([&row.case.to_string(), row.name, row.sent, row.required, &came, row.verdict.name()]);
    }
    println!("{}", rows.trim_fmt());
    // Cases with the same story tell it once.
    let story = |row: &Row| (row.wrong.clone(), row.hints.clone(), row.notes.clone());
    for rows in report.cases.chunk_by(|one, other| story(one) == story(other)) {
        let (wrong, hints, notes) = story(&rows[0]);
        let named = |row: &Row| format!("{} {}", row.case, row.name);
        if !(wrong.is_empty() && hints.is_empty() && notes.is_empty()) {
            let names: Vec<String> = rows.iter().map(named).collect();
            println!("\n{}: {}", rows[0].verdict.name(), names.join(", "));
        }
        for (kind, texts) in [("wrong", wrong), ("hint", hints), ("note", notes)] {
            for text in texts {
                println!("  {kind:<6} {}", printable(&text));
            }
        }
    }
}
