//! Plans of bulk actions, and the jobs that they become.

use std::fmt::Write as _;

use crate::operations::{EffectJson, ItemJson, JobJson, PlanJson, PlanShown, SentJson, Times};

use super::{lines, or_dash, printable, table};

/// Reasons that are told in the one line of a plan.
const REASONS: usize = 3;

/// A plan in one line: how many would be acted on, why others would not, its hash.
pub fn planned(plan: &PlanJson) -> String {
    let told = plan.refusals.iter().flatten().take(REASONS);
    let mut told: Vec<String> = told.map(|told| format!("{} {}", told.sagas, printable(&told.reason))).collect();
    let more = plan.refusals.as_ref().map_or(0, Vec::len).saturating_sub(REASONS);
    if more > 0 {
        told.push(format!("{more} more reasons"));
    }
    let why = if told.is_empty() { String::new() } else { format!(" ({})", told.join(", ")) };
    let (id, hash) = (plan.id.as_deref().unwrap_or("dry run"), short(plan));
    let valid = plan.valid_until.map_or_else(|| "not saved".to_owned(), |at| format!("valid until {}", at.0));
    format!("{id:<7} {} eligible, {} refused{why}   hash {hash}   {valid}\n", plan.eligible, plan.refused)
}

fn short(plan: &PlanJson) -> String {
    plan.hash.to_string().chars().take(8).collect()
}

/// Plans, a line each.
pub fn plans(plans: &[PlanJson], times: Times) -> String {
    let mut rows =
        table(&["PLAN", "VERB", "STATE", "ELIGIBLE", "REFUSED", "HASH", "PLANNED", "BY", "VALID UNTIL", "SAGAS"]);
    for plan in plans {
        rows.add_row([
            or_dash(plan.id.as_deref()).to_owned(),
            plan.verb.clone(),
            or_dash(plan.state).to_owned(),
            plan.eligible.to_string(),
            plan.refused.to_string(),
            short(plan),
            plan.planned_at.map_or_else(|| "-".to_owned(), |at| times.column(at.0)),
            printable(or_dash(plan.planned_by.as_deref())),
            plan.valid_until.map_or_else(|| "-".to_owned(), |at| times.column(at.0)),
            printable(&plan.selected),
        ]);
    }
    lines(&rows)
}

/// Jobs, a line each.
pub fn jobs(plans: &[PlanJson], times: Times) -> String {
    let mut rows = table(&[
        "JOB",
        "VERB",
        "STATE",
        "PENDING",
        "APPLIED",
        "REFUSED",
        "FAILED",
        "SKIPPED",
        "STUCK AGAIN",
        "PACE",
        "APPLIED AT",
        "BY",
        "REASON",
        "MESSAGE",
    ]);
    for (plan, job) in plans.iter().filter_map(|plan| Some((plan, plan.job.as_ref()?))) {
        rows.add_row([
            or_dash(plan.id.as_deref()).to_owned(),
            plan.verb.clone(),
            or_dash(plan.state).to_owned(),
            job.pending.to_string(),
            job.applied.to_string(),
            job.refused.to_string(),
            job.failed.to_string(),
            job.skipped.to_string(),
            job.stuck_again.to_string(),
            pace(job),
            times.column(job.applied_at.0),
            printable(&job.applied_by),
            printable(&job.reason),
            printable(or_dash(plan.message.as_deref())),
        ]);
    }
    lines(&rows)
}

fn pace(job: &JobJson) -> String {
    let mut pace = job.rate.clone();
    if job.ramp {
        pace.push_str(", ramp");
    }
    job.max.iter().for_each(|max| _ = write!(pace, ", at most {max}"));
    job.stop_on_error_percent.iter().for_each(|percent| _ = write!(pace, ", stops above {percent}%"));
    pace
}

/// How far a job is, in one line.
pub fn progress(plan: &PlanJson) -> String {
    let (id, state) = (or_dash(plan.id.as_deref()), or_dash(plan.state));
    let Some(job) = &plan.job else { return format!("{id}  {state}: not applied\n") };
    let total = job.pending + job.applied + job.refused + job.failed;
    let mut line =
        format!("{id}  {state}  {} of {total} applied, {} refused, {} failed", job.applied, job.refused, job.failed);
    if job.stuck_again > 0 {
        _ = write!(line, ", {} stuck again", job.stuck_again);
    }
    plan.message.iter().for_each(|message| _ = write!(line, "  ({})", printable(message)));
    line.push('\n');
    line
}

/// A plan with its sagas.
pub fn plan_shown(shown: &PlanShown, times: Times) -> String {
    let plan = &shown.plan;
    let mut text = planned(plan);
    _ = writeln!(text, "ACTION  {}", printable(plan.action.get()));
    _ = writeln!(text, "SAGAS   {}", printable(&plan.selected));
    if let (Some(by), Some(at)) = (&plan.planned_by, plan.planned_at) {
        let second = if plan.needs_second_person { ", to be applied by a second person" } else { "" };
        _ = writeln!(text, "PLANNED {} by {}{second}", times.column(at.0), printable(by));
    }
    if let Some(job) = &plan.job {
        let (at, by, reason) = (times.column(job.applied_at.0), printable(&job.applied_by), printable(&job.reason));
        _ = writeln!(text, "APPLIED {at} by {by}, {}: {reason}", pace(job));
    }
    _ = write!(text, "STATE   {}", progress(plan));
    plan.refusals
        .iter()
        .flatten()
        .for_each(|told| _ = writeln!(text, "REFUSED {} {}", told.sagas, printable(&told.reason)));
    let mut rows = table(&["SAGA", "KEY", "SEQ", "STATE", "PHASE", "SENDS", "WHY"]);
    shown.items.iter().for_each(|item| _ = rows.add_row(item_row(item)));
    text + "\n" + &lines(&rows)
}

fn item_row(item: &ItemJson) -> [String; 7] {
    let phase = |effect: &EffectJson| match &item.message {
        Some(_) => effect.phase.clone(),
        None => format!("{} -> {}", effect.phase, effect.phase_after),
    };
    let sends = item.effect.iter().flat_map(|effect| &effect.sends).map(sent).collect::<Vec<_>>();
    [
        item.saga_id.to_string(),
        printable(or_dash(item.business_key.as_deref())),
        item.seq.to_string(),
        if item.stuck_again { format!("{}, stuck again", item.state) } else { item.state.clone() },
        item.effect.as_ref().map_or_else(|| "-".to_owned(), phase),
        if sends.is_empty() { "-".to_owned() } else { sends.join(", ") },
        printable(or_dash(item.message.as_deref())),
    ]
}

fn sent(sent: &SentJson) -> String {
    format!("{} {} attempt {} to {}", sent.action, sent.step, sent.attempt, sent.topic)
}
