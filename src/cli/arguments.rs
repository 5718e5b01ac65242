//! What may be said on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::bus::From;
use crate::core::{NoTimestamp, Timestamp};
use crate::operations::{self, Condition, SeekTo, TimeFormat, Times};
use crate::store::SagaFilter;

use super::audit::AuditVerb;
use super::bench::BenchVerb;
use super::bulk::BulkVerb;
use super::dev::DevArguments;
use super::dlq::DlqVerb;
use super::hold::HoldVerb;
use super::live::LiveVerb;
use super::login::LoginArguments;
use super::parked::ParkedVerb;
use super::participant::ParticipantVerb;
use super::reach::ServerArguments;
use super::repair::RepairVerb;
use super::replay::ReplayVerb;
use super::retention::{KeepArguments, RetentionVerb};
use super::reveal::RevealArguments;
use super::see::SeeVerb;
use super::tokens::TokensVerb;

/// A saga orchestrator for Kafka with a Postgres-backed state machine.
#[derive(Debug, Parser)]
#[command(name = "sagabus", version, arg_required_else_help = true, max_term_width = 110)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) places: PlacesArguments,
    #[command(flatten)]
    pub(super) server: ServerArguments,
    /// In whose name things are asked; stored. Default: the user as the system knows it. A server names who has the token.
    #[arg(long, env = "SAGABUS_WHO", global = true, value_name = "NAME", help_heading = "Person")]
    pub(super) who: Option<String>,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// Where Kafka and Postgres are.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Places")]
pub(super) struct PlacesArguments {
    /// Kafka's bootstrap servers: host:port, comma separated.
    #[arg(long, env = "SAGABUS_KAFKA", global = true, value_name = "SERVERS")]
    pub(super) kafka: Option<String>,
    /// Postgres: postgres://user:password@host/database.
    #[arg(long, env = "SAGABUS_DATABASE_URL", global = true, hide_env_values = true, value_name = "URL")]
    pub(super) database_url: Option<String>,
    /// The consumer group: engines of one group share the work.
    #[arg(long, env = "SAGABUS_GROUP", global = true, default_value = "sagabus")]
    pub(super) group: String,
    /// Kafka client properties (security.protocol, sasl.*, ssl.*, queue.buffering.max.*): name=value, comma separated.
    #[arg(
        long,
        env = "SAGABUS_KAFKA_PROPERTIES",
        global = true,
        value_delimiter = ',',
        hide_env_values = true,
        value_name = "NAME=VALUE"
    )]
    pub(super) kafka_property: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run an engine: start sagas from events, send commands, follow replies, compensate.
    Serve(ServeArguments),
    /// Everything in one process, with sample services: watch sagas complete, fail and be undone.
    Dev(DevArguments),
    /// Load against the configured Kafka and Postgres: sagas a second, latency, CPU, WAL.
    #[command(subcommand)]
    Bench(BenchVerb),
    /// Bring the schema of the database up to date.
    Migrate,
    /// Definition files.
    #[command(subcommand)]
    Definitions(DefinitionsVerb),
    /// The JSON Schema of definition files, for editors.
    Schema,
    /// Topics that definitions need.
    #[command(subcommand)]
    Topics(TopicsVerb),
    /// Publish a trigger of an active definition. Changes something.
    Start(StartArguments),
    #[command(flatten)]
    See(SeeVerb),
    #[command(flatten)]
    Live(LiveVerb),
    /// One saga: what it waits for, its steps, its journal.
    Show(SagaArguments),
    /// Records put aside.
    #[command(subcommand)]
    Parked(ParkedVerb),
    /// Dead letters of participants.
    #[command(subcommand)]
    Dlq(DlqVerb),
    #[command(flatten)]
    Repair(RepairVerb),
    #[command(flatten)]
    Bulk(BulkVerb),
    /// Stop a step, a definition or a participant for a while, for all sagas at once.
    #[command(subcommand)]
    Hold(HoldVerb),
    /// Read journals back. Sends nothing.
    #[command(subcommand)]
    Replay(ReplayVerb),
    /// Check a live database against the promises, read-only; exit 1 if something is wrong.
    ///
    /// Wrong, exit 1: silent_sagas, late_wake_ups, journal_gaps, fold_differences, compensation_order_violations,
    /// unemitted_without_writer, offset_holes. Look, exit 0: conflicting_replies (a participant contradicted itself, and nobody has
    /// acted on the saga since), parked_open (records that wait for a person): there Sagabus did as it should. All but three are SQL
    /// views of the same name; fold_differences, compensation_order_violations and conflicting_replies need the fold.
    /// (hash_breaks comes with the hash chain.) Engines may work meanwhile. Exit 6: the database does not answer.
    Verify(VerifyArguments),
    /// Who did what, and what became of every record.
    #[command(subcommand)]
    Audit(AuditVerb),
    /// What is old is removed, what is to come is made ready.
    #[command(subcommand)]
    Retention(RetentionVerb),
    /// Who is let in over HTTP.
    #[command(subcommand)]
    Tokens(TokensVerb),
    /// Services that take part in sagas.
    #[command(subcommand)]
    Participant(ParticipantVerb),
    /// A script by which a shell completes what is typed.
    #[command(after_help = "Example: sagabus completions bash > ~/.local/share/bash-completion/completions/sagabus")]
    Completions {
        /// For this shell.
        shell: clap_complete::Shell,
    },
    /// Write a manual page for every verb.
    #[command(after_help = "Example: sagabus man --to ~/.local/share/man/man1")]
    Man {
        /// Into this folder.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
}

