//! The online checks beside a running engine: the same views, and a bounded number of sagas a round, on a connection of their own.
//! A task of its own, so that neither its work nor its end disturbs the engine; what it finds is a metric and one line in the log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use metrics::{counter, gauge};
use uuid::Uuid;

use crate::engine::wall_clock;
use crate::store::Console;

use super::failure::Failure;
use super::verify::{Check, Folds, Meaning, PAGE, Tally, look_at_views, next_page};

/// Sagas that are folded in a round: some 100 ms of one core a minute.
const SAGAS_A_ROUND: usize = 1_000;
/// As the engine's own statements: a check that takes longer is given up, and said.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the sampler stands in its walk over all sagas, newest first and then anew, and what it found.
#[derive(Debug)]
struct Sampler {
    before: Uuid,
    folds: Folds,
    /// What the walk under way has found, and what the one before it had.
    walk: Tally,
    last_walk: Tally,
    /// Checks that had findings in the last round.
    known: BTreeSet<Check>,
}

/// Checks every `every`, for ever. A round that fails is said once, and the next one tries again.
pub(super) async fn run(url: String, every: Duration) {
    for check in Check::ALL {
        gauge!("sagabus_verify_findings", "check" => check.name()).set(0.0);
    }
    let (mut console, mut failing) = (None, false);
    let mut sampler = Sampler::new();
    loop {
        tokio::time::sleep(every).await;
        match round(&url, &mut console, &mut sampler).await {
            Ok(()) => failing = false,
            Err(failure) => {
                if !failing {
                    tracing::warn!(error = %failure, "online checks did not run, they go on");
                }
                failing = true;
            }
        }
    }
}

async fn round(url: &str, console: &mut Option<Console>, sampler: &mut Sampler) -> Result<(), Failure> {
    let console = match console {
        Some(console) => console,
        None => console.insert(Console::read_only(url, Some(STATEMENT_TIMEOUT)).await?),
    };
    let mut views = Tally::keeping(1);
    look_at_views(console, &mut views).await?;
    sampler.walk(console).await?;
    sampler.tell(&views);
    difference(console).await
}

impl Sampler {
    fn new() -> Self {
        Self {
            before: Uuid::max(),
            folds: Folds::default(),
            walk: Tally::keeping(1),
            last_walk: Tally::keeping(1),
            known: BTreeSet::new(),
        }
    }

    /// Looks at the next sagas of the walk; at its end the next round begins anew.
    async fn walk(&mut self, console: &Console) -> Result<(), Failure> {
        for _ in 0..SAGAS_A_ROUND / PAGE {
            let Some(page) = next_page(console, &mut self.before).await? else {
                self.before = Uuid::max();
                self.last_walk = std::mem::replace(&mut self.walk, Tally::keeping(1));
                return Ok(());
            };
            let folded = self.folds.folded;
            self.walk.add(Check::JournalGaps, console.journal_gaps(Some(&page), 1).await?);
            self.folds.look_at(console, &page, &mut self.walk).await?;
            counter!("sagabus_verify_sagas_total").increment(self.folds.folded - folded);
        }
        Ok(())
    }

    /// Sets the metrics, and says what was not found the last time. What a walk found is told until a whole one does not find it.
    #[expect(clippy::cast_precision_loss, reason = "gauges are doubles")]
    fn tell(&mut self, views: &Tally) {
        for check in Check::ALL {
            let found = [views, &self.walk, &self.last_walk].map(|tally| tally.get(check));
            let most = found.into_iter().max_by_key(|found| found.count).unwrap_or_default();
            gauge!("sagabus_verify_findings", "check" => check.name()).set(most.count as f64);
            let was_known = self.known.contains(&check);
            match (most.first.first(), check.meaning()) {
                // Ids only: what a record or a participant said is not for logs.
                (Some(first), Meaning::Wrong) if !was_known => {
                    tracing::error!(
                        check = check.name(),
                        count = most.count,
                        first = first.id,
                        "online check found what must not be"
                    );
                }
                (Some(first), Meaning::Look) if !was_known => {
                    tracing::warn!(
                        check = check.name(),
                        count = most.count,
                        first = first.id,
                        "online check found what a person should look at"
                    );
                }
                (None, _) if was_known => tracing::info!(check = check.name(), "online check finds nothing any more"),
                (Some(_) | None, _) => {}
            }
            if most.count > 0 {
                self.known.insert(check)
            } else {
                self.known.remove(&check)
            };
        }
        let now = wall_clock().micros() as f64 / 1e6;
        gauge!("sagabus_verify_last_round_timestamp_seconds").set(now);
    }
}

/// next - first - gaps - verdicts, summed over each topic's partitions: 0.
#[expect(clippy::cast_precision_loss, reason = "gauges are doubles")]
async fn difference(console: &Console) -> Result<(), Failure> {
    let mut by_topic = BTreeMap::new();
    for balance in console.balance().await? {
        let difference = balance.difference().saturating_abs();
        *by_topic.entry(balance.partition.0).or_insert(0_i64) += difference;
    }
    for (topic, difference) in by_topic {
        gauge!("sagabus_balance_difference_records", "topic" => topic).set(difference as f64);
    }
    Ok(())
}
