//! What a saga costs by how many of them a commit holds, fitted to what was measured: with it one plans for other loads and other widths.
//!
//! Every group of processes has its share: so much for each saga, and so much for each commit of an engine, whatever is in it. How many
//! commits a saga takes depends on how full batches are: less than one in a hundred under full load, more than two where each is alone.

use serde::Serialize;

use super::report::Report;

/// What one group of processes spends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// CPU seconds for 1,000 sagas, in batches without end.
    pub seconds_per_thousand_sagas: f64,
    /// CPU milliseconds for each commit.
    pub millis_per_commit: f64,
    /// How far what was measured lies from it on average, in percent.
    pub error_percent: f64,
}

/// What everything spends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// The engines.
    pub engine: Share,
    /// Participants and generator.
    pub participants: Share,
    /// Postgres.
    pub postgres: Share,
    /// The broker.
    pub broker: Share,
}

impl Model {
    /// The model that fits best; `None` of less than two different loads, or where a group's processes are not of this machine.
    pub(super) fn fitted<'a>(reports: impl Iterator<Item = &'a Report> + Clone) -> Option<Self> {
        let share = |figure: fn(&Report) -> f64| {
            let points = reports
                .clone()
                .filter(|report| !report.is_hopeless)
                .map(|report| (report.transactions_per_thousand / 1_000.0, figure(report)));
            fit(&points.collect::<Vec<_>>())
        };
        Some(Self {
            engine: share(|report| report.engine_cpu)?,
            participants: share(|report| report.participants_cpu)?,
            postgres: share(|report| report.postgres_cpu)?,
            broker: share(|report| report.broker_cpu)?,
        })
    }
}

/// The line through points of commits a saga and CPU seconds for 1,000 sagas, whose errors in percent have the least squares: a load that costs
/// ten times as much is no more true.
#[expect(clippy::cast_precision_loss, reason = "a count of loads")]
fn fit(points: &[(f64, f64)]) -> Option<Share> {
    let sum = |term: fn(f64, f64) -> f64| {
        points.iter().map(|(commits, seconds)| term(1.0 / seconds, commits / seconds)).sum::<f64>()
    };
    let (one, commits) = (sum(|one, _| one), sum(|_, commits| commits));
    let (one_one, one_commits, commits_commits) =
        (sum(|one, _| one * one), sum(|one, commits| one * commits), sum(|_, commits| commits * commits));
    // Of two equations; they are one where all loads have the same commits, and none where somebody spent nothing.
    let determinant = one_one * commits_commits - one_commits * one_commits;
    let is_solvable = determinant > 1e-9 * one_one * commits_commits;
    if points.len() < 2 || !is_solvable {
        return None;
    }
    let base = (one * commits_commits - commits * one_commits) / determinant;
    let slope = (commits * one_one - one * one_commits) / determinant;
    let off = |(commits, seconds): &(f64, f64)| ((base + slope * commits) / seconds - 1.0).abs();
    let error_percent = 100.0 * points.iter().map(off).sum::<f64>() / points.len() as f64;
    // Seconds for 1,000 commits are milliseconds for each.
    Some(Share { seconds_per_thousand_sagas: base, millis_per_commit: slope, error_percent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_on_a_line_is_found_and_what_is_solvable_load_fits_none() {
        let share = fit(&[(0.01, 0.11), (0.1, 0.2), (2.0, 2.1)]).unwrap();
        assert!((share.seconds_per_thousand_sagas - 0.1).abs() < 1e-9, "{share:?}");
        assert!((share.millis_per_commit - 1.0).abs() < 1e-9 && share.error_percent < 1e-6, "{share:?}");
        assert_eq!(fit(&[(0.1, 0.2)]), None);
        assert_eq!(fit(&[]), None);
        assert_eq!(fit(&[(0.1, 0.2), (0.1, 0.3)]), None, "the same commits");
        assert_eq!(fit(&[(0.1, 0.0), (0.2, 0.0)]), None, "processes that nobody sees");
    }
}
