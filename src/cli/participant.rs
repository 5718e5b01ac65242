//! `sagabus participant`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::kit::{self, KitOptions, TargetOptions, Verdict};
use crate::operations::{self, Failure, Places};
use crate::participant::Language;

use super::arguments::duration;
use super::input::file_or_text;
use super::{output, render};

#[derive(Debug, Subcommand)]
pub(super) enum ParticipantVerb {
    /// Play Sagabus against a running participant: the 14 cases of the contract. Exit 1 when one fails.
    ///
    /// Sends commands of sagas that do not exist: use topics of a test environment. In --data, --undo-data, --failing-data and --trigger,
    /// {key} stands for the saga's business key, {saga} for its id and {step} for the step's name; each saga of a run has its own.
    Test(Box<TestArguments>),
    /// Write a small participant for a step: the contract kept by a barrier, and a place for the business code.
    Scaffold(ScaffoldArguments),
}

#[derive(Clone, Debug, Args)]
pub(super) struct TestArguments {
    /// The participant's command topic. Default: the definition's.
    #[arg(long, value_name = "TOPIC", required_unless_present = "definition")]
    command_topic: Option<String>,
    /// Where it answers. Default: the definition's.
    #[arg(long, value_name = "TOPIC", required_unless_present = "definition")]
    reply_topic: Option<String>,
    /// The definition that the step comes from: topics, types and data are taken from it.
    #[arg(long, value_name = "FILE", requires = "step")]
    definition: Option<PathBuf>,
    /// The step that the participant performs.
    #[arg(long, value_name = "NAME")]
    step: Option<String>,
    /// `ce_type` of the do. Default: the definition's.
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "definition")]
    command_type: Option<String>,
    /// `ce_type` of the undo. Default: the definition's. Without any, what needs an undo is skipped.
    #[arg(long, value_name = "TYPE")]
    undo_type: Option<String>,
    /// Data of the do that the participant accepts. Default: rendered from the definition and --trigger, else {}.
    #[arg(long, value_name = "FILE|JSON")]
    data: Option<String>,
    /// Data of the undo. Default: --data, else rendered from the definition, else {}.
    #[arg(long, value_name = "FILE|JSON")]
    undo_data: Option<String>,
    /// Data of a do that the participant refuses (case 11).
    #[arg(long, value_name = "FILE|JSON")]
    failing_data: Option<String>,
    /// The trigger's data, from which the definition renders.
    #[arg(long, value_name = "FILE|JSON", requires = "definition")]
    trigger: Option<String>,
    /// Kills the participant, starts it again in the background, and ends (cases 12 and 14).
    #[arg(long, value_name = "SHELL")]
    restart_command: Option<String>,
    /// Prints how many effects of {saga} and {step} stand: done less undone. Default: as the replies tell them.
    #[arg(long, value_name = "SHELL")]
    ledger_command: Option<String>,
    /// Only these cases: numbers, comma separated.
    #[arg(long = "case", value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=14))]
    cases: Vec<u8>,
    /// How long an answer may take; unanswered for a quarter of it, a command is sent again.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// How long the first answer may take, and the first one after a restart.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    restart_timeout: Duration,
    /// How to print.
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    output: ReportFormat,
}

#[derive(Clone, Debug, Args)]
pub(super) struct ScaffoldArguments {
    /// The language.
    #[arg(long, value_parser = language, value_name = "python|node|java|go|rust")]
    lang: Language,
    /// The definition file.
    #[arg(long, value_name = "FILE")]
    definition: PathBuf,
    /// The step whose commands it takes.
    #[arg(long, value_name = "NAME")]
    step: String,
    /// The folder to write into. Default: named after the participant. Files that are there are never replaced.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For CI servers: JUnit's XML.
    Junit,
}

/// Does what the command line says.
pub(super) async fn run(places: &Places, verb: ParticipantVerb) -> Result<ExitCode, Failure> {
    match verb {
        ParticipantVerb::Test(arguments) => test(places, *arguments).await,
        ParticipantVerb::Scaffold(arguments) => scaffold(&arguments),
    }
}

async fn test(places: &Places, arguments: TestArguments) -> Result<ExitCode, Failure> {
    let options = KitOptions {
        target: TargetOptions {
            command_topic: arguments.command_topic,
            reply_topic: arguments.reply_topic,
            definition: arguments.definition,
            step: arguments.step,
            command_type: arguments.command_type,
            undo_type: arguments.undo_type,
            data: arguments.data.map(file_or_text),
            undo_data: arguments.undo_data.map(file_or_text),
            failing_data: arguments.failing_data.map(file_or_text),
            trigger: arguments.trigger.map(file_or_text),
        },
        cases: arguments.cases,
        timeout: arguments.timeout,
        restart_timeout: arguments.restart_timeout,
        restart_command: arguments.restart_command,
        ledger_command: arguments.ledger_command,
    };
    let report = kit::run(places, options, output::note).await?;
    match arguments.output {
        ReportFormat::Table => output::print(render::kit(&report).trim_end()),
        ReportFormat::Json => output::json(&report),
        ReportFormat::Junit => output::print(report.junit().trim_end()),
    }
    output::note(&report.summary());
    Ok(ExitCode::from(u8::from(report.count(Verdict::Failed) > 0)))
}

/// Lists what was written, then says how to go on.
fn scaffold(arguments: &ScaffoldArguments) -> Result<ExitCode, Failure> {
    let language = arguments.lang;
    let written = operations::scaffold(&arguments.definition, &arguments.step, language, arguments.out.as_deref())?;
    for file in &written.files {
        output::print(&file.display().to_string());
    }
    output::note(&format!("next, in {}, with KAFKA_BOOTSTRAP and DATABASE_URL set:", written.folder.display()));
    output::note(&format!("  {}\n  {}", language.install(), language.run()));
    Ok(ExitCode::SUCCESS)
}

fn language(text: &str) -> Result<Language, String> {
    let known = || Language::ALL.map(Language::name).join(", ");
    Language::ALL.into_iter().find(|language| language.name() == text).ok_or_else(|| format!("there are {}", known()))
}
