//! One saga: at a glance, explained, drawn over time, beside another one.

use std::fmt::Write as _;

use crate::core::Timestamp;
use crate::operations::{Bar, DiffLine, Explanation, FoundJson, Gate, Times, due, millis_between, span};

use super::{lines, or_dash, printable, table};

/// Columns of each half of a timeline.
const HALF: usize = 40;

/// What `find` found: a block a saga, a line a parked record.
pub fn found(found: &FoundJson, times: Times) -> String {
    let mut text = String::new();
    for saga in &found.sagas {
        let (listed, hash) = (&saga.saga, saga.definition_hash.get(..8).unwrap_or_default());
        let (name, version, key) = (&listed.definition, listed.version, printable(&listed.business_key));
        _ = writeln!(text, "SAGA    {}  {name} v{version} ({hash})  key {key}", listed.id);
        let done = if saga.done.is_empty() { "nothing".to_owned() } else { saga.done.join(", ") };
        _ = writeln!(text, "PHASE   {} {}   DONE {done}", listed.phase, times.since(saga.phase_since.0));
        _ = writeln!(text, "WHY     {}", printable(&saga.why));
        saga.command.iter().for_each(|command| _ = writeln!(text, "COMMAND {command}"));
        saga.trace_id.iter().for_each(|trace| _ = writeln!(text, "TRACE   {trace}"));
        let can = saga.can.iter().copied().chain(["explain", "history"]);
        _ = writeln!(text, "CAN     {}", can.collect::<Vec<_>>().join(", "));
    }
    for parked in &found.parked {
        let place = format!("{}/{}/{}", parked.topic, parked.partition, parked.offset);
        let key = printable(or_dash(parked.key.as_deref()));
        let since = times.column(parked.parked_at.0);
        _ = writeln!(text, "PARKED  {}  {place}  key {key}  {since}  {}", parked.id, printable(&parked.reason));
    }
    text
}

/// The sentence, every gate, what can be done.
pub fn explanation(explanation: &Explanation, times: Times) -> String {
    format!("{}\n{}", printable(&explanation.sentence), gates(explanation, times))
}

/// Every gate, what can be done.
pub(super) fn gates(explanation: &Explanation, times: Times) -> String {
    let mut text = String::new();
    if !explanation.gates.is_empty() {
        let mut rows = table(&["GATE", "STEP", "WAITS FOR", "SINCE", "BECAUSE", "NEXT"]);
        explanation.gates.iter().for_each(|gate| _ = rows.add_row(gate_row(gate, times)));
        _ = write!(text, "\n{}", lines(&rows));
    }
    let applied = if explanation.applied.is_empty() { "nothing".to_owned() } else { explanation.applied.join(", ") };
    let can = if explanation.can.is_empty() { "nothing".to_owned() } else { explanation.can.join(", ") };
    _ = writeln!(text, "\nAPPLIED {applied}\nCAN     {can}");
    text
}

fn gate_row(gate: &Gate, times: Times) -> [String; 6] {
    let next: Vec<String> = gate.next.iter().map(|next| due(next, times)).collect();
    [
        serde_json::to_value(gate.gate).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default(),
        gate.step.as_ref().map_or_else(|| "-".to_owned(), |step| format!("{} {step}", or_dash(gate.action))),
        gate.waits_for.clone(),
        gate.since.map_or_else(|| "-".to_owned(), |since| times.column(since.0)),
        printable(&gate.because),
        if next.is_empty() { "-".to_owned() } else { next.join("; ") },
    ]
}

/// A line a step: to the right what was done, mirrored to the left how it was undone. Both halves have the same scale and begin in the
/// middle: the right one with the saga, the left one with its first undo.
pub fn timeline(bars: &[Bar], now: Timestamp) -> String {
    let halves = ["undo", "do"].map(|action| bars.iter().filter(|bar| bar.action == action).collect::<Vec<_>>());
    let span_of = |bars: &[&Bar]| {
        let begin = bars.iter().map(|bar| bar.queued_at.0).min().unwrap_or(now);
        let end = bars.iter().map(|bar| bar.ended_at.map_or(now, |at| at.0)).max().unwrap_or(now);
        (begin, millis_between(begin, end))
    };
    let [(undo_begin, undo_ms), (do_begin, do_ms)] = halves.each_ref().map(|bars| span_of(bars));
    let scale = undo_ms.max(do_ms).max(1);
    let mut names: Vec<&str> = Vec::new();
    bars.iter().map(|bar| bar.step.as_str()).for_each(|name| {
        if !names.contains(&name) {
            names.push(name)
        }
    });
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for name in names {
        let half = |bars: &[&Bar], begin| {
            let of_step: Vec<&Bar> = bars.iter().filter(|bar| bar.step == name).copied().collect();
            drawn(&of_step, begin, scale, now)
        };
        let left: String = half(&halves[0], undo_begin).iter().rev().collect();
        let right: String = half(&halves[1], do_begin).iter().collect();
        _ = writeln!(text, "{}", format!("{name:<width$}  {left}|{right}").trim_end());
    }
    let (took, undone) = (span(do_ms), span(undo_ms));
    _ = writeln!(text, "\n{:<width$}  {:>HALF$}|{}", "", format!("undone in {undone}"), format_args!("done in {took}"));
    text + "· ready  ━ sent  ● succeeded  ✗ failed  ? given up  ! unanswered  - skipped  … not over\n"
}

fn drawn(bars: &[&Bar], begin: Timestamp, scale: u64, now: Timestamp) -> Vec<char> {
    let mut row = vec![' '; HALF];
    let column = |at: Timestamp| {
        let last = u64::try_from(HALF - 1).unwrap_or_default();
        usize::try_from(millis_between(begin, at).saturating_mul(last) / scale).unwrap_or(HALF - 1).min(HALF - 1)
    };
    for bar in bars {
        let (queued, issued) = (column(bar.queued_at.0), column(bar.issued_at.0));
        let end = column(bar.ended_at.map_or(now, |at| at.0));
        row[queued..issued].fill('·');
        row[issued..=end.max(issued)].fill('━');
        row[end.max(issued)] = match bar.end {
            Some("succeeded") => '●',
            Some("failed") => '✗',
            Some("givenUp") => '?',
            Some("skipped") => '-',
            Some(_) => '!',
            None => '…',
        };
    }
    row
}

/// Both histories, line by line: what only the first has, what only the second has, what both have.
pub fn difference(found: &[DiffLine]) -> String {
    let line = |line: &DiffLine| {
        let side = match line.side {
            "a" => '-',
            "b" => '+',
            _ => ' ',
        };
        format!("{side} {}\n", printable(&line.fact))
    };
    found.iter().map(line).collect()
}
