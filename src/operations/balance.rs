//! The proof that every consumed record ended as exactly one verdict: next - first = verdicts + gaps in each partition, a parked
//! message for each verdict that parks, and an offset that lies in the log. Reads only.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bus::Admin;
use crate::core::Verdict;
use crate::store::{Balance, Console, Offender};

use super::failure::Failure;
use super::places::Places;
use super::verify::OffenderJson;

/// A partition's account, as programs read it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BalanceJson {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// Where the count began.
    pub first: i64,
    /// The next offset to judge.
    pub next: i64,
    /// Offsets that hold no record.
    pub gaps: i64,
    /// Records by verdict.
    pub verdicts: BTreeMap<&'static str, i64>,
    /// next - first - gaps - verdicts: 0.
    pub difference: i64,
    /// The log's first offset; `None` where Kafka was not asked or did not say.
    pub low: Option<i64>,
    /// The log's end; see `low`.
    pub end: Option<i64>,
    /// Records that wait to be read; see `low`.
    pub lag: Option<i64>,
    /// Why nobody reads it, if so.
    pub stopped_because: Option<String>,
}

/// All partitions' accounts, as programs read them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BalanceReport {
    /// True when the offsets were held against Kafka's log.
    pub compared_with_log: bool,
    /// Every partition that was ever read.
    pub partitions: Vec<BalanceJson>,
    /// Those that do not balance, and why.
    pub offenders: Vec<OffenderJson>,
    /// What could not be looked at, or is worth a look, for people.
    pub notes: Vec<String>,
}

/// First and last offset of each partition of a topic.
type Marks = Vec<(i32, i64, i64)>;

/// Where the logs begin and end, by topic: the beginnings as they were before the database was asked, the ends as they are after it.
/// So an offset outside of them was outside at that moment, whatever moved meanwhile.
#[derive(Debug, Default)]
struct Logs {
    before: BTreeMap<String, Marks>,
    after: BTreeMap<String, Marks>,
}

impl Logs {
    fn low(&self, topic: &str, partition: i32) -> Option<i64> {
        self.before.get(topic)?.iter().find(|(number, ..)| *number == partition).map(|(_, low, _)| *low)
    }

    fn end(&self, topic: &str, partition: i32) -> Option<i64> {
        self.after.get(topic)?.iter().find(|(number, ..)| *number == partition).map(|(.., end)| *end)
    }
}

/// Balances every partition; with Kafka reachable also against its log, else a note says why not.
///
/// # Errors
/// The database does not answer.
pub async fn balance(places: &Places, console: &Console) -> Result<BalanceReport, Failure> {
    let mut notes = Vec::new();
    let admin = reach(places, &mut notes);
    let mut logs = Logs::default();
    if let Some(admin) = &admin {
        logs.before = marks(admin, &console.balance().await?, &mut Vec::new());
    }
    let known = console.balance().await?;
    let holes = console.offset_holes(usize::MAX).await?.first;
    if let Some(admin) = &admin {
        logs.after = marks(admin, &known, &mut notes);
        notes.extend(unread(&known, &logs));
    }
    let mut offenders: Vec<OffenderJson> =
        holes.into_iter().map(|Offender { id, key, what }| OffenderJson { id, key, what }).collect();
    offenders.extend(known.iter().filter_map(|balance| outside(balance, &logs)));
    let partitions = known.into_iter().map(|balance| account(balance, &logs)).collect();
    Ok(BalanceReport { compared_with_log: admin.is_some(), partitions, offenders, notes })
}

/// Kafka, if it is configured and answers.
fn reach(places: &Places, notes: &mut Vec<String>) -> Option<Admin> {
    let asked = places.kafka(None).map_err(|failure| failure.message).and_then(|settings| {
        let admin = Admin::connect(&settings).map_err(|error| error.to_string())?;
        admin.brokers().map_err(|error| error.to_string())?;
        Ok(admin)
    });
    asked.map_err(|why| notes.push(format!("the database alone is checked, not Kafka's log: {why}"))).ok()
}

/// Where the logs of these topics begin and end. One that the broker does not tell of is left out, and said.
fn marks(admin: &Admin, known: &[Balance], notes: &mut Vec<String>) -> BTreeMap<String, Marks> {
    let mut found = BTreeMap::new();
    for topic in known.iter().map(|balance| &balance.partition.0) {
        if found.contains_key(topic) {
            continue;
        }
        match admin.watermarks(topic) {
            Ok(marks) if marks.is_empty() => notes.push(format!("topic {topic} was read and is not there any more")),
            Ok(marks) => _ = found.insert(topic.clone(), marks),
            Err(error) => notes.push(format!("the log of topic {topic} is not known: {error}")),
        }
    }
    found
}

