//! Questions about offsets, on a client of its own: each may take a while, so they run beside the engine.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::config::FromClientConfig as _;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::core::Partition;

use super::super::{Ahead, BusError, From, outside_log};
use super::lost::let_go;
use super::settings::KafkaSettings;

/// What a partition's log holds: from `low` on, up to before `end` (last stable offset), and where its reader stood when this was
/// asked.
#[derive(Clone, Debug)]
pub(super) struct Range {
    pub(super) partition: Partition,
    pub(super) at: i64,
    pub(super) low: i64,
    pub(super) end: i64,
}

/// Questions under way at most: each holds a thread, also when nobody waits for its answer any more.
const ASKING: usize = 4;
/// What a thread may take beyond the client's own limit, such as for a client that closes.
const BEYOND: Duration = Duration::from_millis(500);

/// A client that is older than this and fails a question is replaced: nobody polls it, so that one which has lost its cluster for
/// good (`lost.rs`) cannot be told from one whose cluster is away.
const OLD: Duration = Duration::from_secs(10);

/// A client that asks and never belongs to a group.
#[derive(Clone)]
pub(super) struct Lookup {
    settings: KafkaSettings,
    client: Arc<Mutex<(Arc<BaseConsumer>, Instant)>>,
    asking: Arc<Semaphore>,
}

impl std::fmt::Debug for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookup").finish_non_exhaustive()
    }
}

impl Lookup {
    pub(super) fn new(settings: &KafkaSettings) -> Result<Self, BusError> {
        let client = BaseConsumer::from_config(&settings.lookup())
            .map_err(|error| BusError { attempted: "make a Kafka client".to_owned(), message: error.to_string() })?;
        let client = Arc::new(Mutex::new((Arc::new(client), Instant::now())));
        Ok(Self { settings: settings.clone(), client, asking: Arc::new(Semaphore::new(ASKING)) })
    }

    fn client(&self) -> Arc<BaseConsumer> {
        Arc::clone(&self.client.lock().expect("nothing panics while it holds the client").0)
    }

    /// Called after a question that failed.
    fn replace_old(&self) {
        let mut held = self.client.lock().expect("nothing panics while it holds the client");
        if held.1.elapsed() < OLD {
            return;
        }
        match BaseConsumer::from_config(&self.settings.lookup()) {
            Ok(client) => let_go(std::mem::replace(&mut *held, (Arc::new(client), Instant::now()))),
            Err(error) => tracing::error!(%error, "no new client for questions yet"),
        }
    }

    /// Asks on a thread of its own. Whoever waits does so for `at_most`, however long the thread takes; the answer may be late, never
    /// wrong.
    #[expect(clippy::disallowed_methods, reason = "a thread is waited for: no connection is held")]
    async fn ask<T: Send + 'static>(
        &self,
        attempted: String,
        at_most: Duration,
        question: impl FnOnce(&Self) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, BusError> {
        let failed = |message: String| BusError { attempted: attempted.clone(), message };
        let Ok(permit) = Arc::clone(&self.asking).try_acquire_owned() else {
            return Err(failed("earlier questions are not answered yet".to_owned()));
        };
        let asker = self.clone();
        let thread = tokio::task::spawn_blocking(move || {
            let answer = question(&asker);
            drop(permit);
            if answer.is_err() {
                asker.replace_old();
            }
            answer
        });
        match tokio::time::timeout(at_most + BEYOND, thread).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error))) => Err(failed(error.to_string())),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(format!("no answer within {} ms", at_most.as_millis()))),
        }
    }

    /// Begins to ask what the logs of these partitions hold; those that do not answer are left out.
    pub(super) fn ranges(&self, stands: Vec<(Partition, i64)>, at_most: Duration) -> JoinHandle<Vec<Range>> {
        let (asker, until) = (self.clone(), Instant::now() + at_most);
        tokio::task::spawn_blocking(move || {
            let (asked, client) = (stands.len(), asker.client());
            let range = |(partition, at): (Partition, i64)| {
                let left = until.saturating_duration_since(Instant::now());
                let (low, end) = client.fetch_watermarks(&partition.0, partition.1, left).ok()?;
                Some(Range { partition, at, low, end })
            };
            let ranges: Vec<Range> = stands.into_iter().filter_map(range).collect();
            if ranges.len() < asked {
                asker.replace_old();
            }
            ranges
        })
    }

    pub(super) async fn ends(&self, topic: &str, at_most: Duration) -> Result<Vec<(i32, i64)>, BusError> {
        let topic = topic.to_owned();
        let until = Instant::now() + at_most;
        self.ask(format!("ask for the ends of topic {topic}"), at_most, move |asker| {
            let client = asker.client();
            let metadata = client.fetch_metadata(Some(&topic), at_most)?;
            let about = metadata.topics().iter().find(|about| about.name() == topic);
            // A broker that has just started may know of no topic yet: that is not a topic without records.
            let known = about.filter(|about| about.error().is_none() && !about.partitions().is_empty());
            let known = known.ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition))?;
            let partitions = known.partitions().iter();
            partitions
                .map(|partition| {
                    let left = until.saturating_duration_since(Instant::now());
                    let (_, end) = client.fetch_watermarks(&topic, partition.id(), left)?;
                    Ok((partition.id(), end))
                })
                .collect()
        })
        .await
    }

    pub(super) async fn first_offset(
        &self,
        partition: &Partition,
        from: From,
        at_most: Duration,
    ) -> Result<i64, BusError> {
        let (topic, number) = partition.clone();
        self.ask(format!("ask where partition {topic}/{number} begins"), at_most, move |asker| {
            let client = asker.client();
            let (low, high) = client.fetch_watermarks(&topic, number, at_most)?;
            Ok(match from {
                From::Earliest => low,
                From::Latest => high,
                From::Time(moment) => {
                    let mut list = TopicPartitionList::new();
                    list.add_partition_offset(&topic, number, Offset::Offset(moment.micros() / 1_000))?;
                    let found = client.offsets_for_times(list, at_most)?;
                    match found.find_partition(&topic, number).map(|element| element.offset()) {
                        Some(Offset::Offset(offset)) => offset,
                        Some(_) | None => high,
                    }
                }
            })
        })
        .await
    }

    /// Reads the partition alone, from `from`, until its first record or its end. (An end that a consumer of many topics reports names no topic.)
    pub(super) async fn ahead(&self, partition: &Partition, from: i64, at_most: Duration) -> Result<Ahead, BusError> {
        let (topic, number) = partition.clone();
        self.ask(format!("look for records of partition {topic}/{number} from {from}"), at_most, move |asker| {
            let (low, end) = asker.client().fetch_watermarks(&topic, number, at_most)?;
            if let Some(reason) = outside_log(from, low, end) {
                return Ok(Ahead::Outside { reason });
            }
            let reader =
                BaseConsumer::<rdkafka::consumer::DefaultConsumerContext>::from_config(&asker.settings.lookup())?;
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&topic, number, Offset::Offset(from))?;
            reader.assign(&list)?;
            match reader.poll(at_most) {
                Some(Err(KafkaError::PartitionEOF(_))) => Ok(Ahead::Empty { end }),
                Some(Err(error)) => Err(error),
                Some(Ok(_)) | None => Ok(Ahead::Records),
            }
        })
        .await
    }
}
