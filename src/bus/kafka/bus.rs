//! Reader, producer and lookups as one bus.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::core::Partition;
use crate::wire::Outgoing;

use super::super::{Arrival, Bus, BusError, Delivery, From, Tag};
use super::lookup::Lookup;
use super::producer::Producer;
use super::reader::{HandOver, Order, Reader};
use super::settings::KafkaSettings;

/// How often the group is told where the engine stands: for lag dashboards only, never read.
const PROGRESS: Duration = Duration::from_secs(5);
/// A reader that polls no more has hung: it is replaced.
const HUNG: Duration = Duration::from_secs(30);
/// A reader that has ended is replaced after this long: a younger process of our name may just have taken our place in the group,
/// and then Postgres ends us first.
const REJOIN: Duration = Duration::from_secs(4);

/// How often a flush looks for reports.
const LOOK: Duration = Duration::from_millis(5);

/// The bus on real Kafka.
#[derive(Debug)]
pub struct KafkaBus {
    settings: KafkaSettings,
    reader: Reader,
    producer: Producer,
    /// What was reported while the engine waited for the broker.
    flushed: Vec<Delivery>,
    lookup: Lookup,
    epoch: u64,
    assigned: Vec<Partition>,
    topics: Vec<Arc<str>>,
    waiting: VecDeque<Arrival>,
    positions: HashMap<Partition, i64>,
    told_at: Instant,
    seen: (u64, Instant),
}

impl KafkaBus {
    /// Connects; the broker need not be there yet.
    ///
    /// # Errors
    /// A client refuses its configuration.
    pub fn connect(settings: &KafkaSettings) -> Result<Self, BusError> {
        let reader = Reader::spawn(settings)
            .map_err(|error| BusError { attempted: "make a Kafka consumer".to_owned(), message: error.to_string() })?;
        Ok(Self {
            settings: settings.clone(),
            reader,
            producer: Producer::new(settings)?,
            flushed: Vec::new(),
            lookup: Lookup::new(settings)?,
            epoch: 0,
            assigned: Vec::new(),
            topics: Vec::new(),
            waiting: VecDeque::new(),
            positions: HashMap::new(),
            told_at: Instant::now(),
            seen: (0, Instant::now()),
        })
    }

    fn take(&mut self, (epoch, arrivals): HandOver) {
        for arrival in arrivals {
            match &arrival {
                // Records of a former start are read again by the present one.
                Arrival::Record(..) | Arrival::Stopped { .. } if epoch != self.epoch => continue,
                Arrival::Record(record, _) => {
                    self.positions.insert((Arc::clone(record.topic()), record.partition()), record.offset() + 1);
                }
                Arrival::Assigned(partitions) => self.assigned.clone_from(partitions),
                Arrival::Revoked(partitions) => self.assigned.retain(|assigned| !partitions.contains(assigned)),
                Arrival::Stopped { .. } => {}
            }
            self.waiting.push_back(arrival);
        }
    }

    /// Tells the group where the engine stands, and replaces a reader that hangs.
    fn look_after(&mut self) {
        let now = Instant::now();
        if now - self.told_at >= PROGRESS {
            self.told_at = now;
            self.reader.order(Order::Progress(self.positions.drain().collect()));
        }
        let polled = self.reader.polled.load(Ordering::Relaxed);
        if polled != self.seen.0 {
            self.seen = (polled, now);
        } else if now - self.seen.1 >= HUNG || self.reader.arrivals.is_closed() && now - self.seen.1 >= REJOIN {
            tracing::error!("consumer has ended or hangs, replacing it");
            self.seen = (polled, now);
            if let Ok(reader) = Reader::spawn(&self.settings) {
                self.reader = reader;
                self.waiting.push_back(Arrival::Revoked(std::mem::take(&mut self.assigned)));
                let topics = std::mem::take(&mut self.topics);
                self.subscribe(&topics);
            }
        }
    }
}

impl Bus for KafkaBus {
    #[expect(clippy::disallowed_methods, reason = "a channel is waited for: no connection is held")]
    async fn arrived(&mut self, max: usize, wait: Duration) -> Vec<Arrival> {
        self.look_after();
        if self.waiting.is_empty()
            && let Ok(Some(handed)) = tokio::time::timeout(wait, self.reader.arrivals.recv()).await
        {
            self.take(handed);
        }
        while self.waiting.len() < max
            && let Ok(handed) = self.reader.arrivals.try_recv()
        {
            self.take(handed);
        }
        let most = self.waiting.len().min(max);
        self.waiting.drain(..most).collect()
    }

    fn subscribe(&mut self, topics: &[Arc<str>]) {
        if self.topics != topics {
            self.topics = topics.to_vec();
            self.reader.order(Order::Subscribe(topics.iter().map(ToString::to_string).collect()));
        }
    }

    fn assignment(&self) -> Vec<Partition> {
        self.assigned.clone()
    }

    fn start(&mut self, starts: Vec<(Partition, i64)>) {
        self.epoch += 1;
        self.waiting.retain(|arrival| matches!(arrival, Arrival::Assigned(_) | Arrival::Revoked(_)));
        self.positions.clear();
        self.reader.order(Order::Start { epoch: self.epoch, starts });
    }

    fn emit(&mut self, tag: Tag, records: Vec<Outgoing>) {
        self.producer.emit(tag, records);
    }

    fn delivered(&mut self) -> Vec<Delivery> {
        let mut deliveries = std::mem::take(&mut self.flushed);
        deliveries.extend(self.producer.delivered());
        deliveries
    }

    async fn flush(&mut self, at_most: Duration) {
        let until = Instant::now() + at_most;
        while self.producer.unacknowledged() > 0 && Instant::now() < until {
            let deliveries = self.producer.delivered();
            self.flushed.extend(deliveries);
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn ends(&mut self, topic: &str, at_most: Duration) -> Result<Vec<(i32, i64)>, BusError> {
        self.lookup.ends(topic, at_most).await
    }

    async fn end_without_records(
        &mut self,
        partition: &Partition,
        from: i64,
        at_most: Duration,
    ) -> Result<Option<i64>, BusError> {
        self.lookup.end_without_records(partition, from, at_most).await
    }

    async fn first_offset(&mut self, partition: &Partition, from: From) -> Result<i64, BusError> {
        self.lookup.first_offset(partition, from).await
    }
}
