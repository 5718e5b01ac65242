//! Writes whatever it is told to one topic, and reads another from its end: what a test of a participant plays Sagabus with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfig as _, FromClientConfigAndContext as _};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::Instant;

use crate::wire::{Event, Malformed, Outgoing, Record};

use super::super::BusError;
use super::reader::copy;
use super::settings::KafkaSettings;

/// How long the broker may take to answer a question, or to acknowledge what was sent.
const ASK_AT_MOST: Duration = Duration::from_secs(10);
/// How soon a question is asked again that had no answer.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// A record as bytes, honest or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawRecord {
    /// Where to; `None`: where its key belongs.
    pub partition: Option<i32>,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers, in order; a name may come twice.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl From<Outgoing> for RawRecord {
    fn from(record: Outgoing) -> Self {
        let headers = record.headers.iter().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        Self {
            partition: None,
            key: record.key.as_bytes().to_vec(),
            value: Some(record.value.get().as_bytes().to_vec()),
            headers: headers.collect(),
        }
    }
}

/// The first delivery that failed since it was last asked for.
#[derive(Clone, Default)]
struct Refusals(Arc<Mutex<Option<KafkaError>>>);

impl ClientContext for Refusals {}

impl ProducerContext for Refusals {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.lock().expect("nothing panics while it holds the refusal").get_or_insert_with(|| error.clone());
        }
    }
}

/// A writer of one topic and a reader of another. Blocking: it belongs on a thread of its own.
pub struct Probe {
    writer: BaseProducer<Refusals>,
    refusals: Refusals,
    reader: BaseConsumer,
    written: String,
    topics: HashMap<String, Arc<str>>,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe").field("written", &self.written).finish_non_exhaustive()
    }
}

/// Where every partition of a topic ends now. A topic that was just made has no leaders yet: it is asked again.
fn ends(reader: &BaseConsumer, topic: &str) -> Result<TopicPartitionList, KafkaError> {
    let ask = || {
        let metadata = reader.fetch_metadata(Some(topic), ASK_AT_MOST)?;
        let mut ends = TopicPartitionList::new();
        for partition in metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions) {
            let (_, end) = reader.fetch_watermarks(topic, partition.id(), ASK_AT_MOST)?;
            ends.add_partition_offset(topic, partition.id(), Offset::Offset(end))?;
        }
        Ok::<_, KafkaError>(ends)
    };
    let until = Instant::now() + ASK_AT_MOST;
    loop {
        match ask() {
            Err(_) if Instant::now() < until => _ = reader.poll(ASK_AGAIN),
            answer => return answer,
        }
    }
}

impl Probe {
    /// Reads every partition of `read` from where it ends now, and is ready to write to `written`.
    ///
    /// # Errors
    /// The broker does not answer, or knows no such topic.
    pub fn connect(settings: &KafkaSettings, written: &str, read: &str) -> Result<Self, BusError> {
        let failed = |error: KafkaError| BusError {
            attempted: format!("read topic {read} at {}", settings.bootstrap),
            message: error.to_string(),
        };
        let mut config = settings.lookup();
        config.set("enable.partition.eof", "false");
        let reader = BaseConsumer::from_config(&config).map_err(failed)?;
        reader.assign(&ends(&reader, read).map_err(failed)?).map_err(failed)?;
        let refusals = Refusals::default();
        let writer = BaseProducer::from_config_and_context(&settings.producer(), refusals.clone()).map_err(failed)?;
        Ok(Self { writer, refusals, reader, written: written.to_owned(), topics: HashMap::new() })
    }

    /// Writes these records in their order, and waits until the broker has all of them.
    ///
    /// # Errors
    /// It refuses one, or does not acknowledge them.
    pub fn send(&mut self, records: &[RawRecord]) -> Result<(), BusError> {
        for record in records {
            self.write(record)?;
        }
        self.writer.flush(ASK_AT_MOST).map_err(|error| self.unsent(&error))?;
        match self.refusals.0.lock().expect("nothing panics while it holds the refusal").take() {
            Some(error) => Err(self.unsent(&error)),
            None => Ok(()),
        }
    }

    fn write(&self, record: &RawRecord) -> Result<(), BusError> {
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (key, value) in &record.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let mut base = BaseRecord::<'_, [u8], [u8]>::to(&self.written).key(record.key.as_slice()).headers(headers);
        base.payload = record.value.as_deref();
        base.partition = record.partition;
        loop {
            match self.writer.send(base) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    base = refused;
                    self.writer.poll(ASK_AT_MOST);
                }
                Err((error, _)) => return Err(self.unsent(&error)),
            }
        }
    }

    fn unsent(&self, error: &KafkaError) -> BusError {
        BusError { attempted: format!("write to topic {}", self.written), message: error.to_string() }
    }

    /// What has arrived, with what its headers say; waits for the first record at most this long.
    pub fn poll(&mut self, wait: Duration) -> Vec<(Record, Result<Event, Malformed>)> {
        let mut found = Vec::new();
        let mut wait = wait;
        loop {
            match self.reader.poll(wait) {
                Some(Ok(message)) => {
                    let known = self.topics.entry(message.topic().to_owned());
                    let topic = known.or_insert_with(|| Arc::from(message.topic()));
                    let record = copy(Arc::clone(topic), &message);
                    let event = Event::read(&record);
                    found.push((record, event));
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "answers cannot be read");
                    return found;
                }
                None => return found,
            }
            wait = Duration::ZERO;
        }
    }
}