#[derive(Clone, Debug, Args)]
pub(super) struct ServeArguments {
    /// Folder of *.saga.yaml files.
    #[arg(long, env = "SAGABUS_DEFINITIONS", value_name = "DIR")]
    pub(super) definitions: PathBuf,
    /// Where HTTP answers: /v1 and /openapi.json; /healthz, /readyz, /metrics. Beyond this machine only once a token was made, or with
    /// --oidc-issuer.
    #[arg(long, env = "SAGABUS_LISTEN", value_name = "ADDR")]
    pub(super) listen: Option<SocketAddr>,
    /// A stable name: a restarted process of this name takes over its predecessor at once.
    #[arg(long, env = "SAGABUS_INSTANCE", value_name = "NAME")]
    pub(super) instance: Option<String>,
    /// Where a trigger topic begins that holds records and was never read: earliest, latest, or a time (RFC 3339).
    #[arg(long, env = "SAGABUS_FROM", value_parser = from, value_name = "earliest|latest|TIME")]
    pub(super) from: Option<From>,
    /// Development: makes topics, relaxes the start-up check, loudly.
    #[arg(long, env = "SAGABUS_DEV")]
    pub(super) dev: bool,
    /// Allow unencrypted Kafka beyond this machine.
    #[arg(long, env = "SAGABUS_ALLOW_PLAINTEXT")]
    pub(super) allow_plaintext: bool,
    /// How often some sagas and all views are checked as `verify` does, for the metric sagabus_verify_findings; 0s: never.
    #[arg(long, env = "SAGABUS_VERIFY_EVERY", default_value = "1m", value_parser = duration, value_name = "DURATION")]
    pub(super) verify_every: Duration,
    #[command(flatten)]
    pub(super) retention: KeepArguments,
    #[command(flatten)]
    pub(super) login: LoginArguments,
}

