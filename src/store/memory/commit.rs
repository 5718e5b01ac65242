//! The batch statement in memory: guards in the order of the real one, then the writes. Nothing is written when a guard fails.

use std::sync::Arc;

use super::super::{Change, Fence, OperationState, PartitionState, Receipt, StoreError};
use super::{Offset, Tables, Unemitted};

impl Tables {
    pub(super) fn commit(&mut self, fence: &Fence, change: &Change) -> Result<Receipt, StoreError> {
        self.fenced(fence)?;
        self.guard(change)?;
        self.write(change);
        let now = self.now;
        let writer = self.writers.get_mut(&fence.writer).ok_or(StoreError::Fenced)?;
        writer.batch += 1;
        writer.heartbeat_at = now;
        let batch = writer.batch;
        if !change.emitting.is_empty() {
            let row = Unemitted { owner: fence.writer, rows: change.emitting.clone() };
            self.unemitted.insert((fence.writer, batch), row);
        }
        for name in &change.acknowledged {
            if self.unemitted.get(name).is_some_and(|row| row.owner == fence.writer) {
                self.unemitted.remove(name);
            }
        }
        for shrunk in &change.shrunk {
            if let Some(row) = self.unemitted.get_mut(&shrunk.name).filter(|row| row.owner == fence.writer) {
                row.rows.clone_from(&shrunk.rows);
            }
        }
        Ok(Receipt { batch, now })
    }

    fn guard(&self, change: &Change) -> Result<(), StoreError> {
        if self.generation != change.generation && !defect!("catalogue not compared") {
            return Err(StoreError::CatalogueChanged);
        }
        if change.now > self.now {
            return Err(StoreError::Contention("SG007: decided ahead of the clock".to_owned()));
        }
        for advance in &change.partitions {
            let offset = self.offsets.get(&(Arc::clone(&advance.topic), advance.partition));
            let is_there =
                |offset: &Offset| offset.next_offset == advance.from && offset.state == PartitionState::Reading;
            if !offset.is_some_and(is_there) && !defect!("offset not compared") {
                return Err(StoreError::OffsetMoved);
            }
        }
        if change.aged.iter().any(|id| !self.sagas.contains_key(id)) {
            return Err(StoreError::SagaRaced);
        }
        for (place, row) in change.journal.iter().enumerate() {
            let written = self.journal.get(&row.saga_id).map_or(0, |rows| rows.len());
            let before = change.journal[..place].iter().filter(|other| other.saga_id == row.saga_id).count();
            let next = u32::try_from(written + before + 1).unwrap_or(u32::MAX);
            if row.seq < next && !defect!("no journal key") {
                return Err(StoreError::SagaRaced);
            }
            if row.seq > next {
                return Err(StoreError::Defect(format!(
                    "journal of saga {} has a gap before {}",
                    row.saga_id, row.seq
                )));
            }
        }
        for (place, row) in change.born.iter().enumerate() {
            if row.business_key.contains('\0') {
                return Err(refused("a NUL in a business key"));
            }
            let is_twin = change.born[..place]
                .iter()
                .any(|other| other.definition_name == row.definition_name && other.business_key == row.business_key);
            let key = (Arc::clone(&row.definition_name), Arc::clone(&row.business_key));
            let has_one = self.keys.contains_key(&key) && !defect!("two sagas for one business key");
            if is_twin || has_one || self.sagas.contains_key(&row.id) {
                return Err(StoreError::SagaRaced);
            }
        }
        if let Some(update) = change.turned.iter().find(|update| !self.sagas.contains_key(&update.id)) {
            return Err(StoreError::Defect(format!("saga {} has no row to update", update.id)));
        }
        let undecided =
            |id| self.operations.iter().any(|(_, kept)| kept.id == id && kept.state == OperationState::Pending);
        let waits = |id| self.redrives.iter().any(|(redrive, outcome)| redrive.id == id && outcome.is_none());
        let all_wait = change.operations.iter().all(|outcome| undecided(outcome.id))
            && change.redriven.iter().all(|outcome| waits(outcome.id));
        if !all_wait {
            return Err(StoreError::SagaRaced);
        }
        Ok(())
    }

    fn write(&mut self, change: &Change) {
        for advance in &change.partitions {
            let partition = (Arc::clone(&advance.topic), advance.partition);
            if let Some(Offset { next_offset, gaps, counts, .. }) = self.offsets.get_mut(&partition) {
                *next_offset = advance.to;
                *gaps += advance.gaps;
                counts.iter_mut().zip(advance.counts).for_each(|(count, more)| *count += more);
            }
        }
        for row in &change.journal {
            Arc::make_mut(self.journal.entry(row.saga_id).or_default()).push(row.facts.as_slice().into());
        }
        for row in &change.born {
            let mut row = row.clone();
            row.started_at = self.now;
            let key = (Arc::clone(&row.definition_name), Arc::clone(&row.business_key));
            Arc::make_mut(&mut self.keys).insert(key, row.id);
            self.sagas.insert(row.id, Arc::new(row));
        }
        for update in &change.turned {
            if let Some(row) = self.sagas.get_mut(&update.id).map(Arc::make_mut) {
                row.phase = update.phase;
                row.finished_at = update.finished_at;
                row.wake_at = update.wake_at;
                row.error.clone_from(&update.error);
            }
        }
        if !change.parked.is_empty() {
            Arc::make_mut(&mut self.parked).extend(change.parked.iter().cloned());
        }
        for outcome in &change.operations {
            if let Some((_, kept)) =
                Arc::make_mut(&mut self.operations).iter_mut().find(|(_, kept)| kept.id == outcome.id)
            {
                kept.clone_from(outcome);
            }
        }
        for outcome in &change.redriven {
            let redrives = Arc::make_mut(&mut self.redrives);
            if let Some((_, kept)) = redrives.iter_mut().find(|(redrive, _)| redrive.id == outcome.id) {
                *kept = Some(outcome.clone());
            }
        }
    }
}

fn refused(message: &str) -> StoreError {
    StoreError::Refused { sqlstate: "22021".to_owned(), message: message.to_owned() }
}
