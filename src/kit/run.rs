//! One run of the kit: first contact, then case after case.

use std::time::Duration;

use tokio::time::Instant;

use crate::bus::{Admin, KafkaSettings, Probe, Purpose, TopicNeed};
use crate::core::Timestamp;
use crate::engine::wall_clock;
use crate::operations::{Exit, Failure, Places};

use super::cases::{CASES, Case, FIRST_CONTACT, Need};
use super::course::Course;
use super::report::{Report, Row};
use super::rule::{Judged, Rule};
use super::stage::{Stage, Terms};
use super::target::{Target, TargetOptions};

/// What is asked of the kit.
#[derive(Clone, Debug)]
pub struct KitOptions {
    /// What is tested.
    pub target: TargetOptions,
    /// Only these cases; none means all.
    pub cases: Vec<u8>,
    /// How long an answer may take. A command that is not answered within a quarter of it is sent again, as Sagabus does.
    pub timeout: Duration,
    /// How long the first answer may take, and the first one after a restart.
    pub restart_timeout: Duration,
    /// A shell command that restarts the participant and ends.
    pub restart_command: Option<String>,
    /// A shell command that prints how many effects of `{saga}` and `{step}` stand: done less undone.
    pub ledger_command: Option<String>,
}

/// Runs the cases, and tells `progress` a line for each.
///
/// # Errors
/// Wrong usage (exit 2), a topic that is not there (exit 3), Kafka that does not answer (exit 6), an invalid definition (exit 7).
/// A participant that breaks the contract is no error: the report says it.
pub async fn run(
    places: &Places,
    options: KitOptions,
    progress: impl Fn(&str) + Send + 'static,
) -> Result<Report, Failure> {
    let target = Target::new(&options.target)?;
    if let Some(unknown) = options.cases.iter().find(|number| !CASES.iter().any(|case| case.number == **number)) {
        return Err(Failure::new(Exit::Usage, format!("there is no case {unknown}"), "cases are 1 to 14"));
    }
    let settings = places.kafka(None)?;
    let partitions = partitions(&settings, &target).await?;
    let played = tokio::task::spawn_blocking(move || play(&settings, target, options, partitions, &progress)).await;
    played.map_err(|error| Failure::new(Exit::Failed, error.to_string(), ""))?
}

/// Both topics are there. Returns the partitions of the command topic.
async fn partitions(settings: &KafkaSettings, target: &Target) -> Result<usize, Failure> {
    let need = |name: &str, purpose| TopicNeed { name: name.to_owned(), purpose };
    let needs = [need(&target.command_topic, Purpose::Command), need(&target.reply_topic, Purpose::Reply)];
    let found = Admin::connect(settings)?.diff(&needs).await?;
    if let Some(missing) = found.iter().find(|topic| topic.is_missing) {
        let hint = "sagabus topics ensure makes those of definitions; nothing is made silently";
        return Err(Failure::new(Exit::NotFound, format!("there is no topic {}", missing.need.name), hint));
    }
    Ok(found[0].partitions)
}

fn play(
    settings: &KafkaSettings,
    target: Target,
    options: KitOptions,
    partitions: usize,
    progress: &dyn Fn(&str),
) -> Result<Report, Failure> {
    let began_at = wall_clock();
    let terms = Terms {
        timeout: options.timeout,
        restart_timeout: options.restart_timeout,
        restart_command: options.restart_command,
        ledger_command: options.ledger_command,
    };
    let probe = Probe::connect(settings, &target.command_topic, &target.reply_topic)?;
    let mut stage = Stage { target, terms, probe, partitions, run: run_name(began_at), began_at, is_cold: true };
    let at_most = stage.terms.restart_timeout.as_secs();
    progress(&format!("waiting for the first answer, at most {at_most} s"));
    let contact = stage.play(&FIRST_CONTACT)?;
    let is_silent = contact.heard.iter().all(|heard| heard.command.is_none());
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|case| options.cases.is_empty() || options.cases.contains(&case.number)) {
        let begun = Instant::now();
        let row = match lacking(case, &stage) {
            Some(reason) => Row::skipped(case, reason),
            None if is_silent => Row::judged(case, &contact, silence(), 0),
            None => {
                let course = stage.play(case)?;
                let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                Row::judged(case, &course, judged(case, &course), millis)
            }
        };
        progress(&format!("case {:>2}  {:<7}  {}", row.case, row.verdict.name(), row.name));
        rows.push(row);
    }
    rows.sort_by_key(|row| row.case);
    Ok(Report {
        command_topic: stage.target.command_topic.to_string(),
        reply_topic: stage.target.reply_topic.to_string(),
        step: stage.target.step.to_string(),
        effects_counted: stage.terms.ledger_command.is_some(),
        cases: rows,
    })
}

/// Why a case cannot be run.
fn lacking(case: &Case, stage: &Stage) -> Option<&'static str> {
    let lacks = |need: &Need| match need {
        Need::Restart if stage.terms.restart_command.is_none() => {
            Some("there is no way to restart it: --restart-command")
        }
        Need::Effect | Need::Undo | Need::FailingData | Need::Restart => stage.target.lacks(*need),
    };
    case.needs.iter().find_map(lacks)
}

/// What the case's judge says; a script that ended early has no judge.
fn judged(case: &Case, course: &Course) -> Judged {
    let Some(reason) = &course.cut_short else { return (case.judge)(course) };
    let mut judged = Judged::default();
    judged.wrong(Rule::Reply, reason);
    judged
}

/// What is said of every case when nobody answers: each would only wait in vain.
fn silence() -> Judged {
    let mut judged = Judged::default();
    judged.wrong(
        Rule::Silence,
        "the first command of this run was not answered, or not under its ce_id; the case was not played",
    );
    judged
}

/// A short name for the run that began at this moment.
fn run_name(began_at: Timestamp) -> String {
    format!("{:x}", began_at.micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_ended_early_fails_for_that_reason_alone() {
        let course = Course { cut_short: Some("no reservationId".to_owned()), ..Course::default() };
        let findings = judged(&CASES[3], &course).findings;
        assert_eq!((findings.len(), findings[0].rule, &*findings[0].what), (1, Rule::Reply, "no reservationId"));
    }
}
