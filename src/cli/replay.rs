//! The replay tool: journals folded, decided again, taken home as files, stepped through.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::bus::LogPlace;
use crate::core::{Timestamp, fold};
use crate::operations::{
    self, Backfill, Backfilled, Exit, Failure, HeldSteps, Opened, Places, ReplayReport, Replayable, Sight,
};

use super::arguments::{OutputArguments, OutputFormat, TimeArguments, WhereArguments};
use super::consent::Consent;
use super::reveal::RevealArguments;
use super::{output, render};

const SENDS_NOTHING: &str = "Sends nothing, and writes nothing to the database.\n\n\
    Exit codes: 0 nothing is different, 1 something is, or cannot be decided, 2 wrong usage, 3 no such saga, 6 the database does not \
    answer, 7 the definition is wrong.";

fn helped(example: &str) -> String {
    format!("{SENDS_NOTHING}\n\nExample: {example}")
}

#[derive(Debug, Subcommand)]
pub(super) enum ReplayVerb {
    /// Fold every journal and compare it with the stored state; exit 1 on a difference.
    #[command(after_help = "Example: sagabus replay verify")]
    Verify,
    /// Decide recorded inputs again and say the first difference.
    #[command(after_help = helped("sagabus replay run order-42 --definition trade.saga.yaml"))]
    Run {
        /// A saga's id or business key, or a file that `replay export` wrote.
        #[arg(value_name = "ID|KEY|FILE")]
        what: String,
        /// Decide with this definition file instead of the sagas' own.
        #[arg(long, value_name = "FILE")]
        definition: Option<PathBuf>,
        /// Only up to this journal row.
        #[arg(long, value_name = "SEQ")]
        until: Option<usize>,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Decide many sagas again under another definition: which stay the same, which differ and where, which cannot be decided.
    #[command(after_help = helped("sagabus replay what-if --definition trade.saga.yaml --where started-after=24h"))]
    WhatIf {
        /// The definition file.
        #[arg(long, value_name = "FILE")]
        definition: PathBuf,
        /// Sagas of a file that `replay export` wrote. Default: of the database.
        #[arg(long, value_name = "FILE")]
        file: Option<String>,
        #[command(flatten)]
        which: WhereArguments,
        /// At most this many sagas, the newest.
        #[arg(long, default_value_t = 10_000, value_name = "N")]
        limit: usize,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Write sagas with their definitions to standard output: JSON lines, with a checksum. Payloads are masked, whatever definitions say: with
    /// --reveal they are as they are, and without them nothing can be decided again.
    #[command(
        after_help = "Example: sagabus replay export --where phase=stuck --reveal --reason \"INC-123\" > stuck.jsonl"
    )]
    Export {
        /// Their ids or business keys. Default: those that --where finds.
        #[arg(value_name = "ID|KEY", conflicts_with = "conditions")]
        sagas: Vec<String>,
        #[command(flatten)]
        which: WhereArguments,
        /// At most this many sagas, the newest.
        #[arg(long, default_value_t = 10_000, value_name = "N")]
        limit: usize,
        #[command(flatten)]
        reveal: RevealArguments,
    },
    /// Bring the sagas of a file into a database that has none. Changes something.
    #[command(after_help = "Engines on that database go on with what is open: point them at a Kafka of its own.\n\n\
        Exit codes: 0 done, 2 the file cannot be read or is masked, 4 the database has sagas, 6 it does not answer.\n\n\
        Example: sagabus replay import stuck.jsonl --database-url postgres://sagabus@127.0.0.1/lab")]
    Import {
        /// The file.
        file: PathBuf,
    },
    /// Read a stretch of a topic again, and send what has left no trace down the line. Changes something.
    ///
    /// A trigger enters when no saga has its business key, an answer when its saga is there: the engine tells whether it knows it. Ids
    /// are derived, so it may be done again.
    #[command(
        after_help = "Exit codes: 0 done, 1 not wanted at the question, 2 wrong usage, 3 no definition reads the topic, 6 Kafka or the \
        database does not answer, or no engine judged.\n\n\
        Example: sagabus replay redrive --topic orders.events --from-time 2026-01-31T12:00:00Z --reason \"skipped by mistake\" --yes"
    )]
    Redrive {
        #[command(flatten)]
        stretch: StretchArguments,
        /// Records that enter the line together; the next ones wait until these are judged.
        #[arg(long, default_value_t = 100, value_name = "N")]
        max_active: usize,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Step forward and back through one saga: its facts, what they led to, what it waits for.
    #[command(
        after_help = "Keys, each followed by Enter: n or nothing: next row, p: back, a number: to that row, f: first, l: last, q: quit. \
        Without a terminal the keys are read from standard input.\n\nExample: sagabus replay serve order-42"
    )]
    Serve {
        /// The saga's id or business key, or a file of one saga.
        #[arg(value_name = "ID|KEY|FILE")]
        what: String,
        #[command(flatten)]
        reveal: RevealArguments,
        #[command(flatten)]
        times: TimeArguments,
    },
}

