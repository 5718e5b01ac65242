//! Bulk actions as Postgres keeps them: plans with their items, and the jobs that plans become. What became of an item is its
//! operation's state, which the engine's own statement writes.

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use super::super::plan::{
    ItemFilter, ItemRow, JobRow, NewPlan, PlanFilter, PlanPace, PlanProgress, PlanRow, PlanState,
};
use super::console::{Console, ConsoleError, failed};
use super::rows::{sha256, timestamp};

const APPROVAL_SELECT: &str = include_str!("sql/approval_select.sql");
const APPROVAL_UPDATE: &str = include_str!("sql/approval_update.sql");
const PLAN_INSERT: &str = include_str!("sql/plan_insert.sql");
const PLAN_ITEM_SELECT: &str = include_str!("sql/plan_item_select.sql");
const PLAN_ITEM_SELECT_HASHED: &str = include_str!("sql/plan_item_select_hashed.sql");
const PLAN_ITEM_SELECT_REFUSED: &str = include_str!("sql/plan_item_select_refused.sql");
const PLAN_SELECT: &str = include_str!("sql/plan_select.sql");
const PLAN_SELECT_NUMBER: &str = include_str!("sql/plan_select_number.sql");
const PLAN_UPDATE_APPLIED: &str = include_str!("sql/plan_update_applied.sql");
const PLAN_UPDATE_STEERED: &str = include_str!("sql/plan_update_steered.sql");

#[derive(FromRow)]
struct PlanColumns {
    number: i64,
    hash: Vec<u8>,
    verb: String,
    request: String,
    selected: String,
    eligible: i32,
    ineligible: i32,
    planned_by: String,
    planned_at: DateTime<Utc>,
    valid_until: DateTime<Utc>,
    state: String,
    applied_by: Option<String>,
    reason: Option<String>,
    applied_at: Option<DateTime<Utc>>,
    rate: Option<String>,
    ramp: bool,
    items_max: Option<i32>,
    stop_percent: Option<i32>,
    released: i32,
    message: Option<String>,
    ended_at: Option<DateTime<Utc>>,
    needs_second: bool,
    definitions: Vec<String>,
    pending: i64,
    applied: i64,
    refused: i64,
    failed: i64,
    skipped: i64,
    stuck_again: i64,
}

pub(super) fn count(number: impl TryInto<u32>) -> u32 {
    number.try_into().unwrap_or_default()
}

