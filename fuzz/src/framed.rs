//! Kafka records as text that people can read and the fuzzer can change.
//!
//! ```text
//! key: order-7                  at most once each, at the top: the key, the timestamp in milliseconds, spaces behind the value
//! timestamp: 1700000000000
//! padding: 2000000
//! ce_id: 1                      headers; a line without ": " is a header without value
//!
//! {"the": "value"}              everything behind the first empty line; without one the record has no value
//! ```

use std::sync::Arc;

use sagabus::core::{Timestamp, limits};
use sagabus::wire::{Outgoing, Record, RecordHead};

/// The parts of a record.
pub(crate) struct Framed<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(&'a str, Option<&'a [u8]>)>,
    timestamp: i64,
}

impl<'a> Framed<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Self {
        let (head, value) = match bytes.windows(2).position(|pair| pair == b"\n\n") {
            Some(at) => (&bytes[..at], Some(&bytes[at + 2..])),
            None => (bytes, None),
        };
        let mut framed = Self { key: None, value: None, headers: Vec::new(), timestamp: 1_700_000_000_000 };
        let mut padding = 0;
        for line in head.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let (name, value) = match line.windows(2).position(|pair| pair == b": ") {
                Some(at) => (&line[..at], Some(&line[at + 2..])),
                None => (line, None),
            };
            let number = || value.and_then(|value| std::str::from_utf8(value).ok()?.parse::<i64>().ok());
            // A record whose header names are not text never gets this far.
            match (std::str::from_utf8(name), framed.headers.is_empty()) {
                (Ok("key"), true) => framed.key = value,
                (Ok("timestamp"), true) => framed.timestamp = number().unwrap_or_default(),
                (Ok("padding"), true) => padding = usize::try_from(number().unwrap_or_default()).unwrap_or_default(),
                (Ok(name), _) => framed.headers.push((name, value)),
                (Err(_), _) => {}
            }
        }
        framed.value = value.map(|value| {
            let mut value = value.to_vec();
            value.resize(value.len() + padding.min(2 * limits::VALUE_BYTES), b' ');
            value
        });
        framed
    }

    pub(crate) fn record(&self) -> Record {
        let timestamp = Timestamp::from_millis(self.timestamp);
        Record::new(head("topic", timestamp), self.key, self.value.as_deref(), self.headers.iter().copied())
    }

    /// Said independently of `Record`: whether any part is over its limit.
    pub(crate) fn is_over_limits(&self) -> bool {
        let of_header = |(name, value): &(&str, Option<&[u8]>)| name.len() + value.map_or(0, <[u8]>::len);
        self.key.is_some_and(|key| key.len() > limits::KEY_BYTES)
            || self.value.as_ref().is_some_and(|value| value.len() > limits::VALUE_BYTES)
            || self.headers.len() > limits::HEADERS
            || self.headers.iter().map(of_header).sum::<usize>() > limits::HEADER_BYTES
    }
}

/// An outgoing record as it is consumed again.
pub(crate) fn consumed(outgoing: &Outgoing) -> Record {
    let headers = outgoing.headers.iter().map(|(name, value)| (name, Some(value.as_bytes())));
    let timestamp = outgoing.timestamp.unwrap_or_default();
    let value = outgoing.value.get().as_bytes();
    Record::new(head(&outgoing.topic, timestamp), Some(outgoing.key.as_bytes()), Some(value), headers)
}

fn head(topic: &str, timestamp: Timestamp) -> RecordHead {
    RecordHead { topic: Arc::from(topic), partition: 0, offset: 7, timestamp }
}
