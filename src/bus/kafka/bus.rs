//! Reader, producer and lookups as one bus.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::core::{Partition, limits};
use crate::wire::Outgoing;

use super::super::{Ahead, Arrival, Bus, BusError, Delivery, From, Tag, outside_log};
use super::lookup::{Lookup, Range};
use super::producer::Producer;
use super::reader::{HandOver, Order, Reader, Told};
use super::settings::KafkaSettings;

/// How often the group is told where the engine stands: for lag dashboards only, never read.
const PROGRESS: Duration = Duration::from_secs(5);
/// A reader that polls no more has hung: it is replaced.
const HUNG: Duration = Duration::from_secs(30);
/// A reader that has ended is replaced after this long: a younger process of our name may just have taken our place in the group,
/// and then Postgres ends us first.
const REJOIN: Duration = Duration::from_secs(4);
/// When a partition has not moved for this long, the broker is asked whether it holds something to read: a client that went silent
/// is told anew from where to read (RELIABILITY.md section 5.1).
const QUIET: Duration = Duration::from_secs(30);
/// How long the broker has to say what its logs hold.
const ASK: Duration = Duration::from_secs(2);

/// How long to wait for records while others wait for room in the client's queue, which comes with reports.
const HELD_UP: Duration = Duration::from_millis(20);
/// How often a bus whose reader has ended looks for a new one.
const LOOK_FOR_READER: Duration = Duration::from_millis(100);
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
    /// Where each started partition stands: behind the last record that was taken from the reader.
    next: HashMap<Partition, i64>,
    /// What the logs of those in doubt hold is being asked.
    doubt: Option<Doubt>,
    /// Where each partition stood when all of them were looked at last, and when that was.
    looked: (HashMap<Partition, i64>, Instant),
    told_at: Instant,
    seen: (u64, Instant),
}

