//! The producer: batches out, acknowledgements back. A record whose delivery failed is sent again until the broker takes it or
//! refuses it for good; after a fatal error a new producer sends everything that is not acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};

use crate::wire::{Outgoing, Record};

use super::super::{BusError, Delivery, Tag};
use super::lost::{Lost, let_go};
use super::settings::KafkaSettings;

/// What the delivery report of a forwarded record carries: it belongs to no batch.
const FORWARDED: usize = usize::MAX;
/// Records of one batch at most: the place in the batch takes 20 bits of what a delivery report carries.
const BATCH_BITS: u32 = 20;

/// Sends batches of records and says what became of each record.
pub struct Producer {
    settings: KafkaSettings,
    client: ThreadedProducer<Reports>,
    reports: Reports,
    under_way: BTreeMap<Tag, UnderWay>,
    /// Records that the client's queue had no room for, or whose delivery failed: they go first. Empty once the
    /// client has all of them.
    backlog: VecDeque<(Tag, usize)>,
    /// Forwarded records that are not settled.
    forwarded: usize,
    /// Which errors end the tries.
    is_final: fn(RDKafkaErrorCode) -> bool,
}

#[derive(Default)]
struct UnderWay {
    records: Vec<Option<Outgoing>>,
    left: usize,
}

/// A record's name, and the error of its delivery if it failed.
type Report = (usize, Option<RDKafkaErrorCode>);

/// What the delivery callback leaves: it runs on the client's thread and only writes down.
#[derive(Clone, Default)]
struct Reports {
    reported: Arc<Mutex<Vec<Report>>>,
    lost: Lost,
}

impl ClientContext for Reports {
    fn stats_raw(&self, statistics: &[u8]) {
        self.lost.look(statistics);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, name: usize) {
        let error =
            result.as_ref().err().map(|(error, _)| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail));
        self.reported.lock().expect("nothing panics while it holds the reports").push((name, error));
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("under_way", &self.under_way.len()).finish_non_exhaustive()
    }
}

impl Producer {
    /// A producer; it connects by itself.
    ///
    /// # Errors
    /// The client refuses its configuration.
    pub fn new(settings: &KafkaSettings) -> Result<Self, BusError> {
        let (client, reports) = connect(settings)?;
        let (settings, under_way, backlog) = (settings.clone(), BTreeMap::new(), VecDeque::new());
        Ok(Self { settings, client, reports, under_way, backlog, forwarded: 0, is_final })
    }

    /// A producer whose records are refused where their topic does not exist: whoever asks names the topic of the answer, and must not
    /// hold up the others by naming one that nobody made.
    ///
    /// # Errors
    /// The client refuses its configuration.
    pub fn for_answers(settings: &KafkaSettings) -> Result<Self, BusError> {
        Ok(Self { is_final: |code| is_final(code) || is_unknown_topic(code), ..Self::new(settings)? })
    }

    /// Sends a batch, each record as it is made, while the processor still has it at hand. Never waits; order is kept. A tag is used once.
    pub fn emit(&mut self, tag: Tag, records: impl IntoIterator<Item = Outgoing>) {
        for (index, record) in records.into_iter().enumerate() {
            let batch = self.under_way.entry(tag).or_default();
            batch.records.push(Some(record));
            batch.left += 1;
            let others_wait = self.is_held_up();
            self.backlog.push_back((tag, index));
            if !others_wait {
                self.push(false);
            }
        }
    }

    /// Sends a record on to a topic, as it came, once: one that the broker does not take is logged and left where it came from.
    pub fn forward(&mut self, topic: &str, record: &Record) {
        let mut headers = OwnedHeaders::new();
        for (key, value) in record.headers() {
            headers = headers.insert(Header { key, value });
        }
        let mut base = BaseRecord::<'_, [u8], [u8], _>::with_opaque_to(topic, FORWARDED).headers(headers);
        (base.key, base.payload) = (record.key(), record.value());
        match self.client.send(base) {
            Ok(()) => self.forwarded += 1,
            Err((error, _)) => tracing::error!(topic, %error, "record not forwarded"),
        }
    }

