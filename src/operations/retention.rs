//! What is old is removed, what is to come is made ready: sagas that ended long ago, a page at a time and at a rate; then the tables of
//! their periods, whole. Each step is a transaction of its own and remembers nothing, so that one that was killed is gone on with by the next.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::counter;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::core::Timestamp;
use crate::store::{Console, ConsoleError, DroppedPeriod, Keeper, OverPeriod, PeriodRow, RemovalOrder};

use super::failure::{Exit, Failure};
use super::moments::Moment;
use super::retention_ahead::make_ahead;
use super::words::{Word, counts, word};

/// Sagas that one transaction looks at: some 10 ms.
const PAGE: u32 = 500;
/// Records of each other kind that one statement removes.
const RECORDS: u32 = 1_000;
/// Sagas that are moved out of a period whose table is dropped, while all engines wait: more, and the table stays.
pub const MOVED_MAX: u32 = 1_000;
/// Sagas that are removed a second when nobody says how many: as many as begin on a busy machine of two cores.
pub const RATE: u32 = 5_000;
/// What somebody else holds is asked for so many times, and so long apart.
const TRIES: u32 = 5;
const AGAIN: Duration = Duration::from_secs(1);

/// How what is old is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionOptions {
    /// How long sagas are kept after their end; `None`: nothing is removed.
    pub keep: Option<Duration>,
    /// The time that one table of the journal is for.
    pub period: Duration,
    /// Sagas that are removed a second, at most.
    pub rate: u32,
    /// In whose name.
    pub who: String,
    /// Why; stored.
    pub reason: String,
}

/// What was removed and made, as programs read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionReport {
    /// Nothing was done: it says what would be.
    pub dry_run: bool,
    /// Sagas that ended before this were to go; null: none were.
    pub ended_before: Option<Moment>,
    /// Sagas that were removed.
    pub sagas: u64,
    /// Tables that were made for periods.
    pub made: u64,
    /// Periods, from now on, that have no table, since rows of them lie in the default partition already.
    pub occupied: u64,
    /// Tables that could not be made or dropped, since somebody held them for long.
    pub busy: u64,
    /// Each period that is over.
    pub periods: Vec<OverJson>,
    /// Other records that were removed, by kind.
    #[serde(deserialize_with = "counts")]
    #[schema(value_type = BTreeMap<String, u64>)]
    pub records: BTreeMap<Word, u64>,
}

/// What became of the table of a period that is over, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverJson {
    /// The table.
    pub name: String,
    /// Sagas from this moment.
    pub from: Moment,
    /// Sagas before this moment.
    pub to: Moment,
    /// `dropped`, `kept` (more sagas of it are there than are moved) or `busy` (somebody held what had to be locked).
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub outcome: Word,
    /// Sagas of it that are still there, and were moved to the default partition if it was dropped; of one that is kept, more than that.
    pub sagas: u32,
    /// The oldest of these.
    pub oldest: Option<OldestKept>,
}

/// The oldest saga of a period that is there, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OldestKept {
    /// Its id.
    pub id: Uuid,
    /// Its business key.
    pub business_key: String,
    /// Its phase.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub phase: Word,
}

/// A table of one period, or a default partition, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeriodJson {
    /// `journal` or `saga_trace`.
    pub table: String,
    /// The partition.
    pub name: String,
    /// Sagas from this moment; null: whatever lies in no period.
    pub from: Option<Moment>,
    /// Sagas before this moment.
    pub to: Option<Moment>,
    /// As Postgres counted them last; null: never.
    pub rows: Option<i64>,
    /// With indexes.
    pub bytes: i64,
    /// Sagas of it that have not ended; of journals alone.
    pub open: i64,
    /// The oldest of these: id.
    pub oldest_open: Option<Uuid>,
    /// Its business key.
    pub oldest_open_key: Option<String>,
}

/// The tables of periods and the default partitions, with what they hold.
///
/// # Errors
/// The database does not answer.
pub async fn periods(console: &Console) -> Result<Vec<PeriodJson>, Failure> {
    let json = |row: PeriodRow| {
        let (oldest_open, oldest_open_key) = row.oldest.unzip();
        PeriodJson {
            table: row.parent,
            name: row.name,
            from: row.from.map(Moment),
            to: row.to.map(Moment),
            rows: (row.rows >= 0).then_some(row.rows),
            bytes: row.bytes,
            open: row.open,
            oldest_open,
            oldest_open_key,
        }
    };
    Ok(console.periods().await?.into_iter().map(json).collect())
}

