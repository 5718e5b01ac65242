//! How it goes at this moment, at a glance: what is open, what began and ended lately, who works, what waits for a person. Reads only.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::core::Phase;
use crate::engine::SILENT_MS;
use crate::store::{Console, MovedSagas, OpenSagas, Writers};

use super::failure::Failure;
use super::lag::{InputLag, Lookout};
use super::moments::Moment;

/// What *lately* means here, in seconds.
const LATELY_SECONDS: i32 = 10;

/// How it goes at one moment, as programs read it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopJson {
    /// By the database's clock.
    pub at: Moment,
    /// Engines that were heard of within 8 s.
    pub writers_alive: i64,
    /// Engines that were not, and that nobody has taken over yet.
    pub writers_silent: i64,
    /// Records that wait for a person.
    pub parked: u64,
    /// Sagas that wait for a person.
    pub stuck: i64,
    /// What people hold, such as `participant risk`.
    pub held: Vec<String>,
    /// What engines have not judged yet; `None` where Kafka is not asked.
    pub inputs: Option<TopInputs>,
    /// Why `inputs` is not there although Kafka was asked.
    pub inputs_unknown: Option<String>,
    /// *Lately* means within so many seconds.
    pub lately_seconds: i32,
    /// By name: definitions with open sagas, or with some that ended lately.
    pub definitions: Vec<TopDefinition>,
}

/// What engines have not judged yet, as programs read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopInputs {
    /// Offsets that wait to be judged.
    pub behind: i64,
    /// Partitions that nobody reads until a person seeks, or whose log does not hold their offset.
    pub stopped: usize,
    /// By topic, those that are behind alone.
    pub topics: BTreeMap<String, i64>,
}

/// How it goes with the sagas of a definition, as programs read it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopDefinition {
    /// Its name.
    pub definition: String,
    /// Open sagas by phase.
    pub open: BTreeMap<&'static str, i64>,
    /// Sagas that ended lately, by phase.
    pub ended: BTreeMap<&'static str, i64>,
    /// Sagas that began, a second, lately.
    pub began_per_second: f64,
    /// Sagas that ended, a second, lately.
    pub ended_per_second: f64,
    /// Of those that wait for something but a person, the oldest.
    pub oldest: Option<OldestJson>,
}

/// The oldest saga that is under way, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OldestJson {
    /// Its business key.
    pub business_key: String,
    /// Where it stands.
    pub phase: &'static str,
    /// When it began.
    pub started_at: Moment,
}

/// Looks how it goes; with Kafka what engines have not judged yet as well.
///
/// # Errors
/// The database does not answer. When Kafka does not, that is told in the answer.
pub async fn top(console: &Console, lookout: Option<&mut Lookout>) -> Result<TopJson, Failure> {
    let open = console.open_sagas().await?;
    let moved = console.moved_sagas(LATELY_SECONDS).await?;
    let parked = console.parked_open(0).await?.count;
    let writers = console.writers_alive(SILENT_MS).await?;
    let held = console.holds().await?.iter().map(|hold| hold.target.to_string()).collect();
    let inputs = match lookout {
        None => Ok(None),
        Some(lookout) => lookout.engines().await.map(Some).map_err(|failure| failure.message),
    };
    Ok(seen((&open, &moved), parked, held, writers, inputs))
}

fn seen(
    (open, moved): (&[OpenSagas], &[MovedSagas]),
    parked: u64,
    held: Vec<String>,
    writers: Writers,
    inputs: Result<Option<Vec<InputLag>>, String>,
) -> TopJson {
    let (inputs, inputs_unknown) = match inputs {
        Ok(inputs) => (inputs.as_deref().map(summed), None),
        Err(why) => (None, Some(why)),
    };
    TopJson {
        at: Moment(writers.now),
        writers_alive: writers.alive,
        writers_silent: writers.silent,
        parked,
        stuck: open.iter().filter(|open| open.phase == Phase::Stuck).map(|open| open.sagas).sum(),
        held,
        inputs,
        inputs_unknown,
        lately_seconds: LATELY_SECONDS,
        definitions: definitions(open, moved),
    }
}

fn definitions(open: &[OpenSagas], moved: &[MovedSagas]) -> Vec<TopDefinition> {
    let mut found: BTreeMap<&str, TopDefinition> = BTreeMap::new();
    for open in open {
        let one = found.entry(&open.definition).or_default();
        one.open.insert(open.phase.name(), open.sagas);
        let is_older = |oldest: &OldestJson| open.oldest_at < oldest.started_at.0;
        let is_under_way = matches!(open.phase, Phase::Running | Phase::Compensating);
        if is_under_way && one.oldest.as_ref().is_none_or(is_older) {
            let (business_key, started_at) = (open.oldest_key.clone(), Moment(open.oldest_at));
            one.oldest = Some(OldestJson { business_key, phase: open.phase.name(), started_at });
        }
    }
    for moved in moved {
        let one = found.entry(&moved.definition).or_default();
        one.began_per_second += per_second(moved.began);
        if moved.ended > 0 {
            one.ended.insert(moved.phase.name(), moved.ended);
            one.ended_per_second += per_second(moved.ended);
        }
    }
    found.into_iter().map(|(name, one)| TopDefinition { definition: name.to_owned(), ..one }).collect()
}

fn per_second(sagas: i64) -> f64 {
    f64::from(i32::try_from(sagas).unwrap_or(i32::MAX)) / f64::from(LATELY_SECONDS)
}

fn summed(inputs: &[InputLag]) -> TopInputs {
    let mut sum = TopInputs::default();
    for input in inputs {
        let behind = input.behind.unwrap_or_default();
        sum.behind += behind;
        sum.stopped += usize::from(!["reading", "unread"].contains(&input.state));
        if behind > 0 {
            *sum.topics.entry(input.topic.clone()).or_default() += behind;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use crate::core::Timestamp;

    use super::*;

    #[test]
    fn open_and_ended_sagas_are_told_by_definition_with_the_oldest_that_is_under_way() {
        let open = |definition: &str, phase, sagas, millis, key: &str| OpenSagas {
            definition: definition.to_owned(),
            phase,
            sagas,
            oldest_at: Timestamp::from_millis(millis),
            oldest_key: key.to_owned(),
        };
        let moved = |definition: &str, phase, began, ended| MovedSagas {
            definition: definition.to_owned(),
            phase,
            began,
            ended,
        };
        let open = [
            open("trade", Phase::Running, 3, 2_000, "k2"),
            open("trade", Phase::Compensating, 1, 1_000, "k1"),
            open("trade", Phase::Stuck, 2, 500, "k0"),
        ];
        let moved = [
            moved("trade", Phase::Running, 20, 0),
            moved("trade", Phase::Completed, 15, 30),
            moved("order", Phase::Compensated, 0, 5),
        ];
        let writers = Writers { alive: 2, silent: 0, now: Timestamp::from_millis(9_000) };
        let seen = seen((&open, &moved), 7, Vec::new(), writers, Ok(None));
        assert_eq!((seen.stuck, seen.parked, seen.definitions.len()), (2, 7, 2));
        let (order, trade) = (&seen.definitions[0], &seen.definitions[1]);
        assert_eq!((&*order.definition, order.ended_per_second, &order.oldest), ("order", 0.5, &None));
        assert_eq!((trade.began_per_second, trade.ended_per_second), (3.5, 3.0));
        assert_eq!(trade.oldest.as_ref().map(|oldest| &*oldest.business_key), Some("k1"));
        assert_eq!((trade.open["stuck"], trade.ended["completed"]), (2, 30));
    }
}
