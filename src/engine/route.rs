//! What a record is, before any saga is looked at: a reply, the start of sagas, or settled already (DESIGN.md section 3, last rule).

use std::sync::Arc;

use crate::core::{Refusal, Reply, Trigger, Verdict};
use crate::definition::{Compiled, TriggerMatch};
use crate::wire::{self, Event, Malformed, Record};

use super::catalog::Catalog;

/// What a record means.
#[derive(Debug)]
pub(super) enum Meaning {
    /// An answer for a saga.
    Reply(Reply),
    /// What each matching definition makes of it; never empty.
    Start(Vec<Start>),
    /// No saga is concerned.
    Settled(Refusal),
}

impl Meaning {
    /// True where a record of this meaning and verdict is put aside. What contradicts an answer is a fact of its saga.
    pub(super) fn is_parked(&self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Malformed | Verdict::Orphan => true,
            Verdict::Conflict => matches!(self, Self::Start(_)) && !defect!("conflicting trigger dropped"),
            Verdict::Applied | Verdict::Ignored | Verdict::Duplicate | Verdict::Stale => false,
        }
    }
}

/// What one definition makes of a trigger.
#[derive(Debug)]
pub(super) enum Start {
    /// A saga with this business key.
    Saga { plan: Arc<Compiled>, business_key: Arc<str>, trigger: Trigger },
    /// Its `when` is false, or its data do not fit.
    Refused(Refusal),
}

/// Reads the record by the topic's role.
pub(super) fn route(catalog: &Catalog, record: &Record, event: Result<&Event, &Malformed>) -> Meaning {
    let topic = record.topic();
    let starts = catalog.triggered_by(topic);
    let event = match event {
        Ok(event) => event,
        Err(malformed) => return settled(Verdict::Malformed, malformed.code, &malformed.message),
    };
    let is_reply = catalog.is_reply_topic(topic) && (starts.is_empty() || wire::is_reply(event));
    if is_reply {
        return match wire::reply(record, event) {
            Ok(reply) => Meaning::Reply(reply),
            Err(malformed) => settled(Verdict::Malformed, malformed.code, &malformed.message),
        };
    }
    let matching: Vec<&Arc<Compiled>> =
        starts.iter().filter(|plan| event.kind() == Some(&*plan.definition().trigger_type)).collect();
    if matching.is_empty() {
        return settled(Verdict::Ignored, "other-type", "its type matches no trigger");
    }
    match wire::trigger(record, event) {
        Ok(trigger) => Meaning::Start(matching.into_iter().map(|plan| start(plan, &trigger)).collect()),
        Err(malformed) => settled(Verdict::Malformed, malformed.code, &malformed.message),
    }
}

fn start(plan: &Arc<Compiled>, trigger: &Trigger) -> Start {
    let refused = |verdict, code, message| Start::Refused(Refusal { verdict, code, message, can: Vec::new() });
    match plan.accepts(trigger) {
        Ok(TriggerMatch::Start { business_key }) => {
            Start::Saga { plan: Arc::clone(plan), business_key, trigger: trigger.clone() }
        }
        Ok(TriggerMatch::NotThisOne) => refused(Verdict::Ignored, "when", "its `when` is false".to_owned()),
        Err(message) => refused(Verdict::Malformed, "trigger-data", message),
    }
}

/// A record that concerns no saga.
pub(super) fn settled(verdict: Verdict, code: &'static str, message: &str) -> Meaning {
    Meaning::Settled(Refusal { verdict, code, message: message.to_owned(), can: Vec::new() })
}