/// Which records of a log.
#[derive(Clone, Debug, Args)]
pub(super) struct StretchArguments {
    /// The topic: of triggers, or of replies.
    #[arg(long)]
    topic: String,
    /// Only this partition.
    #[arg(long, value_name = "N")]
    partition: Option<i32>,
    /// From this offset of the partition on. Default: its beginning.
    #[arg(long, value_name = "OFFSET", requires = "partition", conflicts_with = "from_time")]
    from_offset: Option<i64>,
    /// Up to before this offset. Default: where it ends now.
    #[arg(long, value_name = "OFFSET", requires = "partition", conflicts_with = "to_time")]
    to_offset: Option<i64>,
    /// From this moment on (RFC 3339).
    #[arg(long, value_name = "TIME")]
    from_time: Option<Timestamp>,
    /// Up to before this moment (RFC 3339).
    #[arg(long, value_name = "TIME")]
    to_time: Option<Timestamp>,
}

/// Does what the command line says.
pub(super) async fn run(places: &Places, verb: ReplayVerb, who: &str) -> Result<ExitCode, Failure> {
    match verb {
        ReplayVerb::Verify => verify(places).await,
        ReplayVerb::Run { what, definition, until, output: format } => {
            let other = definition.map(|file| operations::definition_file(&file)).transpose()?;
            let sagas = named(places, &what).await?;
            Ok(told(&operations::replay_run(&sagas, other.as_ref(), until), format.output))
        }
        ReplayVerb::WhatIf { definition, file, which, limit, output: format } => {
            let other = operations::definition_file(&definition)?;
            let sagas = match file {
                Some(file) => operations::replayable(None, &file).await?,
                None => chosen(places, &which, limit).await?,
            };
            Ok(told(&operations::replay_run(&sagas, Some(&other), None), format.output))
        }
        ReplayVerb::Export { sagas, which, limit, reveal } => {
            let console = places.reading().await?;
            let mut found: Vec<Replayable> = Vec::new();
            for saga in &sagas {
                found.extend(operations::replayable(Some(&console), saga).await?);
            }
            if sagas.is_empty() {
                found = chosen(places, &which, limit).await?;
            }
            let sight = reveal.sight(places, who, &target(&found)).await?;
            let (out, now) = (std::io::stdout().lock(), crate::engine::wall_clock());
            let (count, digest) = operations::export(&console, &found, out, now, sight).await?;
            let masked = if sight == Sight::Whole { "payloads as they are" } else { "payloads masked" };
            output::note(&format!("{count} sagas, {masked}, digest {}", &digest.to_string()[..8]));
            Ok(ExitCode::SUCCESS)
        }
        ReplayVerb::Import { file } => {
            let count = operations::import(&places.console().await?, &file).await?;
            output::note(&format!("{count} sagas"));
            Ok(ExitCode::SUCCESS)
        }
        ReplayVerb::Redrive { stretch, max_active, consent, output: format } => {
            redrive(places, stretch, (max_active, &consent, format.output), who).await
        }
        ReplayVerb::Serve { what, reveal, times } => {
            let sagas = named(places, &what).await?;
            // Who has a file has what is in it.
            let is_file = Path::new(&what).is_file();
            let sight = if is_file { Sight::Whole } else { reveal.sight(places, who, &what).await? };
            serve(sagas, sight, times)
        }
    }
}

/// What the audit is told of an export: each saga, or the ends of what would be too long.
fn target(sagas: &[Replayable]) -> String {
    let ids: Vec<String> = sagas.iter().map(|saga| saga.row.id.to_string()).collect();
    match ids.as_slice() {
        [first, .., last] if ids.len() > 12 => format!("{} sagas, {first} to {last}", ids.len()),
        all => all.join(" "),
    }
}

