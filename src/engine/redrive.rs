//! Records that a person sends down the line again: judged like those that are read, but no offset moves.

use std::sync::Arc;

use crate::core::{Refusal, Verdict};
use crate::store::{ParkedMessage, PendingRedrive};
use crate::wire::{Event, Record, RecordHead};

use super::batch::Redriven;
use super::catalog::Catalog;
use super::route::{Meaning, route};

/// The record that was put aside, and what it means now.
pub(super) fn redriven(catalog: &Catalog, pending: PendingRedrive) -> Redriven {
    let meaning = meaning(catalog, &pending.message);
    Redriven { pending, meaning }
}

/// What a record that was put aside means by the definitions of now.
pub(super) fn meaning(catalog: &Catalog, message: &ParkedMessage) -> Meaning {
    if !message.is_whole {
        return malformed("cut", "of a record over the limits only the beginning was kept".to_owned());
    }
    let (topic, timestamp) = (Arc::clone(&message.topic), message.written_at);
    let head = RecordHead { topic, partition: message.partition, offset: message.offset, timestamp };
    match Record::restore(head, message.key.as_deref(), message.value.as_deref(), &message.headers) {
        Ok(record) => route(catalog, &record, Event::read(&record).as_ref()),
        Err(why) => malformed("kept", why),
    }
}

fn malformed(code: &'static str, message: String) -> Meaning {
    Meaning::Settled(Refusal { verdict: Verdict::Malformed, code, message, can: Vec::new() })
}
