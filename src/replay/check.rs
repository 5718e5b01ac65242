//! One saga as the online checks look at it: its journal against its row, the order of its undos, and what contradicts itself.

use crate::core::{Definition, Fact, Saga, Timestamp, Transition, fold, next_due};
use crate::store::{LEASE_MS, SagaRow};

use super::{order, verify};

/// What was found of one saga, for people; all empty when all is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The fold of the journal is not what the row says, or the journal does not fold.
    pub differences: Vec<String>,
    /// Undos that began before those of the steps that depend on theirs.
    pub out_of_order: Vec<String>,
    /// Participants contradicted themselves, and no person has acted since.
    pub contradictions: Vec<String>,
}

/// Looks at one saga: its row and its journal as of one moment, not later than `now` by the database's clock.
pub fn check(definition: &Definition, row: &SagaRow, journal: &[Transition], now: Timestamp) -> Findings {
    let saga = match fold(definition, row.id, journal) {
        Ok(saga) => saga,
        Err(error) => return Findings { differences: vec![error.to_string()], ..Findings::default() },
    };
    let mut differences = verify::differences(definition, row, &saga);
    differences.extend(wake_up(definition, &saga, row, now));
    Findings {
        differences,
        out_of_order: order::violations(definition, row.id, journal),
        contradictions: contradictions(definition, journal),
    }
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

/// Answers that contradict earlier ones, as long as nobody has acted on the saga since. (A saga that had ended was not even blocked.)
fn contradictions(definition: &Definition, journal: &[Transition]) -> Vec<String> {
    let mut found = Vec::new();
    for (place, row) in journal.iter().enumerate() {
        for fact in &row.facts {
            if let Fact::Operated { .. } = fact {
                found.clear();
            } else if let Fact::Conflicted { step, action, attempt, .. } = fact {
                let (row, name) = (place + 1, &definition.step(*step).name);
                found.push(format!(
                    "row {row}: {} {name}, attempt {attempt}: its participant contradicts itself, and nobody has acted since",
                    action.name()
                ));
            }
        }
    }
    found
}
