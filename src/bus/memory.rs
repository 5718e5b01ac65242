//! A broker in memory: partitions, offsets, transaction markers, retention. Who may read what is given by the test; time does not pass
//! in here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::core::{Partition, Timestamp};
use crate::wire::{Event, Outgoing, Record, RecordHead};

use super::{Ahead, Arrival, Bus, BusError, Delivery, From, Tag, outside_log};

/// What a broker takes at most, in bytes: Kafka's default.
const RECORD_MAX: usize = 1_048_588;

/// Topics that live as long as their handles.
#[derive(Clone, Debug, Default)]
pub struct MemoryBroker {
    log: Arc<Mutex<Log>>,
}

#[derive(Debug, Default)]
struct Log {
    now: Timestamp,
    is_away: bool,
    connections: u64,
    /// Connections that subscribe to something.
    members: BTreeSet<u64>,
    topics: BTreeMap<Arc<str>, Vec<PartitionLog>>,
}

/// One partition. Offsets are places in `records`; what lies before `begin` was removed by retention and is never read.
#[derive(Clone, Debug, Default)]
struct PartitionLog {
    begin: i64,
    records: Vec<Option<Record>>,
}

/// One engine's connection.
#[derive(Debug)]
pub struct MemoryBus {
    broker: MemoryBroker,
    number: u64,
    /// What the group would give to this member, of any topic.
    share: Vec<Partition>,
    /// What the group has given to it, and what it has heard of that.
    given: Vec<Partition>,
    assigned: Vec<Partition>,
    starts: BTreeMap<Partition, i64>,
    notices: VecDeque<Arrival>,
    deliveries: Vec<Delivery>,
    is_cut_off: bool,
}

impl MemoryBroker {
    /// Makes a topic with this many empty partitions.
    pub fn create(&self, topic: &str, partitions: usize) {
        self.lock().topics.entry(Arc::from(topic)).or_insert_with(|| vec![PartitionLog::default(); partitions]);
    }

    /// Adds empty partitions to a topic, up to this many.
    pub fn grow(&self, topic: &str, partitions: usize) {
        let mut log = self.lock();
        let there = log.topics.entry(Arc::from(topic)).or_default();
        there.resize(partitions.max(there.len()), PartitionLog::default());
    }

    /// Moves the clock that stamps records.
    pub fn set_now(&self, now: Timestamp) {
        self.lock().now = now;
    }

    /// While it is away, engines read nothing, nothing that they send arrives, and no question is answered.
    pub fn set_away(&self, is_away: bool) {
        self.lock().is_away = is_away;
    }

    /// Deletes a topic.
    pub fn delete(&self, topic: &str) {
        self.lock().topics.remove(topic);
    }

    /// Appends a record; its key chooses the partition.
    pub fn publish(&self, record: &Outgoing) {
        let headers: Vec<(&str, Option<&[u8]>)> =
            record.headers.iter().map(|(name, value)| (name, Some(value.as_bytes()))).collect();
        self.publish_raw(&record.topic, Some(record.key.as_bytes()), Some(record.value.get().as_bytes()), &headers);
    }

    /// Appends whatever it is.
    pub fn publish_raw(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        let mut log = self.lock();
        let (topic, timestamp) = (Arc::<str>::from(topic), log.now);
        let partitions = log.topics.entry(Arc::clone(&topic)).or_insert_with(|| vec![PartitionLog::default()]);
        let sum: usize = key.unwrap_or_default().iter().map(|byte| usize::from(*byte)).sum();
        let place = sum % partitions.len();
        let partition = i32::try_from(place).expect("few partitions");
        let offset = partitions[place].end();
        let head = RecordHead { topic, partition, offset, timestamp };
        partitions[place].records.push(Some(Record::new(head, key, value, headers.iter().copied())));
    }

    /// Appends a transaction marker: an offset that holds no record.
    pub fn publish_marker(&self, partition: &Partition) {
        if let Some(log) = self.lock().partition(partition) {
            log.records.push(None);
        }
    }

    /// Retention removes what lies before this offset.
    pub fn truncate(&self, partition: &Partition, before: i64) {
        if let Some(log) = self.lock().partition(partition) {
            log.begin = before.clamp(log.begin, log.end());
        }
    }

    /// Every partition of every topic.
    pub fn partitions(&self) -> Vec<Partition> {
        let log = self.lock();
        let of_topic = |(topic, logs): (&Arc<str>, &Vec<PartitionLog>)| {
            let topic = Arc::clone(topic);
            (0..).zip(logs).map(move |(number, _)| (Arc::clone(&topic), number)).collect::<Vec<Partition>>()
        };
        log.topics.iter().flat_map(of_topic).collect()
    }

    /// The records of a topic, partition by partition.
    pub fn records(&self, topic: &str) -> Vec<Record> {
        let log = self.lock();
        let partitions = log.topics.get(topic).into_iter().flatten();
        partitions.flat_map(|log| log.records.iter().flatten()).cloned().collect()
    }

    /// A connection that is given those of these partitions whose topics it subscribes to.
    pub fn connect(&self, share: Vec<Partition>) -> MemoryBus {
        let mut log = self.lock();
        log.connections += 1;
        MemoryBus {
            broker: self.clone(),
            number: log.connections,
            share,
            given: Vec::new(),
            assigned: Vec::new(),
            starts: BTreeMap::new(),
            notices: VecDeque::new(),
            deliveries: Vec::new(),
            is_cut_off: false,
        }
    }

    /// How many connections are members of the group.
    pub fn members(&self) -> usize {
        self.lock().members.len()
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("nothing panics while it holds the log")
    }
}