pub(super) fn limit(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn plan_row(columns: PlanColumns) -> Result<PlanRow, sqlx::Error> {
    let pace = PlanPace {
        rate: columns.rate.unwrap_or_default(),
        ramp: columns.ramp,
        items_max: columns.items_max.map(count),
        stop_percent: columns.stop_percent.map(count),
    };
    let progress = PlanProgress {
        pending: count(columns.pending),
        applied: count(columns.applied),
        refused: count(columns.refused),
        failed: count(columns.failed),
        skipped: count(columns.skipped),
        stuck_again: count(columns.stuck_again),
    };
    let job = columns.applied_at.map(|at| JobRow {
        applied_by: columns.applied_by.unwrap_or_default(),
        reason: columns.reason.unwrap_or_default(),
        applied_at: timestamp(at),
        pace,
        released: count(columns.released),
        progress,
    });
    Ok(PlanRow {
        number: columns.number,
        hash: sha256(&columns.hash)?,
        verb: columns.verb,
        request: columns.request,
        selected: columns.selected,
        eligible: count(columns.eligible),
        ineligible: count(columns.ineligible),
        planned_by: columns.planned_by,
        planned_at: timestamp(columns.planned_at),
        valid_until: timestamp(columns.valid_until),
        state: PlanState::parse(&columns.state)
            .ok_or_else(|| sqlx::Error::Decode("an unknown state of a plan".into()))?,
        needs_second: columns.needs_second,
        definitions: columns.definitions,
        message: columns.message,
        ended_at: columns.ended_at.map(timestamp),
        job,
    })
}

impl Console {
    /// Writes a plan with all of its items, and returns its number. `operation_id` derives an item's action from the number.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn write_plan(
        &self,
        plan: &NewPlan,
        operation_id: impl Fn(i64, Uuid) -> Uuid,
    ) -> Result<i64, ConsoleError> {
        let attempt = failed("write a plan");
        let (number,): (i64,) = sqlx::query_as(PLAN_SELECT_NUMBER).fetch_one(&self.pool).await.map_err(&attempt)?;
        let items = &plan.items;
        let mut eligible = 0;
        let turns: Vec<Option<i32>> = items
            .iter()
            .map(|item| {
                item.refusal.is_none().then(|| {
                    eligible += 1;
                    eligible
                })
            })
            .collect();
        let ineligible = i32::try_from(items.len()).unwrap_or(i32::MAX) - eligible;
        let query = sqlx::query(PLAN_INSERT)
            .bind(number)
            .bind(plan.hash.as_bytes().as_slice())
            .bind(plan.verb)
            .bind(&plan.request)
            .bind(&plan.selected)
            .bind(eligible)
            .bind(ineligible)
            .bind(&plan.who)
            .bind(items.iter().map(|item| item.saga_id).collect::<Vec<Uuid>>())
            .bind(items.iter().map(|item| int(item.seq)).collect::<Vec<i32>>())
            .bind(turns)
            .bind(items.iter().map(|item| operation_id(number, item.saga_id)).collect::<Vec<Uuid>>())
            .bind(items.iter().map(|item| item.effect.as_str()).collect::<Vec<&str>>())
            .bind(items.iter().map(|item| item.leaves_stuck).collect::<Vec<bool>>())
            .bind(items.iter().map(|item| item.refusal.as_deref()).collect::<Vec<Option<&str>>>());
        query.execute(&self.pool).await.map_err(attempt)?;
        Ok(number)
    }

    /// The plan of this number.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn plan(&self, number: i64) -> Result<Option<PlanRow>, ConsoleError> {
        Ok(self.plans(&PlanFilter { number: Some(number), ..PlanFilter::default() }, 1).await?.pop())
    }

    /// Plans, newest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn plans(&self, filter: &PlanFilter, at_most: usize) -> Result<Vec<PlanRow>, ConsoleError> {
        let attempt = failed("read plans");
        let query = sqlx::query_as(PLAN_SELECT)
            .bind(filter.number)
            .bind(filter.jobs_only)
            .bind(limit(at_most))
            .bind(filter.before.unwrap_or(i64::MAX))
            .bind(filter.within.as_deref());
        let found: Vec<PlanColumns> = query.fetch_all(&self.pool).await.map_err(&attempt)?;
        found.into_iter().map(plan_row).collect::<Result<_, _>>().map_err(attempt)
    }

    /// A plan's items in the order of the sagas, and what became of them.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn plan_items(
        &self,
        number: i64,
        filter: ItemFilter,
        at_most: usize,
    ) -> Result<Vec<ItemRow>, ConsoleError> {
        type Columns = (Uuid, Option<String>, i32, Option<i32>, String, String, Option<String>, bool);
        let query = sqlx::query_as(PLAN_ITEM_SELECT).bind(number).bind(limit(at_most));
        let query = query.bind(filter.after).bind(filter.state);
        let found: Vec<Columns> = query.fetch_all(&self.pool).await.map_err(failed("read a plan's items"))?;
        let item = |(saga_id, business_key, seq, turn, effect, state, message, is_stuck_again): Columns| ItemRow {
            saga_id,
            business_key,
            seq: count(seq),
            turn: turn.map(count),
            effect,
            state,
            message,
            is_stuck_again,
        };
        Ok(found.into_iter().map(item).collect())
    }

    /// A page of a plan's items as its hash covers them: saga, seq, effect, refusal; those behind `after`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn hashed_items(
        &self,
        number: i64,
        after: Uuid,
        at_most: usize,
    ) -> Result<Vec<(Uuid, u32, String, Option<String>)>, ConsoleError> {
        let query = sqlx::query_as(PLAN_ITEM_SELECT_HASHED).bind(number).bind(after).bind(limit(at_most));
        let found: Vec<(Uuid, i32, String, Option<String>)> =
            query.fetch_all(&self.pool).await.map_err(failed("read a plan's items"))?;
        Ok(found.into_iter().map(|(id, seq, effect, refusal)| (id, count(seq), effect, refusal)).collect())
    }

    /// Why items of a plan are not eligible, and how many.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn refused_items(&self, number: i64) -> Result<Vec<(String, u32)>, ConsoleError> {
        let query = sqlx::query_as(PLAN_ITEM_SELECT_REFUSED).bind(number);
        let found: Vec<(String, i64)> = query.fetch_all(&self.pool).await.map_err(failed("read a plan's refusals"))?;
        Ok(found.into_iter().map(|(refusal, sagas)| (refusal, count(sagas))).collect())
    }

    /// Makes a job of a plan; audited, also when it is refused. False when it is not valid, or is for somebody else to apply.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn apply_plan(
        &self,
        number: i64,
        who: &str,
        reason: &str,
        pace: &PlanPace,
    ) -> Result<bool, ConsoleError> {
        let query = sqlx::query_as(PLAN_UPDATE_APPLIED)
            .bind(number)
            .bind(who)
            .bind(reason)
            .bind(&pace.rate)
            .bind(pace.ramp)
            .bind(pace.items_max.map(int))
            .bind(pace.stop_percent.map(int));
        let (applied,): (i64,) = query.fetch_one(&self.pool).await.map_err(failed("apply a plan"))?;
        Ok(applied == 1)
    }

    /// Moves a plan or job from one state to another, audited. False when it was not in that state.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn steer_plan(
        &self,
        number: i64,
        (from, to): (PlanState, PlanState),
        verb: &str,
        who: &str,
        reason: &str,
    ) -> Result<bool, ConsoleError> {
        let query = sqlx::query_as(PLAN_UPDATE_STEERED).bind(number).bind(from.name()).bind(to.name());
        let query = query.bind(verb).bind(who).bind(reason);
        let (steered,): (i64,) = query.fetch_one(&self.pool).await.map_err(failed("steer a job"))?;
        Ok(steered == 1)
    }

    /// Above how many eligible sagas somebody else applies a plan.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn approval(&self) -> Result<u32, ConsoleError> {
        let found = sqlx::query_as(APPROVAL_SELECT).fetch_one(&self.pool).await;
        let (minimum,): (i32,) = found.map_err(failed("read the rule of approval"))?;
        Ok(count(minimum))
    }

    /// Changes above how many eligible sagas somebody else applies a plan; audited.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn set_approval(&self, minimum: u32, who: &str, reason: &str) -> Result<(), ConsoleError> {
        let query = sqlx::query(APPROVAL_UPDATE).bind(int(minimum)).bind(who).bind(reason);
        query.execute(&self.pool).await.map(|_| ()).map_err(failed("change the rule of approval"))
    }
}
