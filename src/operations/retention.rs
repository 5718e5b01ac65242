//! What is old is removed, what is to come is made ready: sagas that ended long ago, a page at a time and at a rate; then the tables of
//! their periods, whole. Each step is a transaction of its own and remembers nothing, so that one that was killed is gone on with by the next.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::counter;
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use crate::core::Timestamp;
use crate::store::{
    Console, ConsoleError, DroppedPeriod, Keeper, MadePeriod, OverPeriod, PERIOD_PARENTS, PeriodRow, RemovalOrder,
};

use super::failure::{Exit, Failure};
use super::moments::Moment;

/// Sagas that one transaction looks at: some 10 ms.
const PAGE: u32 = 500;
/// Records of each other kind that one statement removes.
const RECORDS: u32 = 1_000;
/// Periods that are made beyond the one that it is: nobody has to be there for the next three.
const AHEAD: u64 = 4;
/// What is closed for a proof, and tried again by engines meanwhile, begins later than this: behind the end of the proof (10 minutes) and of the
/// next round (10 more), should this one be killed.
const CLOSED_AHEAD_MS: u64 = 1_800_000;
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
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
    pub records: BTreeMap<&'static str, u64>,
}

/// What became of the table of a period that is over, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OverJson {
    /// The table.
    pub name: String,
    /// Sagas from this moment.
    pub from: Moment,
    /// Sagas before this moment.
    pub to: Moment,
    /// `dropped`, `kept` (more sagas of it are there than are moved) or `busy` (somebody held what had to be locked).
    pub outcome: &'static str,
    /// Sagas of it that are still there, and were moved to the default partition if it was dropped; of one that is kept, more than that.
    pub sagas: u32,
    /// The oldest of these.
    pub oldest: Option<OldestKept>,
}

/// The oldest saga of a period that is there, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OldestKept {
    /// Its id.
    pub id: Uuid,
    /// Its business key.
    pub business_key: String,
    /// Its phase.
    pub phase: &'static str,
}

/// A table of one period, or a default partition, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    let Some(now) = keeper.lock().await? else { return Ok(None) };
    let mut report = RetentionReport::default();
    make_ahead(keeper, now, options.period, &mut report).await?;
    let Some(keep) = options.keep else { return Ok(Some(report)) };
    let order =
        RemovalOrder { ended_before: before(now, keep), who: options.who.clone(), reason: options.reason.clone() };
    report.ended_before = Some(Moment(order.ended_before));
    remove_sagas(keeper, &order, options.rate, &mut report, &mut progress).await?;
    drop_periods(keeper, console, &order, &mut report).await?;
    loop {
        let removed = keeper.remove_records(order.ended_before, RECORDS).await.map_err(allowed)?;
        removed.iter().for_each(|(kind, count)| *report.records.entry(kind).or_default() += count);
        if removed.iter().all(|(_, count)| *count < u64::from(RECORDS)) {
            return Ok(Some(report));
        }
    }
}

/// Tables are made and dropped by who owns them.
fn allowed(error: ConsoleError) -> Failure {
    let failure = Failure::from(error);
    if failure.message.contains("42501") {
        return Failure::new(Exit::Failed, failure.message, "the role has to own the tables, as for sagabus migrate");
    }
    failure
}

fn before(now: Timestamp, keep: Duration) -> Timestamp {
    let micros = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.micros().saturating_sub(micros))
}

/// The period that it is at `now`, and those that follow; they begin at multiples of their length.
fn ahead(now: Timestamp, period: Duration) -> Vec<(Timestamp, Timestamp)> {
    let period_ms = i64::try_from(period.as_millis()).unwrap_or(i64::MAX).max(1);
    let first = now.micros().div_euclid(1_000).div_euclid(period_ms);
    let at = |number: i64| Timestamp::from_millis(number.saturating_mul(period_ms));
    (0..=i64::try_from(AHEAD).unwrap_or_default()).map(|n| (at(first + n), at(first + n + 1))).collect()
}

/// Makes the tables of the period that it is and of those to come.
async fn make_ahead(
    keeper: &mut Keeper,
    now: Timestamp,
    period: Duration,
    report: &mut RetentionReport,
) -> Result<(), Failure> {
    for parent in PERIOD_PARENTS {
        // Whoever was killed half-way has left it so.
        if !release(keeper, parent).await? {
            report.busy += 1;
            continue;
        }
        for (from, to) in ahead(now, period) {
            let mut made = make(keeper, parent, (from, to)).await?;
            if made == MadePeriod::Large && from > now.plus_millis(CLOSED_AHEAD_MS) {
                made = make_proven(keeper, parent, (from, to)).await?;
            }
            match made {
                MadePeriod::Made => report.made += 1,
                MadePeriod::There => {}
                // What is written now has to find its place in a large partition: no range of it may be closed.
                MadePeriod::Occupied | MadePeriod::Large => report.occupied += 1,
                MadePeriod::Busy => report.busy += 1,
            }
        }
    }
    Ok(())
}

