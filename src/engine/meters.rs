//! What the engine counts (OPERATIONS.md section 13). Counting changes nothing: without a recorder these are no-ops.

use metrics::{counter, gauge, histogram};
use rustc_hash::FxHashMap;

use crate::core::{Fact, Phase, Verdict};
use crate::store::StoreError;

use super::batch::Batch;
use super::judge::Judged;

/// A batch was committed.
pub(super) fn batch(batch: &Batch, judged: &Judged) {
    #[expect(clippy::cast_precision_loss, reason = "a batch holds thousands of records at most")]
    histogram!("sagabus_batch_records").record(batch.records.len() as f64);
    // Counted by hand first: to find a counter by its labels costs more than to decide.
    let mut records: FxHashMap<(&str, Verdict), u64> = FxHashMap::default();
    for (arrived, (verdict, _)) in batch.records.iter().zip(&judged.verdicts) {
        *records.entry((&arrived.partition.0, *verdict)).or_default() += 1;
    }
    for ((topic, verdict), count) in records {
        counter!("sagabus_records_total", "topic" => topic.to_owned(), "end" => verdict.name()).increment(count);
    }
    let mut started: FxHashMap<&str, u64> = FxHashMap::default();
    let mut phases: FxHashMap<(&str, Phase), u64> = FxHashMap::default();
    for work in &judged.works {
        let definition = &*work.plan.definition().name;
        for fact in work.decisions.iter().flat_map(|decision| &decision.facts) {
            if let Fact::Started { .. } = fact {
                *started.entry(definition).or_default() += 1;
            }
            if let Fact::PhaseChanged { phase } = fact
                && (phase.is_final() || *phase == Phase::Stuck)
            {
                *phases.entry((definition, *phase)).or_default() += 1;
            }
        }
    }
    for (definition, count) in started {
        counter!("sagabus_sagas_started_total", "definition" => definition.to_owned()).increment(count);
    }
    for ((definition, phase), count) in phases {
        let name = if phase.is_final() { "sagabus_sagas_finished_total" } else { "sagabus_sagas_stuck_total" };
        counter!(name, "definition" => definition.to_owned(), "outcome" => phase.name()).increment(count);
    }
}

/// Figures of the moment.
#[expect(clippy::cast_precision_loss, reason = "gauges are doubles")]
pub(super) fn engine(cached: usize, unemitted: usize, give_ups_waiting: usize) {
    gauge!("sagabus_sagas_cached").set(cached as f64);
    gauge!("sagabus_unemitted_batches").set(unemitted as f64);
    gauge!("sagabus_give_ups_waiting_partitions").set(give_ups_waiting as f64);
}

/// What people hold, as the engine decides by it from now on.
#[expect(clippy::cast_precision_loss, reason = "gauges are doubles")]
pub(super) fn holds(count: usize) {
    gauge!("sagabus_holds").set(count as f64);
}

/// The engine began anew.
pub(super) fn restarted(error: &StoreError) {
    if matches!(error, StoreError::Fenced) {
        counter!("sagabus_writer_fenced_total").increment(1);
    }
    counter!("sagabus_engine_restarts_total").increment(1);
}

/// The engine crashed, and begins anew.
pub(super) fn crashed() {
    counter!("sagabus_engine_crashes_total").increment(1);
}

/// Another engine had moved an offset.
pub(super) fn sought() {
    counter!("sagabus_offset_conflicts_total").increment(1);
}

/// A dead writer was taken over.
pub(super) fn took_over(batches: usize) {
    counter!("sagabus_takeovers_total").increment(1);
    counter!("sagabus_taken_over_batches_total").increment(u64::try_from(batches).unwrap_or(u64::MAX));
}

/// Commands of a dead writer were sent again.
pub(super) fn sent_again(commands: usize) {
    counter!("sagabus_commands_sent_again_total").increment(u64::try_from(commands).unwrap_or(u64::MAX));
}
