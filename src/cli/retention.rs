//! `sagabus retention`: what is old is removed, what is to come is made ready.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::time::Instant;

use crate::operations::{self, Exit, Failure};

use super::arguments::{ListOutputArguments, OutputArguments, TimeArguments, duration};
use super::consent::Consent;
use super::reach::{Reach, Retaining};
use super::{output, render};

/// How often a long run says how far it is.
const SAY: Duration = Duration::from_secs(2);

#[derive(Debug, Subcommand)]
pub(super) enum RetentionVerb {
    /// Remove sagas that ended long ago, and drop the tables of their periods. Changes something; audited.
    ///
    /// First it makes tables for the periods to come. Then sagas go that ended before --keep, and of which nothing is to come: a page at a time,
    /// at a rate, beside engines at work. Then the journal's tables of periods that are over are dropped; up to 1,000 sagas that are still there
    /// (open, stuck, ended lately) move to the default partition, and with more of them the table stays and is named. Last go actions, plans and
    /// redrives that were decided long ago, and the content of parked messages that were dealt with. The audit stays whole. It may be
    /// killed anywhere and run again. A removed saga is forgotten: an answer to it is an orphan, a new trigger of its business key starts another
    /// saga; so --keep must be longer than Kafka holds records, else exit 4. Exit 4 also while another process is at it, 5 when a table
    /// could not be locked.
    #[command(after_help = "Example: sagabus retention run --keep 30d --reason \"as agreed with the auditors\" --yes")]
    Run(RunArguments),
    /// The tables of the journal by their periods: rows, bytes, the oldest saga that has not ended.
    #[command(after_help = "Example: sagabus retention show")]
    Show {
        #[command(flatten)]
        times: TimeArguments,
        #[command(flatten)]
        output: ListOutputArguments,
    },
}

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// How long sagas are kept after their end.
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    keep: Duration,
    /// Sagas that are removed a second, at most.
    #[arg(long, value_name = "N", default_value_t = operations::RETENTION_RATE, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    #[command(flatten)]
    period: PeriodArguments,
    /// How long topics hold a record, where Kafka is not to be asked.
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    topics_hold: Option<Duration>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    times: TimeArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// What `serve` keeps.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct KeepArguments {
    /// Remove sagas that ended this long ago, as `retention run` does; must be longer than Kafka holds records. Default: keep all.
    #[arg(long = "retention-keep", env = "SAGABUS_RETENTION_KEEP", value_parser = duration, value_name = "DURATION")]
    pub(super) keep: Option<Duration>,
    #[command(flatten)]
    pub(super) period: PeriodArguments,
}

/// How the journal is cut.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct PeriodArguments {
    /// The time that one table of the journal is for; tables that are there stay as they are.
    #[arg(long = "retention-period", env = "SAGABUS_RETENTION_PERIOD", default_value = "1d", value_parser = period, value_name = "DURATION")]
    pub(super) period: Duration,
}

fn period(text: &str) -> Result<Duration, String> {
    let length = duration(text)?;
    operations::check_period(length).map(|()| length)
}

/// Does what the command line says.
pub(super) async fn run(reach: &Reach, verb: RetentionVerb, who: &str) -> Result<ExitCode, Failure> {
    match verb {
        RetentionVerb::Run(arguments) => remove(reach, arguments, who).await,
        RetentionVerb::Show { times, output: format } => {
            let found = reach.periods().await?;
            let times = times.seen_from(crate::engine::wall_clock());
            output::many(format.output, &found, |one| one.name.clone(), |found| render::periods(found, times));
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn remove(reach: &Reach, arguments: RunArguments, who: &str) -> Result<ExitCode, Failure> {
    let RunArguments { keep, rate, period: PeriodArguments { period }, topics_hold, consent, times, output: format } =
        arguments;
    let reason = consent.reason()?;
    let asked = Retaining { keep, topics_hold, period, rate };
    reach.check_keep(asked).await?;
    let times = times.seen_from(crate::engine::wall_clock());
    if consent.dry_run {
        let would = reach.would_retain(asked).await?;
        output::one(format.output, &would, |report| render::retained(report, times));
        return Ok(ExitCode::SUCCESS);
    }
    if consent.asks() {
        let would = reach.would_retain(asked).await?;
        consent.ask(&format!("{} sagas are removed for good. Go on?", would.sagas))?;
    }
    let mut said = Instant::now();
    let progress = |looked_at: u64, removed: u64| {
        if said.elapsed() >= SAY {
            said = Instant::now();
            output::note(&format!("{removed} sagas removed, {looked_at} looked at"));
        }
    };
    let report = reach.retain(asked, (who, &reason), progress).await?;
    output::one(format.output, &report, |report| render::retained(report, times));
    Ok(if report.busy > 0 { ExitCode::from(Exit::Partial as u8) } else { ExitCode::SUCCESS })
}
