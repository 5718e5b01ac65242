//! Giving up is never decided blind: a command counts as unanswered only when its reply topic has been read to the end that was
//! asked after its patience had ended, whoever reads it, and no writer still has it to send (DESIGN.md section 3).

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::bus::Bus;
use crate::core::{Backward, Definition, Forward, Phase, Saga, StepIx, Timestamp, is_endless};
use crate::store::{Store, StoreError};

use super::batch::EmptyEnd;

/// How long asking the broker for its ends may take: the engine does nothing else meanwhile.
const ASK_AT_MOST: Duration = Duration::from_millis(1_000);
/// How long to wait before an unanswered question is asked again, and a waiting give-up is looked at again.
pub(super) const LOOK_AGAIN_MS: u64 = 250;

/// A partition that stays unread for this long although its end was asked is looked into: it may end in transaction markers.
const UNREAD_MS: u64 = 1_000;

/// What is known of each reply topic.
#[derive(Debug, Default)]
pub(super) struct Gates {
    gates: FxHashMap<Arc<str>, Gate>,
    wanted: FxHashSet<Arc<str>>,
}

#[derive(Debug, Default)]
struct Gate {
    /// Every reply before this moment has been judged.
    read_until: Timestamp,
    /// The question under way: when the ends were asked, and what they were.
    asked: Option<(Timestamp, Vec<(i32, i64)>)>,
    looked_at: Timestamp,
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

    /// Topics for which give-ups wait.
    pub(super) fn waiting(&self) -> usize {
        self.wanted.len()
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
                match bus.ends(&topic, ASK_AT_MOST).await {
                    Ok(ends) => gate.asked = Some((now, ends)),
                    Err(error) => {
                        tracing::warn!(%topic, %error, "ends of the reply topic are not known, give-ups wait")
                    }
                }
            }
            let Some((asked_at, ends)) = &gate.asked else { continue };
            let read: FxHashMap<i32, i64> = store.read_ends(&topic).await?.into_iter().collect();
            let unread = ends.iter().filter(|(number, end)| read.get(number).copied().unwrap_or(0) < *end);
            let unread: Vec<i32> = unread.map(|(number, _)| *number).collect();
            if unread.is_empty() {
                gate.read_until = *asked_at;
                gate.asked = None;
            } else if now.millis_since(*asked_at) >= UNREAD_MS {
                for number in unread {
                    let Some(from) = read.get(&number).copied() else { continue };
                    let partition = (Arc::clone(&topic), number);
                    if let Ok(Some(end)) = bus.end_without_records(&partition, from, ASK_AT_MOST).await {
                        empty.push(EmptyEnd { partition, from, end });
                    }
                }
            }
        }
        Ok(empty)
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
