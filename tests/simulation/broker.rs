//! Kafka, simulated: partitions that are logs with a beginning that retention moves, and every command that was ever written.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use sagabus::bus::outside_log;
use sagabus::core::{Action, Partition};
use sagabus::wire::{self, Event, Outgoing, Record, RecordHead};
use uuid::Uuid;

use super::group::Group;
use super::watch;
use super::world::{Life, World};

/// All topics, and who reads them.
#[derive(Default)]
pub(crate) struct Broker {
    logs: BTreeMap<Arc<str>, Vec<Log>>,
    pub(super) group: Group,
    pub(super) waiting: Vec<Life>,
    pub(super) readers: BTreeMap<Partition, Life>,
    pub(crate) away_until: i64,
    /// How often a log has changed.
    pub(super) changes: u64,
    /// Lives that never reach the broker again.
    pub(super) cut_off: BTreeSet<Life>,
    /// Every command by id: its first record, as topic, key, value and headers, and when it was written.
    pub(crate) commands: BTreeMap<Uuid, Written>,
    pub(super) unacknowledged: BTreeSet<Uuid>,
    /// Sagas with a command that the broker refused for good.
    pub(crate) refused: BTreeSet<Uuid>,
}

impl Written {
    /// A header of the record.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.record.headers.get(name)
    }
}

/// One partition. Offsets are places in `records`; nobody reads what lies before `begin` any more.
#[derive(Default)]
pub(super) struct Log {
    pub(super) begin: i64,
    records: Vec<Option<Record>>,
}

impl Log {
    pub(super) fn end(&self) -> i64 {
        i64::try_from(self.records.len()).unwrap_or(i64::MAX)
    }

    /// The offsets from one to another.
    pub(super) fn between(&self, from: i64, to: i64) -> &[Option<Record>] {
        let place = |offset: i64| usize::try_from(offset).unwrap_or(0).min(self.records.len());
        &self.records[place(from)..place(to).max(place(from))]
    }

    /// Why nobody can read from `start`.
    pub(super) fn refuses(&self, start: i64) -> Option<String> {
        outside_log(start, self.begin, self.end())
    }
}

/// A command's first record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) at: i64,
    pub(crate) command: wire::Received,
    record: Outgoing,
}

impl Broker {
    /// Makes a topic with this many partitions, or adds some to one that has fewer.
    pub(crate) fn create(&mut self, topic: &Arc<str>, partitions: u32) {
        let logs = self.logs.entry(Arc::clone(topic)).or_default();
        while logs.len() < usize::try_from(partitions).expect("few partitions") {
            logs.push(Log::default());
        }
    }

    /// Retention removes what lies before this offset.
    pub(crate) fn truncate(&mut self, (topic, partition): &Partition, before: i64) {
        let place = usize::try_from(*partition).unwrap_or(usize::MAX);
        if let Some(log) = self.logs.get_mut(topic).and_then(|logs| logs.get_mut(place)) {
            log.begin = before.clamp(log.begin, log.end());
            self.changes += 1;
        }
    }

    pub(super) fn log(&self, (topic, partition): &Partition) -> Option<&Log> {
        self.logs.get(topic)?.get(usize::try_from(*partition).ok()?)
    }

    /// How many partitions a topic has.
    pub(crate) fn partitions(&self, topic: &str) -> u32 {
        u32::try_from(self.logs.get(topic).map_or(0, Vec::len)).expect("few partitions")
    }

    /// Where a partition begins and ends.
    pub(crate) fn bounds(&self, partition: &Partition) -> (i64, i64) {
        self.log(partition).map_or((0, 0), |log| (log.begin, log.end()))
    }

    /// The end of every partition of a topic.
    pub(crate) fn ends(&self, topic: &str) -> Vec<(i32, i64)> {
        (0..).zip(self.logs.get(topic).into_iter().flatten().map(Log::end)).collect()
    }

    /// Offsets of a partition, between two, that hold no record.
    pub(crate) fn markers(&self, partition: &Partition, from: i64, to: i64) -> i64 {
        let between = self.log(partition).map_or(&[] as &[_], |log| log.between(from, to));
        i64::try_from(between.iter().filter(|record| record.is_none()).count()).unwrap_or(i64::MAX)
    }

    /// The records of a topic, partition by partition, also those that retention has removed.
    pub(crate) fn records(&self, topic: &str) -> impl Iterator<Item = &Record> {
        self.logs.get(topic).into_iter().flatten().flat_map(|log| log.records.iter().flatten())
    }

    /// The records of a partition between two offsets.
    pub(crate) fn stretch(&self, partition: &Partition, from: i64, to: i64) -> impl Iterator<Item = &Record> {
        self.log(partition).map_or(&[] as &[_], |log| log.between(from, to)).iter().flatten()
    }

