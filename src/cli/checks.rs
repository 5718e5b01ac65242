//! `sagabus verify` and `sagabus audit balance`: what was found is printed, and the exit code says whether anything is wrong.

use std::process::ExitCode;
use std::time::Duration;

use tokio::time::Instant;

use crate::operations::{self, Failure, Places};

use super::arguments::{OutputFormat, VerifyArguments};
use super::{output, render};

/// How often a long fold says how far it is.
const SAY: Duration = Duration::from_secs(2);

/// Runs the online checks.
pub(super) async fn verify(places: &Places, arguments: VerifyArguments) -> Result<ExitCode, Failure> {
    let console = places.reading().await?;
    let mut said = Instant::now();
    let progress = |folded: u64| {
        if said.elapsed() >= SAY {
            said = Instant::now();
            output::note(&format!("{folded} sagas folded"));
        }
    };
    let report = operations::verify(&console, arguments.sample, arguments.limit, progress).await?;
    output::one(arguments.output.output, &report, render::verified);
    Ok(ExitCode::from(u8::from(report.wrong > 0)))
}

/// Balances every partition.
pub(super) async fn balance(places: &Places, format: OutputFormat) -> Result<ExitCode, Failure> {
    let console = places.reading().await?;
    let report = operations::balance(places, &console).await?;
    report.notes.iter().for_each(|note| output::note(note));
    output::one(format, &report, render::balanced);
    Ok(ExitCode::from(u8::from(!report.offenders.is_empty())))
}
