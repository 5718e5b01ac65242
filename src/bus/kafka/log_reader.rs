//! A stretch of one partition's log, read apart from any group: for people who look back.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::FromClientConfig as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::Instant;

use crate::core::Timestamp;
use crate::wire::Record;

use super::super::BusError;
use super::lost::let_go;
use super::reader::copy;
use super::settings::KafkaSettings;

/// How long the broker may take to answer, or to bring the next record.
const ASK_AT_MOST: Duration = Duration::from_secs(10);
/// How long is waited for a record before it is looked whether any is left.
const POLL: Duration = Duration::from_millis(100);

/// What is fetched where a single record is looked for: whatever comes with it has to be unpacked first.
const ONE_RECORD_BYTES: &str = "65536";

/// A place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogPlace {
    /// This offset.
    Offset(i64),
    /// The first record of this moment or later.
    Time(Timestamp),
}

/// Reads a stretch of one partition. Blocking: it belongs on a thread of its own.
pub struct LogReader {
    reader: Reader,
    topic: Arc<str>,
    next: i64,
    end: i64,
}

/// A client that is closed where nobody waits for it: that may take it a tenth of a second.
struct Reader(Option<BaseConsumer>);

impl Deref for Reader {
    type Target = BaseConsumer;

    fn deref(&self) -> &BaseConsumer {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let_go(self.0.take());
    }
}

impl std::fmt::Debug for LogReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogReader").field("topic", &self.topic).field("next", &self.next).finish_non_exhaustive()
    }
}

impl LogReader {
    /// Reads from `from` (`None`: the log's beginning) to before `to` (`None`: where it ends now).
    ///
    /// # Errors
    /// The broker does not answer, or knows no such partition.
    pub fn open(
        settings: &KafkaSettings,
        topic: &str,
        partition: i32,
        from: Option<LogPlace>,
        to: Option<LogPlace>,
    ) -> Result<Self, BusError> {
        let failed = |error: KafkaError| BusError {
            attempted: format!("read partition {topic}/{partition}"),
            message: error.to_string(),
        };
        let mut config = settings.lookup();
        if matches!((from, to), (Some(LogPlace::Offset(from)), Some(LogPlace::Offset(to))) if to <= from.saturating_add(1))
        {
            config.set("fetch.message.max.bytes", ONE_RECORD_BYTES);
        }
        let reader = Reader(Some(BaseConsumer::from_config(&config).map_err(failed)?));
        let (low, high) = reader.fetch_watermarks(topic, partition, ASK_AT_MOST).map_err(failed)?;
        let offset = |place: Option<LogPlace>, otherwise: i64| match place {
            None => Ok(otherwise),
            Some(LogPlace::Offset(offset)) => Ok(offset),
            Some(LogPlace::Time(at)) => {
                let mut list = TopicPartitionList::new();
                list.add_partition_offset(topic, partition, Offset::Offset(at.micros().div_euclid(1_000)))?;
                let found = reader.offsets_for_times(list, ASK_AT_MOST)?;
                Ok(match found.find_partition(topic, partition).map(|element| element.offset()) {
                    Some(Offset::Offset(offset)) => offset,
                    Some(_) | None => high,
                })
            }
        };
        let next = offset(from, low).map_err(failed)?.clamp(low, high);
        let end = offset(to, high).map_err(failed)?.clamp(next, high);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(next)).map_err(failed)?;
        reader.assign(&list).map_err(failed)?;
        Ok(Self { reader, topic: Arc::from(topic), next, end })
    }

    /// The next records, at most so many; none at the end. Transaction markers are passed over.
    ///
    /// # Errors
    /// The broker brings nothing, although the end is not reached.
    pub fn take(&mut self, most: usize) -> Result<Vec<Record>, BusError> {
        let failed = |topic: &str, message: String| BusError { attempted: format!("read topic {topic}"), message };
        let (mut found, mut since) = (Vec::new(), Instant::now());
        while self.next < self.end && found.len() < most {
            match self.reader.poll(POLL) {
                Some(Ok(message)) if message.offset() >= self.end => self.next = self.end,
                Some(Ok(message)) => {
                    self.next = message.offset() + 1;
                    found.push(copy(Arc::clone(&self.topic), &message));
                    since = Instant::now();
                }
                // Nothing but markers was left before the end.
                Some(Err(KafkaError::PartitionEOF(_))) => self.next = self.end,
                Some(Err(error)) => return Err(failed(&self.topic, error.to_string())),
                None if since.elapsed() > ASK_AT_MOST => {
                    return Err(failed(&self.topic, format!("no record within {} s", ASK_AT_MOST.as_secs())));
                }
                None => {}
            }
        }
        Ok(found)
    }
}