#[derive(Debug, Subcommand)]
pub(super) enum DefinitionsVerb {
    /// Say everything that is wrong with definition files, or folders of them.
    Lint {
        /// Files or folders.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        output: OutputArguments,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum TopicsVerb {
    /// Make the topics that are missing. Changes something.
    Ensure {
        /// Folder of *.saga.yaml files.
        #[arg(long, env = "SAGABUS_DEFINITIONS", value_name = "DIR")]
        definitions: PathBuf,
        /// Partitions of topics that are made.
        #[arg(long, default_value_t = 12)]
        partitions: i32,
    },
    /// Show what is missing or different; exit 1 if anything is.
    Diff {
        /// Folder of *.saga.yaml files.
        #[arg(long, env = "SAGABUS_DEFINITIONS", value_name = "DIR")]
        definitions: PathBuf,
    },
    /// Send a partition elsewhere, and read it again if it was stopped. Changes something; audited.
    Seek {
        /// TOPIC/PARTITION
        #[arg(value_name = "TOPIC/PARTITION", value_parser = topic_partition)]
        partition: (String, i32),
        /// Where to.
        #[arg(long, value_parser = seek_to, value_name = "earliest|latest|OFFSET")]
        to: SeekTo,
        /// Why; stored.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Clone, Debug, Args)]
pub(super) struct StartArguments {
    /// The definition's name.
    pub(super) name: String,
    /// The trigger's data: JSON, or a file of it.
    #[arg(long, value_name = "FILE|JSON")]
    pub(super) data: String,
    /// The record's key. Default: the business key.
    #[arg(long)]
    pub(super) key: Option<String>,
    /// Wait for the end, at most this long (default 30s): exit 0 completed, 1 another end or stuck, 124 time is up.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "30s", value_parser = duration)]
    pub(super) wait: Option<Duration>,
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

/// One saga, as a person names it.
#[derive(Clone, Debug, Args)]
pub(super) struct OneSaga {
    /// The saga's id or business key.
    #[arg(value_name = "ID|KEY")]
    pub(super) saga: String,
    /// The definition, where a key fits several.
    #[arg(long)]
    pub(super) definition: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct SagaArguments {
    #[command(flatten)]
    pub(super) one: OneSaga,
    #[command(flatten)]
    pub(super) reveal: RevealArguments,
    #[command(flatten)]
    pub(super) times: TimeArguments,
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

/// Sagas by what is true of them.
#[derive(Clone, Debug, Args)]
pub(super) struct WhereArguments {
    /// Only sagas for which this is true; may be said several times: phase=NAME, definition=NAME, key=PREFIX*, code=CODE,
    /// started-after=TIME, started-before=TIME (RFC 3339, or how long ago: 1h30m).
    #[arg(long = "where", value_name = "NAME=VALUE", value_parser = Condition::parse)]
    conditions: Vec<Condition>,
}

impl WhereArguments {
    /// All of it together, seen from `now`.
    pub(super) fn filter(&self, now: Timestamp) -> SagaFilter {
        operations::filter(&self.conditions, now)
    }
}

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct VerifyArguments {
    /// Fold only this many sagas, drawn by lot. Default: all.
    #[arg(long, value_name = "N")]
    pub(super) sample: Option<usize>,
    /// Show at most this many offenders of each check; all are counted.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(super) limit: usize,
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct TimeArguments {
    /// How tables show moments; JSON always has RFC 3339 in UTC.
    #[arg(long, value_enum, default_value_t = TimeStyle::Relative)]
    time_format: TimeStyle,
}

impl TimeArguments {
    /// How to show moments, seen from `now`.
    pub(super) fn seen_from(self, now: Timestamp) -> Times {
        Times { format: self.format(), now }
    }

    /// How sentences tell moments in this output: JSON has them as it has every moment.
    pub(super) fn format_of(self, output: OutputFormat) -> TimeFormat {
        match output {
            OutputFormat::Json => TimeFormat::Iso,
            OutputFormat::Table => self.format(),
        }
    }

    /// How to show moments.
    pub(super) fn format(self) -> TimeFormat {
        match self.time_format {
            TimeStyle::Relative => TimeFormat::Relative,
            TimeStyle::Iso => TimeFormat::Iso,
            TimeStyle::Raw => TimeFormat::Raw,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TimeStyle {
    /// 16m02s ago, in 20s.
    Relative,
    /// RFC 3339 in UTC.
    Iso,
    /// Microseconds since 1970.
    Raw,
}

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct OutputArguments {
    /// How to print.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    pub(super) output: OutputFormat,
}

/// For verbs that print many of the same.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct ListOutputArguments {
    /// How to print.
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub(super) output: ListFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ListFormat {
    /// For people.
    Table,
    /// For programs: one array.
    Json,
    /// For programs: a line each.
    Jsonl,
    /// Ids alone.
    Name,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
}

fn from(text: &str) -> Result<From, String> {
    match text {
        "earliest" => Ok(From::Earliest),
        "latest" => Ok(From::Latest),
        text => text.parse().map(From::Time).map_err(|_| format!("neither earliest, latest nor {NoTimestamp}")),
    }
}

fn seek_to(text: &str) -> Result<SeekTo, String> {
    match text {
        "earliest" => Ok(SeekTo::Earliest),
        "latest" => Ok(SeekTo::Latest),
        offset => offset.parse().map(SeekTo::Offset).map_err(|_| "neither earliest, latest nor an offset".to_owned()),
    }
}

fn topic_partition(text: &str) -> Result<(String, i32), String> {
    let (topic, number) = text.rsplit_once('/').ok_or("say TOPIC/PARTITION")?;
    Ok((topic.to_owned(), number.parse().map_err(|_| "the partition is a number")?))
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let millis = crate::definition::parse_duration(text);
    millis.map(Duration::from_millis).ok_or_else(|| "write 500ms, 30s, 5m or 1h30m".to_owned())
}
