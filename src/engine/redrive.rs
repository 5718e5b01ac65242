//! Records that a person sends down the line again: judged like those that are read, but no offset moves. And how a record is put aside,
//! and what it would mean, for those who look before they send.

use std::sync::Arc;

use uuid::Uuid;

use crate::core::{Verdict, limits};
use crate::store::{Catalogue, ParkedMessage};
use crate::wire::{Event, Record, RecordHead};

use super::catalog::Catalog;
use super::route::{Meaning, Start, route, settled};

/// The record as it is put aside. One within the limits is kept whole, so that it can be repaired; of a larger one the beginning.
pub fn put_aside(record: &Record, reason: String) -> ParkedMessage {
    let keep = |bytes: &[u8]| match bytes.len() {
        fits if fits <= limits::VALUE_BYTES => bytes.to_vec(),
        _ => bytes[..limits::PARKED_BYTES].to_vec(),
    };
    ParkedMessage {
        topic: Arc::clone(record.topic()),
        partition: record.partition(),
        offset: record.offset(),
        reason,
        key: record.key().map(keep),
        value: record.value().map(keep),
        headers: record.kept_headers(),
        written_at: record.timestamp(),
        is_whole: record.over_limits().is_none(),
    }
}

/// Reads records by the definitions in force, as an engine does before it looks at any saga.
#[derive(Debug, Default)]
pub struct Reader {
    catalog: Catalog,
}

/// What a record comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// An answer for the saga with this id, to the command with this one.
    Answer {
        /// The saga.
        saga: Uuid,
        /// The command.
        command: Uuid,
    },
    /// Sagas of these definitions with these business keys begin; never empty.
    Starts(Vec<(Arc<str>, Arc<str>)>),
    /// No saga is concerned.
    Settled(Verdict),
}

impl Reader {
    /// By these definitions.
    ///
    /// # Errors
    /// The name of an active definition that this version cannot compile.
    pub fn new(catalogue: &Catalogue) -> Result<Self, String> {
        let mut catalog = Catalog::default();
        catalog.replace(catalogue)?;
        Ok(Self { catalog })
    }

    /// True where a definition reads this topic, for triggers or replies.
    pub fn reads(&self, topic: &str) -> bool {
        self.catalog.is_reply_topic(topic) || !self.catalog.triggered_by(topic).is_empty()
    }

    /// What the record comes to.
    pub fn read(&self, record: &Record) -> Reading {
        let starts = match route(&self.catalog, record, Event::read(record).as_ref()) {
            Meaning::Reply(reply) => {
                return Reading::Answer { saga: reply.saga_id, command: reply.command_id };
            }
            Meaning::Settled(refusal) => return Reading::Settled(refusal.verdict),
            Meaning::Start(starts) => starts,
        };
        let is_malformed = |start: &Start| matches!(start, Start::Refused(why) if why.verdict == Verdict::Malformed);
        let verdict = if starts.iter().any(is_malformed) { Verdict::Malformed } else { Verdict::Ignored };
        let begun = |start| match start {
            Start::Saga { plan, business_key, .. } => Some((Arc::clone(&plan.definition().name), business_key)),
            Start::Refused(_) => None,
        };
        let begun: Vec<_> = starts.into_iter().filter_map(begun).collect();
        if begun.is_empty() { Reading::Settled(verdict) } else { Reading::Starts(begun) }
    }
}

/// What a record that was put aside means by the definitions of now.
pub(super) fn meaning(catalog: &Catalog, message: &ParkedMessage) -> Meaning {
    if !message.is_whole {
        return settled(Verdict::Malformed, "cut", "of a record over the limits only the beginning was kept");
    }
    let (topic, timestamp) = (Arc::clone(&message.topic), message.written_at);
    let head = RecordHead { topic, partition: message.partition, offset: message.offset, timestamp };
    match Record::restore(head, message.key.as_deref(), message.value.as_deref(), &message.headers) {
        Ok(record) => route(catalog, &record, Event::read(&record).as_ref()),
        Err(why) => settled(Verdict::Malformed, "kept", &why),
    }
}
