//! A journal as it may lie in a damaged database: read and folded to a saga of which every question can be asked, or refused. As JSON, which
//! the fuzzer knows how to damage in sensible ways, and as the bytes that are stored.

use std::collections::HashSet;

use sagabus::core::{
    Definition, Fact, Input, Saga, Timestamp, Transition, decide, effects, fold, next_due, outstanding, ready, saga_id,
    step_state_name,
};
use sagabus::definition::Compiled;
use sagabus::replay;

use super::examples::examples;

/// Tries a journal, a row a line. It is taken for a journal of each example: the hash in its first row is made to fit.
pub fn journals(bytes: &[u8]) {
    if let Ok(row) = Transition::decode(bytes) {
        assert_eq!(Transition::decode(&row.encode()).as_ref().ok(), Some(&row));
    }
    let rows = bytes.split(|byte| *byte == b'\n').filter(|row| !row.is_empty());
    let Ok(journal) = rows.map(serde_json::from_slice::<Transition>).collect::<Result<Vec<_>, _>>() else { return };
    for row in &journal {
        let stored = row.encode();
        assert_eq!(Transition::decode(&stored).as_ref().ok(), Some(row), "what was written is read");
        damaged(&stored);
    }
    for plan in examples().iter() {
        let mut journal = journal.clone();
        if let Some(Fact::Started { definition, .. }) = journal.first_mut().and_then(|row| row.facts.first_mut()) {
            *definition = plan.definition().hash;
        }
        folded(plan, &journal);
    }
}

/// A row with one bit turned over is refused, or read as another row.
fn damaged(stored: &[u8]) {
    for place in 0..stored.len().min(64) {
        let mut bytes = stored.to_vec();
        bytes[place] ^= 1 << (place % 8);
        if let Ok(row) = Transition::decode(&bytes) {
            assert_eq!(Transition::decode(&row.encode()).as_ref().ok(), Some(&row));
        }
    }
}

fn folded(plan: &Compiled, journal: &[Transition]) {
    let definition = plan.definition();
    let id = saga_id(&definition.name, "k", Timestamp::from_millis(1_700_000_000_000));
    // Whatever is decided again, a damaged journal is reported.
    let _ = replay::run(plan, id, journal);
    let _ = replay::run_with(plan, plan, id, journal);
    let saga = match fold(definition, id, journal) {
        Ok(saga) => saga,
        Err(error) => {
            assert!(!error.message.is_empty());
            return;
        }
    };
    assert_eq!(fold(definition, id, journal).as_ref(), Ok(&saga), "the same journal is the same saga");
    assert_eq!(usize::try_from(saga.seq), Ok(journal.len()));
    assert_eq!(saga.steps.len(), definition.steps.len());
    asked(definition, &saga);
    sent_again(plan, &saga, journal);
    woken(plan, &saga);
}

fn asked(definition: &Definition, saga: &Saga) {
    let due: Vec<_> = ready(saga).collect();
    assert_eq!(due.iter().collect::<HashSet<_>>().len(), due.len(), "a command is ready once");
    let out: Vec<_> = outstanding(saga).collect();
    assert_eq!(out.iter().collect::<HashSet<_>>().len(), out.len(), "a command is outstanding once");
    let _ = next_due(definition, saga);
    for state in &saga.steps {
        assert!(!step_state_name(state).name().is_empty());
    }
}

/// A takeover sends the effects of any row again, once or twice: they are the same records.
fn sent_again(plan: &Compiled, saga: &Saga, journal: &[Transition]) {
    for (row, seq) in journal.iter().zip(1..) {
        let once = effects(plan.rules(), saga, seq, row.now, &row.facts, &[]);
        assert_eq!(effects(plan.rules(), saga, seq, row.now, &row.facts, &[]), once);
    }
}

/// An engine that takes the saga up decides something, or nothing; it does not end.
fn woken(plan: &Compiled, saga: &Saga) {
    for now in [Timestamp::ZERO, Timestamp::from_millis(1_700_000_100_000), Timestamp::from_micros(i64::MAX)] {
        let input = Input::Timer { replies_read_until: now, acknowledged: true };
        let decision = decide(plan.rules(), saga, &input, now);
        assert_eq!(decision, decide(plan.rules(), saga, &input, now), "the same decision made twice is the same");
    }
}
