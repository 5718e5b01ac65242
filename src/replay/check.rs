//! One saga as the online checks look at it: its journal against its row, the order of its undos, and what contradicts itself.

use crate::core::{BlockKind, Definition, Phase, Saga, Timestamp, Transition, fold, next_due};
use crate::store::{LEASE_MS, SagaRow};

use super::{order, verify};

/// What was found of one saga, for people; all empty when all is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The fold of the journal is not what the row says, or the journal does not fold.
    pub differences: Vec<String>,
    /// Undos that began before those of the steps that depend on theirs.
    pub out_of_order: Vec<String>,
    /// Participants contradicted themselves, and no person has found out what is true.
    pub contradictions: Vec<String>,
}

/// Looks at one saga: its row and its journal as of one moment, not later than `now` by the database's clock.
pub fn check(definition: &Definition, row: &SagaRow, journal: &[Transition], now: Timestamp) -> Findings {
    let mut findings = Findings {
        differences: verify(definition, row, journal),
        out_of_order: order::violations(definition, row.id, journal),
        contradictions: Vec::new(),
    };
    if let Ok(saga) = fold(definition, row.id, journal) {
        findings.differences.extend(wake_up(definition, &saga, row, now));
        findings.contradictions = contradictions(definition, &saga);
    }
    findings
}

/// The row says when to look at the saga, at the latest: not later than its journal wants, but for the lease of a claim.
fn wake_up(definition: &Definition, saga: &Saga, row: &SagaRow, now: Timestamp) -> Option<String> {
    let due = next_due(definition, saga)?;
    match row.wake_at {
        None => Some(format!("wake-up: the journal wants one at {due}, the row has none")),
        Some(at) if at > due && at > now.plus_millis(LEASE_MS) => {
            Some(format!("wake-up: the journal wants one at {due}, the row at {at}"))
        }
        Some(_) => None,
    }
}

/// An abandoned saga was decided about as it stood.
fn contradictions(definition: &Definition, saga: &Saga) -> Vec<String> {
    let blocks = saga.blocks.iter().filter(|block| block.kind == BlockKind::Conflict && saga.phase != Phase::Abandoned);
    blocks
        .map(|block| {
            let (action, name) = (block.action.name(), &definition.step(block.step).name);
            format!("{action} {name}: {} while {}: what is true has to be found out", block.code, saga.phase)
        })
        .collect()
}
