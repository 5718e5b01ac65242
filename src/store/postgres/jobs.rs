//! What a worker on jobs asks of Postgres. Each statement is guarded by the job's lease and by where the job stands, so a worker that
//! was away for too long changes nothing.

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use crate::core::Timestamp;

use super::super::plan::{LeasedJob, NextItem, PlanPace, PlanProgress, PlanState};
use super::console::{Console, ConsoleError, failed};
use super::plans::count;
use super::rows::{moment, timestamp};

const PLAN_SELECT_WORKER: &str = include_str!("sql/plan_select_worker.sql");
const PLAN_UPDATE_LEASED: &str = include_str!("sql/plan_update_leased.sql");
const PLAN_UPDATE_RELEASED: &str = include_str!("sql/plan_update_released.sql");
const PLAN_UPDATE_ENDED: &str = include_str!("sql/plan_update_ended.sql");
const PLAN_ITEM_SELECT_NEXT: &str = include_str!("sql/plan_item_select_next.sql");

#[derive(FromRow)]
struct LeasedColumns {
    number: i64,
    request: String,
    applied_by: Option<String>,
    reason: Option<String>,
    eligible: i32,
    rate: Option<String>,
    ramp: Option<bool>,
    items_max: Option<i32>,
    stop_percent: Option<i32>,
    released: i32,
    next_at: Option<DateTime<Utc>>,
    forgiven_decided: i32,
    forgiven_errors: i32,
    applied: i64,
    refused: i64,
    failed: i64,
    stuck_again: i64,
    now: DateTime<Utc>,
}

fn leased(columns: LeasedColumns) -> LeasedJob {
    LeasedJob {
        number: columns.number,
        request: columns.request,
        who: columns.applied_by.unwrap_or_default(),
        reason: columns.reason.unwrap_or_default(),
        pace: PlanPace {
            rate: columns.rate.unwrap_or_default(),
            ramp: columns.ramp.unwrap_or_default(),
            items_max: columns.items_max.map(count),
            stop_percent: columns.stop_percent.map(count),
        },
        eligible: count(columns.eligible),
        released: count(columns.released),
        next_at: columns.next_at.map_or(Timestamp::ZERO, timestamp),
        forgiven: (count(columns.forgiven_decided), count(columns.forgiven_errors)),
        progress: PlanProgress {
            applied: count(columns.applied),
            refused: count(columns.refused),
            failed: count(columns.failed),
            stuck_again: count(columns.stuck_again),
            ..PlanProgress::default()
        },
        now: timestamp(columns.now),
    }
}

impl Console {
    /// A name for a worker that no other has.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn new_worker(&self) -> Result<Uuid, ConsoleError> {
        let found = sqlx::query_as(PLAN_SELECT_WORKER).fetch_one(&self.pool).await;
        let (worker,): (Uuid,) = found.map_err(failed("name a worker"))?;
        Ok(worker)
    }

    /// Takes up the jobs that nobody works on, and keeps this worker's own, for `lease_ms` from now.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn lease_jobs(&self, worker: Uuid, lease_ms: i64) -> Result<Vec<LeasedJob>, ConsoleError> {
        let query = sqlx::query_as(PLAN_UPDATE_LEASED).bind(worker).bind(lease_ms);
        let found: Vec<LeasedColumns> = query.fetch_all(&self.pool).await.map_err(failed("look for jobs"))?;
        Ok(found.into_iter().map(leased).collect())
    }

    /// The items of a job behind those that were released.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn next_items(&self, job: &LeasedJob, at_most: u32) -> Result<Vec<NextItem>, ConsoleError> {
        let query = sqlx::query_as(PLAN_ITEM_SELECT_NEXT).bind(job.number).bind(i64::from(job.released));
        let found: Vec<(Uuid, i32, Uuid)> =
            query.bind(i64::from(at_most)).fetch_all(&self.pool).await.map_err(failed("read a job's next items"))?;
        let item =
            |(saga_id, seq, operation_id): (Uuid, i32, Uuid)| NextItem { saga_id, seq: count(seq), operation_id };
        Ok(found.into_iter().map(item).collect())
    }

    /// Asks for the actions of these items, each with its saga and its request, and moves the job on behind them. Nothing happens when
    /// it is not this worker's any more, or stands elsewhere.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn release(
        &self,
        worker: Uuid,
        job: &LeasedJob,
        asked: &[(NextItem, String)],
        next_at: Timestamp,
    ) -> Result<(), ConsoleError> {
        let query = sqlx::query(PLAN_UPDATE_RELEASED)
            .bind(job.number)
            .bind(worker)
            .bind(i32::try_from(job.released).unwrap_or(i32::MAX))
            .bind(asked.iter().map(|(item, _)| item.operation_id).collect::<Vec<Uuid>>())
            .bind(asked.iter().map(|(item, _)| item.saga_id).collect::<Vec<Uuid>>())
            .bind(asked.iter().map(|(_, request)| request.as_str()).collect::<Vec<&str>>())
            .bind(moment(next_at));
        query.execute(&self.pool).await.map(|_| ()).map_err(failed("release a job's items"))
    }

    /// Ends a job, or lets it wait for a person. Nothing happens when it is not this worker's any more.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn end_job(
        &self,
        worker: Uuid,
        number: i64,
        state: PlanState,
        message: Option<&str>,
    ) -> Result<(), ConsoleError> {
        let query = sqlx::query(PLAN_UPDATE_ENDED).bind(number).bind(worker).bind(state.name()).bind(message);
        query.execute(&self.pool).await.map(|_| ()).map_err(failed("end a job"))
    }
}
