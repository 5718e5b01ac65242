//! What was removed, and by which periods the journal is kept.

use crate::operations::{PeriodJson, RetentionReport, Times};

use super::{lines, or_dash, printable, table};

/// What a run removed, or would: a line for each period that is over, then counts.
pub fn retained(report: &RetentionReport, times: Times) -> String {
    let mut text = String::new();
    if !report.periods.is_empty() {
        let mut rows = table(&["PARTITION", "FROM", "TO", "OUTCOME", "SAGAS THERE", "OLDEST", "PHASE"]);
        for over in &report.periods {
            let (key, phase) = over.oldest.as_ref().map_or(("-", "-"), |oldest| (&oldest.business_key, oldest.phase));
            rows.add_row([
                &over.name,
                &times.column(over.from.0),
                &times.column(over.to.0),
                over.outcome,
                &over.sagas.to_string(),
                &printable(key),
                phase,
            ]);
        }
        text = format!("{}\n", lines(&rows));
    }
    let count = |outcome: &str| report.periods.iter().filter(|over| over.outcome == outcome).count();
    let ended = report.ended_before.map_or_else(|| "-".to_owned(), |at| at.0.to_string());
    if report.dry_run {
        let (sagas, over) = (report.sagas, report.periods.len());
        return format!(
            "{text}{sagas} sagas would be removed that ended before {ended}; {over} periods are over; nothing is done\n"
        );
    }
    let records: Vec<String> =
        report.records.iter().filter(|(_, count)| **count > 0).map(|(kind, count)| format!("{kind} {count}")).collect();
    let records = if records.is_empty() { String::new() } else { format!("; {}", records.join(", ")) };
    format!(
        "{text}{} sagas removed that ended before {ended}; {} tables dropped, {} kept, {} busy; {} made, {} periods without one{records}\n",
        report.sagas,
        count("dropped"),
        count("kept"),
        report.busy,
        report.made,
        report.occupied
    )
}

/// The tables of periods and the default partitions, a line each.
pub fn periods(found: &[PeriodJson], times: Times) -> String {
    let mut rows = table(&["PARTITION", "FROM", "TO", "ROWS", "MIB", "OPEN", "OLDEST OPEN"]);
    for one in found {
        let at =
            |moment: Option<crate::operations::Moment>| moment.map_or_else(|| "-".to_owned(), |at| times.column(at.0));
        let mib = one.bytes.saturating_add(1_048_575) / 1_048_576;
        rows.add_row([
            one.name.clone(),
            at(one.from),
            at(one.to),
            one.rows.map_or_else(|| "?".to_owned(), |rows| rows.to_string()),
            mib.to_string(),
            one.open.to_string(),
            printable(or_dash(one.oldest_open_key.as_deref())),
        ]);
    }
    lines(&rows)
}
