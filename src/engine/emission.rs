//! What is on its way to the broker: commands and announcements whose facts are committed and which nobody has acknowledged yet.
//!
//! ```text
//! commit (unemitted row: writer, batch) -> emit (tag) -> each record acknowledged -> the next statement deletes the row
//!                                                     -> some of them for a while -> a statement shrinks the row
//! ```

use rustc_hash::FxHashMap;
use uuid::Uuid;

use crate::bus::{Bus, Delivery, Tag};
use crate::core::{Action, Effect, Input, StepIx, Timestamp};
use crate::store::Shrunk;
use crate::wire::{self, Outgoing};

use super::change::Sending;

/// The name of a batch for ever: the writer that committed it, and its number.
pub(super) type BatchName = (i64, i64);

/// Records on their way above which nothing more is taken in: the broker is behind, and memory is bounded (P11, B16).
const RECORDS_MAX: usize = 50_000;
/// A batch that is partly acknowledged for this long tells Postgres what is left of it, so that the sagas of the rest are not taken
/// for unsent.
const LINGERS_MS: u64 = 2_000;

/// Batches on their way.
#[derive(Debug, Default)]
pub(super) struct Emission {
    under_way: FxHashMap<Tag, UnderWay>,
    batches: FxHashMap<BatchName, Left>,
    /// Records on their way, by saga: nothing is re-sent or given up while there is one.
    by_saga: FxHashMap<Uuid, u32>,
    records: usize,
    acknowledged: Vec<BatchName>,
    shrunk: Vec<Shrunk>,
    /// Announcements that the broker refused: nobody can be stuck over them, so they are sent again until it takes them.
    refused: Vec<(BatchName, Sent, Outgoing)>,
    next_tag: Tag,
}

#[derive(Debug)]
struct UnderWay {
    name: BatchName,
    sent: Vec<Option<Sent>>,
    left: usize,
}

/// What has to be known of a record until the broker has answered for it.
#[derive(Clone, Copy, Debug)]
struct Sent {
    saga_id: Uuid,
    seq: u32,
    /// The command that it is, by step, direction and attempt; `None`: an announcement.
    command: Option<(StepIx, Action, u16)>,
}

impl From<&Sending> for Sent {
    fn from(sending: &Sending) -> Self {
        let command = match &sending.effect {
            Effect::Command(command) => Some((command.step, command.action, command.attempt)),
            Effect::Announcement(_) => None,
        };
        Self { saga_id: sending.saga_id, seq: sending.seq, command }
    }
}

/// What is left of a batch.
#[derive(Debug, Default)]
struct Left {
    records: usize,
    emitted_at: Timestamp,
    /// Records as Postgres was told last.
    told: usize,
    /// A part of it could not be read: its row stays, for a version that can.
    is_kept: bool,
}

impl Emission {
    /// Hands a committed batch to the bus, records of one topic together: the client makes fewer and larger requests of them. A batch with
    /// nothing to send is acknowledged at once. `is_kept`: not everything of it could be read, so its row must stay.
    pub(super) fn emit(
        &mut self,
        bus: &mut impl Bus,
        name: BatchName,
        mut sending: Vec<Sending>,
        now: Timestamp,
        is_kept: bool,
    ) {
        let left = Left { records: sending.len(), emitted_at: now, told: sending.len(), is_kept };
        if defect!("batch forgotten before it is acknowledged") {
            self.acknowledged.push(name);
        }
        if sending.is_empty() {
            if !is_kept {
                self.acknowledged.push(name);
            }
            return;
        }
        self.batches.insert(name, left);
        // Stable: commands of one saga to one topic keep their order.
        sending.sort_by(|one, other| topic(&one.effect).cmp(topic(&other.effect)));
        for sending in &sending {
            *self.by_saga.entry(sending.saga_id).or_insert(0) += 1;
        }
        self.records += sending.len();
        let sent = sending.iter().map(Sent::from).collect();
        self.send(bus, name, sent, sending.into_iter().map(|sending| encode(&sending.effect)));
    }

    fn send(
        &mut self,
        bus: &mut impl Bus,
        name: BatchName,
        sent: Vec<Sent>,
        records: impl IntoIterator<Item = Outgoing>,
    ) {
        let tag = self.next_tag;
        self.next_tag += 1;
        let left = sent.len();
        self.under_way.insert(tag, UnderWay { name, sent: sent.into_iter().map(Some).collect(), left });
        bus.emit(tag, records);
    }

