//! `sagabus bench`: what an engine gives, measured.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::bench::{self, BenchError, BenchOptions, Case, EngineKind, Offered, Report, Spread, SuiteOptions, Width};
use crate::operations::{Exit, Failure, Places};

use super::arguments::{OutputArguments, duration};
use super::{output, render};

#[derive(Debug, Subcommand)]
pub(super) enum BenchVerb {
    /// One load: sagas a second, latency, CPU by process, what Postgres did.
    #[command(after_help = "Examples: sagabus bench run --inflight 2000, sagabus bench run --rate 500 --case failures")]
    Run(RunArguments),
    /// Everything: what each engine holds, latency by load, every case, one and two engines. Some forty minutes.
    #[command(after_help = "Example: sagabus bench suite --length 10s --to bench")]
    Suite(SuiteArguments),
    /// The textbook design, run by the bench.
    #[command(hide = true)]
    Naive {
        /// Folder of one definition.
        #[arg(long, value_name = "DIR")]
        definitions: PathBuf,
    },
}

#[derive(Clone, Debug, Args)]
pub(super) struct RunArguments {
    /// Which sagas: success, failures (5 % at step four), fork, slow (10 % of half a second), hot-key, parked (10 %).
    #[arg(long, default_value = "success", value_parser = case, value_name = "NAME")]
    case: Case,
    /// Which engine: the textbook design has a transaction for each message, an outbox and a relay.
    #[arg(long, value_enum, default_value_t = EngineArgument::Sagabus)]
    engine: EngineArgument,
    /// So many engines of one group, a process each; of the textbook design there is one.
    #[arg(long, default_value_t = Width::USUAL.engines, value_parser = clap::value_parser!(u32).range(1..=16), value_name = "N")]
    engines: u32,
    /// So many partitions of each topic.
    #[arg(long, default_value_t = Width::USUAL.partitions, value_parser = clap::value_parser!(i32).range(1..=64), value_name = "P")]
    partitions: i32,
    /// Sagas in all (closed loop).
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    sagas: u64,
    /// Sagas in flight at once (closed loop).
    #[arg(long, default_value_t = 2_000, value_name = "M", conflicts_with = "rate")]
    inflight: u64,
    /// Sagas begun a second (open loop: latency counts from the intended start).
    #[arg(long, value_name = "R", value_parser = rate)]
    rate: Option<f64>,
    /// How long (open loop).
    #[arg(long, default_value = "60s", value_parser = duration, value_name = "DURATION", requires = "rate")]
    length: Duration,
    /// So many sagas that have ended lie in the database before.
    #[arg(long, default_value_t = 0, value_name = "N")]
    stored: u64,
    /// So many sagas are open meanwhile, and nobody answers them.
    #[arg(long, default_value_t = 0, value_name = "N")]
    idle: u64,
    /// Kill the engines so long after the beginning, and start them again at once under their names (open loop).
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "rate")]
    kill_after: Option<Duration>,
    /// How arrivals are spread (open loop).
    #[arg(long, value_enum, default_value_t = SpreadArgument::Poisson, requires = "rate")]
    spread: SpreadArgument,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Clone, Debug, Args)]
pub(super) struct SuiteArguments {
    /// How long each load takes.
    #[arg(long, default_value = "60s", value_parser = duration, value_name = "DURATION")]
    length: Duration,
    /// Write bench.json and pictures into this folder.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EngineArgument {
    /// This one.
    Sagabus,
    /// The textbook design.
    Naive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SpreadArgument {
    /// At even distances.
    Constant,
    /// By chance.
    Poisson,
}

fn case(name: &str) -> Result<Case, String> {
    let known = || Case::ALL.map(|case| case.name).join(", ");
    Case::named(name).ok_or_else(|| format!("there are {}", known()))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "sagas a second, more than 0".to_owned())
}

/// Measures, and prints what was measured.
pub(super) async fn run(places: &Places, verb: BenchVerb) -> Result<ExitCode, Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::new(Exit::Failed, error.to_string(), ""))?;
    let failed = |error: BenchError| {
        Failure::new(Exit::Unreachable, error.to_string(), "scripts/services up starts Kafka and Postgres")
    };
    match verb {
        BenchVerb::Run(arguments) => {
            let format = arguments.output.output;
            if arguments.engine == EngineArgument::Naive && arguments.engines > 1 {
                let hint = "its relays would each send what lies in the outbox";
                return Err(Failure::new(Exit::Usage, "--engines: of the textbook design there is one", hint));
            }
            let report = bench::run(places, &arguments.options(), &program).await.map_err(failed)?;
            output::one(format, &report, Report::to_string);
        }
        BenchVerb::Suite(SuiteArguments { length, to, output: format }) => {
            let told = |report: &Report| output::note(&format!("{report}\n"));
            let suite = bench::suite(places, &SuiteOptions { length }, &program, told).await.map_err(failed)?;
            if let Some(folder) = to {
                suite.write(&folder).map_err(failed)?;
            }
            output::one(format.output, &suite, render::suite);
        }
        BenchVerb::Naive { definitions } => bench::naive(places, &definitions).await.map_err(failed)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl RunArguments {
    fn options(&self) -> BenchOptions {
        let engine = match self.engine {
            EngineArgument::Sagabus => EngineKind::Sagabus,
            EngineArgument::Naive => EngineKind::Naive,
        };
        let spread = match self.spread {
            SpreadArgument::Constant => Spread::Constant,
            SpreadArgument::Poisson => Spread::Poisson,
        };
        let offered = match self.rate {
            Some(rate) => Offered::Rate { rate, length: self.length, spread },
            None => Offered::InFlight { sagas: self.sagas, inflight: self.inflight },
        };
        BenchOptions {
            case: self.case,
            engine,
            width: Width { engines: self.engines, partitions: self.partitions },
            offered,
            stored: self.stored,
            idle: self.idle,
            kill_after: self.kill_after,
        }
    }
}
