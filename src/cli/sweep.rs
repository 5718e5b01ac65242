//! Many parked messages at once: what would happen is shown, one question is asked, then they are worked through.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use serde_json::json;

use crate::operations::{self, Exit, Failure, Rate, Sweep, Sweeping, Swept};
use crate::store::ParkedFilter;

use super::arguments::OutputFormat;
use super::bulk::bar;
use super::consent::Consent;
use super::parked::Again;
use super::reach::Doing;
use super::{output, render};

/// Sends the messages that fit down the line again.
pub(super) async fn redrive(
    doing: &Doing<'_>,
    (filter, limit): (&ParkedFilter, usize),
    (rate, force): (Rate, bool),
    reason: &str,
    again: &Again,
) -> Result<ExitCode, Failure> {
    let sweep = doing.choose_parked(filter, limit, Sweeping::Redrive { force }).await?;
    let format = again.output.output;
    if !is_to_go_on(&sweep, "redrive", &again.consent, format)? {
        return Ok(ExitCode::SUCCESS);
    }
    let is_drawn = format == OutputFormat::Table && std::io::stderr().is_terminal();
    let bar = is_drawn.then(bar);
    let mut so_far = Swept::default();
    let progress = |swept: &Swept| {
        so_far = swept.clone();
        if let Some(bar) = &bar {
            bar.set_length(swept.chosen as u64);
            bar.set_position((swept.redriven + swept.parked_again + swept.refused) as u64);
            bar.set_message(format!("{} put aside again, {} refused", swept.parked_again, swept.refused));
        }
    };
    let redrive = async |ids| doing.redrive_free(ids, reason, force).await;
    let ended = operations::sweep_redrive(&sweep, (rate, force), redrive, progress).await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let swept = ended.inspect_err(|_| output::note(render::swept(&so_far).trim_end()))?;
    output::one(format, &swept, render::swept);
    Ok(match (swept.redriven, swept.parked_again + swept.refused) {
        (_, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::from(Exit::Refused as u8),
        (_, _) => ExitCode::from(Exit::Partial as u8),
    })
}

/// Marks the messages that fit as not to be looked at any more.
pub(super) async fn discard(
    doing: &Doing<'_>,
    (filter, limit): (&ParkedFilter, usize),
    reason: &str,
    consent: &Consent,
    format: OutputFormat,
) -> Result<ExitCode, Failure> {
    let sweep = doing.choose_parked(filter, limit, Sweeping::Discard).await?;
    if !is_to_go_on(&sweep, "discard", consent, format)? {
        return Ok(ExitCode::SUCCESS);
    }
    let discard = async |ids: Vec<i64>| doing.discard(&ids, reason).await;
    let count = operations::sweep_discard(&sweep, discard).await?;
    Ok(discarded(count, sweep.free.len(), format))
}

/// Says how many were discarded, of those that were asked for.
pub(super) fn discarded(count: usize, asked: usize, format: OutputFormat) -> ExitCode {
    match format {
        OutputFormat::Json => output::json(&json!({"asked": asked, "discarded": count})),
        OutputFormat::Table => output::note(&format!("discarded: {count} of {asked}")),
    }
    if count == asked { ExitCode::SUCCESS } else { ExitCode::from(Exit::Partial as u8) }
}

/// Shows what would happen, and asks. False after a dry run.
///
/// # Errors
/// Every message would be refused (exit 4), or it is not wanted (1).
fn is_to_go_on(sweep: &Sweep, verb: &str, consent: &Consent, format: OutputFormat) -> Result<bool, Failure> {
    let shown = render::sweep(&sweep.shown, verb);
    if consent.dry_run {
        output::one(format, &sweep.shown, |_| shown);
    } else {
        output::note(shown.trim_end());
    }
    if sweep.free.is_empty() {
        return Err(Failure::new(Exit::Refused, "every message that fits is refused", "parked show tells more of one"));
    }
    if consent.dry_run {
        return Ok(false);
    }
    consent.ask(&format!("{verb} {} parked messages?", sweep.free.len()))?;
    Ok(true)
}
