//! Many of the same: sagas, counts, what went wrong.

use crate::operations::{
    CountJson, FailureGroup, HoldJson, HoldScope, ListedJson, Times, Trouble, WaitingJson, millis_between, span,
};

use super::{lines, or_dash, printable, table};

/// Sagas, a line each.
pub fn sagas(sagas: &[ListedJson], times: Times) -> String {
    let mut rows = table(&["ID", "DEFINITION", "KEY", "PHASE", "STARTED", "FINISHED", "ERROR"]);
    for saga in sagas {
        let error = saga.error.as_ref().map(|error| format!("{} {}", or_dash(error.step.as_deref()), error.code));
        rows.add_row([
            saga.id.to_string(),
            format!("{} v{}", saga.definition, saga.version),
            printable(&saga.business_key),
            saga.phase.to_owned(),
            times.column(saga.started_at.0),
            saga.finished_at.map_or_else(|| "-".to_owned(), |at| times.column(at.0)),
            printable(error.as_deref().unwrap_or("-")),
        ]);
    }
    lines(&rows)
}

/// Sagas by definition and phase, and a sum.
pub fn counts(counts: &[CountJson]) -> String {
    let mut rows = table(&["DEFINITION", "PHASE", "SAGAS"]);
    for count in counts {
        rows.add_row([&count.definition, count.phase, &count.sagas.to_string()]);
    }
    let sum: i64 = counts.iter().map(|count| count.sagas).sum();
    rows.add_row(["", "", &sum.to_string()]);
    lines(&rows)
}

/// What went wrong in sagas, a line each.
pub fn troubles(troubles: &[Trouble], times: Times) -> String {
    let mut rows = table(&["SAGA", "DEFINITION", "KEY", "PHASE", "SINCE", "STEP", "CODE", "MESSAGE", "APPLIED", "CAN"]);
    for trouble in troubles {
        rows.add_row([
            trouble.saga_id.to_string(),
            trouble.definition.clone(),
            printable(&trouble.business_key),
            trouble.phase.to_owned(),
            times.column(trouble.since.0),
            format!("{} {}", trouble.action, or_dash(trouble.step.as_deref())),
            printable(&trouble.code),
            printable(or_dash(Some(trouble.message.as_str()).filter(|message| !message.is_empty()))),
            if trouble.applied.is_empty() { "-".to_owned() } else { trouble.applied.join(", ") },
            trouble.can.join(", "),
        ]);
    }
    lines(&rows)
}

/// Steps that wait for somebody's word, a line each.
pub fn waiting(waiting: &[WaitingJson], times: Times) -> String {
    let mut rows = table(&["SAGA", "DEFINITION", "KEY", "STEP", "FOR", "SINCE", "UNTIL", "ASKED"]);
    for one in waiting {
        let asked = one.asked.as_ref().map(|asked| asked.get()).or(one.problem.as_deref());
        rows.add_row([
            one.saga_id.to_string(),
            one.definition.clone(),
            printable(&one.business_key),
            or_dash(one.step.as_deref()).to_owned(),
            or_dash(one.waits_for).to_owned(),
            times.column(one.since.0),
            one.until.map_or_else(|| "-".to_owned(), |at| times.column(at.0)),
            printable(or_dash(asked)),
        ]);
    }
    lines(&rows)
}

/// What is held, a line each.
pub fn holds(holds: &[HoldJson], times: Times) -> String {
    let mut rows = table(&["HOLD", "DEFINITION", "STEP", "PARTICIPANT", "SINCE", "BY", "REASON"]);
    for hold in holds {
        let all = |name: &Option<String>| name.as_deref().map_or_else(|| "all".to_owned(), printable);
        rows.add_row([
            hold.id.clone(),
            all(&hold.definition),
            all(&hold.step),
            all(&hold.participant),
            times.column(hold.since.0),
            printable(&hold.who),
            printable(&hold.reason),
        ]);
    }
    lines(&rows)
}

/// What a hold or a release is about, in one sentence; `done`: such as `held`.
pub fn hold_scope(done: &str, moved: &HoldScope) -> String {
    let HoldScope { id, target, definitions, open_sagas } = moved;
    let id = id.as_ref().map_or_else(String::new, |id| format!("{id}  "));
    format!("{id}{done} {}: in {}, with {open_sagas} open sagas", printable(target), printable(&definitions.join(", ")))
}

/// Groups of the same failure, a line each.
pub fn failures(groups: &[FailureGroup], times: Times) -> String {
    let mut rows = table(&["GROUP", "FAILURE", "SAGAS", "STUCK", "FIRST", "LAST", "WITHIN", "SAMPLE", "REASON"]);
    for group in groups {
        let step = or_dash(group.step.as_deref());
        rows.add_row([
            group.id.clone(),
            format!("{}/{step} {} {}", group.definition, group.action, printable(&group.code)),
            group.sagas.to_string(),
            group.stuck.to_string(),
            times.column(group.first_seen.0),
            times.column(group.last_seen.0),
            span(millis_between(group.first_seen.0, group.last_seen.0)),
            printable(&group.sample),
            printable(or_dash(Some(group.reason.as_str()).filter(|reason| !reason.is_empty()))),
        ]);
    }
    lines(&rows)
}
