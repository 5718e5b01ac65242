//! What is on its way to the broker: commands and announcements whose facts are committed and which nobody has acknowledged yet.
//!
//! ```text
//! commit (unemitted row: writer, batch) -> emit (tag) -> every record acknowledged -> the next statement deletes the row
//! ```

use rustc_hash::FxHashMap;
use uuid::Uuid;

use crate::bus::{Bus, Delivery, Tag};
use crate::core::{Effect, Input};
use crate::wire::{self, Outgoing};

use super::change::Sending;

/// The name of a batch for ever: the writer that committed it, and its number.
pub(super) type BatchName = (i64, i64);

/// Batches on their way.
#[derive(Debug, Default)]
pub(super) struct Emission {
    under_way: FxHashMap<Tag, UnderWay>,
    /// Commands and announcements on their way, by saga: nothing is re-sent or given up while there is one.
    by_saga: FxHashMap<Uuid, u32>,
    acknowledged: Vec<BatchName>,
    next_tag: Tag,
}

#[derive(Debug)]
struct UnderWay {
    name: BatchName,
    sending: Vec<Sending>,
}

impl Emission {
    /// Hands a committed batch to the bus. A batch with nothing to send is acknowledged at once.
    pub(super) fn emit(&mut self, bus: &mut impl Bus, name: BatchName, sending: Vec<Sending>) {
        if sending.is_empty() {
            self.acknowledged.push(name);
            return;
        }
        for sending in &sending {
            *self.by_saga.entry(sending.saga_id).or_insert(0) += 1;
        }
        let outgoing = sending.iter().map(|sending| encode(&sending.effect)).collect();
        let tag = self.next_tag;
        self.next_tag += 1;
        self.under_way.insert(tag, UnderWay { name, sending });
        bus.emit(tag, outgoing);
    }

    /// Takes in what the broker said. What it refused for good comes back as inputs that make sagas stuck.
    pub(super) fn take_in(&mut self, deliveries: Vec<Delivery>) -> Vec<(Uuid, Input)> {
        let mut refused = Vec::new();
        for delivery in deliveries {
            match delivery {
                Delivery::Settled { tag } => self.settle(tag),
                Delivery::Refused { tag, index, error } => {
                    let Some(under_way) = self.under_way.get(&tag) else { continue };
                    let Some(Sending { saga_id, effect }) = under_way.sending.get(index) else { continue };
                    match effect {
                        Effect::Command(command) => refused.push((
                            *saga_id,
                            Input::Undeliverable {
                                step: command.step,
                                action: command.action,
                                attempt: command.attempt,
                                code: "saga.undeliverable".into(),
                                message: error,
                            },
                        )),
                        Effect::Announcement(announcement) => {
                            tracing::error!(saga_id = %saga_id, topic = %announcement.topic, error, "announcement refused by the broker");
                        }
                    }
                }
            }
        }
        refused
    }

    fn settle(&mut self, tag: Tag) {
        let Some(UnderWay { name, sending }) = self.under_way.remove(&tag) else { return };
        self.acknowledged.push(name);
        for sending in sending {
            if let Some(count) = self.by_saga.get_mut(&sending.saga_id) {
                *count -= 1;
                if *count == 0 {
                    self.by_saga.remove(&sending.saga_id);
                }
            }
        }
    }

    /// Batches whose rows the next statement deletes.
    pub(super) fn acknowledged(&self) -> Vec<BatchName> {
        self.acknowledged.clone()
    }

    /// The statement has deleted them.
    pub(super) fn deleted(&mut self, names: &[BatchName]) {
        self.acknowledged.retain(|name| !names.contains(name));
    }

    /// True while something of this saga waits for the broker.
    pub(super) fn is_under_way(&self, saga_id: Uuid) -> bool {
        self.by_saga.contains_key(&saga_id)
    }

    /// Batches that wait for the broker.
    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Forgets everything: their rows are in Postgres, and whoever takes them over sends them again. Tags are never used twice,
    /// so a late word about a forgotten batch means nothing.
    pub(super) fn clear(&mut self) {
        *self = Self { next_tag: self.next_tag, ..Self::default() };
    }
}

fn encode(effect: &Effect) -> Outgoing {
    match effect {
        Effect::Command(command) => wire::command(command),
        Effect::Announcement(announcement) => wire::announcement(announcement),
    }
}
