//! Dead letters of participants, or of anybody: a topic is read apart from any group, nothing is committed. Looks only; `dlq_redrive` sends
//! back.

use std::collections::BTreeSet;

use serde::Serialize;
use uuid::Uuid;

use crate::bus::{Admin, KafkaSettings};
use crate::definition::MASKED;
use crate::wire::{DeadLetter, KeptHeader, Record, dead_letter};

use super::blocking::{on_a_thread, read};
use super::failure::{Exit, Failure};
use super::moments::Moment;
use super::places::Places;
use super::sight::{Sight, is_masked_topic};

/// A dead letter, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LetterJson {
    /// Its topic.
    pub topic: String,
    /// See `topic`.
    pub partition: i32,
    /// See `topic`.
    pub offset: i64,
    /// The record's own timestamp.
    pub written_at: Moment,
    /// Its key; bytes that are not text are escaped.
    pub key: Option<String>,
    /// Where it came from, by its headers.
    pub original_topic: Option<String>,
    /// See `original_topic`.
    pub original_partition: Option<i32>,
    /// See `original_topic`.
    pub original_offset: Option<i64>,
    /// The saga that it names.
    pub saga_id: Option<Uuid>,
    /// The step that it names, as a command does.
    pub step: Option<String>,
    /// `do` or `undo`, as a command says.
    pub action: Option<String>,
    /// Why it was put there, by its headers.
    pub error: Option<String>,
}

/// A dead letter with everything that is in it, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LetterShown {
    /// As in a list.
    #[serde(flatten)]
    pub listed: LetterJson,
    /// False where a record over the limits was cut.
    pub is_whole: bool,
    /// Its headers.
    pub headers: Vec<KeptHeader>,
    /// Its value; bytes that are not text are escaped.
    pub value: Option<String>,
}

/// The newest dead letters of a topic, or of one partition, newest first, at most `limit`; and whether there are more.
///
/// # Errors
/// There is no such topic (exit 3), or Kafka does not answer.
pub async fn dead_letters(
    places: &Places,
    topic: &str,
    partition: Option<i32>,
    limit: usize,
) -> Result<(Vec<LetterJson>, bool), Failure> {
    let settings = places.kafka(None)?;
    let marks = marks(&settings, topic, partition).await?;
    let (mut found, mut is_cut) = (Vec::new(), false);
    for (number, low, end) in marks {
        let from = end.saturating_sub(i64::try_from(limit).unwrap_or(i64::MAX)).max(low);
        is_cut |= from > low;
        let records = read(&settings, topic, number, (from, end), usize::MAX).await?;
        found.extend(records.iter().map(|record| letter(record, &dead_letter(record))));
    }
    found.sort_by_key(|one| std::cmp::Reverse((one.written_at, one.partition, one.offset)));
    is_cut |= found.len() > limit;
    found.truncate(limit);
    Ok((found, is_cut))
}

/// One dead letter with its headers and its value. The value is masked as a whole where any definition in force masks anything, as far as
/// a database is configured to know them: it may be anybody's.
///
/// # Errors
/// It is not there (exit 3), or Kafka or the database does not answer.
pub async fn show_letter(
    places: &Places,
    topic: &str,
    (partition, offset): (i32, i64),
    sight: Sight,
) -> Result<LetterShown, Failure> {
    let knows_masks = sight == Sight::Masked && places.database_url.is_some();
    let is_masked = knows_masks && is_masked_topic(&places.reading().await?, None).await?;
    let record = one(&places.kafka(None)?, topic, partition, offset).await?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| bytes.escape_ascii().to_string());
    Ok(LetterShown {
        listed: letter(&record, &dead_letter(&record)),
        is_whole: record.over_limits().is_none(),
        headers: serde_json::from_str(&record.kept_headers()).unwrap_or_default(),
        value: record.value().map(|value| if is_masked { MASKED.to_owned() } else { text(value) }),
    })
}

fn letter(record: &Record, told: &DeadLetter) -> LetterJson {
    LetterJson {
        topic: record.topic().to_string(),
        partition: record.partition(),
        offset: record.offset(),
        written_at: Moment(record.timestamp()),
        key: record.key().map(|key| key.escape_ascii().to_string()),
        original_topic: told.topic.clone(),
        original_partition: told.partition,
        original_offset: told.offset,
        saga_id: told.saga_id,
        step: told.step.clone(),
        action: told.action.clone(),
        error: told.error.clone(),
    }
}

/// First and last offset of each partition of the topic, or of the one that is named.
pub(super) async fn marks(
    settings: &KafkaSettings,
    topic: &str,
    partition: Option<i32>,
) -> Result<Vec<(i32, i64, i64)>, Failure> {
    let (settings, wanted) = (settings.clone(), BTreeSet::from([topic.to_owned()]));
    let asked = on_a_thread(move || Ok(Admin::connect(&settings)?.logs(&wanted)?)).await?;
    let of_topic = asked.into_values().flatten().filter(|(number, ..)| partition.is_none_or(|one| one == *number));
    let marks: Vec<(i32, i64, i64)> = of_topic.collect();
    if marks.is_empty() {
        let what = partition.map_or_else(|| topic.to_owned(), |number| format!("{topic}/{number}"));
        return Err(Failure::new(Exit::NotFound, format!("there is no topic {what}"), "topics are told by the broker"));
    }
    Ok(marks)
}

/// The record at this place.
pub(super) async fn one(settings: &KafkaSettings, topic: &str, partition: i32, offset: i64) -> Result<Record, Failure> {
    let marks = marks(settings, topic, Some(partition)).await?;
    let is_inside = marks.iter().any(|(_, low, end)| (*low..*end).contains(&offset));
    let found = if is_inside { read(settings, topic, partition, (offset, offset + 1), 1).await?.pop() } else { None };
    found.ok_or_else(|| {
        let held: Vec<String> = marks.iter().map(|(_, low, end)| format!("{low} to before {end}")).collect();
        let message = format!("there is no record at {topic} {partition}@{offset}: the log holds {}", held.join(", "));
        Failure::new(Exit::NotFound, message, "sagabus dlq list shows the newest")
    })
}
