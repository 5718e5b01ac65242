//! How a step is undone, and its clocks: what the author wrote, what the defaults say, and what makes no sense.

use serde_saphyr::{Location, Spanned};

use crate::core::{CompensationPolicy, Jitter, OnExhausted, RetryPolicy, Step, StepKind, Undo};

use super::compile::Bench;
use super::duration;
use super::file::{ClocksFile, CompensationFile, ExhaustedFile, JitterFile, RetryFile};
use super::step_file::{CompensateFile, StepFile};

impl Bench<'_> {
    pub(super) fn undo(
        &mut self,
        at: Location,
        name: &str,
        file: &StepFile,
        kind: StepKind,
        behind_pivot: bool,
    ) -> Undo {
        match (&file.compensate, kind) {
            // What it may not have is found where it waits.
            _ if file.wait.is_some() => Undo::Nothing,
            (Some(CompensateFile::Command(_)), _)
                if behind_pivot || matches!(kind, StepKind::Pivot | StepKind::ReadOnly) =>
            {
                let message = format!("step {name} is never undone, and has a compensation");
                self.find(
                    at,
                    message,
                    "a pivot, a readOnly step and what comes behind a pivot are never undone: remove it",
                );
                Undo::Nothing
            }
            (Some(CompensateFile::Command(message)), _) => Undo::Command(message.kind.as_str().into()),
            (Some(CompensateFile::Nothing), StepKind::Compensatable) => {
                let message = format!("step {name} is compensatable, and says compensate: none");
                self.find(at, message, "say how it is undone, or make it kind: readOnly, pivot or retriable");
                Undo::Nothing
            }
            (None, StepKind::Compensatable) => {
                let message = format!("step {name} can fail after it has had an effect, and says not how it is undone");
                self.find(at, message, "add compensate: {type: ...}, or make it kind: readOnly, pivot or retriable");
                Undo::Nothing
            }
            (None, StepKind::Retriable) if !behind_pivot => {
                let message =
                    format!("step {name} may run before the saga is past failing, and says not how it is undone");
                self.find(at, message, "add compensate: {type: ...}, or compensate: none when its effect may stay");
                Undo::Nothing
            }
            (Some(CompensateFile::Nothing) | None, _) => Undo::Nothing,
        }
    }

    pub(super) fn clocks(&mut self, at: Location, step: &Step) {
        let pairs = [
            (step.timeout_ms, step.patience_ms, ""),
            (step.compensation.timeout_ms, step.compensation.patience_ms, "compensation "),
        ];
        for (timeout, patience, what) in pairs {
            if timeout == 0 || patience < timeout {
                let message =
                    format!("step {}: {what}timeout {timeout} ms and {what}patience {patience} ms", step.name);
                self.find(at, message, "the timeout is above 0, and patience at least as long");
            }
        }
    }

    pub(super) fn millis(&mut self, written: &[&Option<Spanned<String>>], default: u64) -> u64 {
        let Some(text) = written.iter().find_map(|text| text.as_ref()) else { return default };
        duration::parse(&text.value).unwrap_or_else(|| {
            self.find(
                text.referenced,
                format!("{:?} is no length of time", text.value),
                "write 500ms, 30s, 5m, 1h30m or 2d",
            );
            default
        })
    }

    pub(super) fn retry(&mut self, written: &[&RetryFile], attempts: u16, maximum_ms: u64) -> RetryPolicy {
        let maximum_attempts = written.iter().find_map(|retry| retry.maximum_attempts.as_ref());
        if let Some(zero) = maximum_attempts.filter(|count| count.value == 0) {
            self.find(zero.referenced, "maximumAttempts is 0".to_owned(), "the first attempt counts: 1 means no retry");
        }
        let intervals = |pick: fn(&RetryFile) -> &Option<Spanned<String>>| {
            written.iter().map(|retry| pick(retry)).collect::<Vec<_>>()
        };
        let coefficient = written.iter().find_map(|retry| retry.backoff_coefficient.as_ref());
        if let Some(odd) = coefficient.filter(|written| !(1.0..=1_000.0).contains(&written.value)) {
            self.find(
                odd.referenced,
                format!("backoffCoefficient is {}", odd.value),
                "1 to 1000: 2 doubles each delay",
            );
        }
        let coefficient = coefficient.map_or(2.0, |written| written.value);
        let (initial, maximum) =
            (intervals(|retry| &retry.initial_interval), intervals(|retry| &retry.maximum_interval));
        let initial_at = initial.iter().find_map(|text| text.as_ref()).map(|text| text.referenced);
        let maximum_at = maximum.iter().find_map(|text| text.as_ref()).map(|text| text.referenced);
        let (initial_interval_ms, maximum_interval_ms) =
            (self.millis(&initial, 1_000), self.millis(&maximum, maximum_ms));
        if let Some(at) = maximum_at.filter(|_| maximum_interval_ms == 0) {
            self.find(
                at,
                "maximumInterval is 0".to_owned(),
                "it is also the pace at which a step is asked without end",
            );
        } else if let Some(at) = initial_at.filter(|_| initial_interval_ms > maximum_interval_ms) {
            let message =
                format!("initialInterval {initial_interval_ms} ms is above maximumInterval {maximum_interval_ms} ms");
            self.find(at, message, "the first delay is the shortest");
        }
        let jitter = written.iter().find_map(|retry| retry.jitter).unwrap_or(JitterFile::Full);
        RetryPolicy {
            maximum_attempts: maximum_attempts.map_or(attempts, |count| count.value),
            initial_interval_ms,
            backoff_coefficient_milli: thousandths(coefficient),
            maximum_interval_ms,
            jitter: match jitter {
                JitterFile::Full => Jitter::Full,
                JitterFile::None => Jitter::None,
            },
        }
    }

    pub(super) fn compensation(&mut self, file: &StepFile, defaults: &ClocksFile) -> CompensationPolicy {
        let (own, shared): (&CompensationFile, &CompensationFile) = (&file.compensation, &defaults.compensation);
        let mut retry = self.retry(&[&own.retry, &shared.retry, &file.retry, &defaults.retry], 20, 600_000);
        if own.retry.maximum_attempts.is_none() && shared.retry.maximum_attempts.is_none() {
            retry.maximum_attempts = 20;
        }
        CompensationPolicy {
            timeout_ms: self.millis(&[&own.timeout, &shared.timeout], 30_000),
            patience_ms: self.millis(&[&own.patience, &shared.patience], 3_600_000),
            retry,
            on_exhausted: match own.on_exhausted.or(shared.on_exhausted) {
                Some(ExhaustedFile::Skip) => OnExhausted::Skip,
                Some(ExhaustedFile::Block) | None => OnExhausted::Block,
            },
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded before the cast")]
fn thousandths(coefficient: f64) -> u64 {
    (coefficient.clamp(1.0, 1_000.0) * 1_000.0).round() as u64
}
