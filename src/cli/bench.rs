//! `sagabus bench`.

use std::process::ExitCode;

use crate::bench::{self, BenchOptions};
use crate::operations::{Exit, Failure, Places};

use super::arguments::{BenchArguments, OutputFormat};
use super::output;

/// Runs the bench and prints what was measured.
pub(super) async fn run(places: &Places, arguments: BenchArguments) -> Result<ExitCode, Failure> {
    let options = BenchOptions {
        sagas: arguments.sagas.max(1),
        inflight: arguments.inflight,
        rate: arguments.rate,
        fail_percent: arguments.fail_percent,
    };
    let program = std::env::current_exe().map_err(|error| Failure::new(Exit::Failed, error.to_string(), ""))?;
    let report = bench::run(places, &options, &program).await;
    let report = report.map_err(|error| {
        Failure::new(Exit::Unreachable, error.to_string(), "scripts/services up starts Kafka and Postgres")
    })?;
    match arguments.output.output {
        OutputFormat::Json => output::json(&report),
        OutputFormat::Table => output::print(&report.to_string()),
    }
    Ok(ExitCode::SUCCESS)
}