/// Makes the table of a period whose range a large default partition has been proven not to hold. Whatever becomes of it, the partition is
/// open again for that range afterwards, unless somebody holds it for long: then it is by the next round.
async fn make_proven(
    keeper: &mut Keeper,
    parent: &str,
    (from, to): (Timestamp, Timestamp),
) -> Result<MadePeriod, Failure> {
    let made = match keeper.clear_default(parent, from, to).await {
        Ok(true) => make(keeper, parent, (from, to)).await,
        Ok(false) => Ok(MadePeriod::Busy),
        Err(error) => Err(allowed(error)),
    };
    if release(keeper, parent).await? { made } else { Ok(MadePeriod::Busy) }
}

/// Lets the default partition take whatever lies in no period. False when somebody held it for long.
async fn release(keeper: &mut Keeper, parent: &str) -> Result<bool, Failure> {
    for _ in 0..TRIES {
        if keeper.release_default(parent).await.map_err(allowed)? {
            return Ok(true);
        }
        tokio::time::sleep(AGAIN).await;
    }
    Ok(false)
}

async fn make(keeper: &mut Keeper, parent: &str, (from, to): (Timestamp, Timestamp)) -> Result<MadePeriod, Failure> {
    for _ in 0..TRIES {
        let made = keeper.make(parent, from, to).await.map_err(allowed)?;
        if made != MadePeriod::Busy {
            return Ok(made);
        }
        tokio::time::sleep(AGAIN).await;
    }
    Ok(MadePeriod::Busy)
}

/// Walks by the sagas' ids, so by the time of their triggers, up to the moment before which they have ended: a trigger from the future is held
/// by Kafka for so much longer, and so is its saga here.
async fn remove_sagas(
    keeper: &mut Keeper,
    order: &RemovalOrder,
    rate: u32,
    report: &mut RetentionReport,
    progress: &mut impl FnMut(u64, u64),
) -> Result<(), Failure> {
    let (mut after, mut looked_at, mut next_at) = (Uuid::nil(), 0, Instant::now());
    loop {
        tokio::time::sleep_until(next_at).await;
        let page = keeper.remove(after, PAGE.min(rate.max(1)), order, report.sagas > 0).await.map_err(allowed)?;
        if page.looked_at == 0 {
            return Ok(());
        }
        after = page.last;
        looked_at += u64::from(page.looked_at);
        report.sagas += u64::from(page.removed);
        counter!("sagabus_retention_sagas_removed_total").increment(u64::from(page.removed));
        next_at = next_at.max(Instant::now()) + Duration::from_secs(1) * page.removed / rate.max(1);
        progress(looked_at, report.sagas);
    }
}

/// Drops the tables of periods that are over, unless many sagas of one are still there.
async fn drop_periods(
    keeper: &mut Keeper,
    console: &Console,
    order: &RemovalOrder,
    report: &mut RetentionReport,
) -> Result<(), Failure> {
    for over in console.periods_over(order.ended_before, MOVED_MAX + 1).await? {
        let mut dropped = DroppedPeriod::Busy;
        for _ in 0..TRIES {
            dropped = keeper.drop_period(&over.name, MOVED_MAX, order).await.map_err(allowed)?;
            if dropped != DroppedPeriod::Busy {
                break;
            }
            tokio::time::sleep(AGAIN).await;
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
        report.periods.push(over_json(over, outcome));
    }
    Ok(())
}

fn over_json(over: OverPeriod, outcome: &'static str) -> OverJson {
    let oldest = over.oldest.map(|(id, business_key, phase)| OldestKept { id, business_key, phase: phase.name() });
    OverJson { name: over.name, from: Moment(over.from), to: Moment(over.to), outcome, sagas: over.sagas, oldest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_begin_at_multiples_of_their_length_and_follow_each_other() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let day = ahead(now, Duration::from_secs(86_400));
        assert_eq!(day.len(), 5);
        assert_eq!(
            (day[0].0.to_string(), day[4].1.to_string()),
            ("2023-11-14T00:00:00.000Z".into(), "2023-11-19T00:00:00.000Z".into())
        );
        assert!(day.windows(2).all(|two| two[0].1 == two[1].0));
        assert_eq!(ahead(day[1].0, Duration::from_secs(86_400))[0], day[1], "a period begins with its first moment");
    }
}
