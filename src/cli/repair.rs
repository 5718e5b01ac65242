//! An operator's action: its arguments; for one saga its dry run, the one question on a terminal, and the asking; for many, a plan.

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use crate::core::{Json, Resolution, Verb};
use crate::operations::{DryRun, Exit, Failure, REJECTED};

use super::arguments::{OneSaga, OutputArguments, OutputFormat};
use super::consent::Consent;
use super::reach::Reach;
use super::selection::{OnStep, Sagas, Said};
use super::{input, output, render};

/// What every action says behind its own help.
const RULES: &str = "An engine decides: `sagabus serve` has to run on this database. On a terminal the dry run is shown, one question is \
    asked, and the action is refused if the saga has moved on from the row that was shown. Without a terminal, or with --no-input, \
    nothing is ever asked: say --yes. With --where, --failure or --file it only makes a plan, for sagabus apply.\n\n\
    Exit codes: 0 decided, 1 not wanted at the question, 2 wrong usage or no such step, 3 no such saga, 4 refused (with the phase, the \
    reason and the verbs that can), 6 the database does not answer or no engine decided.";

fn helped(example: &str) -> String {
    format!("Example: {example}\n\n{RULES}")
}

#[derive(Debug, Subcommand)]
pub(super) enum RepairVerb {
    /// Send the outstanding command of a step again: the same id, always safe. Changes something.
    #[command(after_help = helped("sagabus republish order-42 clearing --reason \"the broker lost it\" --yes"))]
    Republish(StepAct),
    /// A new attempt, with a new id, of a step whose last outcome is a definite failure. Changes something.
    #[command(after_help = helped("sagabus retry order-42 clearing --reason \"ledger is open again\" --yes"))]
    Retry {
        #[command(flatten)]
        on: Sagas,
        /// The step; default: all that failed.
        #[arg(value_name = "STEP")]
        step: Option<String>,
        /// The step, in a plan; default: all that failed.
        #[arg(long = "step", value_name = "STEP", conflicts_with = "saga")]
        of_many: Option<String>,
        /// Repeat a step that has succeeded.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        act: Act,
    },
    /// Give a step's next attempt other data; before and after are kept. Changes something.
    #[command(after_help = helped("sagabus edit order-42 clearing --data fixed.json --reason \"wrong account\" --yes"))]
    Edit {
        #[command(flatten)]
        on: OnStep,
        /// The data, the same for every saga of a plan: a file of JSON, - for standard input, or JSON itself.
        #[arg(long, value_name = "FILE|-|JSON")]
        data: String,
        #[command(flatten)]
        act: Act,
    },
    /// Count a step as skipped. Changes something.
    #[command(after_help = helped("sagabus skip order-42 notification --reason \"customer was called\" --yes"))]
    Skip {
        #[command(flatten)]
        on: OnStep,
        /// What its successors read as its reply: a file of JSON, - for standard input, or JSON itself.
        #[arg(long, value_name = "FILE|-|JSON")]
        reply: Option<String>,
        #[command(flatten)]
        act: Act,
    },
    /// Say that a step succeeded, with its reply. Changes something.
    #[command(after_help = helped("sagabus complete order-42 risk --reply '{\"approved\":true}' --reason \"by phone\" --yes"))]
    Complete {
        #[command(flatten)]
        on: OnStep,
        /// Its reply, which must fit the step's schema: a file of JSON, - for standard input, or JSON itself.
        #[arg(long, value_name = "FILE|-|JSON")]
        reply: String,
        #[command(flatten)]
        act: Act,
    },
    /// Say that a step failed for good. Changes something.
    #[command(after_help = helped("sagabus fail order-42 risk --code REFUSED --reason \"by phone\" --yes"))]
    Fail {
        #[command(flatten)]
        on: OnStep,
        /// A short stable word.
        #[arg(long)]
        code: String,
        #[command(flatten)]
        act: Act,
    },
    /// Undo what was done; the saga ends compensated. Changes something.
    #[command(after_help = helped("sagabus compensate order-42 --reason \"customer withdrew\" --yes"))]
    Compensate(SagaAct),
    /// Undo what was done; the saga ends cancelled. Changes something.
    #[command(after_help = helped("sagabus cancel order-42 --reason \"customer withdrew\" --yes"))]
    Cancel(SagaAct),
    /// Freeze a saga: nothing new is sent, timers stand still, answers are kept. Changes something.
    ///
    /// A step, a definition or a participant is frozen for all sagas by `sagabus hold`.
    #[command(after_help = helped("sagabus pause order-42 --reason \"until the audit is over\" --yes"))]
    Pause(SagaAct),
    /// Let a paused or stuck saga go on. Changes something.
    ///
    /// What is held for all sagas is let go on by `sagabus hold release`.
    #[command(after_help = helped("sagabus resume order-42 --reason \"ledger is open again\" --yes"))]
    Resume(SagaAct),
    /// Say how a step that is stuck ended, as a person found it. Changes something.
    #[command(after_help = helped("sagabus resolve order-42 clearing --as undone --reason \"cancelled by phone\" --yes"))]
    Resolve {
        #[command(flatten)]
        on: OnStep,
        /// What was found.
        #[arg(long = "as", value_name = "OUTCOME")]
        found: FoundOutcome,
        #[command(flatten)]
        act: Act,
    },
    /// Say that what a step waits for has happened. Changes something.
    #[command(after_help = helped("sagabus signal order-42 goodsArrived --data '{\"dock\":7}' --reason \"seen at the gate\" --yes"))]
    Signal {
        #[command(flatten)]
        on: OnStep,
        /// What its successors read as its reply: a file of JSON, - for standard input, or JSON itself.
        #[arg(long, value_name = "FILE|-|JSON")]
        data: Option<String>,
        #[command(flatten)]
        act: Act,
    },
    /// Say yes to a step that waits for an approval. Changes something.
    #[command(after_help = helped("sagabus approve order-42 approval --reason \"limit raised for this customer\" --yes"))]
    Approve {
        #[command(flatten)]
        on: OnStep,
        /// What its successors read as its reply, instead of who approved it and why: a file of JSON, - for standard input, or JSON itself.
        #[arg(long, value_name = "FILE|-|JSON")]
        reply: Option<String>,
        #[command(flatten)]
        act: Act,
    },
    /// Say no to a step that waits for an approval. Changes something.
    #[command(after_help = helped("sagabus reject order-42 approval --reason \"above the limit\" --yes"))]
    Reject {
        #[command(flatten)]
        on: OnStep,
        /// A short stable word.
        #[arg(long, default_value = REJECTED)]
        code: String,
        #[command(flatten)]
        act: Act,
    },
    /// End a saga as it stands; what was done stays. Changes something.
    #[command(after_help = helped("sagabus abandon order-42 --reason \"settled on paper\" --yes"))]
    Abandon(SagaAct),
}

