//! Records in, records out, behind one trait: `kafka` for real, `memory` for tests and the simulator.
//!
//! ```text
//! consumer thread: poll, decode --(bounded channel)--> arrived        start(offsets from Postgres) --> assign
//! emit --> producer's queue --> delivery reports --> delivered, by record
//! ```
//! Must hold: records of a former `start` never arrive after the next one; a record counts as delivered only when the broker has
//! acknowledged it.

mod kafka;
mod memory;

use std::time::Duration;

use std::sync::Arc;

use crate::core::{Partition, Timestamp};
use crate::wire::{Event, Malformed, Outgoing, Record};

pub use kafka::Admin;
pub use kafka::Finding;
pub use kafka::GreetError;
pub use kafka::Group;
pub use kafka::GroupProgress;
pub use kafka::KafkaBus;
pub use kafka::KafkaSettings;
pub use kafka::Level;
pub use kafka::LogPlace;
pub use kafka::LogReader;
pub use kafka::Logs;
pub use kafka::Probe;
pub use kafka::Producer;
pub use kafka::Purpose;
pub use kafka::RawRecord;
pub use kafka::TopicDifference;
pub use kafka::TopicNeed;
pub use kafka::group_progress;
pub use kafka::judge_topics;
pub use memory::MemoryBroker;
pub use memory::MemoryBus;

/// Names a batch of sent records; never used twice by one engine.
pub type Tag = u64;

/// What the engine needs of a broker.
#[expect(async_fn_in_trait, reason = "the engine is one task and needs no Send bound")]
pub trait Bus {
    /// What has arrived, at most `max` of it and some 16 MiB: as soon as there is something, or after `wait` with nothing.
    async fn arrived(&mut self, max: usize, wait: Duration) -> Vec<Arrival>;

    /// Reads these topics from now on. None: leaves the group, whose other members read what this engine was given.
    fn subscribe(&mut self, topics: &[Arc<str>]);

    /// The partitions that this engine was given last.
    fn assignment(&self) -> Vec<Partition>;

    /// Reads these partitions, and no others, from these offsets.
    fn start(&mut self, starts: Vec<(Partition, i64)>);

    /// Sends a batch, each record as it is made. Never waits.
    fn emit(&mut self, tag: Tag, records: impl IntoIterator<Item = Outgoing>);

    /// What the broker has said of sent records since the last call.
    fn delivered(&mut self) -> Vec<Delivery>;

    /// Nobody waits any more for what was emitted: what has not left yet need not leave.
    fn forget(&mut self);

    /// Waits until everything that was sent is settled, at most this long.
    async fn flush(&mut self, at_most: Duration);

    /// The end of each partition of a topic (last stable offset), asked now.
    async fn ends(&mut self, topic: &str, at_most: Duration) -> Result<Vec<(i32, i64)>, BusError>;

    /// What a partition holds from an offset on.
    async fn ahead(&mut self, partition: &Partition, from: i64, at_most: Duration) -> Result<Ahead, BusError>;

    /// Where a partition begins that was never read.
    async fn first_offset(&mut self, partition: &Partition, from: From) -> Result<i64, BusError>;
}

/// What a partition holds from an offset on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// A record, or nobody could tell within the time.
    Records,
    /// Nothing but transaction markers before this end.
    Empty {
        /// The last stable offset.
        end: i64,
    },
    /// The offset lies outside the log: nobody can read from it.
    Outside {
        /// For people.
        reason: String,
    },
}

/// Why nobody can read from an offset of a log, which holds those from `begin` to before `end`; `None` when one can.
pub fn outside_log(offset: i64, begin: i64, end: i64) -> Option<String> {
    let is_outside = !(begin..=end).contains(&offset);
    is_outside.then(|| format!("offset {offset} is outside the log, which holds {begin} to {end}"))
}

/// What a bus reports.
#[derive(Debug)]
pub enum Arrival {
    /// A record, with what its headers say.
    Record(Record, Result<Event, Malformed>),
    /// These partitions are this engine's to read, and no others: it answers with `start`.
    Assigned(Vec<Partition>),
    /// These partitions are not this engine's any more.
    Revoked(Vec<Partition>),
    /// This partition cannot be read from where it was to start; the others go on.
    Stopped {
        /// Which one.
        partition: Partition,
        /// Why, for people.
        reason: String,
    },
}

/// What the broker said of one record of a sent batch: each record gets one word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is written.
    Acknowledged {
        /// The batch.
        tag: Tag,
        /// The record's place in it.
        index: usize,
    },
    /// It was refused for good.
    Refused {
        /// The batch.
        tag: Tag,
        /// The record's place in it.
        index: usize,
        /// The broker's words.
        error: String,
        /// What was refused.
        record: Box<Outgoing>,
    },
}

/// Where a trigger topic begins that was never read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At its first record.
    Earliest,
    /// Behind its last record.
    Latest,
    /// At the first record of this moment or later.
    Time(Timestamp),
}

/// What was asked of the broker and did not come.
#[derive(Debug, thiserror::Error)]
#[error("{attempted}: {message}")]
pub struct BusError {
    /// What was attempted, on what.
    pub attempted: String,
    /// The client's words.
    pub message: String,
}
