//! A judged batch becomes the change that one statement writes, and the records to send once it is written.

use std::sync::Arc;

use uuid::Uuid;

use crate::core::{Differs, Effect, Fact, Input, Saga, Timestamp, Transition, effects, limits, next_due};
use crate::store::{Change, JournalRow, SagaRow, SagaUpdate, wakes_at_release};

use super::batch::Batch;
use super::cache::Row;
use super::judge::{Judged, Work};
use super::positions::{Moves, Positions};
use super::redrive::put_aside;

/// What to send for one journal row.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) saga_id: Uuid,
    pub(super) seq: u32,
    pub(super) effect: Effect,
}

/// A change, and what follows when it is written.
#[derive(Debug, Default)]
pub(super) struct Drafted {
    pub(super) change: Change,
    pub(super) sending: Vec<Sending>,
    /// The row of each touched saga as it will stand, and when the saga wants to be looked at.
    pub(super) rows: Vec<(Row, Option<Timestamp>)>,
    /// Commands that render differently from what their journal says: inputs of the next batch.
    pub(super) differing: Vec<(Uuid, Input)>,
}

/// The change that `judged` asks for. Generation and acknowledgements are the caller's.
pub(super) fn draft(batch: &Batch, judged: &Judged, positions: &Positions) -> Drafted {
    let mut drafted = Drafted::default();
    drafted.change.now = if defect!("timer ahead of the database's clock") { Timestamp::ZERO } else { batch.now };
    for work in &judged.works {
        journal(&mut drafted, work);
        if may_be_removed(work, batch.now) {
            drafted.change.aged.push(work.id);
        }
        let due = next_due(work.plan.definition(), work.saga());
        let row = saga_row(&mut drafted.change, work, batch.generation, due);
        drafted.rows.push((row, due));
    }
    let mut moves = Moves::default();
    for (arrived, (verdict, refusal)) in batch.records.iter().zip(&judged.verdicts) {
        let from = positions.next(&arrived.partition).unwrap_or(arrived.record.offset());
        moves.record(&arrived.partition, from, arrived.record.offset(), *verdict);
        let is_parked = arrived.meaning.is_parked(*verdict) && !defect!("parked record dropped");
        if let (true, Some(refusal)) = (is_parked, refusal) {
            drafted.change.parked.push(put_aside(&arrived.record, refusal.to_string()));
        }
    }
    for empty in &batch.ends {
        moves.end(&empty.partition, empty.from, empty.end);
    }
    drafted.change.partitions = moves.into_advances();
    drafted.change.redriven.clone_from(&judged.redriven);
    drafted.change.operations = judged.operations.iter().chain(&batch.refused).cloned().collect();
    drafted
}

fn journal(drafted: &mut Drafted, work: &Work) {
    let saga = work.saga();
    for decision in work.decisions.iter().filter(|decision| !decision.facts.is_empty()) {
        let seq = decision.saga.seq;
        let facts = Transition::encode_parts(decision.now, &decision.facts);
        drafted.change.journal.push(JournalRow { saga_id: work.id, seq, facts });
        let found = effects(work.plan.rules(), saga, seq, decision.now, &decision.facts, &decision.rendered);
        if found.iter().any(Result::is_ok) && !defect!("unemitted batch not noted") {
            drafted.change.emitting.push((work.id, seq));
        }
        for effect in found {
            match effect {
                Ok(effect) => drafted.sending.push(Sending { saga_id: work.id, seq, effect }),
                Err(differs) => drafted.differing.push((work.id, differing(differs))),
            }
        }
    }
}

/// True for a saga that was read and goes on although it is as old as those that are removed: it may not be there any more, and its journal
/// neither, so that nothing would collide.
fn may_be_removed(work: &Work, now: Timestamp) -> bool {
    work.row.is_some() && work.saga().started_at.plus_millis(limits::AGED_MS) <= now && writes_journal(work)
}

fn writes_journal(work: &Work) -> bool {
    work.decisions.iter().any(|decision| !decision.facts.is_empty())
}

/// The input that a differing rendering is for its saga.
pub(super) fn differing(differs: Differs) -> Input {
    let Differs { step, action, attempt, message } = differs;
    Input::Undeliverable { step, action, attempt, code: Arc::from("saga.rendering"), message }
}

/// The small row: inserted at the start; written again only when the phase changes, or the wake-up must come earlier, or it is
/// over and a row of the journal lets it move. What waits for nothing but a release wakes up then.
fn saga_row(change: &mut Change, work: &Work, generation: i64, due: Option<Timestamp>) -> Row {
    let saga = work.saga();
    let at_release = saga.waits_for_release().then(|| wakes_at_release(generation));
    let due = due.or(at_release);
    let now = work.decisions.last().map_or(Timestamp::ZERO, |decision| decision.now);
    let due = due.filter(|_| !defect!("no wake-up written"));
    let wanted = Row { phase: saga.phase, wake_at: due, error: saga.error.clone() };
    let Some(row) = &work.row else {
        change.born.push(born(work, saga, &wanted));
        change.traces.extend(saga.trigger.trace_id().map(|trace| (trace, work.id)));
        return wanted;
    };
    let comes_earlier = match (wanted.wake_at, row.wake_at) {
        (Some(wanted), Some(kept)) => wanted < kept,
        (Some(_), None) => true,
        (None, _) => false,
    };
    let is_over = row.wake_at.is_some_and(|at| at <= now || at >= wakes_at_release(0)) || rearmed(work);
    let changed = wanted.phase != row.phase || wanted.error != row.error;
    if !writes_journal(work) || !(changed || comes_earlier || is_over) {
        return row.clone();
    }
    change.turned.push(SagaUpdate {
        id: work.id,
        phase: wanted.phase,
        finished_at: saga.finished_at,
        wake_at: wanted.wake_at,
        error: error_text(saga),
    });
    wanted
}

fn rearmed(work: &Work) -> bool {
    work.decisions.iter().flat_map(|decision| &decision.facts).any(|fact| matches!(fact, Fact::Rearmed { .. }))
}

fn born(work: &Work, saga: &Saga, row: &Row) -> SagaRow {
    SagaRow {
        id: work.id,
        definition_hash: saga.definition,
        definition_name: Arc::clone(&work.plan.definition().name),
        business_key: Arc::clone(&saga.business_key),
        phase: row.phase,
        started_at: saga.started_at,
        finished_at: saga.finished_at,
        wake_at: row.wake_at,
        error: error_text(saga),
    }
}

fn error_text(saga: &Saga) -> Option<String> {
    saga.error.as_ref().map(|error| serde_json::to_string(error).expect("an error is plain data"))
}
