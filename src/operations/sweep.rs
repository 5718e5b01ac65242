//! Many parked messages at once, chosen by what is true of them: shown first, then worked through in the order of their logs at a rate. What
//! was judged stays so, and what is left is chosen again by the same words: it may be stopped and begun anew at any time.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use crate::store::{ChosenParked, Console, ParkedFilter};

use super::failure::{Exit, Failure};
use super::job::Rate;
use super::obstacle::Obstacle;
use super::pacer::Pacer;
use super::parked::{Edit, RedrivenJson, send};

/// Messages that enter the line by one statement at most.
const TOGETHER: u32 = 100;
/// Messages that are discarded by one statement.
const DISCARDED: usize = 500;

/// What is done with the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweeping {
    /// They enter the line again.
    Redrive {
        /// Also after three times, and before an earlier message of the same key.
        force: bool,
    },
    /// They need not be looked at any more.
    Discard,
}

/// Messages that were chosen, and what would become of them.
#[derive(Clone, Debug)]
pub struct Sweep {
    free: Vec<Chosen>,
    /// What would become of them.
    pub shown: SweepShown,
}

#[derive(Clone, Debug)]
struct Chosen {
    id: i64,
    place: Option<(String, i32, Vec<u8>)>,
}

/// What would become of messages, as programs read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepShown {
    /// How many were chosen.
    pub chosen: usize,
    /// More fit than were chosen: the first in the order of their logs were.
    pub is_cut: bool,
    /// Those that would be worked through, by topic and reason.
    pub would: Vec<SweepGroup>,
    /// Those that would be refused, and why.
    pub refused: Vec<SweepReason>,
}

/// Messages of one topic that were put aside for one reason, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepGroup {
    /// The topic.
    pub topic: String,
    /// Verdict and code.
    pub reason: String,
    /// How many.
    pub messages: usize,
}

/// Messages with which the same is wrong, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepReason {
    /// What is wrong.
    pub reason: String,
    /// How many.
    pub messages: usize,
    /// The first of them.
    pub sample: i64,
}

/// What became of messages, as programs read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Swept {
    /// How many were chosen.
    pub chosen: usize,
    /// Those that entered the line and do not wait any more.
    pub redriven: usize,
    /// Those that entered the line and were put aside again.
    pub parked_again: usize,
    /// Those that did not enter it.
    pub refused: usize,
    /// What entered the line, by verdict.
    pub verdicts: BTreeMap<&'static str, usize>,
    /// Why some were put aside again.
    pub again: Vec<SweepReason>,
    /// Why some were refused.
    pub refusals: Vec<SweepReason>,
}

impl Sweep {
    /// How many would be worked through.
    pub fn free(&self) -> usize {
        self.free.len()
    }
}

fn count(reasons: &mut Vec<SweepReason>, reason: String, sample: i64) {
    match reasons.iter_mut().find(|known| known.reason == reason) {
        Some(known) => known.messages += 1,
        None => reasons.push(SweepReason { reason, messages: 1, sample }),
    }
}

/// Verdict and code of a reason, without what is told of one message.
fn cause(reason: &str) -> String {
    reason.splitn(3, ": ").take(2).collect::<Vec<_>>().join(": ")
}

/// Chooses the messages that wait and fit, at most `limit`, and says what would become of them. Reads only.
///
/// # Errors
/// None fits (exit 3), or the database does not answer.
pub async fn choose_parked(
    console: &Console,
    filter: &ParkedFilter,
    limit: usize,
    sweeping: Sweeping,
) -> Result<Sweep, Failure> {
    let mut found = console.choose_parked(filter, limit.saturating_add(1)).await?;
    let is_cut = found.len() > limit;
    found.truncate(limit);
    if found.is_empty() {
        return Err(Failure::new(Exit::NotFound, "no parked message fits", "sagabus parked list shows the newest"));
    }
    let mut sweep = chosen(found, sweeping);
    sweep.shown.is_cut = is_cut;
    Ok(sweep)
}

fn chosen(found: Vec<ChosenParked>, sweeping: Sweeping) -> Sweep {
    let mut shown = SweepShown { chosen: found.len(), ..SweepShown::default() };
    let mut groups: BTreeMap<(String, String), usize> = BTreeMap::new();
    let (mut free, mut held) = (Vec::new(), HashMap::new());
    for one in found {
        let place = one.key.clone().map(|key| (one.topic.clone(), one.partition, key));
        let obstacle = match sweeping {
            Sweeping::Discard => None,
            Sweeping::Redrive { force } => {
                // What is refused holds up those of its key behind it.
                let before = place.as_ref().and_then(|place| held.get(place).copied()).filter(|_| !force);
                Obstacle::of(one.standing, false, force).or(before.map(Obstacle::Earlier))
            }
        };
        match obstacle {
            Some(obstacle) => {
                count(&mut shown.refused, obstacle.kind(), one.id);
                if let Some(place) = place {
                    held.entry(place).or_insert(one.id);
                }
            }
            None => {
                *groups.entry((one.topic, cause(&one.reason))).or_default() += 1;
                free.push(Chosen { id: one.id, place });
            }
        }
    }
    let group = |((topic, reason), messages)| SweepGroup { topic, reason, messages };
    shown.would = groups.into_iter().map(group).collect();
    Sweep { free, shown }
}

