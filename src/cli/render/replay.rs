//! One saga whole or as of a journal row, and what came of deciding sagas again.

use std::fmt::Write as _;

use crate::operations::{self, Backfilled, ReplayReport, Shown, Times};

use super::{history, lines, or_dash, printable, table};

/// One saga: a sentence, its steps, its journal.
pub fn saga(shown: &Shown, times: Times) -> String {
    format!("{}{}", head(shown), history(&shown.journal, times))
}

/// One saga as it was after its newest row here, of `rows` in its journal; of the journal that row alone.
pub fn frame(shown: &Shown, rows: usize, times: Times) -> String {
    let newest = shown.journal.len().saturating_sub(1);
    let row = history(&shown.journal[newest..], times);
    format!("ROW    {} of {rows}, phase {}\n{}{row}", shown.journal.len(), shown.saga.phase, head(shown))
}

fn head(shown: &Shown) -> String {
    format!("{}\n{}\n", summary(shown), steps(shown))
}

/// Which saga it is, and how it stands in one sentence.
pub(super) fn summary(shown: &Shown) -> String {
    let saga = &shown.saga;
    let (name, version, key) = (&saga.definition, saga.version, printable(&saga.business_key));
    format!("SAGA   {}  {name} v{version}  key {key}\nNOW    {}\n", saga.id, printable(&shown.summary))
}

/// Its steps, a line each.
pub(super) fn steps(shown: &Shown) -> String {
    let mut rows = table(&["STEP", "AFTER", "KIND", "STATE", "DO", "UNDO"]);
    for step in &shown.steps {
        rows.add_row([
            format!("{} {}", operations::mark(step.state), step.name),
            if step.after.is_empty() { "-".to_owned() } else { step.after.join(", ") },
            step.kind.to_owned(),
            step.state.to_owned(),
            step.attempts.to_string(),
            step.undo_attempts.to_string(),
        ]);
    }
    lines(&rows)
}

/// What came of deciding sagas again: those that are not the same, and a sum.
pub fn replayed(report: &ReplayReport) -> String {
    let mut text = String::new();
    if !report.sagas.is_empty() {
        let mut rows = table(&["SAGA", "KEY", "OUTCOME", "ROW", "RECORDED", "DECIDED"]);
        for saga in &report.sagas {
            rows.add_row([
                saga.saga_id.to_string(),
                printable(&saga.business_key),
                saga.outcome.to_owned(),
                saga.seq.map_or_else(|| "-".to_owned(), |seq| seq.to_string()),
                printable(or_dash(saga.recorded.as_deref())),
                printable(or_dash(saga.decided.as_deref())),
            ]);
        }
        text += &format!("{}\n", lines(&rows));
    }
    let digest = &report.digest.to_string()[..8];
    let ReplayReport { same, differs, cannot, .. } = report;
    _ = writeln!(text, "{same} same, {differs} differ, {cannot} cannot be decided; digest {digest}");
    text
}

/// What became of the records of a stretch.
pub fn backfilled(sum: &Backfilled) -> String {
    let mut rows = table(&["RECORDS", "WHAT"]);
    rows.add_row([sum.read.to_string(), "read".to_owned()]);
    sum.left.iter().for_each(|(why, count)| _ = rows.add_row([count.to_string(), format!("left alone: {why}")]));
    sum.entered
        .iter()
        .for_each(|(verdict, count)| _ = rows.add_row([count.to_string(), format!("entered: {verdict}")]));
    lines(&rows)
}
