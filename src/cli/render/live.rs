//! What moves: who is behind, how it goes, one saga as it goes on.

use std::fmt::Write as _;

use crate::operations::{
    CommandLag, Explanation, InputLag, LagReport, OldestJson, Shown, Times, TopDefinition, TopInputs, TopJson,
};

use super::{facts, lines, or_dash, printable, replay, saga, table};

/// Rows of a saga's journal that are shown beside how it stands.
const NEWEST: usize = 12;
/// The phases of open sagas, in the order of their columns.
const OPEN: [&str; 4] = ["running", "compensating", "stuck", "paused"];

/// Who is behind: a line a partition that engines read, a line a group of participants, a sum.
pub fn lag(report: &LagReport) -> String {
    let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let mut text = String::new();
    if !report.inputs.is_empty() {
        let mut rows = table(&["PARTITION", "CARRIES", "STATE", "NEXT", "LOW", "END", "BEHIND", "WHY"]);
        for InputLag { topic, partition, carries, state, next, low, end, behind, stopped_because } in &report.inputs {
            rows.add_row([
                format!("{topic}/{partition}"),
                carries.join(", "),
                (*state).to_owned(),
                number(*next),
                number(*low),
                number(*end),
                number(*behind),
                printable(or_dash(stopped_because.as_deref())),
            ]);
        }
        text += &format!("{}\n", lines(&rows));
    }
    if let Some(groups) = report.commands.as_ref().filter(|groups| !groups.is_empty()) {
        let mut rows = table(&["COMMANDS", "PARTICIPANTS", "GROUP", "STATE", "MEMBERS", "BEHIND", "BY PARTITION"]);
        for group in groups {
            rows.add_row([
                group.topic.clone(),
                group.participants.join(", "),
                printable(group.group.as_deref().unwrap_or("nobody")),
                or_dash(group.state.as_deref()).to_owned(),
                group.members.to_string(),
                group.behind.to_string(),
                by_partition(group),
            ]);
        }
        text += &format!("{}\n", lines(&rows));
    }
    let behind = |inputs: &[InputLag]| inputs.iter().filter_map(|input| input.behind).sum::<i64>();
    let is_still = |input: &&InputLag| input.state == "stopped";
    let stopped = report.inputs.iter().filter(is_still).count();
    let participants = report.commands.as_ref().map(|groups| groups.iter().map(|group| group.behind).sum::<i64>());
    let participants = participants.map_or_else(|| "an unknown number".to_owned(), |behind| behind.to_string());
    _ = writeln!(
        text,
        "engines are behind by {}, partitions stopped: {stopped}; participants are behind by {participants}",
        behind(&report.inputs)
    );
    text
}

fn by_partition(group: &CommandLag) -> String {
    let behind = group.partitions.iter().filter(|partition| partition.behind > 0);
    let told: Vec<String> = behind.map(|partition| format!("{}: {}", partition.partition, partition.behind)).collect();
    if told.is_empty() { "-".to_owned() } else { told.join(", ") }
}

/// How it goes, in one line.
pub fn top_head(seen: &TopJson) -> String {
    let silent = if seen.writers_silent > 0 { format!(", {} silent", seen.writers_silent) } else { String::new() };
    let behind = match (&seen.inputs, &seen.inputs_unknown) {
        (Some(inputs), _) => told(inputs),
        (None, Some(why)) => format!("behind: unknown, {}", printable(why)),
        (None, None) => "behind: --kafka tells".to_owned(),
    };
    let (alive, stuck, parked) = (seen.writers_alive, seen.stuck, seen.parked);
    let held = match seen.held.as_slice() {
        [] => String::new(),
        held => format!("   held: {}", printable(&held.join(", "))),
    };
    format!("engines {alive} alive{silent}   stuck {stuck}   parked {parked}{held}   {behind}")
}

fn told(inputs: &TopInputs) -> String {
    let mut text = format!("behind {}", inputs.behind);
    let topics: Vec<String> = inputs.topics.iter().map(|(topic, behind)| format!("{topic} {behind}")).collect();
    if !topics.is_empty() {
        _ = write!(text, " ({})", topics.join(", "));
    }
    if inputs.stopped > 0 {
        _ = write!(text, "   partitions not read: {} (sagabus lag tells why)", inputs.stopped);
    }
    text
}

/// How it goes with each definition, a line each.
pub fn top_body(seen: &TopJson, times: Times) -> String {
    let ended = format!("ENDED WITHIN {} S", seen.lately_seconds);
    let mut rows = table(&[
        "DEFINITION",
        "RUNNING",
        "COMPENSATING",
        "STUCK",
        "PAUSED",
        "BEGAN/S",
        "ENDED/S",
        &ended,
        "OLDEST UNDER WAY",
    ]);
    for one in &seen.definitions {
        let [running, compensating, stuck, paused] =
            OPEN.map(|phase| one.open.get(phase).copied().unwrap_or(0).to_string());
        rows.add_row([
            one.definition.clone(),
            running,
            compensating,
            stuck,
            paused,
            format!("{:.1}", one.began_per_second),
            format!("{:.1}", one.ended_per_second),
            ended_lately(one),
            one.oldest.as_ref().map_or_else(|| "-".to_owned(), |oldest| under_way(oldest, times)),
        ]);
    }
    lines(&rows)
}

fn ended_lately(one: &TopDefinition) -> String {
    let told: Vec<String> = one.ended.iter().map(|(phase, count)| format!("{phase} {count}")).collect();
    if told.is_empty() { "-".to_owned() } else { told.join(", ") }
}

fn under_way(oldest: &OldestJson, times: Times) -> String {
    format!("{} {}, began {}", printable(&oldest.business_key), oldest.phase, times.column(oldest.started_at.0))
}

/// Which saga is watched, and how it stands in one sentence.
pub fn watched_head(shown: &Shown) -> String {
    replay::summary(shown)
}

/// Its steps, what it waits for, the newest rows of its journal.
pub fn watched_body(shown: &Shown, explanation: &Explanation, times: Times) -> String {
    let mut text = format!("{}{}\n", replay::steps(shown), saga::gates(explanation, times));
    let newest = shown.journal.len().saturating_sub(NEWEST);
    shown.journal[newest..].iter().for_each(|row| _ = writeln!(text, "{}", facts::row(row, times)));
    text
}