    /// Where a key's records go.
    pub(super) fn place(&self, topic: &str, key: &[u8]) -> usize {
        let sum: usize = key.iter().map(|byte| usize::from(*byte)).sum();
        sum % self.logs.get(topic).map_or(1, |logs| logs.len().max(1))
    }

    /// True when this life reaches the broker.
    pub(super) fn reaches(&self, life: Life, now: i64) -> bool {
        self.away_until <= now && !self.cut_off.contains(&life)
    }

    fn wake_readers(&mut self, world: &World) {
        for life in self.waiting.drain(..) {
            world.wake(life, 500);
        }
    }
}

/// Appends whatever it is; its key chooses the partition.
pub(crate) fn append_raw(
    world: &World,
    topic: &Arc<str>,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&str, Option<&[u8]>)],
    timestamp: Option<sagabus::core::Timestamp>,
) {
    let mut broker = world.broker.borrow_mut();
    broker.changes += 1;
    let timestamp = timestamp.unwrap_or_else(|| world.date());
    let place = broker.place(topic, key.unwrap_or_default());
    let Some(log) = broker.logs.get_mut(topic).and_then(|logs| logs.get_mut(place)) else { return };
    let partition = i32::try_from(place).expect("few partitions");
    let head = RecordHead { topic: Arc::clone(topic), partition, offset: log.end(), timestamp };
    log.records.push(Some(Record::new(head, key, value, headers.iter().copied())));
    if world.happens(world.knobs.borrow().markers) {
        log.records.push(None);
        world.saw("transaction marker");
    }
    broker.wake_readers(world);
}

/// Appends a record that is well formed.
pub(crate) fn append(world: &World, record: &Outgoing) {
    let headers: Vec<(&str, Option<&[u8]>)> =
        record.headers.iter().map(|(name, value)| (name, Some(value.as_bytes()))).collect();
    let (key, value) = (record.key.as_bytes(), record.value.get().as_bytes());
    append_raw(world, &record.topic, Some(key), Some(value), &headers, record.timestamp);
}

/// An engine's command or announcement is written: participants hear of commands.
pub(super) fn append_sent(world: &Rc<World>, record: &Outgoing) {
    append(world, record);
    let is_command = record.headers.get("ce_sagaaction").is_some();
    if !is_command {
        return;
    }
    let headers = record.headers.iter().map(|(name, value)| (name, Some(value.as_bytes())));
    let head = RecordHead { topic: Arc::clone(&record.topic), partition: 0, offset: 0, timestamp: world.date() };
    let copy = Record::new(head, Some(record.key.as_bytes()), Some(record.value.get().as_bytes()), headers);
    let event = Event::read(&copy).expect("commands are well formed");
    let command = wire::received(&copy, &event).expect("commands are well formed");
    let written = Written { at: world.now(), command: command.clone(), record: record.clone() };
    if !watch::is_decided(world, &command) {
        world.violated(format!("command {} of step {} went out before its facts were safe", command.id, command.step));
    }
    let mut broker = world.broker.borrow_mut();
    broker.unacknowledged.insert(command.id);
    match broker.commands.get(&command.id) {
        // When commits were lost a command is decided again: at another time, for another cause, with the same data.
        Some(first) if first.record != *record => {
            let is_same_data = first.record.value == record.value;
            if !world.outage.borrow().has_lost_commits() || !is_same_data && !is_excused(world, &command) {
                drop(broker);
                world.violated(format!("command {} was sent again with other bytes", command.id));
                return;
            }
        }
        Some(_) => {}
        None => _ = broker.commands.insert(command.id, written),
    }
    drop(broker);
    super::participants::deliver(world, command);
}

/// After lost commits an operator's edit may give an old id other data: its participant answers with a conflict.
pub(crate) fn is_excused(world: &World, command: &wire::Received) -> bool {
    world.outage.borrow().has_lost_commits() && world.steered.borrow().contains(&command.saga_id)
}

/// A participant's answer is written.
pub(crate) fn append_answer(world: &Rc<World>, command: &wire::Received, record: &Outgoing) {
    if world.broker.borrow().unacknowledged.contains(&command.id) {
        world.saw("answer before the engine heard of its own delivery");
    }
    let action = match command.action {
        Action::Do => "do",
        Action::Undo => "undo",
    };
    let outcome = record.headers.iter().find(|(name, _)| *name == "ce_sagaoutcome").map_or("", |(_, value)| value);
    world.tell("service", "kafka", || format!("{} {action} {} {outcome}", command.key, command.step));
    append(world, record);
}
