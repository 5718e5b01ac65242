//! A trigger record: begins a saga, or meets one that is there.

use std::sync::Arc;

use uuid::Uuid;

use super::super::evolve::begin;
use super::super::fact::Fact;
use super::super::input::{Trigger, Verdict};
use super::super::saga::Saga;
use super::super::time::Timestamp;
use super::draft::Draft;
use super::{Decision, Refusal, Rules, advance};

/// Begins the saga `id` (see `core::saga_id`) of this definition at `now`: its steps without predecessors are ready.
pub fn start(rules: Rules<'_>, id: Uuid, business_key: Arc<str>, trigger: Trigger, now: Timestamp) -> Decision {
    let saga = begin(rules.definition, id, Arc::clone(&business_key), trigger.clone(), now);
    let mut draft = Draft::on(rules, saga, now);
    draft.push(Fact::Started { definition: rules.definition.hash, business_key, trigger });
    advance::advance(&mut draft);
    draft.into_decision(None)
}

/// A second trigger with the business key of `saga`: the same data is a duplicate, other data a conflict (CONTRACT.md section 6).
pub(super) fn again(saga: &Saga, trigger: &Trigger) -> Refusal {
    if saga.trigger.data == trigger.data {
        Refusal::new(Verdict::Duplicate, "known-trigger", format!("saga {} was started by the same data", saga.id))
    } else {
        let message = format!("saga {} has this business key and was started by other data", saga.id);
        Refusal::new(Verdict::Conflict, "other-trigger", message)
    }
}
