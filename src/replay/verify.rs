//! A journal against the row that says where its saga stands.

use crate::core::{Definition, Saga, Transition, fold, saga_id};
use crate::store::SagaRow;

/// What is different between the fold of the journal and the stored row; empty when nothing is.
pub fn verify(definition: &Definition, row: &SagaRow, journal: &[Transition]) -> Vec<String> {
    match fold(definition, row.id, journal) {
        Ok(saga) => differences(definition, row, &saga),
        Err(error) => vec![error.to_string()],
    }
}

/// What is different between a journal's fold and the row.
pub(super) fn differences(definition: &Definition, row: &SagaRow, saga: &Saga) -> Vec<String> {
    let mut found = Vec::new();
    if definition.name != row.definition_name {
        found.push("definition: the row names another one than it is pinned to".to_owned());
    }
    if saga_id(&definition.name, &saga.business_key, saga.trigger.timestamp) != row.id {
        found.push("id: the journal derives another one".to_owned());
    }
    if saga.phase != row.phase {
        found.push(format!("phase: the journal says {}, the row {}", saga.phase, row.phase));
    }
    if saga.business_key != row.business_key {
        found.push("business key: the journal says another one than the row".to_owned());
    }
    if saga.finished_at != row.finished_at {
        found.push("finished at: the journal says another moment than the row".to_owned());
    }
    let error = row.error.as_deref().and_then(|text| serde_json::from_str(text).ok());
    if saga.error != error {
        found.push("error: the journal says another one than the row".to_owned());
    }
    found
}
