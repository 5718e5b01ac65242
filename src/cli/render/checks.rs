//! What the checks found: of a live database, of every consumed record, of a participant.

use std::fmt::Write as _;

use crate::kit::{Report, Row};
use crate::operations::{BalanceReport, Meaning, VerifyReport};

use super::{lines, or_dash, printable, table};

/// What the online checks found: a line each, the first offenders, a sum.
pub fn verified(report: &VerifyReport) -> String {
    let mut rows = table(&["CHECK", "MEANS", "FOUND"]);
    let meaning = |meaning| match meaning {
        Meaning::Wrong => "wrong",
        Meaning::Look => "look",
    };
    for found in &report.checks {
        rows.add_row([found.check.name(), meaning(found.meaning), &found.count.to_string()]);
    }
    let mut text = lines(&rows);
    let mut rows = table(&["CHECK", "ID", "KEY", "WHAT"]);
    for (check, offender) in report.checks.iter().flat_map(|found| found.first.iter().map(|first| (found.check, first)))
    {
        let (key, what) = (or_dash(offender.key.as_deref()).escape_debug(), offender.what.escape_debug());
        rows.add_row([check.name(), &offender.id, &key.to_string(), &what.to_string()]);
    }
    if !rows.is_empty() {
        text = format!("{text}\n{}", lines(&rows));
    }
    format!("{text}\n{} wrong, {} to look at; {} sagas folded\n", report.wrong, report.look, report.sagas_folded)
}

/// Every partition's account, those that do not balance, a sum.
pub fn balanced(report: &BalanceReport) -> String {
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
    let mut text = lines(&rows);
    let mut rows = table(&["PARTITION", "DOES NOT BALANCE"]);
    for offender in &report.offenders {
        rows.add_row([&offender.id, &offender.what]);
    }
    if !rows.is_empty() {
        text = format!("{text}\n{}", lines(&rows));
    }
    let passed: i64 = report.partitions.iter().map(|account| account.next.saturating_sub(account.first)).sum();
    let count = report.offenders.len();
    format!("{text}\n{passed} offsets passed in {} partitions; {count} offenders\n", report.partitions.len())
}

/// What the participant kit found: a line a case, then what is behind those that are more than a pass.
pub fn kit(report: &Report) -> String {
    let mut rows = table(&["CASE", "", "SENT", "REQUIRED", "CAME", "VERDICT"]);
    rows.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    for row in &report.cases {
        let came = printable(&row.came);
        rows.add_row([&row.case.to_string(), row.name, row.sent, row.required, &came, row.verdict.name()]);
    }
    let mut text = lines(&rows);
    // Cases with the same story tell it once.
    let story = |row: &Row| (row.wrong.clone(), row.hints.clone(), row.notes.clone());
    for rows in report.cases.chunk_by(|one, other| story(one) == story(other)) {
        let (wrong, hints, notes) = story(&rows[0]);
        let named = |row: &Row| format!("{} {}", row.case, row.name);
        if !(wrong.is_empty() && hints.is_empty() && notes.is_empty()) {
            let names: Vec<String> = rows.iter().map(named).collect();
            _ = writeln!(text, "\n{}: {}", rows[0].verdict.name(), names.join(", "));
        }
        for (kind, texts) in [("wrong", wrong), ("hint", hints), ("note", notes)] {
            for said in texts {
                _ = writeln!(text, "  {kind:<6} {}", printable(&said));
            }
        }
    }
    text
}
