//! An operator's action on one saga: its arguments, its dry run, the one question on a terminal, and the asking.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use crate::core::{Json, Resolution, Verb};
use crate::operations::{self, DryRun, Exit, Failure, Opened, Places};

use super::arguments::{OneSaga, OutputArguments, OutputFormat};
use super::{output, render};

/// What every action says behind its own help.
const RULES: &str = "An engine decides: `sagabus serve` has to run on this database. On a terminal the dry run is shown, one question is \
    asked, and the action is refused if the saga has moved on from the row that was shown. Without a terminal, or with --no-input, \
    nothing is ever asked: say --yes.\n\n\
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
        on: OneSaga,
        /// The step; default: all that failed.
        #[arg(value_name = "STEP")]
        step: Option<String>,
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
        /// The data: a file of JSON, - for standard input, or JSON itself.
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
    #[command(after_help = helped("sagabus pause order-42 --reason \"until the audit is over\" --yes"))]
    Pause(SagaAct),
    /// Let a paused or stuck saga go on. Changes something.
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
    /// End a saga as it stands; what was done stays. Changes something.
    #[command(after_help = helped("sagabus abandon order-42 --reason \"settled on paper\" --yes"))]
    Abandon(SagaAct),
}

#[derive(Clone, Debug, Args)]
pub(super) struct OnStep {
    #[command(flatten)]
    on: OneSaga,
    /// The step's name.
    #[arg(value_name = "STEP")]
    step: String,
}

#[derive(Clone, Debug, Args)]
pub(super) struct SagaAct {
    #[command(flatten)]
    on: OneSaga,
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
    /// Why; stored.
    #[arg(long, required_unless_present = "dry_run", value_name = "TEXT")]
    reason: Option<String>,
    /// Show the facts and the commands that would follow; write nothing. Exit 4 where it would be refused.
    #[arg(long)]
    dry_run: bool,
    /// Refuse when the saga's journal has moved on from this row.
    #[arg(long, value_name = "N")]
    expect_seq: Option<u32>,
    /// Do not ask. Needed where nobody can be asked.
    #[arg(long)]
    yes: bool,
    /// Never ask, as without a terminal.
    #[arg(long)]
    no_input: bool,
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

/// Asks for what the command line says, or shows what would follow.
pub(super) async fn run(places: &Places, verb: RepairVerb) -> Result<ExitCode, Failure> {
    let (on, verb, act) = parts(verb)?;
    let reason = act.reason.clone().unwrap_or_else(|| "dry run".to_owned());
    if reason.trim().is_empty() {
        return Err(Failure::new(Exit::Usage, "--reason is empty", "say why: it is stored"));
    }
    let asks = !act.dry_run && !act.yes;
    if asks && (act.no_input || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal()) {
        let hint = "where nobody can be asked say --yes, or look first with --dry-run";
        return Err(Failure::new(Exit::Usage, "--yes is missing", hint));
    }
    let console = places.console().await?;
    let id = operations::find_one(&console, &on.saga, on.definition.as_deref()).await?.row.id;
    let opened = operations::open(&console, id).await?;
    if let Some(step) = verb.step() {
        operations::check_step(opened.definition(), step)?;
    }
    let mut operation = operations::operation(id, verb, &super::run::who(), &reason, act.expect_seq);
    let Opened { plan, saga, now, .. } = &opened;
    let tried = operations::dry_run(plan.rules(), saga, &operation, *now);
    if act.dry_run {
        show(&tried, act.output.output);
        return tried.check().map(|()| ExitCode::SUCCESS);
    }
    if asks {
        output::note(render::dry_run(&tried).trim_end());
        tried.check()?;
        if !is_wanted(&format!("{} {}?", tried.verb, on.saga)) {
            return Err(Failure::new(Exit::Failed, "not wanted: nothing was asked for", ""));
        }
        operation.expect_seq = Some(tried.seq);
    }
    operations::act(&console, id, &operation).await?;
    match act.output.output {
        OutputFormat::Table => output::note(&format!("decided: {} {id}", tried.verb)),
        OutputFormat::Json => output::json(&serde_json::json!({
            "operationId": operation.id, "sagaId": id, "verb": tried.verb, "outcome": "decided",
        })),
    }
    Ok(ExitCode::SUCCESS)
}

fn parts(verb: RepairVerb) -> Result<(OneSaga, Verb, Act), Failure> {
    Ok(match verb {
        RepairVerb::Republish(StepAct { on: OnStep { on, step }, act }) => (on, Verb::Republish { step }, act),
        RepairVerb::Retry { on, step, force, act } => (on, Verb::Retry { step, force }, act),
        RepairVerb::Edit { on: OnStep { on, step }, data, act } => {
            (on, Verb::Edit { step, data: read_json("--data", data)? }, act)
        }
        RepairVerb::Skip { on: OnStep { on, step }, reply, act } => {
            let reply = reply.map(|reply| read_json("--reply", reply)).transpose()?;
            (on, Verb::Skip { step, reply }, act)
        }
        RepairVerb::Complete { on: OnStep { on, step }, reply, act } => {
            (on, Verb::Complete { step, reply: read_json("--reply", reply)? }, act)
        }
        RepairVerb::Fail { on: OnStep { on, step }, code, act } => (on, Verb::Fail { step, code }, act),
        RepairVerb::Compensate(SagaAct { on, act }) => (on, Verb::Compensate, act),
        RepairVerb::Cancel(SagaAct { on, act }) => (on, Verb::Cancel, act),
        RepairVerb::Pause(SagaAct { on, act }) => (on, Verb::Pause, act),
        RepairVerb::Resume(SagaAct { on, act }) => (on, Verb::Resume, act),
        RepairVerb::Resolve { on: OnStep { on, step }, found, act } => {
            let outcome = match found {
                FoundOutcome::Done => Resolution::Done,
                FoundOutcome::Undone => Resolution::Undone,
                FoundOutcome::Left => Resolution::Left,
            };
            (on, Verb::Resolve { step, outcome }, act)
        }
        RepairVerb::Abandon(SagaAct { on, act }) => (on, Verb::Abandon, act),
    })
}

/// JSON from a file, from standard input, or as it is said; checked before anything is asked for.
fn read_json(flag: &str, said: String) -> Result<Json, Failure> {
    let failed = |error: String| Failure::new(Exit::Usage, format!("{flag}: {error}"), "give JSON, or a file of it");
    let text = if said == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|error| failed(format!("read standard input: {error}")))?;
        text
    } else {
        super::run::file_or_text(said)
    };
    Json::foreign(text.trim().as_bytes()).map_err(failed)
}

fn show(tried: &DryRun, format: OutputFormat) {
    match format {
        OutputFormat::Table => output::print(render::dry_run(tried).trim_end()),
        OutputFormat::Json => output::json(tried),
    }
}

fn is_wanted(question: &str) -> bool {
    let mut stderr = std::io::stderr();
    let asked = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    asked.is_ok()
        && std::io::stdin().read_line(&mut answer).is_ok()
        && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}
