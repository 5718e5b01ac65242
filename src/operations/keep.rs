//! How long sagas are kept at least. A saga's row is what a trigger that is read a second time is a duplicate of: as long as a topic may still
//! hold that trigger the row has to be there, or the trigger would start a second saga. Pure, but for the question to Kafka.

use std::time::Duration;

use tokio::runtime::Handle;

use crate::bus::{Admin, KafkaSettings, Purpose, TopicDifference, TopicNeed};
use crate::core::limits;
use crate::store::Console;

use super::blocking::on_a_thread;
use super::failure::{Exit, Failure};
use super::moments::span;

/// Kafka looks for segments to delete every five minutes, and takes records up to an hour ahead of its clock.
const SLACK_MS: u64 = 2 * 3_600_000;

/// The topic that holds records for the longest time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which one.
    pub topic: String,
    /// A record is gone after this, in milliseconds; `None`: it never is.
    pub millis: Option<u64>,
}

impl Held {
    /// What a person says of all topics.
    pub fn said(hold: Duration) -> Self {
        Self { topic: "as said".to_owned(), millis: Some(u64::try_from(hold.as_millis()).unwrap_or(u64::MAX)) }
    }
}

/// Asks Kafka for how long the topics hold records that engines read. `None` when none is read, or there any more.
///
/// # Errors
/// Kafka or the database does not answer.
pub async fn held_by_topics(settings: KafkaSettings, console: &Console) -> Result<Option<Held>, Failure> {
    let mut topics: Vec<String> = console.balance().await?.into_iter().map(|one| one.partition.0).collect();
    topics.dedup();
    let needs: Vec<TopicNeed> = topics.into_iter().map(|name| TopicNeed { name, purpose: Purpose::Trigger }).collect();
    let handle = Handle::current();
    // The client asks for metadata while its caller waits.
    let found = on_a_thread(move || Ok(handle.block_on(Admin::connect(&settings)?.diff(&needs))?)).await?;
    Ok(longest(&found))
}

/// A segment is deleted whole, once its newest record is older than `retention.ms`; it is written to for `segment.ms`. A topic that is only
/// compacted deletes none.
fn longest(topics: &[TopicDifference]) -> Option<Held> {
    let held = topics.iter().filter(|topic| !topic.is_missing).map(|topic| {
        let setting = |name: &str| topic.settings.get(name).and_then(|text| text.parse::<i64>().ok());
        let (retention, segment) = (setting("retention.ms").unwrap_or(-1), setting("segment.ms").unwrap_or(0));
        let deletes = |policy: &String| policy.split(',').any(|one| one.trim() == "delete");
        let is_compacted = topic.settings.get("cleanup.policy").is_some_and(|policy| !deletes(policy));
        let millis = u64::try_from(retention).ok().filter(|_| !is_compacted);
        let millis = millis.map(|millis| millis.saturating_add(u64::try_from(segment).unwrap_or(0)));
        Held { topic: topic.need.name.clone(), millis }
    });
    held.max_by_key(|held| held.millis.unwrap_or(u64::MAX))
}

/// Refuses to keep sagas for a shorter time than topics hold records, or than a day.
///
/// # Errors
/// Exit 4, with the shortest time that is long enough.
pub fn check_keep(keep: Duration, held: Option<&Held>) -> Result<(), Failure> {
    let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
    let refused = |why: String, hint: &str| Err(Failure::new(Exit::Refused, why, hint));
    if keep_ms < limits::KEEP_MIN_MS {
        let why = format!("to keep sagas for {} is too short", span(keep_ms));
        return refused(why, "a day at least: engines expect younger sagas to be there");
    }
    let Some(held) = held else { return Ok(()) };
    let Some(millis) = held.millis else {
        let why =
            format!("topic {} holds records for ever: each may be read again, and start a second saga", held.topic);
        return refused(
            why,
            "give it a retention.ms, or remove by hand with retention run --topics-hold DURATION, if it is never read again from further back",
        );
    };
    let least = millis.saturating_add(SLACK_MS);
    if keep_ms < least {
        let why = format!(
            "to keep sagas for {} is too short: topic {} may hold a record for {} (retention.ms and segment.ms), and a trigger that is read \
             again would start a second saga",
            span(keep_ms),
            held.topic,
            span(millis)
        );
        return refused(why, &format!("keep them for {}h or more", least.div_ceil(3_600_000)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;

    fn topic(name: &str, settings: &[(&str, &str)]) -> TopicDifference {
        TopicDifference {
            need: TopicNeed { name: name.to_owned(), purpose: Purpose::Trigger },
            differences: Vec::new(),
            is_missing: settings.is_empty(),
            partitions: 1,
            replication: 1,
            settings: settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    fn judge(days: u64, held: Option<&Held>) -> Result<(), Exit> {
        check_keep(Duration::from_millis(days * DAY), held).map_err(|failure| failure.exit)
    }

    #[test]
    fn the_topic_that_holds_records_longest_counts_with_the_segment_that_is_written() {
        let week = [("retention.ms", "604800000"), ("segment.ms", "86400000")];
        let day = [("retention.ms", "86400000"), ("segment.ms", "604800000")];
        let topics = [topic("a", &week), topic("gone", &[]), topic("b", &day)];
        let held = longest(&topics).unwrap();
        assert_eq!(held.millis, Some(8 * DAY));
        let endless = topic("c", &[("retention.ms", "-1"), ("segment.ms", "1")]);
        assert_eq!(longest(&[topic("a", &week), endless]).unwrap(), Held { topic: "c".to_owned(), millis: None });
        let compacted = topic("d", &[("retention.ms", "1"), ("cleanup.policy", "compact")]);
        assert_eq!(longest(&[topic("a", &week), compacted]).unwrap().millis, None, "it deletes nothing");
        let both = topic("e", &[("retention.ms", "1"), ("segment.ms", "1"), ("cleanup.policy", "compact,delete")]);
        assert_eq!(longest(&[both]).unwrap().millis, Some(2));
        assert_eq!(longest(&[topic("gone", &[])]), None);
    }

    #[test]
    fn sagas_are_kept_longer_than_any_topic_holds_their_triggers() {
        let held = Held { topic: "orders".to_owned(), millis: Some(8 * DAY) };
        assert_eq!(judge(8, Some(&held)), Err(Exit::Refused), "Kafka deletes a little later");
        assert_eq!(judge(9, Some(&held)), Ok(()));
        assert_eq!(judge(9_999, Some(&Held { millis: None, ..held })), Err(Exit::Refused));
        assert_eq!((judge(0, None), judge(1, None)), (Err(Exit::Refused), Ok(())), "a day at least");
        let failure =
            check_keep(Duration::from_millis(8 * DAY), Some(&Held { topic: "o".to_owned(), millis: Some(8 * DAY) }));
        assert!(failure.unwrap_err().hint.contains("keep them for 194h"));
    }
}
