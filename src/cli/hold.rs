//! `sagabus hold`: a step, a definition or a participant is stopped for a while, for all sagas at once.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::operations::{Failure, HoldRequest, HoldScope, hold_number};

use super::arguments::{ListOutputArguments, OutputArguments, TimeArguments};
use super::consent::Consent;
use super::reach::{Doing, Reach};
use super::{output, render};

#[derive(Debug, Subcommand)]
pub(super) enum HoldVerb {
    /// Hold every step that talks to a participant, of every definition. Changes something; audited.
    #[command(after_help = "Example: sagabus hold participant risk --reason \"maintenance until 03:00\" --yes")]
    Participant {
        /// Its name, as definitions say it.
        name: String,
        #[command(flatten)]
        act: HoldAct,
    },
    /// Hold every step of a definition, whatever its version: sagas begin, and wait. Changes something; audited.
    #[command(
        after_help = "Example: sagabus hold definition trade-settlement --reason \"ledger closed, INC-123\" --yes"
    )]
    Definition {
        /// Its name.
        name: String,
        #[command(flatten)]
        act: HoldAct,
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
        act: HoldAct,
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
        act: HoldAct,
    },
}

#[derive(Clone, Debug, Args)]
pub(super) struct HoldAct {
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    output: OutputArguments,
}

/// What is asked.
enum Asked {
    Hold(HoldRequest),
    Release(i64),
}

impl Asked {
    fn hold(definition: Option<String>, step: Option<String>, participant: Option<String>) -> Self {
        Self::Hold(HoldRequest { definition, step, participant, reason: String::new() })
    }

    /// Before it is done, and after.
    fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::Hold(_) => ("would hold", "held"),
            Self::Release(_) => ("would release", "released"),
        }
    }

    async fn of(&self, doing: &Doing<'_>, reason: &str, is_dry_run: bool) -> Result<HoldScope, Failure> {
        match self {
            Self::Hold(request) => {
                let request = HoldRequest { reason: reason.to_owned(), ..request.clone() };
                doing.hold(&request, is_dry_run).await
            }
            Self::Release(number) => doing.release(*number, reason, is_dry_run).await,
        }
    }
}

/// Does what the command line says.
pub(super) async fn run(reach: &Reach, verb: HoldVerb, who: &str) -> Result<ExitCode, Failure> {
    let (asked, act) = match verb {
        HoldVerb::Participant { name, act } => (Asked::hold(None, None, Some(name)), act),
        HoldVerb::Definition { name, act } => (Asked::hold(Some(name), None, None), act),
        HoldVerb::Step { definition, step, act } => (Asked::hold(Some(definition), Some(step), None), act),
        HoldVerb::Release { hold, act } => (Asked::Release(hold), act),
        HoldVerb::List { times, output: format } => {
            let found = reach.holds().await?;
            let times = times.seen_from(crate::engine::wall_clock());
            output::many(format.output, &found, |hold| hold.id.clone(), |found| render::holds(found, times));
            return Ok(ExitCode::SUCCESS);
        }
    };
    let HoldAct { consent, output: format } = act;
    let (reason, (before, after)) = (consent.reason()?, asked.words());
    if consent.dry_run || consent.asks() {
        let tried = asked.of(&reach.doing(true, who).await?, &reason, true).await?;
        if consent.dry_run {
            output::one(format.output, &tried, |tried| render::hold_scope(before, tried));
            return Ok(ExitCode::SUCCESS);
        }
        output::note(&render::hold_scope(before, &tried));
        consent.ask("go on?")?;
    }
    let done = asked.of(&reach.doing(false, who).await?, &reason, false).await?;
    output::one(format.output, &done, |done| render::hold_scope(after, done));
    Ok(ExitCode::SUCCESS)
}