/// Whether partitions are read to the end of their logs, or cannot be.
#[derive(Debug)]
struct Doubt {
    asked: JoinHandle<Vec<Range>>,
    /// The client gave up a partition and did not say which: whatever the broker answers, everything is assigned anew.
    has_given_up: bool,
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
            next: HashMap::new(),
            doubt: None,
            looked: (HashMap::new(), Instant::now()),
            told_at: Instant::now(),
            seen: (0, Instant::now()),
        })
    }

    /// True while more was read than anybody has taken, so that the partitions are paused.
    pub fn is_behind(&self) -> bool {
        self.reader.is_paused.load(Ordering::Relaxed)
    }

    fn take(&mut self, (epoch, told): HandOver) {
        for told in told {
            let arrival = match told {
                Told::Arrived(arrival) => arrival,
                Told::OutsideLog if epoch == self.epoch => {
                    self.doubt(self.next.clone(), true);
                    continue;
                }
                Told::OutsideLog => continue,
            };
            match &arrival {
                // Records of a former start are read again by the present one.
                Arrival::Record(..) | Arrival::Stopped { .. } if epoch != self.epoch => continue,
                Arrival::Record(record, _) => {
                    self.next.insert((Arc::clone(record.topic()), record.partition()), record.offset() + 1);
                }
                Arrival::Assigned(partitions) => self.assigned.clone_from(partitions),
                Arrival::Revoked(partitions) => {
                    self.assigned.retain(|assigned| !partitions.contains(assigned));
                    self.next.clear();
                }
                Arrival::Stopped { .. } => {}
            }
            self.waiting.push_back(arrival);
        }
    }

    /// Asks what the logs of these partitions hold, beside the engine.
    fn doubt(&mut self, stands: HashMap<Partition, i64>, has_given_up: bool) {
        match &mut self.doubt {
            Some(doubt) => doubt.has_given_up |= has_given_up,
            None => {
                let asked = self.lookup.ranges(stands.into_iter().collect(), ASK);
                self.doubt = Some(Doubt { asked, has_given_up });
            }
        }
    }

    /// What stands outside its log is reported; everything else is read from where it stands, by a new assignment.
    async fn resolve_doubt(&mut self) {
        let Some(Doubt { asked, has_given_up }) = self.doubt.take_if(|doubt| doubt.asked.is_finished()) else { return };
        let mut begins_anew = has_given_up;
        for Range { partition, at, low, end } in asked.await.unwrap_or_default() {
            if self.next.get(&partition) != Some(&at) {
                // It was read meanwhile.
                continue;
            }
            begins_anew |= at < end;
            if let Some(reason) = outside_log(at, low, end) {
                self.next.remove(&partition);
                self.waiting.push_back(Arrival::Stopped { partition, reason });
                begins_anew = true;
            }
        }
        if begins_anew {
            tracing::info!(partitions = self.next.len(), "reading anew from where the partitions stand");
            self.epoch += 1;
            self.reader.order(Order::Start { epoch: self.epoch, starts: self.stands() });
        }
    }

    fn stands(&self) -> Vec<(Partition, i64)> {
        self.next.iter().map(|(partition, next)| (partition.clone(), *next)).collect()
    }

    /// Doubts the partitions that have not moved since they were looked at last. (While the engine is behind, none need move.)
    fn look_for_silence(&mut self, now: Instant) {
        if now - self.looked.1 < QUIET || self.is_behind() || !self.waiting.is_empty() {
            return;
        }
        let (before, _) = std::mem::replace(&mut self.looked, (self.next.clone(), now));
        let mut silent = self.next.clone();
        silent.retain(|partition, next| before.get(partition) == Some(next));
        if !silent.is_empty() {
            self.doubt(silent, false);
        }
    }

    /// Tells the group where the engine stands, and replaces a reader that hangs.
    fn look_after(&mut self) {
        let now = Instant::now();
        metrics::gauge!("sagabus_consumer_paused").set(if self.is_behind() { 1.0 } else { 0.0 });
        if now - self.told_at >= PROGRESS {
            self.told_at = now;
            self.reader.order(Order::Progress(self.stands()));
        }
        self.look_for_silence(now);
        let polled = self.reader.polled.load(Ordering::Relaxed);
        if polled != self.seen.0 {
            self.seen = (polled, now);
        } else if now - self.seen.1 >= HUNG || self.reader.told.is_closed() && now - self.seen.1 >= REJOIN {
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
        self.resolve_doubt().await;
        let wait = if self.producer.is_held_up() { wait.min(HELD_UP) } else { wait };
        if max == 0 {
            // Nothing is wanted, whatever has arrived: only time passes.
            tokio::time::sleep(wait).await;
        } else if self.waiting.is_empty() {
            match tokio::time::timeout(wait, self.reader.told.recv()).await {
                Ok(Some(handed)) => self.take(handed),
                // The reader has ended; a new one takes its place soon.
                Ok(None) => tokio::time::sleep(wait.min(LOOK_FOR_READER)).await,
                Err(_) => {}
            }
        }
        while self.waiting.len() < max
            && let Ok(handed) = self.reader.told.try_recv()
        {
            self.take(handed);
        }
        let mut bytes = 0;
        let fits = |arrival: &&Arrival| {
            let fits = bytes < limits::BATCH_BYTES;
            if let Arrival::Record(record, _) = arrival {
                bytes += record.size();
            }
            fits
        };
        let most = self.waiting.iter().take(max).take_while(fits).count();
        self.waiting.drain(..most).collect()
    }

    fn subscribe(&mut self, topics: &[Arc<str>]) {
        if self.topics != topics {
            self.topics = topics.to_vec();
            if topics.is_empty() {
                // The group is left: what was given is others' before the client has said so.
                self.assigned.clear();
                self.next.clear();
            }
            self.reader.order(Order::Subscribe(topics.iter().map(ToString::to_string).collect()));
        }
    }

    fn assignment(&self) -> Vec<Partition> {
        self.assigned.clone()
    }

    fn start(&mut self, starts: Vec<(Partition, i64)>) {
        self.epoch += 1;
        self.waiting.retain(|arrival| matches!(arrival, Arrival::Assigned(_) | Arrival::Revoked(_)));
        self.doubt = None;
        self.next = starts.iter().cloned().collect();
        self.reader.order(Order::Start { epoch: self.epoch, starts });
    }

    fn emit(&mut self, tag: Tag, records: impl IntoIterator<Item = Outgoing>) {
        self.producer.emit(tag, records);
    }

    fn delivered(&mut self) -> Vec<Delivery> {
        let mut deliveries = std::mem::take(&mut self.flushed);
        deliveries.extend(self.producer.delivered());
        deliveries
    }

    fn forget(&mut self) {
        self.flushed.clear();
        self.producer.forget();
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

    async fn ahead(&mut self, partition: &Partition, from: i64, at_most: Duration) -> Result<Ahead, BusError> {
        self.lookup.ahead(partition, from, at_most).await
    }

    async fn first_offset(&mut self, partition: &Partition, from: From) -> Result<i64, BusError> {
        self.lookup.first_offset(partition, from, ASK).await
    }
}
