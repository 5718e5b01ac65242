//! Topics that definitions need: shown, made, and partitions sent elsewhere. Nothing is made silently.

use std::collections::BTreeMap;

use crate::bus::{Admin, Purpose, TopicDifference, TopicNeed};
use crate::definition::Compiled;

use super::failure::{Exit, Failure};
use super::places::Places;

/// Where a partition is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekTo {
    /// Its first record.
    Earliest,
    /// Behind its last record.
    Latest,
    /// This offset.
    Offset(i64),
}

/// Every topic that these definitions name, once.
pub fn needs_of<'a>(plans: impl Iterator<Item = &'a Compiled>) -> Vec<TopicNeed> {
    let mut needs: BTreeMap<String, Purpose> = BTreeMap::new();
    for plan in plans {
        let definition = plan.definition();
        let steps = definition.steps.iter().map(|step| (&step.command_topic, Purpose::Command));
        let own = [
            (&definition.trigger_topic, Purpose::Trigger),
            (&definition.reply_topic, Purpose::Reply),
            (&definition.outcome_topic, Purpose::Outcome),
        ];
        for (name, purpose) in steps.chain(own) {
            needs.entry(name.to_string()).and_modify(|known| *known = (*known).min(purpose)).or_insert(purpose);
        }
    }
    needs.into_iter().map(|(name, purpose)| TopicNeed { name, purpose }).collect()
}

/// What is missing or different.
///
/// # Errors
/// Kafka does not answer.
pub async fn diff(places: &Places, needs: &[TopicNeed]) -> Result<Vec<TopicDifference>, Failure> {
    Ok(Admin::connect(&places.kafka(None)?)?.diff(needs).await?)
}

/// Makes what is missing, with this many partitions; replicated three times where there are three brokers. Returns the names.
///
/// # Errors
/// Kafka does not answer, or refuses.
pub async fn ensure(places: &Places, needs: &[TopicNeed], partitions: i32) -> Result<Vec<String>, Failure> {
    let admin = Admin::connect(&places.kafka(None)?)?;
    let replication = i32::try_from(admin.brokers()?.clamp(1, 3)).unwrap_or(1);
    Ok(admin.ensure(needs, partitions, replication).await?)
}

/// Sends a partition elsewhere, and lets it be read again if it was stopped. Returns the offset.
///
/// # Errors
/// Kafka or the database does not answer; nobody has read such a partition (exit 3); the offset is outside the log (exit 4).
pub async fn seek(
    places: &Places,
    topic: &str,
    partition: i32,
    to: SeekTo,
    who: &str,
    reason: &str,
) -> Result<i64, Failure> {
    let marks = Admin::connect(&places.kafka(None)?)?.watermarks(topic)?;
    let unknown = || {
        Failure::new(
            Exit::NotFound,
            format!("there is no partition {topic}/{partition}"),
            "sagabus topics diff shows the topics",
        )
    };
    let (_, low, high) = marks.into_iter().find(|(number, ..)| *number == partition).ok_or_else(unknown)?;
    let offset = match to {
        SeekTo::Earliest => low,
        SeekTo::Latest => high,
        SeekTo::Offset(offset) => offset,
    };
    if !(low..=high).contains(&offset) {
        let message = format!("offset {offset} is outside the log of {topic}/{partition}, which holds {low} to {high}");
        return Err(Failure::new(Exit::Refused, message, "choose earliest, latest or an offset between them"));
    }
    let console = places.console().await?;
    if console.seek((topic, partition), offset, who, reason).await? { Ok(offset) } else { Err(unknown()) }
}
