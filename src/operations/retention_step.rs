//! Retention as programs ask for it: a run may take hours and a request may not, so a request is a step, which says where the next one goes on.
//! Between two steps nobody holds anything, and what a step has removed is gone: who asks no more has merely stopped.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::core::Timestamp;
use crate::store::Keeper;

use super::act::checked_reason;
use super::failure::{Exit, Failure};
use super::keep::{Held, check_keep, held_by_topics};
use super::places::Desk;
use super::retention::{
    Patience, RATE, Rest, RetentionOptions, RetentionReport, Stage, retain_some, retained_elsewhere, would_retain,
};

/// A step begins nothing more after this. What it has begun takes some seconds at most, and who asks waits for half a minute.
const STEP: Duration = Duration::from_secs(10);
/// The time that one table of the journal is for, when nobody says.
const PERIOD_SECONDS: u64 = 86_400;
/// One table is for a year at most, in seconds: by such tables nothing would ever be removed.
const PERIOD_SECONDS_MAX: u64 = 366 * 86_400;
/// A hundred years, in seconds: what is kept for longer is kept for ever.
const KEEP_SECONDS_MAX: u64 = 36_525 * 86_400;

/// How long sagas are kept, as programs say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// How long sagas are kept after their end, in seconds.
    pub keep_seconds: u64,
    /// How long topics hold a record, in seconds; `None`: Kafka is asked.
    pub topics_hold_seconds: Option<u64>,
}

/// A step of a run that is asked for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetentionRequest {
    /// How long sagas are kept after their end, in seconds: a day at least, and longer than topics hold records.
    #[schema(maximum = 3_155_760_000_u64)]
    pub keep_seconds: u64,
    /// How long topics hold a record, in seconds, where Kafka is not to be asked.
    pub topics_hold_seconds: Option<u64>,
    /// Sagas that are removed a second, at most; 5,000 when nothing is said.
    #[schema(minimum = 1)]
    pub rate: Option<u32>,
    /// The time that one table of the journal is for, in seconds: whole minutes, ten at least, a year at most; a day when nothing is said.
    #[schema(minimum = 600, maximum = 31_622_400)]
    pub period_seconds: Option<u64>,
    /// Why; stored.
    #[schema(min_length = 1)]
    pub reason: String,
    /// `next` of the step before; a run begins without.
    pub from: Option<String>,
}

/// What a step did, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionStep {
    /// What it removed and made.
    pub report: RetentionReport,
    /// Sagas that it looked at.
    pub looked_at: u64,
    /// Where the next step goes on; null: the run is done.
    pub next: Option<String>,
}

impl RetentionReport {
    /// With what a later step of the same run did.
    #[must_use]
    pub fn and(mut self, later: Self) -> Self {
        self.ended_before = self.ended_before.or(later.ended_before);
        self.sagas += later.sagas;
        self.made += later.made;
        self.occupied += later.occupied;
        self.busy += later.busy;
        self.periods.extend(later.periods);
        later.records.into_iter().for_each(|(kind, count)| *self.records.entry(kind).or_default() += count);
        self
    }
}

/// How long one table of the journal may be for: the tables' names tell minutes, and some hundred tables are many.
///
/// # Errors
/// Not so long: for people.
pub fn check_period(period: Duration) -> Result<(), String> {
    let is_whole = period.as_secs().is_multiple_of(60) && period.subsec_nanos() == 0;
    if is_whole && (600..=PERIOD_SECONDS_MAX).contains(&period.as_secs()) {
        Ok(())
    } else {
        Err("say whole minutes, from 10m to 366d".to_owned())
    }
}

async fn checked(desk: &Desk, Keeping { keep_seconds, topics_hold_seconds }: Keeping) -> Result<Duration, Failure> {
    if keep_seconds > KEEP_SECONDS_MAX {
        return Err(Failure::usage(format!("keepSeconds is at most {KEEP_SECONDS_MAX}")));
    }
    let keep = Duration::from_secs(keep_seconds);
    let held = match (topics_hold_seconds, &desk.kafka) {
        (Some(seconds), _) => Some(Held::said(Duration::from_secs(seconds))),
        (None, Some(settings)) => held_by_topics(settings.clone(), &desk.reading).await?,
        (None, None) => {
            let hint = "say how long topics hold records: topicsHoldSeconds, --topics-hold";
            return Err(Failure::new(Exit::Usage, "no Kafka is configured", hint));
        }
    };
    check_keep(keep, held.as_ref())?;
    Ok(keep)
}

