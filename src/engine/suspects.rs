//! Inputs that were in hand when the engine crashed. A panic is caught where the turn ends; the engine then begins anew, as after a
//! dropped future, and judges what it had in hand one at a time. What crashes it alone, again and again, is set aside for a person
//! (RELIABILITY.md A5): otherwise one input would stop this engine, and then its peer. What a record means is read apart from that, since
//! reading changes nothing (`Engine::meaning`).

use rustc_hash::FxHashMap;
use uuid::Uuid;

use crate::core::{Partition, Verdict};
use crate::store::OperationOutcome;

use super::batch::{Batch, InputId, PLACES_SHOWN};
use super::route::{Meaning, settled};

/// Crashes with an input in hand before it is set aside.
const CRASHES_MAX: u32 = 3;
/// Crashes without an input that was written, or found guilty, in between before the process ends: it is no input that it crashes on.
const IN_A_ROW_MAX: u32 = 10;
const WHY: &str = "the engine crashed on it, its log says where";

/// What may have crashed the engine.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    in_hand: Vec<InputId>,
    crashes: FxHashMap<InputId, u32>,
    in_a_row: u32,
}

impl Suspects {
    /// These are looked at next.
    pub(super) fn take_in_hand(&mut self, ids: impl IntoIterator<Item = InputId>) {
        self.in_hand.clear();
        self.in_hand.extend(ids);
    }

    /// What was in hand has come to its end, and is suspected no longer.
    pub(super) fn cleared(&mut self, is_written: bool) {
        // A heartbeat says nothing of what the engine crashes on.
        if is_written && !self.in_hand.is_empty() {
            self.in_a_row = 0;
        }
        for id in self.in_hand.drain(..) {
            self.crashes.remove(&id);
        }
    }

    /// What was looked at has come to an end of its own: what happens from now on is not its doing.
    pub(super) fn let_go(&mut self) {
        self.in_hand.clear();
    }

    /// What is looked at, for people.
    pub(super) fn in_hand(&self) -> Vec<String> {
        self.in_hand.iter().take(PLACES_SHOWN).map(InputId::to_string).collect()
    }

    /// The engine has crashed: what was in hand is suspected. False when it is no use to go on.
    pub(super) fn crashed(&mut self) -> bool {
        self.in_a_row += 1;
        for id in self.in_hand.drain(..) {
            let crashes = self.crashes.entry(id).or_default();
            *crashes += 1;
            if *crashes == CRASHES_MAX {
                // It was an input, and is looked at no more: the others get their turn.
                self.in_a_row = 0;
            }
        }
        self.in_a_row <= IN_A_ROW_MAX
    }

    /// True for what is not looked at any more.
    pub(super) fn is_guilty(&self, id: &InputId) -> bool {
        self.crashes.get(id).is_some_and(|crashes| *crashes >= CRASHES_MAX)
    }

    /// True for a batch of several inputs of which one is suspected.
    pub(super) fn are_among(&self, batch: &Batch) -> bool {
        !self.crashes.is_empty() && batch.len() > 1 && batch.ids().any(|id| self.crashes.contains_key(&id))
    }

    /// True for a saga whose wake-ups are not looked at, until something else moves it: it comes again by its lease.
    pub(super) fn leaves_alone(&self, saga: Uuid) -> bool {
        let is_guilty = self.is_guilty(&InputId::WakeUp(saga));
        if is_guilty {
            tracing::error!(saga_id = %saga, "saga left alone: {WHY}");
        }
        is_guilty
    }

    /// The saga has moved on: what its next timer does is another thing.
    pub(super) fn forgive(&mut self, saga: Uuid) {
        self.crashes.remove(&InputId::WakeUp(saga));
    }

    /// Others read these partitions now.
    pub(super) fn forget_records(&mut self, gone: &[Partition]) {
        self.crashes.retain(|id, _| !matches!(id, InputId::Record(partition, _) if gone.contains(partition)));
    }

    /// Takes out of a batch what is not looked at any more: wake-ups, and what people ask, which is refused.
    pub(super) fn withhold(&self, batch: &mut Batch) {
        if self.crashes.is_empty() {
            return;
        }
        batch.wakes.retain(|(id, _)| !self.leaves_alone(*id));
        let is_guilty = |id| self.is_guilty(&InputId::Operation(id));
        let guilty = batch.operations.extract_if(.., |pending| is_guilty(pending.operation.id));
        let refused = guilty.map(|pending| OperationOutcome::refused(pending.operation.id, "crashed", WHY));
        batch.refused.extend(refused);
    }
}

/// What a record means that is not looked at any more.
pub(super) fn not_looked_at() -> Meaning {
    settled(Verdict::Malformed, "crashed", WHY)
}
