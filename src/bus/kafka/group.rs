//! A plain group consumer with offsets kept by Kafka: what a participant, or a watcher of announcements, reads with.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use crate::core::Partition;
use crate::wire::{Event, Malformed, Record};

use super::super::BusError;
use super::lost::{Lost, Watched, let_go};
use super::reader::copy;
use super::settings::KafkaSettings;

/// Reads topics as a member of a group. Offsets are committed when the caller says so. Blocking: it belongs on a thread of its own.
pub struct Group {
    settings: KafkaSettings,
    subscribed: Vec<String>,
    client: BaseConsumer<Watched>,
    topics: HashMap<String, Arc<str>>,
    done: HashMap<Partition, i64>,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("topics", &self.topics.len()).finish_non_exhaustive()
    }
}

impl Group {
    /// Joins the settings' group and reads these topics, from their beginning where the group has read nothing.
    ///
    /// # Errors
    /// The client refuses its configuration.
    pub fn join(settings: &KafkaSettings, topics: &[&str]) -> Result<Self, BusError> {
        let subscribed: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let client = connect(settings, &subscribed)?;
        Ok(Self { settings: settings.clone(), subscribed, client, topics: HashMap::new(), done: HashMap::new() })
    }

    /// What has arrived, at most `max` records; waits for the first one at most this long.
    pub fn poll(&mut self, max: usize, wait: Duration) -> Vec<(Record, Result<Event, Malformed>)> {
        self.replace_lost();
        let mut found = Vec::new();
        let mut wait = wait;
        while found.len() < max {
            match self.client.poll(wait) {
                Some(Ok(message)) => {
                    let known = self.topics.get(message.topic()).map(Arc::clone);
                    let topic = known.unwrap_or_else(|| Arc::from(message.topic()));
                    self.topics.entry(message.topic().to_owned()).or_insert_with(|| Arc::clone(&topic));
                    let record = copy(topic, &message);
                    self.done.insert((Arc::clone(record.topic()), record.partition()), record.offset() + 1);
                    let event = Event::read(&record);
                    found.push((record, event));
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "consumer");
                    break;
                }
                None => break,
            }
            wait = Duration::ZERO;
        }
        found
    }

    /// A client that will never reach its cluster again gives way to a new one, which begins where the last commit stands.
    fn replace_lost(&mut self) {
        if !self.client.context().lost.is_certain() {
            return;
        }
        tracing::error!("consumer has lost its cluster for good, beginning anew");
        match connect(&self.settings, &self.subscribed) {
            Ok(client) => {
                let_go(std::mem::replace(&mut self.client, client));
                self.done.clear();
            }
            Err(error) => tracing::error!(%error, "no new consumer yet"),
        }
    }

    /// Commits everything that was polled: call it when the answers are acknowledged.
    pub fn commit(&mut self) {
        if self.done.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::with_capacity(self.done.len());
        for ((topic, partition), offset) in self.done.drain() {
            if let Err(error) = list.add_partition_offset(&topic, partition, Offset::Offset(offset)) {
                tracing::warn!(%error, "offset not committed");
            }
        }
        if let Err(error) = self.client.commit(&list, CommitMode::Async) {
            tracing::warn!(%error, "offsets not committed, commands come again");
        }
    }
}

fn connect(settings: &KafkaSettings, topics: &[String]) -> Result<BaseConsumer<Watched>, BusError> {
    let failed = |error: rdkafka::error::KafkaError| BusError {
        attempted: format!("read topics {} as group {}", topics.join(", "), settings.group),
        message: error.to_string(),
    };
    let mut config = Lost::told(settings.consumer());
    config.set("auto.offset.reset", "earliest");
    let client = BaseConsumer::from_config_and_context(&config, Watched::default()).map_err(failed)?;
    client.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>()).map_err(failed)?;
    Ok(client)
}
