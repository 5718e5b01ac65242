//! Questions about offsets, on a client of its own: each may take a while, so they run beside the engine.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::FromClientConfig as _;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use crate::core::Partition;

use super::super::{BusError, From};
use super::settings::KafkaSettings;

/// A client that asks and never belongs to a group.
#[derive(Clone)]
pub(super) struct Lookup {
    settings: KafkaSettings,
    client: Arc<BaseConsumer>,
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
        Ok(Self { settings: settings.clone(), client: Arc::new(client) })
    }

    /// Asks beside the engine's task; the answer may be late, never wrong.
    async fn ask<T: Send + 'static>(
        &self,
        attempted: String,
        question: impl FnOnce(&Self) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, BusError> {
        let asker = self.clone();
        let answer = tokio::task::spawn_blocking(move || question(&asker)).await;
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(BusError { attempted, message: error.to_string() }),
            Err(error) => Err(BusError { attempted, message: error.to_string() }),
        }
    }

    pub(super) async fn ends(&self, topic: &str, at_most: Duration) -> Result<Vec<(i32, i64)>, BusError> {
        let topic = topic.to_owned();
        self.ask(format!("ask for the ends of topic {topic}"), move |asker| {
            let metadata = asker.client.fetch_metadata(Some(&topic), at_most)?;
            let partitions = metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions);
            partitions
                .map(|partition| {
                    let (_, end) = asker.client.fetch_watermarks(&topic, partition.id(), at_most)?;
                    Ok((partition.id(), end))
                })
                .collect()
        })
        .await
    }

    pub(super) async fn first_offset(&self, partition: &Partition, from: From) -> Result<i64, BusError> {
        let (topic, number) = partition.clone();
        let at_most = Duration::from_secs(5);
        self.ask(format!("ask where partition {topic}/{number} begins"), move |asker| {
            let (low, high) = asker.client.fetch_watermarks(&topic, number, at_most)?;
            Ok(match from {
                From::Earliest => low,
                From::Latest => high,
                From::Time(moment) => {
                    let mut list = TopicPartitionList::new();
                    list.add_partition_offset(&topic, number, Offset::Offset(moment.micros() / 1_000))?;
                    let found = asker.client.offsets_for_times(list, at_most)?;
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
    pub(super) async fn end_without_records(
        &self,
        partition: &Partition,
        from: i64,
        at_most: Duration,
    ) -> Result<Option<i64>, BusError> {
        let (topic, number) = partition.clone();
        self.ask(format!("look for records of partition {topic}/{number} from {from}"), move |asker| {
            let (_, end) = asker.client.fetch_watermarks(&topic, number, at_most)?;
            let reader =
                BaseConsumer::<rdkafka::consumer::DefaultConsumerContext>::from_config(&asker.settings.lookup())?;
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&topic, number, Offset::Offset(from))?;
            reader.assign(&list)?;
            match reader.poll(at_most) {
                Some(Err(KafkaError::PartitionEOF(_))) => Ok(Some(end)),
                Some(Err(error)) => Err(error),
                Some(Ok(_)) | None => Ok(None),
            }
        })
        .await
    }
}
