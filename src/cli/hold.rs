//! `sagabus hold`: a step, a definition or a participant is stopped for a while, for all sagas at once.

use std::process::ExitCode;

use clap::Subcommand;

use crate::operations::{Failure, HoldRequest, hold_number};

use super::arguments::{ListOutputArguments, OutputArguments, TimeArguments};
use super::consent::Consent;
use super::reach::Reach;
use super::{output, render};

#[derive(Debug, Subcommand)]
pub(super) enum HoldVerb {
    /// Hold every step that talks to a participant, of every definition. Changes something; audited.
    #[command(after_help = "Example: sagabus hold participant risk --reason \"maintenance until 03:00\" --yes")]
    Participant {
        /// Its name, as definitions say it.
        name: String,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Hold every step of a definition, whatever its version: sagas begin, and wait. Changes something; audited.
    #[command(
        after_help = "Example: sagabus hold definition trade-settlement --reason \"ledger closed, INC-123\" --yes"
    )]
    Definition {
        /// Its name.
        name: String,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Hold one step of a definition, whatever its version. Changes something; audited.
    #[command(
        after_help = "Example: sagabus hold step trade-settlement accounting --reason \"ledger closed, INC-123\" --yes"
    )]
    Step {
        /// The definition's name.
        definition: String,
        /// The step's name.
        step: String,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// What is held, since when, by whom and why.
    #[command(after_help = "Example: sagabus hold list")]
    List {
        #[command(flatten)]
        times: TimeArguments,
        #[command(flatten)]
        output: ListOutputArguments,
    },
    /// Release what is held: its timers go on where they stood. Changes something; audited.
    #[command(after_help = "Example: sagabus hold release h3 --reason \"maintenance is over\" --yes")]
    Release {
        /// The hold's name, as `hold list` shows it.
        #[arg(value_name = "H", value_parser = hold_number)]
        hold: i64,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        output: OutputArguments,
    },
}

/// Does what the command line says.
pub(super) async fn run(reach: &Reach, verb: HoldVerb, who: &str) -> Result<ExitCode, Failure> {
    let request = |definition, step, participant| HoldRequest { definition, step, participant, reason: String::new() };
    match verb {
        HoldVerb::Participant { name, consent, output } => {
            hold(reach, request(None, None, Some(name)), &consent, output, who).await
        }
        HoldVerb::Definition { name, consent, output } => {
            hold(reach, request(Some(name), None, None), &consent, output, who).await
        }
        HoldVerb::Step { definition, step, consent, output } => {
            hold(reach, request(Some(definition), Some(step), None), &consent, output, who).await
        }
        HoldVerb::List { times, output: format } => {
            let found = reach.holds().await?;
            let times = times.seen_from(crate::engine::wall_clock());
            output::many(format.output, &found, |hold| hold.id.clone(), |found| render::holds(found, times));
            Ok(ExitCode::SUCCESS)
        }
        HoldVerb::Release { hold, consent, output } => release(reach, hold, &consent, output, who).await,
    }
}

async fn release(
    reach: &Reach,
    number: i64,
    consent: &Consent,
    format: OutputArguments,
    who: &str,
) -> Result<ExitCode, Failure> {
    let reason = consent.reason()?;
    if consent.dry_run || consent.asks() {
        let tried = reach.doing(true, who).await?.release(number, &reason, true).await?;
        if consent.dry_run {
            output::one(format.output, &tried, |tried| render::hold_moved("would release", tried));
            return Ok(ExitCode::SUCCESS);
        }
        output::note(&render::hold_moved("would release", &tried));
        consent.ask("release it?")?;
    }
    let released = reach.doing(false, who).await?.release(number, &reason, false).await?;
    output::one(format.output, &released, |released| render::hold_moved("released", released));
    Ok(ExitCode::SUCCESS)
}

async fn hold(
    reach: &Reach,
    request: HoldRequest,
    consent: &Consent,
    format: OutputArguments,
    who: &str,
) -> Result<ExitCode, Failure> {
    let request = HoldRequest { reason: consent.reason()?, ..request };
    if consent.dry_run || consent.asks() {
        let tried = reach.doing(true, who).await?.hold(&request, true).await?;
        if consent.dry_run {
            output::one(format.output, &tried, |tried| render::hold_moved("would hold", tried));
            return Ok(ExitCode::SUCCESS);
        }
        output::note(&render::hold_moved("would hold", &tried));
        consent.ask("hold it?")?;
    }
    let held = reach.doing(false, who).await?.hold(&request, false).await?;
    output::one(format.output, &held, |held| render::hold_moved("held", held));
    Ok(ExitCode::SUCCESS)
}