/// What `retain` would remove. Reads only.
///
/// # Errors
/// The database does not answer.
pub async fn would_retain(console: &Console, keep: Duration) -> Result<RetentionReport, Failure> {
    let before = before(console.durability().await?.now, keep);
    let mut report =
        RetentionReport { dry_run: true, ended_before: Some(Moment(before)), ..RetentionReport::default() };
    report.sagas = console.count_removable(before).await?;
    for over in console.periods_over(before, u32::MAX).await? {
        report.periods.push(over_json(over, "over"));
    }
    Ok(report)
}

/// Where a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// At the sagas behind this one.
    Sagas(Uuid),
    /// At the periods that are over, behind so many that were left as they are.
    Periods(usize),
    /// At the other records.
    Records,
}

/// A run that was not done to its end: sagas that ended before a moment, and where it goes on.
pub(super) type Rest = (Timestamp, Stage);

/// How long a run may take, and so how often it asks for what somebody else holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    until: Option<Instant>,
}

impl Patience {
    /// As long as it takes.
    const ENDLESS: Self = Self { until: None };

    /// About so long: what is begun is done to its end, and what somebody else holds is left.
    pub(super) fn of(long: Duration) -> Self {
        Self { until: Some(Instant::now() + long) }
    }

    pub(super) fn is_endless(self) -> bool {
        self.until.is_none()
    }

    fn is_over(self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Whether what somebody else may hold is tried for, after so many tries; waits between two.
    pub(super) async fn again(self, tried: u32) -> bool {
        if tried == 0 {
            return true;
        }
        let is_worth_it = self.is_endless() && tried < TRIES;
        if is_worth_it {
            tokio::time::sleep(AGAIN).await;
        }
        is_worth_it
    }
}

/// Makes the tables of the periods to come, then removes sagas that ended long ago, the tables of their periods, and other old records.
/// `progress` hears of each page: sagas looked at and removed so far. `None`: another process is at it.
///
/// # Errors
/// The database does not answer, or the role may not.
pub async fn retain(
    keeper: &mut Keeper,
    console: &Console,
    options: &RetentionOptions,
    mut progress: impl FnMut(u64, u64),
) -> Result<Option<RetentionReport>, Failure> {
    let done = retain_some(keeper, console, options, (None, Patience::ENDLESS), &mut progress).await?;
    Ok(done.map(|(report, _)| report))
}

/// As `retain`, from where a run was left, and as far as patience lets it: with what is left to do.
pub(super) async fn retain_some(
    keeper: &mut Keeper,
    console: &Console,
    options: &RetentionOptions,
    (rest, patience): (Option<Rest>, Patience),
    progress: &mut impl FnMut(u64, u64),
) -> Result<Option<(RetentionReport, Option<Rest>)>, Failure> {
    let Some(now) = keeper.lock().await? else { return Ok(None) };
    let mut report = RetentionReport::default();
    if rest.is_none() {
        make_ahead(keeper, (now, options.period), patience, &mut report).await?;
    }
    let Some(keep) = options.keep else { return Ok(Some((report, None))) };
    let latest = before(now, keep);
    // Who goes on says of when the run is; never of later than may be removed.
    let (ended_before, mut stage) =
        rest.map_or((latest, Stage::Sagas(Uuid::nil())), |(at, stage)| (at.min(latest), stage));
    let order = RemovalOrder { ended_before, who: options.who.clone(), reason: options.reason.clone() };
    report.ended_before = Some(Moment(ended_before));
    loop {
        let next = match stage {
            Stage::Sagas(after) => {
                let rate = options.rate.max(1);
                Some(remove_sagas(keeper, &order, (after, rate), patience, (&mut report, progress)).await?)
            }
            Stage::Periods(left) => Some(drop_periods(keeper, console, &order, (left, patience), &mut report).await?),
            Stage::Records => remove_records(keeper, &order, patience, &mut report).await?,
        };
        match next {
            None => return Ok(Some((report, None))),
            Some(next) if patience.is_over() => return Ok(Some((report, Some((ended_before, next))))),
            Some(next) => stage = next,
        }
    }
}

/// Why there is no run: another process is at it.
pub fn retained_elsewhere() -> Failure {
    Failure::new(Exit::Refused, "another process removes what is old at the moment", "try again when it has ended")
}

/// Tables are made and dropped by who owns them.
pub(super) fn allowed(error: ConsoleError) -> Failure {
    let failure = Failure::from(error);
    if failure.message.contains("42501") {
        return Failure::new(Exit::Refused, failure.message, "the role has to own the tables, as for sagabus migrate");
    }
    failure
}

fn before(now: Timestamp, keep: Duration) -> Timestamp {
    let micros = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.micros().saturating_sub(micros))
}

