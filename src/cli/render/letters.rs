//! Dead letters, and what becomes of them.

use std::fmt::Write as _;

use crate::operations::{DlqReport, LetterJson, LetterShown, Times};

use super::{lines, or_dash, printable, table};

/// Dead letters, a line each.
pub fn letters(letters: &[LetterJson], times: Times) -> String {
    let mut rows = table(&["PLACE", "WRITTEN", "KEY", "FROM", "SAGA", "STEP", "ERROR"]);
    for letter in letters {
        rows.add_row([
            format!("{}@{}", letter.partition, letter.offset),
            times.column(letter.written_at.0),
            printable(or_dash(letter.key.as_deref())),
            from(letter),
            letter.saga_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            step(letter),
            printable(or_dash(letter.error.as_deref())),
        ]);
    }
    lines(&rows)
}

fn from(letter: &LetterJson) -> String {
    let Some(topic) = &letter.original_topic else { return "-".to_owned() };
    let number = |number: Option<i64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
    match (letter.original_partition, letter.original_offset) {
        (None, None) => printable(topic),
        (partition, offset) => {
            format!("{}/{} @ {}", printable(topic), number(partition.map(i64::from)), number(offset))
        }
    }
}

fn step(letter: &LetterJson) -> String {
    let step = printable(or_dash(letter.step.as_deref()));
    letter.action.as_deref().map_or_else(|| step.clone(), |action| format!("{} {step}", printable(action)))
}

/// One dead letter with its headers and its value.
pub fn letter_shown(shown: &LetterShown, times: Times) -> String {
    let listed = &shown.listed;
    let (topic, partition, offset) = (&listed.topic, listed.partition, listed.offset);
    let mut text = format!("LETTER  {topic} {partition}@{offset}  key {}\n", printable(or_dash(listed.key.as_deref())));
    _ = writeln!(text, "WRITTEN {}   FROM {}", times.column(listed.written_at.0), from(listed));
    listed.saga_id.iter().for_each(|saga| _ = writeln!(text, "SAGA    {saga}  {}", step(listed)));
    listed.error.iter().for_each(|error| _ = writeln!(text, "ERROR   {}", printable(error)));
    let mut rows = table(&["HEADER", "VALUE"]);
    for header in &shown.headers {
        let value = header.1.as_ref().map(ToString::to_string);
        rows.add_row([printable(&header.0), printable(or_dash(value.as_deref()))]);
    }
    let cut = if shown.is_whole { "" } else { ", cut: the record was over the limits" };
    text + &format!("\n{}\nVALUE{cut}\n{}\n", lines(&rows), printable(or_dash(shown.value.as_deref())))
}

/// What becomes of dead letters, a line each, and a sum.
pub fn mailbag(report: &DlqReport) -> String {
    let mut text = String::new();
    if !report.letters.is_empty() {
        let mut rows = table(&["PLACE", "WHAT", "BACK", "VERDICT", "WHY"]);
        for letter in &report.letters {
            rows.add_row([
                format!("{}@{}", letter.partition, letter.offset),
                printable(&letter.what),
                letter.outcome.to_owned(),
                or_dash(letter.verdict).to_owned(),
                printable(or_dash(letter.message.as_deref())),
            ]);
        }
        text = format!("{}\n", lines(&rows));
    }
    let DlqReport { republished, entered, covered, refused, .. } = report;
    let again = if *covered > 0 { format!(", {covered} covered by the same command") } else { String::new() };
    _ = writeln!(text, "{republished} sent again by their sagas, {entered} into the line{again}, {refused} refused");
    text
}
