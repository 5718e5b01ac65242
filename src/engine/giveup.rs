//! Giving up is never decided blind: a command counts as unanswered only when its reply topic has been read to the end that was
//! asked after its patience had ended, whoever reads it, and no writer still has it to send (DESIGN.md section 3).

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::bus::{Ahead, Bus};
use crate::core::{Backward, Definition, Forward, Phase, Saga, StepIx, Timestamp, is_endless};
use crate::store::{PartitionOffset, PartitionState, Store, StoreError};

use super::batch::EmptyEnd;
use super::chores::stop;

/// How long asking the broker for its ends may take: the engine does nothing else meanwhile.
pub(super) const ASK_AT_MOST: Duration = Duration::from_millis(1_000);
/// How long to wait before an unanswered question is asked again, and a waiting give-up is looked at again.
pub(super) const LOOK_AGAIN_MS: u64 = 250;
/// A partition that stays where it is for this long although its end was asked is looked into: it may end in transaction markers.
const UNREAD_MS: u64 = 1_000;
/// What holds give-ups back is said this often.
const SAY_MS: u64 = 30_000;

/// What is known of each reply topic.
#[derive(Debug, Default)]
pub(super) struct Gates {
    gates: FxHashMap<Arc<str>, Gate>,
    wanted: FxHashSet<Arc<str>>,
    said_at: Timestamp,
    /// Whether the broker answered the last question, until it was told.
    is_answered: Option<bool>,
}

#[derive(Debug, Default)]
struct Gate {
    /// Every reply before this moment has been judged.
    read_until: Timestamp,
    /// The question under way: when the ends were asked, and what they were.
    asked: Option<(Timestamp, Vec<(i32, i64)>)>,
    looked_at: Timestamp,
    /// What is not read to the end that was asked.
    unread: Vec<Unread>,
}

/// A partition that holds give-ups back.
#[derive(Clone, Debug)]
struct Unread {
    number: i32,
    at: i64,
    end: i64,
    is_stopped: bool,
    /// Since when it stands there.
    since: Timestamp,
}

impl Gates {
    /// Every reply that reached `topic` before this moment has been judged.
    pub(super) fn read_until(&self, topic: &Arc<str>) -> Timestamp {
        self.gates.get(topic).map_or(Timestamp::ZERO, |gate| gate.read_until)
    }

    /// A give-up waits for this topic to be read.
    pub(super) fn want(&mut self, topic: &Arc<str>) {
        self.wanted.insert(Arc::clone(topic));
    }

    /// Whether the broker answered the last question, if one was asked since this was told last.
    pub(super) fn take_answered(&mut self) -> Option<bool> {
        self.is_answered.take()
    }

    /// Partitions that hold give-ups back.
    pub(super) fn waiting(&self) -> usize {
        self.gates.values().map(|gate| gate.unread.len()).sum()
    }

    /// Asks and checks for the topics that are wanted. A broker that does not answer holds its give-ups back, nothing else. Returns
    /// partitions that stand before their ends although nothing but transaction markers is left in them.
    pub(super) async fn look(
        &mut self,
        bus: &mut impl Bus,
        store: &mut impl Store,
        now: Timestamp,
    ) -> Result<Vec<EmptyEnd>, StoreError> {
        let mut empty = Vec::new();
        for topic in std::mem::take(&mut self.wanted) {
            let gate = self.gates.entry(Arc::clone(&topic)).or_default();
            if now.millis_since(gate.looked_at) < LOOK_AGAIN_MS {
                continue;
            }
            gate.looked_at = now;
            if gate.asked.is_none() {
                let asked = bus.ends(&topic, ASK_AT_MOST).await;
                self.is_answered = Some(asked.is_ok());
                match asked {
                    Ok(ends) => gate.asked = Some((now, ends)),
                    Err(error) => {
                        tracing::warn!(%topic, %error, "ends of the reply topic are not known, give-ups wait")
                    }
                }
            }
            if gate.check(store.offsets_of(&topic).await?, now) {
                continue;
            }
            // One question a look: a broker that is slow to answer must not cost the writer its heartbeat.
            let stands = |unread: &&mut Unread| !unread.is_stopped && now.millis_since(unread.since) >= UNREAD_MS;
            if let Some(unread) = gate.unread.iter_mut().filter(stands).min_by_key(|unread| unread.since) {
                unread.since = now;
                let partition = (Arc::clone(&topic), unread.number);
                match bus.ahead(&partition, unread.at, ASK_AT_MOST).await {
                    Ok(Ahead::Empty { end }) => empty.push(EmptyEnd { partition, from: unread.at, end }),
                    // Its reader may stand behind a marker that Postgres does not know of, and has nothing to complain of.
                    Ok(Ahead::Outside { reason }) => stop(store, &partition, unread.at, &reason).await?,
                    Ok(Ahead::Records) | Err(_) => {}
                }
            }
            if now.millis_since(self.said_at) >= SAY_MS {
                self.said_at = now;
                let unread = gate.unread.iter().find(|unread| unread.is_stopped).or(gate.unread.first());
                if let Some(Unread { number, at, end, is_stopped, .. }) = unread {
                    tracing::warn!(%topic, partition = number, at, end, is_stopped, "give-ups wait for replies to be read");
                }
            }
        }
        Ok(empty)
    }
}

impl Gate {
    /// Holds the ends that were asked against what has been read. True when nothing is left to read, or nothing was asked.
    fn check(&mut self, read: Vec<PartitionOffset>, now: Timestamp) -> bool {
        let Some((asked_at, ends)) = &self.asked else { return true };
        let before = std::mem::take(&mut self.unread);
        for (number, end) in ends.iter().copied() {
            let offset = read.iter().find(|offset| offset.partition.1 == number);
            let at = offset.map_or(0, |offset| offset.next_offset);
            if at < end {
                let is_stopped = offset.is_none_or(|offset| offset.state == PartitionState::Stopped);
                let stood = before.iter().find(|unread| unread.number == number && unread.at == at);
                let since = stood.map_or(now, |unread| unread.since);
                self.unread.push(Unread { number, at, end, is_stopped, since });
            }
        }
        if self.unread.is_empty() {
            self.read_until = *asked_at;
            self.asked = None;
        }
        self.unread.is_empty()
    }
}

/// When the patience of the longest waiting command ended that could be given up at `now`; `None` when there is none.
pub(super) fn patience_ended(definition: &Definition, saga: &Saga, now: Timestamp) -> Option<Timestamp> {
    if matches!(saga.phase, Phase::Stuck | Phase::Paused | Phase::Abandoned) {
        return None;
    }
    let ended = |at: Timestamp| (at <= now).then_some(at);
    let of_step = |step: StepIx| {
        let state = saga.step(step);
        if state.held_since().is_some() {
            return None;
        }
        let forward = match &state.forward {
            Forward::Issued(flight) if !is_endless(definition, saga, step) => ended(flight.patience_ends),
            Forward::Pending
            | Forward::Ready
            | Forward::Issued(_)
            | Forward::Retrying(_)
            | Forward::Succeeded
            | Forward::Failed(_)
            | Forward::GivenUp(_)
            | Forward::Unclear
            | Forward::Skipped(_) => None,
        };
        let backward = match &state.backward {
            Backward::Issued(flight) => ended(flight.patience_ends),
            Backward::None
            | Backward::Ready
            | Backward::Retrying(_)
            | Backward::Done
            | Backward::Exhausted(_)
            | Backward::Skipped(_) => None,
        };
        forward.into_iter().chain(backward).max()
    };
    definition.places().filter_map(of_step).max()
}
