//! The highest rate that an engine holds: whose 99th percentile stays under a quarter of a second, without a backlog.

use std::time::Duration;

use serde::Serialize;

use super::BenchError;
use super::arrivals::Spread;
use super::report::Report;
use super::run::{Offered, measure};
use super::search::Search;
use super::stage::Stage;

/// What the 99th percentile of a rate that holds stays under.
const P99_MAX_MS: f64 = 250.0;
/// A rate that holds has less in flight at its end than arrives in this many seconds.
const BACKLOG_SECONDS: f64 = 0.5;
/// What is found is exact to this share.
const PRECISION: f64 = 0.05;

/// What an engine holds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// Which engine.
    pub engine: &'static str,
    /// Sagas a second; 0: none that was tried.
    pub sagas_per_second: f64,
    /// The run at that rate.
    pub report: Option<Report>,
    /// Rates that were tried, and whether they held.
    pub tried: Vec<(f64, bool)>,
}

/// Searches on a stage that is warm, from `first` sagas a second on; each rate runs for `length`.
///
/// # Errors
/// Kafka or Postgres is not there any more.
pub(super) async fn capacity(stage: &mut Stage, (first, length): (f64, Duration)) -> Result<Capacity, BenchError> {
    let mut search = Search::new(first, PRECISION);
    let mut found = Capacity { engine: stage.kind.name(), sagas_per_second: 0.0, report: None, tried: Vec::new() };
    while let Some(rate) = search.next() {
        let report = measure(stage, Offered::Rate { rate, length, spread: Spread::Poisson }, None).await?;
        let holds = holds(&report, rate);
        tracing::info!(rate, p99 = report.latency_p99_ms, behind = report.behind, holds, "tried");
        search.tried(rate, holds);
        found.tried.push((rate, holds));
        if search.found() == Some(rate) {
            found.report = Some(report);
        }
    }
    found.sagas_per_second = search.found().unwrap_or_default();
    Ok(found)
}

#[expect(clippy::cast_precision_loss, reason = "a count of sagas in flight")]
fn holds(report: &Report, rate: f64) -> bool {
    !report.is_hopeless && report.latency_p99_ms <= P99_MAX_MS && report.behind as f64 <= rate * BACKLOG_SECONDS
}
