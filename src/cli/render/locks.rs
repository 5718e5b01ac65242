//! What holds up what, for people.

use std::fmt::Write as _;

use crate::operations::{LeaseJson, LocksJson, Moment, SessionJson, Times};

use super::{lines, or_dash, printable, table};

/// Sessions that wait, sessions that hold others up or are idle within a transaction, what Sagabus holds, and a sum.
pub fn locks(seen: &LocksJson, times: Times) -> String {
    let mut text = String::new();
    let mut rows = table(&["WAITS", "APPLICATION", "USER", "SINCE", "LOCK", "OF", "BLOCKED BY", "STATEMENT"]);
    for (session, wait) in seen.sessions.iter().filter_map(|session| Some((session, session.waits_for.as_ref()?))) {
        rows.add_row([
            session.pid.to_string(),
            text_of(session.application.as_deref()),
            text_of(session.user.as_deref()),
            moment(wait.since, times),
            format!("{} {}", wait.lock, wait.mode),
            text_of(wait.relation.as_deref()),
            pids(&wait.blocked_by),
            text_of(session.statement.as_deref()),
        ]);
    }
    let waiting = seen.sessions.iter().filter(|session| session.waits_for.is_some()).count();
    append(&mut text, &rows);
    let mut rows = table(&["HOLDS", "APPLICATION", "USER", "STATE", "SINCE", "TRANSACTION", "HOLDS UP", "STATEMENT"]);
    let holds = |session: &&SessionJson| session.waits_for.is_none() || !session.holds_up.is_empty();
    for session in seen.sessions.iter().filter(holds) {
        rows.add_row([
            session.pid.to_string(),
            text_of(session.application.as_deref()),
            text_of(session.user.as_deref()),
            text_of(session.state.as_deref()),
            moment(session.since, times),
            moment(session.transaction_since, times),
            pids(&session.holds_up),
            text_of(session.statement.as_deref()),
        ]);
    }
    append(&mut text, &rows);
    let mut rows = table(&["SAGABUS", "NAME", "HOLDER", "SINCE", "LAST HEARD", "UNTIL"]);
    for LeaseJson { kind, name, holder, since, heard_at, until } in &seen.leases {
        rows.add_row([
            (*kind).to_owned(),
            name.clone(),
            text_of(holder.as_deref()),
            moment(*since, times),
            moment(*heard_at, times),
            moment(*until, times),
        ]);
    }
    append(&mut text, &rows);
    let idle =
        seen.sessions.iter().filter(|session| session.waits_for.is_none() && session.holds_up.is_empty()).count();
    _ = match (waiting, idle) {
        (0, 0) => writeln!(text, "no session waits for another one, and none is idle within a transaction"),
        _ => writeln!(text, "sessions that wait: {waiting}; idle within a transaction with nobody waiting: {idle}"),
    };
    text
}

fn append(text: &mut String, rows: &comfy_table::Table) {
    if !rows.is_empty() {
        *text += &format!("{}\n", lines(rows));
    }
}

fn text_of(text: Option<&str>) -> String {
    printable(or_dash(text))
}

fn moment(at: Option<Moment>, times: Times) -> String {
    at.map_or_else(|| "-".to_owned(), |at| times.column(at.0))
}

fn pids(pids: &[i32]) -> String {
    let name = |pid: &i32| if *pid == 0 { "a prepared transaction".to_owned() } else { pid.to_string() };
    let told: Vec<String> = pids.iter().map(name).collect();
    if told.is_empty() { "-".to_owned() } else { told.join(", ") }
}