/// Partitions that the cluster has and nobody has read: normal for a while after they were added.
fn unread(known: &[Balance], logs: &Logs) -> Vec<String> {
    let is_known = |topic: &str, number: i32| {
        known.iter().any(|balance| balance.partition.0 == topic && balance.partition.1 == number)
    };
    let of_topic = |(topic, marks): (&String, &Marks)| {
        let numbers = marks.iter().filter(|(number, ..)| !is_known(topic, *number));
        let numbers: Vec<String> = numbers.map(|(number, ..)| number.to_string()).collect();
        (!numbers.is_empty()).then(|| format!("topic {topic}: nobody has read partitions {} yet", numbers.join(", ")))
    };
    logs.after.iter().filter_map(of_topic).collect()
}

/// A partition whose offset lies outside its log: records were lost, or the topic was made anew.
fn outside(balance: &Balance, logs: &Logs) -> Option<OffenderJson> {
    let (topic, number) = &balance.partition;
    let next = balance.next_offset;
    let what = match (logs.low(topic, *number), logs.end(topic, *number)) {
        (Some(low), _) if next < low => format!("next offset {next} lies before the log, which begins at {low}"),
        (_, Some(end)) if next > end => format!("next offset {next} lies behind the log, which ends at {end}"),
        (None, None) if logs.before.contains_key(topic) && logs.after.contains_key(topic) => {
            "it was read and is not there any more".to_owned()
        }
        _ => return None,
    };
    Some(OffenderJson { id: format!("{topic}/{number}"), key: None, what })
}

fn account(balance: Balance, logs: &Logs) -> BalanceJson {
    let difference = balance.difference();
    let Balance { partition: (topic, partition), first_offset, next_offset, gaps, counts, stopped_because } = balance;
    let (low, end) = (logs.low(&topic, partition), logs.end(&topic, partition));
    BalanceJson {
        partition,
        first: first_offset,
        next: next_offset,
        gaps,
        verdicts: Verdict::ALL.map(Verdict::name).into_iter().zip(counts).collect(),
        difference,
        low,
        end,
        lag: end.map(|end| end.saturating_sub(next_offset).max(0)),
        stopped_because,
        topic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(number: i32, next_offset: i64) -> Balance {
        let partition = ("orders".to_owned(), number);
        Balance { partition, first_offset: 0, next_offset, gaps: 0, counts: [0; 7], stopped_because: None }
    }

    fn logs(before: &[(i32, i64, i64)], after: &[(i32, i64, i64)]) -> Logs {
        let of = |marks: &[(i32, i64, i64)]| BTreeMap::from([("orders".to_owned(), marks.to_vec())]);
        Logs { before: of(before), after: of(after) }
    }

    #[test]
    fn an_offset_outside_its_log_is_an_offender() {
        let logs = logs(&[(0, 3, 9)], &[(0, 3, 9)]);
        assert!(outside(&read(0, 2), &logs).unwrap().what.contains("before the log"));
        assert!(outside(&read(0, 10), &logs).unwrap().what.contains("behind the log"));
        assert!(
            outside(&read(1, 0), &logs).unwrap().what.contains("not there any more"),
            "fewer partitions than were read"
        );
        for inside in [3, 9] {
            assert!(outside(&read(0, inside), &logs).is_none());
        }
    }

    #[test]
    fn a_log_that_moves_while_the_database_is_asked_makes_no_offender() {
        // Retention has deleted up to 5 since, and records came up to 12 before the offset 11 was read.
        let logs = logs(&[(0, 3, 9)], &[(0, 5, 12)]);
        assert!(outside(&read(0, 4), &logs).is_none());
        assert!(outside(&read(0, 11), &logs).is_none());
    }

    #[test]
    fn without_kafka_nothing_is_said_of_the_log_and_new_partitions_are_a_note() {
        assert!(outside(&read(0, 10), &Logs::default()).is_none());
        let notes = unread(&[read(0, 1)], &logs(&[], &[(0, 0, 1), (1, 0, 0), (2, 0, 4)]));
        assert_eq!(notes, ["topic orders: nobody has read partitions 1, 2 yet"]);
    }
}
