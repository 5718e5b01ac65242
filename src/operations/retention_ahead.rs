//! Tables are made for the periods of the journal that are to come, so that nobody who writes has to wait for one.

use std::time::Duration;

use crate::core::Timestamp;
use crate::store::{Keeper, MadePeriod, PERIOD_PARENTS};

use super::failure::Failure;
use super::retention::{Patience, RetentionReport, allowed};

/// Periods that are made beyond the one that it is: nobody has to be there for the next three.
const AHEAD: u64 = 4;
/// What is closed for a proof, and tried again by engines meanwhile, begins later than this: behind the end of the proof (10 minutes) and of the
/// next round (10 more), should this one be killed.
const CLOSED_AHEAD_MS: u64 = 1_800_000;

/// The period that it is at `now`, and those that follow; they begin at multiples of their length.
fn ahead(now: Timestamp, period: Duration) -> Vec<(Timestamp, Timestamp)> {
    let period_ms = i64::try_from(period.as_millis()).unwrap_or(i64::MAX).max(1);
    let first = now.micros().div_euclid(1_000).div_euclid(period_ms);
    let at = |number: i64| Timestamp::from_millis(number.saturating_mul(period_ms));
    (0..=i64::try_from(AHEAD).unwrap_or_default()).map(|n| (at(first + n), at(first + n + 1))).collect()
}

/// Makes the tables of the period that it is and of those to come. Who has no time leaves out what has to be proven first.
pub(super) async fn make_ahead(
    keeper: &mut Keeper,
    (now, period): (Timestamp, Duration),
    patience: Patience,
    report: &mut RetentionReport,
) -> Result<(), Failure> {
    for parent in PERIOD_PARENTS {
        // Whoever was killed half-way has left it so.
        if !release(keeper, parent, patience).await? {
            report.busy += 1;
            continue;
        }
        for (from, to) in ahead(now, period) {
            let mut made = make(keeper, parent, (from, to), patience).await?;
            if made == MadePeriod::Large && patience.is_endless() && from > now.plus_millis(CLOSED_AHEAD_MS) {
                made = make_proven(keeper, parent, (from, to), patience).await?;
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
    patience: Patience,
) -> Result<MadePeriod, Failure> {
    let made = match keeper.clear_default(parent, from, to).await {
        Ok(true) => make(keeper, parent, (from, to), patience).await,
        Ok(false) => Ok(MadePeriod::Busy),
        Err(error) => Err(allowed(error)),
    };
    if release(keeper, parent, patience).await? { made } else { Ok(MadePeriod::Busy) }
}

/// Lets the default partition take whatever lies in no period. False when somebody held it for long.
async fn release(keeper: &mut Keeper, parent: &str, patience: Patience) -> Result<bool, Failure> {
    let (mut tried, mut is_open) = (0, false);
    while !is_open && patience.again(tried).await {
        is_open = keeper.release_default(parent).await.map_err(allowed)?;
        tried += 1;
    }
    Ok(is_open)
}

async fn make(
    keeper: &mut Keeper,
    parent: &str,
    (from, to): (Timestamp, Timestamp),
    patience: Patience,
) -> Result<MadePeriod, Failure> {
    let (mut tried, mut made) = (0, MadePeriod::Busy);
    while made == MadePeriod::Busy && patience.again(tried).await {
        made = keeper.make(parent, from, to).await.map_err(allowed)?;
        tried += 1;
    }
    Ok(made)
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
