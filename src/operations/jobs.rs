//! Works on jobs beside a running engine: leases them, releases their next items as actions that the engines decide, looks at what became
//! of them. A task of its own, so that neither its work nor its end disturbs the engine.
//!
//! Must hold: every statement is guarded by the lease, an item's action has a derived id and names the journal row that was planned. So
//! a worker may die, or be slow, anywhere: whoever goes on asks for nothing twice.

use std::time::Duration;

use metrics::{counter, gauge};
use uuid::Uuid;

use crate::core::{Operation, Verb};
use crate::store::{Console, LeasedJob, PlanState};

use super::failure::{Exit, Failure};
use super::job::{Move, next_move};

/// How often jobs are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// For how long a job is one worker's: another one takes over a dead one's jobs after it.
const LEASE_MS: i64 = 5_000;
/// A look that takes longer has lost its connection.
const ROUND_AT_MOST: Duration = Duration::from_secs(15);

/// Works on jobs, for ever. A round that fails is said once, and the next one tries again.
#[expect(
    clippy::disallowed_methods,
    reason = "the round owns its connections: when time is up they are dropped with it, nothing returns to a pool"
)]
pub async fn work_on_jobs(url: String) {
    let (mut worker, mut failing) = (None, false);
    loop {
        tokio::time::sleep(LOOK).await;
        let taken = worker.take();
        let round = async {
            let mut worker = match taken {
                Some(worker) => worker,
                None => Worker::connect(&url).await?,
            };
            worker.round().await?;
            Ok::<Worker, Failure>(worker)
        };
        let late = || Failure::new(Exit::Unreachable, "the database did not answer in time", "");
        match tokio::time::timeout(ROUND_AT_MOST, round).await.unwrap_or_else(|_| Err(late())) {
            Ok(done) => {
                worker = Some(done);
                failing = false;
            }
            Err(failure) => {
                if !failing {
                    tracing::warn!(error = %failure, "jobs were not looked at, they go on");
                }
                failing = true;
            }
        }
    }
}

struct Worker {
    console: Console,
    id: Uuid,
}

impl Worker {
    async fn connect(url: &str) -> Result<Self, Failure> {
        let console = Console::connect(url).await?;
        let id = console.new_worker().await?;
        Ok(Self { console, id })
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are doubles")]
    async fn round(&mut self) -> Result<(), Failure> {
        let jobs = self.console.lease_jobs(self.id, LEASE_MS).await?;
        gauge!("sagabus_jobs").set(jobs.len() as f64);
        for job in jobs {
            self.work(&job).await?;
        }
        Ok(())
    }

    async fn work(&self, job: &LeasedJob) -> Result<(), Failure> {
        match next_move(job) {
            Move::Wait => {}
            Move::Release { count, next_at } => {
                let items = self.console.next_items(job, count).await?;
                let verb: Verb = match serde_json::from_str(&job.request) {
                    Ok(verb) => verb,
                    Err(error) => return self.end(job, PlanState::Paused, Some(&unreadable(&error))).await,
                };
                let asked: Vec<_> = items
                    .into_iter()
                    .map(|item| {
                        let operation = Operation {
                            id: item.operation_id,
                            verb: verb.clone(),
                            who: job.who.clone(),
                            reason: job.reason.clone(),
                            expect_seq: Some(item.seq),
                        };
                        (item, serde_json::to_string(&operation).expect("an operation is plain data"))
                    })
                    .collect();
                self.console.release(self.id, job, &asked, next_at).await?;
                counter!("sagabus_job_items_released_total").increment(u64::from(count));
            }
            Move::Pause(why) => {
                tracing::warn!(job = job.number, why, "job waits for a person");
                self.end(job, PlanState::Paused, Some(&why)).await?;
            }
            Move::End(state) => {
                tracing::info!(job = job.number, state = state.name(), "job ended");
                self.end(job, state, None).await?;
            }
        }
        Ok(())
    }

    async fn end(&self, job: &LeasedJob, state: PlanState, message: Option<&str>) -> Result<(), Failure> {
        Ok(self.console.end_job(self.id, job.number, state, message).await?)
    }
}

fn unreadable(error: &serde_json::Error) -> String {
    format!("this version cannot read the action: {error}")
}