/// What a run would remove.
///
/// # Errors
/// Sagas are to be kept longer (exit 4); Kafka or the database does not answer, or not in time (6).
pub async fn removable(desk: &Desk, keeping: Keeping) -> Result<RetentionReport, Failure> {
    would_retain(&desk.reading, checked(desk, keeping).await?).await
}

/// Does a step of a run, in the name of `who`.
///
/// # Errors
/// The request cannot be (exit 2), sagas are to be kept longer, or another process is at it (4); Kafka or the database does not answer (6).
pub async fn retain_step(desk: &Desk, who: &str, request: &RetentionRequest) -> Result<RetentionStep, Failure> {
    let reason = checked_reason(&request.reason)?.to_owned();
    let rest = request.from.as_deref().map(read_rest).transpose()?;
    let period = Duration::from_secs(request.period_seconds.unwrap_or(PERIOD_SECONDS));
    check_period(period).map_err(|why| Failure::usage(format!("periodSeconds: {why}")))?;
    let rate = request.rate.unwrap_or(RATE);
    if rate == 0 {
        return Err(Failure::usage("rate is at least 1"));
    }
    let RetentionRequest { keep_seconds, topics_hold_seconds, .. } = *request;
    let keep = Some(checked(desk, Keeping { keep_seconds, topics_hold_seconds }).await?);
    let options = RetentionOptions { keep, period, rate, who: who.to_owned(), reason };
    let mut keeper = Keeper::beside(&desk.asking).await?;
    let mut looked_at = 0;
    let mut progress = |looked, _| looked_at = looked;
    let patience = (rest, Patience::of(STEP));
    let done = retain_some(&mut keeper, &desk.reading, &options, patience, &mut progress).await?;
    let (report, rest) = done.ok_or_else(retained_elsewhere)?;
    // Postgres would notice a while after the connection has ended, and the next step comes at once.
    keeper.unlock().await?;
    Ok(RetentionStep { report, looked_at, next: rest.map(written_rest) })
}

/// Where a run goes on, as one word.
fn written_rest((ended_before, stage): Rest) -> String {
    let micros = ended_before.micros();
    match stage {
        Stage::Sagas(after) => format!("{micros}/sagas/{after}"),
        Stage::Periods(left) => format!("{micros}/periods/{left}"),
        Stage::Records => format!("{micros}/records/"),
    }
}

fn read_rest(text: &str) -> Result<Rest, Failure> {
    let mut parts = text.splitn(3, '/');
    let mut part = || parts.next().unwrap_or_default();
    let (micros, stage, place) = (part().parse().ok().filter(|micros: &i64| *micros >= 0), part(), part());
    let stage = match stage {
        "sagas" => Uuid::try_parse(place).ok().map(Stage::Sagas),
        "periods" => place.parse().ok().map(Stage::Periods),
        "records" => Some(Stage::Records),
        _ => None,
    };
    let rest = micros.map(Timestamp::from_micros).zip(stage);
    rest.ok_or_else(|| Failure::usage("from is not the `next` of a step"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_run_goes_on_is_read_as_it_was_written_and_nothing_else_is() {
        let at = Timestamp::from_millis(1_700_000_000_000);
        for stage in [Stage::Sagas(Uuid::from_u128(7)), Stage::Periods(3), Stage::Records] {
            assert_eq!(read_rest(&written_rest((at, stage))), Ok((at, stage)));
        }
        for wrong in ["", "1", "1/sagas", "1/sagas/7", "x/records/", "-1/records/", "1/periods/-1", "1/other/"] {
            assert_eq!(read_rest(wrong).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }

    #[test]
    fn steps_are_summed_up_to_the_run_that_they_are() {
        let step = |sagas, records: &[(&'static str, u64)]| RetentionReport {
            sagas,
            busy: 1,
            records: records.iter().copied().collect(),
            ..RetentionReport::default()
        };
        let run = step(500, &[]).and(step(20, &[("plans", 2)])).and(step(0, &[("plans", 1), ("traces", 0)]));
        assert_eq!((run.sagas, run.busy, run.records), (520, 3, [("plans", 3), ("traces", 0)].into()));
    }
}