    /// Takes in what the broker said. Commands that it refused for good come back as inputs that make their sagas stuck.
    pub(super) fn take_in(&mut self, deliveries: Vec<Delivery>) -> Vec<(Uuid, Input)> {
        let mut stuck = Vec::new();
        for delivery in deliveries {
            let (tag, index, refused) = match delivery {
                Delivery::Acknowledged { tag, index } => (tag, index, None),
                Delivery::Refused { tag, index, error, record } => (tag, index, Some((error, record))),
            };
            let Some(under_way) = self.under_way.get_mut(&tag) else { continue };
            let name = under_way.name;
            let Some(sent) = under_way.sent.get_mut(index).and_then(Option::take) else { continue };
            under_way.left -= 1;
            if under_way.left == 0 {
                self.under_way.remove(&tag);
            }
            match (refused, sent.command) {
                (Some((message, _)), Some((step, action, attempt))) => {
                    let code = "saga.undeliverable".into();
                    stuck.push((sent.saga_id, Input::Undeliverable { step, action, attempt, code, message }));
                    self.settle(name, sent);
                }
                (Some((error, record)), None) => {
                    let topic = &record.topic;
                    tracing::debug!(saga_id = %sent.saga_id, %topic, error, "announcement refused by the broker");
                    self.refused.push((name, sent, *record));
                }
                (None, _) => self.settle(name, sent),
            }
        }
        stuck
    }

    fn settle(&mut self, name: BatchName, sent: Sent) {
        self.records -= 1;
        if let Some(count) = self.by_saga.get_mut(&sent.saga_id) {
            *count -= 1;
            if *count == 0 {
                self.by_saga.remove(&sent.saga_id);
            }
        }
        let Some(left) = self.batches.get_mut(&name) else { return };
        left.records -= 1;
        if left.records == 0 && self.batches.remove(&name).is_some_and(|left| !left.is_kept) {
            self.acknowledged.push(name);
        }
    }

    /// Sends refused announcements again, and finds the batches that linger.
    pub(super) fn look_after(&mut self, bus: &mut impl Bus, now: Timestamp) {
        if !self.refused.is_empty() {
            tracing::error!(count = self.refused.len(), "announcements refused by the broker, sending again");
        }
        for (name, sent, record) in std::mem::take(&mut self.refused) {
            self.send(bus, name, vec![sent], [record]);
        }
        let lingers = |left: &&mut Left| {
            left.records < left.told && !left.is_kept && now.millis_since(left.emitted_at) >= LINGERS_MS
        };
        let lingering: FxHashMap<BatchName, &mut Left> =
            self.batches.iter_mut().map(|(name, left)| (*name, left)).filter(|(_, left)| lingers(left)).collect();
        if lingering.is_empty() {
            return;
        }
        let mut rows: FxHashMap<BatchName, Vec<(Uuid, u32)>> = FxHashMap::default();
        for under_way in self.under_way.values().filter(|under_way| lingering.contains_key(&under_way.name)) {
            let left = under_way.sent.iter().flatten().map(|sent| (sent.saga_id, sent.seq));
            rows.entry(under_way.name).or_default().extend(left);
        }
        lingering.into_values().for_each(|left| left.told = left.records);
        self.shrunk.retain(|shrunk| !rows.contains_key(&shrunk.name));
        self.shrunk.extend(rows.into_iter().map(|(name, mut rows)| {
            rows.sort_unstable();
            rows.dedup();
            Shrunk { name, rows }
        }));
    }

    /// Batches whose rows the next statement deletes.
    pub(super) fn acknowledged(&self) -> Vec<BatchName> {
        self.acknowledged.clone()
    }

    /// Batches whose rows the next statement shrinks.
    pub(super) fn shrunk(&self) -> Vec<Shrunk> {
        self.shrunk.iter().filter(|shrunk| !self.acknowledged.contains(&shrunk.name)).cloned().collect()
    }

    /// The statement has deleted and shrunk them.
    pub(super) fn written(&mut self, deleted: &[BatchName], shrunk: &[Shrunk]) {
        self.acknowledged.retain(|name| !deleted.contains(name));
        self.shrunk.retain(|one| !shrunk.contains(one) && !deleted.contains(&one.name));
    }

