//! Many parked messages at once, chosen by what is true of them: shown first, then worked through in the order of their logs at a rate. What
//! was judged stays so, and what is left is chosen again by the same words: it may be stopped and begun anew at any time.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::{ChosenParked, Console, ParkedFilter};

use super::failure::{Exit, Failure};
use super::job::Rate;
use super::obstacle::Obstacle;
use super::pacer::Pacer;
use super::parked::{Edit, RedrivenJson, send};
use super::parked_action::{ParkedManyActed, ParkedRefused};

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

/// Messages that were chosen, and what would become of them, as programs read it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sweep {
    /// What would become of them.
    pub shown: SweepShown,
    /// Those that would be worked through, in the order of their logs.
    pub free: Vec<SweepMessage>,
}

/// A message that would be worked through, as programs read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SweepMessage {
    /// Its number.
    pub id: i64,
    /// Those of one key and partition have the same here, and do not enter the line together; null: it has no key.
    pub key: Option<usize>,
}

/// What would become of messages, as programs read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    let (mut free, mut held, mut keys) = (Vec::new(), HashMap::new(), HashMap::new());
    for one in found {
        let place = one.key.clone().map(|key| (one.topic.clone(), one.partition, key));
        let next = keys.len();
        let key = place.map(|place| *keys.entry(place).or_insert(next));
        let obstacle = match sweeping {
            Sweeping::Discard => None,
            Sweeping::Redrive { force } => {
                // What is refused holds up those of its key behind it.
                let before = key.and_then(|key| held.get(&key).copied()).filter(|_| !force);
                Obstacle::of(one.standing, false, force).or(before.map(Obstacle::Earlier))
            }
        };
        match obstacle {
            Some(obstacle) => {
                count(&mut shown.refused, obstacle.kind(), one.id);
                if let Some(key) = key {
                    held.entry(key).or_insert(one.id);
                }
            }
            None => {
                *groups.entry((one.topic, cause(&one.reason))).or_default() += 1;
                free.push(SweepMessage { id: one.id, key });
            }
        }
    }
    let group = |((topic, reason), messages)| SweepGroup { topic, reason, messages };
    shown.would = groups.into_iter().map(group).collect();
    Sweep { free, shown }
}

/// Works through the messages, at most at this rate, and through those of one key one after the other: when one is put aside again, those
/// behind it are refused. `redrive` sends some of them together, as `redrive_free` does; `progress` hears of each step.
///
/// # Errors
/// As `redrive`. What was judged stays so.
pub async fn sweep_redrive(
    sweep: &Sweep,
    (rate, force): (Rate, bool),
    mut redrive: impl AsyncFnMut(Vec<i64>) -> Result<ParkedManyActed, Failure>,
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
        let ParkedManyActed { redriven, refused, .. } = redrive(ids.clone()).await?;
        let is_told = |id: i64| redriven.iter().any(|one| one.id == id) || refused.iter().any(|one| one.id == id);
        ids.into_iter().filter(|id| !is_told(*id)).for_each(|id| swept.lose(id));
        refused.into_iter().for_each(|one| swept.refuse(one.reason, one.id));
        redriven.into_iter().for_each(|one| swept.judge(one));
        progress(&swept);
    }
    Ok(swept)
}

/// Sends those messages down the line that nothing keeps, and waits until an engine has judged them; the others are refused, each for
/// itself, and so are those of its key behind one. Who is in neither list was dealt with by somebody else meanwhile.
///
/// # Errors
/// Nobody judged in time (exit 6), or the database does not answer.
pub async fn redrive_free(
    console: &Console,
    ids: &[i64],
    (who, reason): (&str, &str),
    force: bool,
) -> Result<ParkedManyActed, Failure> {
    let (mut acted, mut free, mut held) = (ParkedManyActed::default(), Vec::new(), HashMap::new());
    for opened in console.open_parked(ids).await? {
        let message = &opened.message;
        let place = message.key.clone().map(|key| (message.topic.clone(), message.partition, key));
        let before = place.as_ref().and_then(|place| held.get(place).copied()).filter(|_| !force);
        match Obstacle::of(opened.standing, false, force).or(before.map(Obstacle::Earlier)) {
            None => free.push(opened),
            Some(obstacle) => {
                acted.refused.push(ParkedRefused { id: opened.id, reason: obstacle.kind() });
                place.into_iter().for_each(|place| _ = held.entry(place).or_insert(opened.id));
            }
        }
    }
    if !free.is_empty() {
        acted.redriven = send(console, &free, ("redrive", &Edit::default()), (who, reason)).await?;
    }
    Ok(acted)
}

/// How many of the first of these have keys of their own: they may enter the line together.
fn of_different_keys(left: &[SweepMessage], force: bool) -> usize {
    let mut keys = HashSet::new();
    let repeated = left.iter().position(|one| one.key.is_some_and(|key| !force && !keys.insert(key)));
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

/// Says of the messages that they need not be looked at any more: `discard` does of some of them together. Returns how many were parked.
///
/// # Errors
/// As `discard`. What was marked stays so.
pub async fn sweep_discard(
    sweep: &Sweep,
    mut discard: impl AsyncFnMut(Vec<i64>) -> Result<usize, Failure>,
) -> Result<usize, Failure> {
    let mut discarded = 0;
    for these in sweep.free.chunks(DISCARDED) {
        discarded += discard(these.iter().map(|one| one.id).collect()).await?;
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
        assert_eq!(chosen(found(), Sweeping::Redrive { force: true }).free.len(), 4);
        assert_eq!(chosen(found(), Sweeping::Discard).free.len(), 4);
    }

    #[test]
    fn those_of_one_key_never_enter_the_line_together() {
        let sweep = chosen(vec![one(1, "a", 0), one(2, "b", 0), one(3, "a", 0)], Sweeping::Redrive { force: false });
        assert_eq!(of_different_keys(&sweep.free, false), 2);
        assert_eq!(of_different_keys(&sweep.free, true), 3);
    }
}