/// Sends the messages down the line, at most at this rate, and those of one key one after the other: when one is put aside again, those
/// behind it are refused. `progress` hears of each step.
///
/// # Errors
/// Nobody judged in time (exit 6), or the database does not answer. What was judged stays so.
pub async fn sweep_redrive(
    console: &Console,
    sweep: &Sweep,
    (rate, force): (Rate, bool),
    (who, reason): (&str, &str),
    mut progress: impl FnMut(&Swept),
) -> Result<Swept, Failure> {
    let mut swept = Swept { chosen: sweep.shown.chosen, refusals: sweep.shown.refused.clone(), ..Swept::default() };
    swept.refused = swept.refusals.iter().map(|refusal| refusal.messages).sum();
    let (mut left, mut pacer) = (sweep.free.as_slice(), Pacer::new(rate));
    while !left.is_empty() {
        let most = u32::try_from(of_different_keys(left, force)).unwrap_or(TOGETHER).min(TOGETHER);
        let due = pacer.turn(most).await;
        let (these, rest) = left.split_at(usize::try_from(due).unwrap_or(left.len()).min(left.len()));
        left = rest;
        let ids: Vec<i64> = these.iter().map(|one| one.id).collect();
        let mut free = Vec::new();
        for opened in console.open_parked(&ids).await? {
            match Obstacle::of(opened.standing, false, force) {
                None => free.push(opened),
                Some(obstacle) => swept.refuse(obstacle.kind(), opened.id),
            }
        }
        if !free.is_empty() {
            let judged = send(console, &free, ("redrive", &Edit::default()), (who, reason)).await?;
            let is_judged = |id: i64| judged.iter().any(|one| one.id == id);
            free.iter().map(|one| one.id).filter(|id| !is_judged(*id)).for_each(|id| swept.lose(id));
            judged.into_iter().for_each(|one| swept.judge(one));
        }
        progress(&swept);
    }
    Ok(swept)
}

/// How many of the first of these have keys of their own: they may enter the line together.
fn of_different_keys(left: &[Chosen], force: bool) -> usize {
    let mut keys = HashSet::new();
    let repeated = left.iter().position(|one| one.place.as_ref().is_some_and(|place| !force && !keys.insert(place)));
    repeated.unwrap_or(left.len())
}

impl Swept {
    fn refuse(&mut self, reason: String, id: i64) {
        self.refused += 1;
        count(&mut self.refusals, reason, id);
    }

    /// Somebody else dealt with it while it was looked at.
    fn lose(&mut self, id: i64) {
        self.refuse("dealt with by somebody else meanwhile".to_owned(), id);
    }

    fn judge(&mut self, judged: RedrivenJson) {
        *self.verdicts.entry(judged.verdict).or_default() += 1;
        if !judged.stays_parked {
            self.redriven += 1;
            return;
        }
        self.parked_again += 1;
        let reason = judged.message.as_deref().map_or_else(|| judged.verdict.to_owned(), cause);
        count(&mut self.again, reason, judged.id);
    }
}

/// Marks the messages as not to be looked at any more. They are kept. Returns how many were parked.
///
/// # Errors
/// The database does not answer. What was marked stays so.
pub async fn sweep_discard(console: &Console, sweep: &Sweep, who: &str, reason: &str) -> Result<usize, Failure> {
    let mut discarded = 0;
    for these in sweep.free.chunks(DISCARDED) {
        let ids: Vec<i64> = these.iter().map(|one| one.id).collect();
        discarded += console.discard_parked(&ids, who, reason).await?.len();
    }
    Ok(discarded)
}

#[cfg(test)]
mod tests {
    use crate::store::{ParkedState, Standing};

    use super::*;

    fn one(id: i64, key: &str, redrives: u64) -> ChosenParked {
        let standing =
            Standing { state: ParkedState::Parked, is_whole: true, redrives, is_asked: false, earlier: None };
        let (topic, reason) = ("orders".to_owned(), format!("malformed: trigger-data: number {id}"));
        ChosenParked { id, topic, partition: 0, key: Some(key.as_bytes().to_vec()), reason, standing }
    }

    fn told(reasons: &[SweepReason]) -> Vec<(&str, usize, i64)> {
        reasons.iter().map(|one| (one.reason.as_str(), one.messages, one.sample)).collect()
    }

    #[test]
    fn what_is_refused_holds_up_those_of_its_key_behind_it() {
        let found = || vec![one(1, "a", 0), one(2, "b", 3), one(3, "b", 0), one(4, "a", 0)];
        let sweep = chosen(found(), Sweeping::Redrive { force: false });
        assert_eq!(sweep.free.iter().map(|one| one.id).collect::<Vec<_>>(), [1, 4]);
        let often = "entered the line 3 times or more in vain (--force goes on)";
        assert_eq!(told(&sweep.shown.refused), [(often, 1, 2), ("an earlier one of the same key waits", 1, 3)]);
        let group =
            SweepGroup { topic: "orders".to_owned(), reason: "malformed: trigger-data".to_owned(), messages: 2 };
        assert_eq!(sweep.shown.would, [group]);
        assert_eq!(chosen(found(), Sweeping::Redrive { force: true }).free(), 4);
        assert_eq!(chosen(found(), Sweeping::Discard).free(), 4);
    }

    #[test]
    fn those_of_one_key_never_enter_the_line_together() {
        let sweep = chosen(vec![one(1, "a", 0), one(2, "b", 0), one(3, "a", 0)], Sweeping::Redrive { force: false });
        assert_eq!(of_different_keys(&sweep.free, false), 2);
        assert_eq!(of_different_keys(&sweep.free, true), 3);
    }
}