impl Log {
    fn partition(&mut self, (topic, partition): &Partition) -> Option<&mut PartitionLog> {
        self.topics.get_mut(topic)?.get_mut(usize::try_from(*partition).ok()?)
    }
}

impl PartitionLog {
    fn end(&self) -> i64 {
        i64::try_from(self.records.len()).unwrap_or(i64::MAX)
    }

    /// The offsets at and behind `from`.
    fn behind(&self, from: i64) -> &[Option<Record>] {
        self.records.get(usize::try_from(from).unwrap_or(0)..).unwrap_or_default()
    }

    /// Why nobody can read from `start`.
    fn refuses(&self, start: i64) -> Option<String> {
        outside_log(start, self.begin, self.end())
    }
}

impl MemoryBus {
    /// While it is cut off, nothing that it sends arrives and nothing is acknowledged.
    pub fn cut_off(&mut self, is_cut_off: bool) {
        self.is_cut_off = is_cut_off;
    }

    fn next_of(&mut self, partition: &Partition, max: usize, into: &mut Vec<Arrival>) {
        let broker = self.broker.clone();
        let mut log = broker.lock();
        if log.is_away {
            return;
        }
        let (Some(next), Some(log)) = (self.starts.get_mut(partition), log.partition(partition)) else { return };
        if let Some(reason) = log.refuses(*next) {
            self.starts.remove(partition);
            into.push(Arrival::Stopped { partition: partition.clone(), reason });
            return;
        }
        for record in log.behind(*next) {
            if into.len() == max {
                return;
            }
            *next += 1;
            if let Some(record) = record {
                into.push(Arrival::Record(record.clone(), Event::read(record)));
            }
        }
    }
}

impl Bus for MemoryBus {
    async fn arrived(&mut self, max: usize, _wait: Duration) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        for partition in self.assigned.clone() {
            self.next_of(&partition, max, &mut arrivals);
        }
        // What was read before a rebalance comes with it.
        for notice in self.notices.drain(..) {
            match &notice {
                Arrival::Assigned(given) => self.assigned.clone_from(given),
                Arrival::Revoked(gone) => {
                    self.assigned.retain(|assigned| !gone.contains(assigned));
                    self.starts.retain(|partition, _| !gone.contains(partition));
                }
                Arrival::Record(..) | Arrival::Stopped { .. } => {}
            }
            arrivals.push(notice);
        }
        arrivals
    }

    fn subscribe(&mut self, topics: &[Arc<str>]) {
        let mut log = self.broker.lock();
        if topics.is_empty() {
            log.members.remove(&self.number)
        } else {
            log.members.insert(self.number)
        };
        drop(log);
        let given: Vec<Partition> = self.share.iter().filter(|(topic, _)| topics.contains(topic)).cloned().collect();
        let before = std::mem::replace(&mut self.given, given.clone());
        if before == given {
            return;
        }
        if !before.is_empty() {
            self.notices.push_back(Arrival::Revoked(before));
        }
        self.notices.push_back(Arrival::Assigned(given));
    }

    fn assignment(&self) -> Vec<Partition> {
        self.assigned.clone()
    }

    fn start(&mut self, starts: Vec<(Partition, i64)>) {
        self.starts = starts.into_iter().collect();
    }

    fn emit(&mut self, tag: Tag, records: impl IntoIterator<Item = Outgoing>) {
        if self.is_cut_off || self.broker.lock().is_away {
            return;
        }
        for (index, record) in records.into_iter().enumerate() {
            if record.value.get().len() > RECORD_MAX {
                let error = "the record is too large".to_owned();
                self.deliveries.push(Delivery::Refused { tag, index, error, record: Box::new(record) });
            } else {
                self.broker.publish(&record);
                self.deliveries.push(Delivery::Acknowledged { tag, index });
            }
        }
    }

    fn delivered(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.deliveries)
    }

    fn forget(&mut self) {
        self.deliveries.clear();
    }

    async fn flush(&mut self, _at_most: Duration) {}

    async fn ends(&mut self, topic: &str, _at_most: Duration) -> Result<Vec<(i32, i64)>, BusError> {
        let log = self.broker.lock();
        let failed = |message: &str| BusError { attempted: "ask for the ends".to_owned(), message: message.to_owned() };
        if log.is_away {
            return Err(failed("the broker is away"));
        }
        let partitions = log.topics.get(topic).ok_or_else(|| failed("unknown topic"))?;
        Ok((0..).zip(partitions.iter().map(PartitionLog::end)).collect())
    }

    async fn ahead(&mut self, partition: &Partition, from: i64, _at_most: Duration) -> Result<Ahead, BusError> {
        let mut log = self.broker.lock();
        let Some(log) = log.partition(partition) else { return Ok(Ahead::Records) };
        Ok(match log.refuses(from) {
            Some(reason) => Ahead::Outside { reason },
            None if log.behind(from).iter().all(Option::is_none) => Ahead::Empty { end: log.end() },
            None => Ahead::Records,
        })
    }

    async fn first_offset(&mut self, partition: &Partition, from: From) -> Result<i64, BusError> {
        let mut log = self.broker.lock();
        let Some(log) = log.partition(partition) else {
            return Err(BusError {
                attempted: "look for the first offset".to_owned(),
                message: "unknown partition".to_owned(),
            });
        };
        let is_earlier =
            |record: &Option<Record>, moment| record.as_ref().is_none_or(|record| record.timestamp() < moment);
        Ok(match from {
            From::Earliest => log.begin,
            From::Latest => log.end(),
            From::Time(moment) => {
                let before = log.behind(log.begin).iter().take_while(|record| is_earlier(record, moment));
                log.begin + i64::try_from(before.count()).unwrap_or(i64::MAX)
            }
        })
    }
}