/// Walks by the sagas' ids, so by the time of their triggers, up to the moment before which they have ended: a trigger from the future is held
/// by Kafka for so much longer, and so is its saga here.
async fn remove_sagas(
    keeper: &mut Keeper,
    order: &RemovalOrder,
    (mut after, rate): (Uuid, u32),
    patience: Patience,
    (report, progress): (&mut RetentionReport, &mut impl FnMut(u64, u64)),
) -> Result<Stage, Failure> {
    let (mut looked_at, mut next_at) = (0, Instant::now());
    loop {
        tokio::time::sleep_until(next_at).await;
        if looked_at > 0 && patience.is_over() {
            return Ok(Stage::Sagas(after));
        }
        let page = keeper.remove(after, PAGE.min(rate), order, report.sagas > 0).await.map_err(allowed)?;
        if page.looked_at == 0 {
            return Ok(Stage::Periods(0));
        }
        after = page.last;
        looked_at += u64::from(page.looked_at);
        report.sagas += u64::from(page.removed);
        counter!("sagabus_retention_sagas_removed_total").increment(u64::from(page.removed));
        next_at = next_at.max(Instant::now()) + Duration::from_secs(1) * page.removed / rate;
        progress(looked_at, report.sagas);
    }
}

/// Drops the tables of periods that are over, unless many sagas of one are still there: behind `left` of them, which were left before.
async fn drop_periods(
    keeper: &mut Keeper,
    console: &Console,
    order: &RemovalOrder,
    (mut left, patience): (usize, Patience),
    report: &mut RetentionReport,
) -> Result<Stage, Failure> {
    for over in console.periods_over(order.ended_before, MOVED_MAX + 1).await?.into_iter().skip(left) {
        let (mut tried, mut dropped) = (0, DroppedPeriod::Busy);
        // Whoever held one to the last try, such as a dump, holds the others as well.
        let is_held_for_long = report.busy > 0;
        while dropped == DroppedPeriod::Busy && (tried == 0 || !is_held_for_long && patience.again(tried).await) {
            dropped = keeper.drop_period(&over.name, MOVED_MAX, order).await.map_err(allowed)?;
            tried += 1;
        }
        let outcome = match dropped {
            DroppedPeriod::Dropped => {
                counter!("sagabus_retention_partitions_dropped_total").increment(1);
                "dropped"
            }
            DroppedPeriod::Kept => "kept",
            DroppedPeriod::Busy => {
                report.busy += 1;
                "busy"
            }
        };
        left += usize::from(outcome != "dropped");
        report.periods.push(over_json(over, outcome));
        if patience.is_over() {
            return Ok(Stage::Periods(left));
        }
    }
    Ok(Stage::Records)
}

/// Removes other records of before a moment. `None`: none is left.
async fn remove_records(
    keeper: &mut Keeper,
    order: &RemovalOrder,
    patience: Patience,
    report: &mut RetentionReport,
) -> Result<Option<Stage>, Failure> {
    loop {
        let removed = keeper.remove_records(order, RECORDS).await.map_err(allowed)?;
        removed.iter().for_each(|(kind, count)| *report.records.entry(kind).or_default() += count);
        if removed.iter().all(|(_, count)| *count < u64::from(RECORDS)) {
            return Ok(None);
        }
        if patience.is_over() {
            return Ok(Some(Stage::Records));
        }
    }
}

fn over_json(over: OverPeriod, outcome: &'static str) -> OverJson {
    let oldest = over.oldest.map(|(id, business_key, phase)| OldestKept { id, business_key, phase: phase.name() });
    OverJson { name: over.name, from: Moment(over.from), to: Moment(over.to), outcome, sagas: over.sagas, oldest }
}
