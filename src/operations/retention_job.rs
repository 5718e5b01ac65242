//! Retention beside a running engine: the tables of the periods to come are made, and with `--retention-keep` what is old is removed. One process
//! at a time does it. A task of its own, so that neither its work nor its end disturbs the engine.

use std::time::Duration;

use metrics::{counter, gauge};

use crate::engine::wall_clock;
use crate::store::{Console, Keeper};

use super::failure::Failure;
use super::keep::{check_keep, held_by_topics};
use super::places::Places;
use super::retention::{RetentionOptions, RetentionReport, retain};

/// How often it is looked at: much less than a period.
const EVERY: Duration = Duration::from_secs(600);
/// The first look waits for the engine to be at work.
const FIRST: Duration = Duration::from_secs(5);

/// Keeps what is to be kept, for ever. A round that fails is said once, and the next one tries again.
pub(super) async fn keep_beside(places: Places, options: RetentionOptions) {
    counter!("sagabus_retention_sagas_removed_total").increment(0);
    counter!("sagabus_retention_partitions_dropped_total").increment(0);
    let (mut failing, mut wait) = (false, FIRST);
    loop {
        tokio::time::sleep(std::mem::replace(&mut wait, EVERY)).await;
        match round(&places, &options).await {
            Ok(report) => {
                tell(&report);
                failing = false;
            }
            Err(failure) => {
                if !failing {
                    tracing::warn!(error = %failure, "retention did not run, it is tried again");
                }
                failing = true;
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are doubles")]
async fn round(places: &Places, options: &RetentionOptions) -> Result<RetentionReport, Failure> {
    let url = places.database_url()?;
    let console = Console::connect(url).await?;
    let is_long_enough = is_long_enough(places, &console, options.keep).await;
    // Periods are made in any case.
    let keep = options.keep.filter(|_| is_long_enough.is_ok());
    let options = RetentionOptions { keep, ..options.clone() };
    let done = retain(&mut Keeper::connect(url).await?, &console, &options, |_, _| {}).await?;
    is_long_enough?;
    // Where somebody else is at it, it is that one's to tell.
    let Some(report) = done else { return Ok(RetentionReport::default()) };
    if let Some(oldest) = console.oldest_saga().await? {
        gauge!("sagabus_retention_oldest_saga_timestamp_seconds").set(oldest.micros() as f64 / 1e6);
    }
    gauge!("sagabus_retention_last_round_timestamp_seconds").set(wall_clock().micros() as f64 / 1e6);
    Ok(report)
}

/// Topics may have been told to hold records longer since the start.
async fn is_long_enough(places: &Places, console: &Console, keep: Option<Duration>) -> Result<(), Failure> {
    match keep {
        Some(keep) => check_keep(keep, held_by_topics(places.kafka(None)?, console).await?.as_ref()),
        None => Ok(()),
    }
}

fn tell(report: &RetentionReport) {
    let dropped = report.periods.iter().filter(|over| over.outcome == "dropped").count();
    let kept = report.periods.iter().filter(|over| over.outcome == "kept").count();
    if report.made + report.sagas > 0 || dropped > 0 {
        let (made, sagas, busy) = (report.made, report.sagas, report.busy);
        tracing::info!(made, sagas, dropped, kept, busy, "periods made, what is old removed");
    }
    for over in report.periods.iter().filter(|over| over.outcome == "kept") {
        let oldest = over.oldest.as_ref().map(|oldest| oldest.id.to_string());
        tracing::warn!(partition = over.name, oldest, "period is over and kept, since many sagas of it are there");
    }
}