async fn named(places: &Places, what: &str) -> Result<Vec<Replayable>, Failure> {
    let console = if places.database_url.is_some() { Some(places.reading().await?) } else { None };
    operations::replayable(console.as_ref(), what).await
}

async fn chosen(places: &Places, which: &WhereArguments, limit: usize) -> Result<Vec<Replayable>, Failure> {
    let filter = which.filter(crate::engine::wall_clock());
    operations::replayables(&places.reading().await?, &filter, limit).await
}

async fn redrive(
    places: &Places,
    stretch: StretchArguments,
    (max_active, consent, format): (usize, &Consent, OutputFormat),
    who: &str,
) -> Result<ExitCode, Failure> {
    let reason = consent.reason()?;
    let place = |offset: Option<i64>, at: Option<Timestamp>| offset.map(LogPlace::Offset).or(at.map(LogPlace::Time));
    let (from, to) = (place(stretch.from_offset, stretch.from_time), place(stretch.to_offset, stretch.to_time));
    let StretchArguments { topic, partition, .. } = stretch;
    let wanted = Backfill { topic, partition, from, to, max_active, is_dry_run: consent.dry_run };
    consent.ask(&format!("send what is missing of {} down the line?", wanted.topic))?;
    let progress = |sum: &Backfilled| output::note(&format!("{} records read", sum.read));
    let sum = operations::backfill(places, &wanted, (who, &reason), progress).await?;
    output::one(format, &sum, render::backfilled);
    Ok(ExitCode::SUCCESS)
}

async fn verify(places: &Places) -> Result<ExitCode, Failure> {
    let (count, differences) = operations::replay_verify(&places.reading().await?).await?;
    for (saga, difference) in &differences {
        output::print(&format!("{saga}  {difference}"));
    }
    output::note(&format!("{count} sagas folded, {} differences", differences.len()));
    Ok(ExitCode::from(u8::from(!differences.is_empty())))
}

fn told(report: &ReplayReport, format: OutputFormat) -> ExitCode {
    output::one(format, report, render::replayed);
    ExitCode::from(u8::from(report.differs + report.cannot > 0))
}

fn serve(mut sagas: Vec<Replayable>, sight: Sight, times: TimeArguments) -> Result<ExitCode, Failure> {
    let (Some(saga), true) = (sagas.pop(), sagas.is_empty()) else {
        let hint = "export one of them into a file of its own";
        return Err(Failure::new(Exit::Usage, "the file holds several sagas, or none", hint));
    };
    let id = saga.row.id;
    let failed = |why: String| Failure::new(Exit::Failed, format!("saga {id}: {why}"), "");
    let (plan, journal) = saga.recorded.map_err(failed)?;
    let frame = |seq: usize| -> Result<String, Failure> {
        let rows = journal[..seq].to_vec();
        let state = fold(plan.definition(), id, &rows).map_err(|error| failed(error.to_string()))?;
        let now = rows.last().map_or(state.started_at, |row| row.now);
        let (plan, held) = (std::sync::Arc::clone(&plan), HeldSteps::default());
        let opened = Opened { plan, saga: state, journal: rows, now, held }.seen(sight);
        let times = times.seen_from(now);
        Ok(render::frame(&operations::show(&opened, times), journal.len(), times))
    };
    let is_asked = std::io::stdin().is_terminal();
    let mut seq = 1;
    output::print(&frame(seq)?);
    let mut keys = std::io::stdin().lock().lines();
    loop {
        if is_asked {
            let mut stderr = std::io::stderr();
            _ = write!(stderr, "row {seq} of {}: next, p back, number, f first, l last, q quit > ", journal.len());
            _ = stderr.flush();
        }
        let Some(Ok(key)) = keys.next() else { return Ok(ExitCode::SUCCESS) };
        seq = match (key.trim(), key.trim().parse::<usize>()) {
            ("q", _) => return Ok(ExitCode::SUCCESS),
            ("" | "n", _) if seq < journal.len() => seq + 1,
            ("p", _) if seq > 1 => seq - 1,
            ("f", _) => 1,
            ("l", _) => journal.len(),
            (_, Ok(row)) if (1..=journal.len()).contains(&row) => row,
            _ => {
                output::note(&format!("there is no such row: 1 to {}", journal.len()));
                continue;
            }
        };
        output::print(&frame(seq)?);
    }
}