#[derive(Clone, Debug, Args)]
pub(super) struct SagaAct {
    #[command(flatten)]
    on: Sagas,
    #[command(flatten)]
    act: Act,
}

#[derive(Clone, Debug, Args)]
pub(super) struct StepAct {
    #[command(flatten)]
    on: OnStep,
    #[command(flatten)]
    act: Act,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Act {
    #[command(flatten)]
    consent: Consent,
    /// Refuse when the saga's journal has moved on from this row.
    #[arg(long, value_name = "N")]
    expect_seq: Option<u32>,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FoundOutcome {
    /// Its effect is there.
    Done,
    /// Its effect is not there: it never was, or was undone by hand.
    Undone,
    /// Its effect stays as it is, knowingly.
    Left,
}

/// Asks for what the command line says, or shows what would follow; for many sagas it plans.
pub(super) async fn run(reach: &Reach, verb: RepairVerb, who: &str) -> Result<ExitCode, Failure> {
    let (said, verb, act) = parts(verb)?;
    match said {
        Said::One(on) => one(reach, &on, &verb, act, who).await,
        Said::Many(_) if act.expect_seq.is_some() => {
            let hint = "a plan holds the row of every saga";
            Err(Failure::new(Exit::Usage, "--expect-seq is for one saga", hint))
        }
        Said::Many(many) => super::bulk::plan(reach, &many, &verb, &act.consent, act.output.output, who).await,
    }
}

async fn one(reach: &Reach, on: &OneSaga, verb: &Verb, act: Act, who: &str) -> Result<ExitCode, Failure> {
    let reason = act.consent.reason()?;
    let acting = reach.acting(on, who).await?;
    let mut expect_seq = act.expect_seq;
    if act.consent.dry_run {
        let tried = acting.tried(verb, expect_seq).await?;
        show(&tried, act.output.output);
        return tried.check().map(|()| ExitCode::SUCCESS);
    }
    if act.consent.asks() {
        let tried = acting.tried(verb, expect_seq).await?;
        output::note(render::dry_run(&tried).trim_end());
        tried.check()?;
        act.consent.ask(&format!("{} {}?", tried.verb, on.saga))?;
        expect_seq = Some(tried.seq);
    }
    let acted = acting.act(verb, &reason, expect_seq).await?;
    match act.output.output {
        OutputFormat::Table => output::note(&format!("decided: {} {}", verb.name(), acting.id())),
        OutputFormat::Json => output::json(&acted),
    }
    Ok(ExitCode::SUCCESS)
}

fn parts(verb: RepairVerb) -> Result<(Said, Verb, Act), Failure> {
    Ok(match verb {
        RepairVerb::Republish(StepAct { on, act }) => {
            let (said, step) = on.said()?;
            (said, Verb::Republish { step }, act)
        }
        RepairVerb::Retry { on, step, of_many, force, act } => {
            (on.said(), Verb::Retry { step: step.or(of_many), force }, act)
        }
        RepairVerb::Edit { on, data, act } => {
            let (said, step) = on.said()?;
            (said, Verb::Edit { step, data: read_json("--data", data)? }, act)
        }
        RepairVerb::Skip { on, reply, act } => {
            let reply = maybe_json("--reply", reply)?;
            let (said, step) = on.said()?;
            (said, Verb::Skip { step, reply }, act)
        }
        RepairVerb::Complete { on, reply, act } => {
            let (said, step) = on.said()?;
            (said, Verb::Complete { step, reply: read_json("--reply", reply)? }, act)
        }
        RepairVerb::Fail { on, code, act } => {
            let (said, step) = on.said()?;
            (said, Verb::Fail { step, code }, act)
        }
        RepairVerb::Compensate(SagaAct { on, act }) => (on.said(), Verb::Compensate, act),
        RepairVerb::Cancel(SagaAct { on, act }) => (on.said(), Verb::Cancel, act),
        RepairVerb::Pause(SagaAct { on, act }) => (on.said(), Verb::Pause, act),
        RepairVerb::Resume(SagaAct { on, act }) => (on.said(), Verb::Resume, act),
        RepairVerb::Resolve { on, found, act } => {
            let outcome = match found {
                FoundOutcome::Done => Resolution::Done,
                FoundOutcome::Undone => Resolution::Undone,
                FoundOutcome::Left => Resolution::Left,
            };
            let (said, step) = on.said()?;
            (said, Verb::Resolve { step, outcome }, act)
        }
        RepairVerb::Abandon(SagaAct { on, act }) => (on.said(), Verb::Abandon, act),
        RepairVerb::Signal { on, data, act } => {
            let data = maybe_json("--data", data)?;
            let (said, step) = on.said()?;
            (said, Verb::Signal { step, data }, act)
        }
        RepairVerb::Approve { on, reply, act } => {
            let reply = maybe_json("--reply", reply)?;
            let (said, step) = on.said()?;
            (said, Verb::Approve { step, reply }, act)
        }
        RepairVerb::Reject { on, code, act } => {
            let (said, step) = on.said()?;
            (said, Verb::Reject { step, code }, act)
        }
    })
}

fn maybe_json(flag: &str, said: Option<String>) -> Result<Option<Json>, Failure> {
    said.map(|said| read_json(flag, said)).transpose()
}

/// JSON from a file, from standard input, or as it is said; checked before anything is asked for.
fn read_json(flag: &str, said: String) -> Result<Json, Failure> {
    let failed = |error: String| Failure::new(Exit::Usage, format!("{flag}: {error}"), "give JSON, or a file of it");
    let text = if said == "-" { input::text(flag, Path::new("-"))? } else { input::file_or_text(said) };
    Json::foreign(text.trim().as_bytes()).map_err(failed)
}

fn show(tried: &DryRun, format: OutputFormat) {
    output::one(format, tried, render::dry_run);
}