    /// What became of sent batches since the last call.
    pub fn delivered(&mut self) -> Vec<Delivery> {
        let was_held_up = self.is_held_up();
        let reported =
            std::mem::take(&mut *self.reports.reported.lock().expect("nothing panics while it holds the reports"));
        let mut deliveries = Vec::new();
        let (mut again, mut failed) = (Vec::new(), None);
        for (name, error) in reported {
            if name == FORWARDED {
                self.forwarded -= 1;
                if let Some(code) = error {
                    tracing::error!(%code, "record not forwarded");
                }
                continue;
            }
            let (tag, index) = ((name >> BATCH_BITS) as Tag, name & ((1 << BATCH_BITS) - 1));
            match error {
                // A record that was sent twice is spoken of twice, and one that was forgotten in vain.
                None => deliveries.extend(self.settle(tag, index).map(|_| Delivery::Acknowledged { tag, index })),
                Some(code) if (self.is_final)(code) => {
                    let refused = |record| Delivery::Refused { tag, index, error: code.to_string(), record };
                    deliveries.extend(self.settle(tag, index).map(Box::new).map(refused));
                }
                Some(code) => {
                    failed = Some(code);
                    again.push((tag, index));
                }
            }
        }
        if let Some(code) = failed {
            tracing::warn!(%code, records = again.len(), "delivery failed, sending again");
        }
        again.sort_unstable();
        for name in again.into_iter().rev() {
            self.backlog.push_front(name);
        }
        if self.client.client().fatal_error().is_some() || self.reports.lost.is_certain() {
            self.begin_anew();
        }
        self.push(was_held_up);
        deliveries
    }

    /// Records that nobody has acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.under_way.values().map(|batch| batch.left).sum::<usize>() + self.forwarded
    }

    /// True while records wait for room in the client's queue: they get it when reports are asked for.
    pub(super) fn is_held_up(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Nobody waits for what was emitted: what the client does not have yet is not given to it.
    pub fn forget(&mut self) {
        self.under_way.clear();
        self.backlog.clear();
    }

    /// The record, at the first word about it if somebody waits for it.
    fn settle(&mut self, tag: Tag, index: usize) -> Option<Outgoing> {
        let batch = self.under_way.get_mut(&tag)?;
        let record = batch.records.get_mut(index)?.take()?;
        batch.left -= 1;
        if batch.left == 0 {
            self.under_way.remove(&tag);
        }
        Some(record)
    }

    /// Hands the backlog to the client, as far as its queue has room. What has none keeps its place, and so the order. That the queue is
    /// full is said and counted once, until nothing waits any more: not where records were held up before.
    fn push(&mut self, was_held_up: bool) {
        while let Some((tag, index)) = self.backlog.front().copied() {
            let record = self.under_way.get(&tag).and_then(|batch| batch.records.get(index)?.as_ref());
            let Some(record) = record else {
                self.backlog.pop_front();
                continue;
            };
            let name = usize::try_from(tag << BATCH_BITS).expect("tags are small") | index;
            let mut headers = OwnedHeaders::new_with_capacity(record.headers.iter().len());
            for (key, value) in record.headers.iter() {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            let mut base = BaseRecord::with_opaque_to(&record.topic, name)
                .key(record.key.as_bytes())
                .payload(record.value.get().as_bytes())
                .headers(headers);
            base.timestamp = record.timestamp.map(|at| at.micros() / 1_000);
            match self.client.send(base).map_err(|(error, _)| error) {
                Ok(()) => {}
                Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => {
                    if !was_held_up {
                        metrics::counter!("sagabus_producer_queue_full_total").increment(1);
                        tracing::warn!(waiting = self.backlog.len(), "queue to the broker is full, records wait");
                    }
                    return;
                }
                Err(error) => {
                    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                    self.reports
                        .reported
                        .lock()
                        .expect("nothing panics while it holds the reports")
                        .push((name, Some(code)));
                }
            }
            self.backlog.pop_front();
        }
    }

    /// After a fatal error, or without a broker that it knows, the client sends nothing any more.
    fn begin_anew(&mut self) {
        match self.client.client().fatal_error() {
            Some((code, reason)) => tracing::error!(%code, reason, "producer failed for good, beginning anew"),
            None => tracing::error!("producer has lost its cluster for good, beginning anew"),
        }
        match connect(&self.settings) {
            Ok((client, reports)) => {
                let_go(std::mem::replace(&mut self.client, client));
                (self.reports, self.forwarded) = (reports, 0);
                let unacknowledged = self.under_way.iter().flat_map(|(tag, batch)| {
                    let waiting = batch.records.iter().enumerate().filter(|(_, record)| record.is_some());
                    waiting.map(|(index, _)| (*tag, index))
                });
                self.backlog = unacknowledged.collect();
            }
            Err(error) => tracing::error!(%error, "no new producer yet"),
        }
    }
}

fn connect(settings: &KafkaSettings) -> Result<(ThreadedProducer<Reports>, Reports), BusError> {
    let reports = Reports::default();
    let client = ThreadedProducer::from_config_and_context(&Lost::told(settings.producer()), reports.clone())
        .map_err(|error| BusError { attempted: "make a Kafka producer".to_owned(), message: error.to_string() })?;
    Ok((client, reports))
}

fn is_unknown_topic(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownPartition | RDKafkaErrorCode::UnknownTopicOrPartition
    )
}

/// Waiting does not help: the record or the right to write it must change.
fn is_final(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::PolicyViolation
    )
}