    /// True while something of this saga waits for the broker.
    pub(super) fn is_under_way(&self, saga_id: Uuid) -> bool {
        self.by_saga.contains_key(&saga_id)
    }

    /// True when the broker is so far behind that nothing more is taken in.
    pub(super) fn is_full(&self) -> bool {
        self.records >= RECORDS_MAX
    }

    /// Batches that wait for the broker.
    pub(super) fn len(&self) -> usize {
        self.batches.len()
    }

    /// Forgets everything: their rows are in Postgres, and whoever takes them over sends them again. Tags are never used twice,
    /// so a late word about a forgotten batch means nothing.
    pub(super) fn clear(&mut self) {
        *self = Self { next_tag: self.next_tag, ..Self::default() };
    }
}

fn topic(effect: &Effect) -> &str {
    match effect {
        Effect::Command(command) => &command.topic,
        Effect::Announcement(announcement) => &announcement.topic,
    }
}

fn encode(effect: &Effect) -> Outgoing {
    match effect {
        Effect::Command(command) => wire::command(command),
        Effect::Announcement(announcement) => wire::announcement(announcement),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::MemoryBroker;
    use crate::core::{Announcement, Phase};

    const NAME: BatchName = (1, 7);

    fn sending(saga: u128) -> Sending {
        let saga_id = Uuid::from_u128(saga);
        let announcement = Announcement {
            id: saga_id,
            saga_id,
            business_key: "k".into(),
            definition_name: "d".into(),
            definition_version: 1,
            topic: "d.events".into(),
            phase: Phase::Completed,
            started_at: Timestamp::ZERO,
            finished_at: None,
            error: None,
            seq: 3,
            at: Timestamp::ZERO,
        };
        Sending { saga_id, seq: 3, effect: Effect::Announcement(Box::new(announcement)) }
    }

    fn emitted() -> (Emission, crate::bus::MemoryBus) {
        let (mut emission, mut bus) = (Emission::default(), MemoryBroker::default().connect(Vec::new()));
        emission.emit(&mut bus, NAME, vec![sending(1), sending(2)], Timestamp::ZERO, false);
        (emission, bus)
    }

    #[test]
    fn a_record_that_waits_for_the_broker_does_not_hold_its_neighbours_up() {
        let (mut emission, mut bus) = emitted();
        emission.take_in(vec![Delivery::Acknowledged { tag: 0, index: 0 }]);
        assert!(!emission.is_under_way(Uuid::from_u128(1)));
        assert!(emission.is_under_way(Uuid::from_u128(2)));
        emission.look_after(&mut bus, Timestamp::from_millis(2_000));
        let left = Shrunk { name: NAME, rows: vec![(Uuid::from_u128(2), 3)] };
        assert_eq!(emission.shrunk(), std::slice::from_ref(&left));
        emission.written(&[], &[left]);
        emission.look_after(&mut bus, Timestamp::from_millis(4_000));
        assert!(emission.shrunk().is_empty(), "said once");
        emission.take_in(vec![Delivery::Acknowledged { tag: 0, index: 1 }]);
        assert_eq!(emission.acknowledged(), [NAME]);
    }

    #[test]
    fn a_refused_announcement_is_sent_again_until_the_broker_takes_it() {
        let (mut emission, mut bus) = emitted();
        let record = Box::new(encode(&sending(2).effect));
        let refused = Delivery::Refused { tag: 0, index: 1, error: "not authorised".to_owned(), record };
        let stuck = emission.take_in(vec![Delivery::Acknowledged { tag: 0, index: 0 }, refused]);
        assert!(stuck.is_empty() && emission.acknowledged().is_empty());
        emission.look_after(&mut bus, Timestamp::ZERO);
        emission.take_in(vec![Delivery::Acknowledged { tag: 1, index: 0 }]);
        assert_eq!(emission.acknowledged(), [NAME]);
    }

    #[test]
    fn a_row_that_could_not_be_read_whole_stays() {
        let (mut emission, mut bus) = (Emission::default(), MemoryBroker::default().connect(Vec::new()));
        emission.emit(&mut bus, NAME, vec![sending(1)], Timestamp::ZERO, true);
        emission.take_in(vec![Delivery::Acknowledged { tag: 0, index: 0 }]);
        emission.emit(&mut bus, (1, 8), Vec::new(), Timestamp::ZERO, true);
        assert!(emission.acknowledged().is_empty());
    }
}
