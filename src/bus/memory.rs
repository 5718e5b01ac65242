//! A broker in memory: partitions, offsets, transaction markers. Who reads what is given by the test; time does not pass in here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::core::{Partition, Timestamp};
use crate::wire::{Event, Outgoing, Record, RecordHead};

use super::{Arrival, Bus, BusError, Delivery, From, Tag};

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
    topics: BTreeMap<Arc<str>, Vec<Vec<Option<Record>>>>,
}

/// One engine's connection.
#[derive(Debug)]
pub struct MemoryBus {
    broker: MemoryBroker,
    assigned: Vec<Partition>,
    starts: BTreeMap<Partition, i64>,
    notices: VecDeque<Arrival>,
    deliveries: Vec<Delivery>,
    is_cut_off: bool,
}

impl MemoryBroker {
    /// Makes a topic with this many empty partitions.
    pub fn create(&self, topic: &str, partitions: usize) {
        self.lock().topics.entry(Arc::from(topic)).or_insert_with(|| vec![Vec::new(); partitions]);
    }

    /// Adds empty partitions to a topic, up to this many.
    pub fn grow(&self, topic: &str, partitions: usize) {
        let mut log = self.lock();
        let there = log.topics.entry(Arc::from(topic)).or_default();
        there.resize(partitions.max(there.len()), Vec::new());
    }

    /// Moves the clock that stamps records.
    pub fn set_now(&self, now: Timestamp) {
        self.lock().now = now;
    }

    /// Appends a record; its key chooses the partition.
    pub fn publish(&self, record: &Outgoing) {
        let headers: Vec<(&str, Option<&[u8]>)> =
            record.headers.iter().map(|(name, value)| (*name, Some(value.as_bytes()))).collect();
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
        let partitions = log.topics.entry(Arc::clone(&topic)).or_insert_with(|| vec![Vec::new()]);
        let sum: usize = key.unwrap_or_default().iter().map(|byte| usize::from(*byte)).sum();
        let place = sum % partitions.len();
        let partition = i32::try_from(place).expect("few partitions");
        let offset = i64::try_from(partitions[place].len()).expect("few records");
        let head = RecordHead { topic, partition, offset, timestamp };
        partitions[place].push(Some(Record::new(head, key, value, headers.iter().copied())));
    }

    /// Appends a transaction marker: an offset that holds no record.
    pub fn publish_marker(&self, partition: &Partition) {
        if let Some(records) = self.lock().records(partition) {
            records.push(None);
        }
    }

    /// The records of a topic, partition by partition.
    pub fn records(&self, topic: &str) -> Vec<Record> {
        let log = self.lock();
        log.topics.get(topic).into_iter().flatten().flatten().flatten().cloned().collect()
    }

    /// A connection that reads these partitions.
    pub fn connect(&self, assigned: Vec<Partition>) -> MemoryBus {
        let notices = VecDeque::from([Arrival::Assigned(assigned.clone())]);
        MemoryBus {
            broker: self.clone(),
            assigned,
            starts: BTreeMap::new(),
            notices,
            deliveries: Vec::new(),
            is_cut_off: false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("nothing panics while it holds the log")
    }
}

impl Log {
    fn records(&mut self, (topic, partition): &Partition) -> Option<&mut Vec<Option<Record>>> {
        self.topics.get_mut(topic)?.get_mut(usize::try_from(*partition).ok()?)
    }

    fn end(&mut self, partition: &Partition) -> i64 {
        self.records(partition).map_or(0, |records| i64::try_from(records.len()).unwrap_or(i64::MAX))
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
        let Some(next) = self.starts.get_mut(partition) else {
            return;
        };
        let Some(records) = log.records(partition) else { return };
        while into.len() < max
            && let Some(record) = records.get(usize::try_from(*next).unwrap_or(usize::MAX))
        {
            *next += 1;
            if let Some(record) = record {
                into.push(Arrival::Record(record.clone(), Event::read(record)));
            }
        }
    }
}

impl Bus for MemoryBus {
    async fn arrived(&mut self, max: usize, _wait: Duration) -> Vec<Arrival> {
        let mut arrivals: Vec<Arrival> = self.notices.drain(..).collect();
        if arrivals.is_empty() {
            for partition in self.assigned.clone() {
                self.next_of(&partition, max, &mut arrivals);
            }
        }
        arrivals
    }

    fn subscribe(&mut self, _topics: &[Arc<str>]) {}

    fn assignment(&self) -> Vec<Partition> {
        self.assigned.clone()
    }

    fn start(&mut self, starts: Vec<(Partition, i64)>) {
        self.notices.retain(|notice| !matches!(notice, Arrival::Stopped { .. }));
        self.starts.clear();
        let mut log = self.broker.lock();
        for (partition, start) in starts {
            let end = log.end(&partition);
            if start > end {
                let reason = format!("offset {start} is outside the log, which holds 0 to {end}");
                self.notices.push_back(Arrival::Stopped { partition, reason });
            } else {
                self.starts.insert(partition, start);
            }
        }
    }

    fn emit(&mut self, tag: Tag, records: Vec<Outgoing>) {
        if self.is_cut_off {
            return;
        }
        for (index, record) in records.iter().enumerate() {
            if record.value.get().len() > RECORD_MAX {
                let error = "the record is too large".to_owned();
                self.deliveries.push(Delivery::Refused { tag, index, error });
            } else {
                self.broker.publish(record);
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
        let partitions = log.topics.get(topic).into_iter().flatten();
        Ok((0..).zip(partitions.map(|records| i64::try_from(records.len()).unwrap_or(i64::MAX))).collect())
    }

    async fn end_without_records(
        &mut self,
        partition: &Partition,
        from: i64,
        _at_most: Duration,
    ) -> Result<Option<i64>, BusError> {
        let mut log = self.broker.lock();
        let end = log.end(partition);
        let rest = log.records(partition).into_iter().flatten().skip(usize::try_from(from).unwrap_or(0));
        Ok(rest.flatten().next().is_none().then_some(end))
    }

    async fn first_offset(&mut self, partition: &Partition, from: From) -> Result<i64, BusError> {
        let mut log = self.broker.lock();
        Ok(match from {
            From::Earliest => 0,
            From::Latest => log.end(partition),
            From::Time(moment) => {
                let records = log.records(partition).into_iter().flatten();
                let before =
                    records.take_while(|record| record.as_ref().is_none_or(|record| record.timestamp() < moment));
                i64::try_from(before.count()).unwrap_or(i64::MAX)
            }
        })
    }
}
