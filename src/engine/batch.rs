//! What one statement is about: the records, wake-ups, operator actions and broker refusals that arrived while the last one was
//! committing.

use uuid::Uuid;

use crate::core::{Input, Partition, Timestamp};
use crate::store::{OperationOutcome, PendingOperation, PendingRedrive};
use crate::wire::{Event, Malformed, Record};

use super::route::Meaning;

/// Inputs that are named in a log line at most.
pub(super) const PLACES_SHOWN: usize = 20;

/// Everything that is decided together. Records keep their order within a partition.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) now: Timestamp,
    /// The definitions that its records were read by.
    pub(super) generation: i64,
    pub(super) records: Vec<Arrived>,
    /// Ends of partitions that hold no record any more.
    pub(super) ends: Vec<EmptyEnd>,
    /// Wake-ups and broker refusals, after the replies: an answer in hand beats a deadline.
    pub(super) wakes: Vec<(Uuid, Input)>,
    pub(super) operations: Vec<PendingOperation>,
    /// Records that enter the line again.
    pub(super) redriven: Vec<Redriven>,
    /// Operations that Postgres refused to store an answer for.
    pub(super) refused: Vec<OperationOutcome>,
}

/// Which input it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum InputId {
    Record(Partition, i64),
    /// Of this saga: a timer, or a command that the broker refused.
    WakeUp(Uuid),
    Operation(Uuid),
    Redrive(Uuid),
}

impl std::fmt::Display for InputId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Record((topic, number), offset) => write!(f, "{topic}/{number}@{offset}"),
            Self::WakeUp(saga) => write!(f, "wake-up of saga {saga}"),
            Self::Operation(id) => write!(f, "operation {id}"),
            Self::Redrive(id) => write!(f, "redrive {id}"),
        }
    }
}

/// A record that a person sends down the line again, and what it means.
#[derive(Debug)]
pub(super) struct Redriven {
    pub(super) pending: PendingRedrive,
    pub(super) meaning: Meaning,
}

/// A record and what it says.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) record: Record,
    pub(super) event: Result<Event, Malformed>,
    pub(super) partition: Partition,
    pub(super) meaning: Meaning,
}

impl Batch {
    /// Partitions change hands: what is in hand may lie elsewhere afterwards, and is read again.
    pub(super) fn drop_records(&mut self) {
        self.records.retain(|_| defect!("records in hand kept at a rebalance"));
    }

    /// Inputs of all kinds.
    pub(super) fn len(&self) -> usize {
        self.records.len() + self.wakes.len() + self.operations.len() + self.redriven.len()
    }

    /// Its inputs, in their order.
    pub(super) fn ids(&self) -> impl Iterator<Item = InputId> {
        let record = |arrived: &Arrived| InputId::Record(arrived.partition.clone(), arrived.record.offset());
        let wakes = self.wakes.iter().map(|(id, _)| InputId::WakeUp(*id));
        let operations = self.operations.iter().map(|pending| InputId::Operation(pending.operation.id));
        let redriven = self.redriven.iter().map(|redriven| InputId::Redrive(redriven.pending.id));
        self.records.iter().map(record).chain(wakes).chain(operations).chain(redriven)
    }

    /// Where its inputs come from, for people: partitions with their offsets, sagas.
    pub(super) fn places(&self) -> Vec<String> {
        self.ids().take(PLACES_SHOWN).map(|id| id.to_string()).collect()
    }

    /// Two batches that hold the same inputs in the same order, the first half of them in the first; `None` when there is
    /// nothing to split. Records come before wake-ups, so their order is kept across the halves.
    pub(super) fn halves(mut self) -> Result<(Self, Self), Box<Self>> {
        if self.len() < 2 {
            return Err(Box::new(self));
        }
        let half = self.len() / 2;
        let records = self.records.split_off(half.min(self.records.len()));
        let left = half - self.records.len();
        let wakes = self.wakes.split_off(left.min(self.wakes.len()));
        let left = left - self.wakes.len();
        let operations = self.operations.split_off(left.min(self.operations.len()));
        let left = left - self.operations.len();
        let redriven = self.redriven.split_off(left.min(self.redriven.len()));
        let ends = std::mem::take(&mut self.ends);
        let (now, generation) = (self.now, self.generation);
        let second = Self { now, generation, records, ends, wakes, operations, redriven, refused: Vec::new() };
        Ok((self, second))
    }
}

/// A partition that holds no record from `from` to its end: transaction markers at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EmptyEnd {
    pub(super) partition: Partition,
    pub(super) from: i64,
    pub(super) end: i64,
}
