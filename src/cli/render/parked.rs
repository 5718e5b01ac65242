//! Records put aside, for people.

use std::fmt::Write as _;

use crate::operations::{ParkedJson, ParkedShown, RedrivenJson, SweepReason, SweepShown, Swept, Times};

use super::{lines, or_dash, printable, table};

/// Parked messages, a line each.
pub fn parked(messages: &[ParkedJson]) -> String {
    let mut rows = table(&["ID", "PLACE", "PARKED", "KEY", "STATE", "REASON"]);
    for message in messages {
        rows.add_row([
            message.id.to_string(),
            place(message),
            message.parked_at.0.to_string(),
            or_dash(message.key.as_deref()).to_owned(),
            message.state.to_owned(),
            printable(&message.reason),
        ]);
    }
    lines(&rows)
}

fn place(message: &ParkedJson) -> String {
    format!("{}/{} @ {}", message.topic, message.partition, message.offset)
}

/// What became of messages that entered the line again.
pub fn redriven(judged: &[RedrivenJson]) -> String {
    let mut rows = table(&["ID", "VERDICT", "NOW", "WHY"]);
    for one in judged {
        let now = if one.stays_parked { "parked" } else { "redriven" };
        rows.add_row([&one.id.to_string(), one.verdict, now, &printable(or_dash(one.message.as_deref()))]);
    }
    lines(&rows)
}

/// What would become of many messages: by topic and reason, those that are refused, a sum.
pub fn sweep(shown: &SweepShown, verb: &str) -> String {
    let mut rows = table(&["MESSAGES", "TOPIC", "REASON"]);
    for group in &shown.would {
        rows.add_row([group.messages.to_string(), group.topic.clone(), printable(&group.reason)]);
    }
    let mut text = if rows.is_empty() { String::new() } else { format!("{}\n", lines(&rows)) };
    reasons(&mut text, "REFUSED", &shown.refused);
    let would: usize = shown.would.iter().map(|group| group.messages).sum();
    let cut = if shown.is_cut { "; more fit than --limit lets through" } else { "" };
    _ = writeln!(text, "{verb} {would} of {} parked messages{cut}", shown.chosen);
    text
}

/// What became of many messages.
pub fn swept(swept: &Swept) -> String {
    let mut text = String::new();
    reasons(&mut text, "AGAIN", &swept.again);
    reasons(&mut text, "REFUSED", &swept.refusals);
    let Swept { chosen, redriven, parked_again, refused, .. } = swept;
    let verdicts: Vec<String> = swept.verdicts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let told = if verdicts.is_empty() { String::new() } else { format!(" ({})", verdicts.join(", ")) };
    _ = writeln!(text, "{chosen} chosen: {redriven} redriven, {parked_again} parked again, {refused} refused{told}");
    text
}

fn reasons(text: &mut String, what: &str, reasons: &[SweepReason]) {
    for SweepReason { reason, messages, sample } in reasons {
        _ = writeln!(text, "{what:<8}{messages} {}, such as {sample}", printable(reason));
    }
}

/// One message with its past.
pub fn parked_shown(shown: &ParkedShown, times: Times) -> String {
    let listed = &shown.listed;
    let (parked, written) = (times.column(listed.parked_at.0), times.column(shown.written_at.0));
    let mut text = format!(
        "PARKED  {}  {}  key {}\nSTATE   {}, put aside {parked}, written {written}\nWHY     {}\n",
        listed.id,
        place(listed),
        printable(or_dash(listed.key.as_deref())),
        listed.state,
        printable(&listed.reason)
    );
    let mut rows = table(&["HEADER", "VALUE"]);
    for header in shown.headers.iter().flatten() {
        let value = header.1.as_ref().map(ToString::to_string);
        rows.add_row([printable(&header.0), printable(or_dash(value.as_deref()))]);
    }
    text += &match shown.headers {
        Some(_) => format!("\n{}", lines(&rows)),
        None => "\nits headers cannot be read\n".to_owned(),
    };
    let cut = if shown.is_whole { "" } else { ", cut: the record was over the limits" };
    text += &format!("\nVALUE{cut}\n{}\n", printable(or_dash(shown.value.as_deref())));
    let mut rows = table(&["AGAIN", "WHO", "REASON", "VERDICT", "WHY"]);
    for past in &shown.redrives {
        rows.add_row([
            format!("{} {}", past.verb, times.column(past.requested_at.0)),
            printable(&past.who),
            printable(&past.reason),
            past.verdict.unwrap_or("not judged yet").to_owned(),
            printable(or_dash(past.message.as_deref())),
        ]);
    }
    if !rows.is_empty() {
        text += &format!("\n{}", lines(&rows));
    }
    text
}
