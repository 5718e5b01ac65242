//! A consumed record, owned: what the consumer's thread hands over. One buffer holds key, value and headers.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::core::{Timestamp, limits};

/// A consumed record. Headers over the limits are left out and `is_over_limits` says so, so that a hostile record costs no more
/// than an honest one.
#[derive(Clone, Debug)]
pub struct Record {
    head: RecordHead,
    bytes: Box<[u8]>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Vec<HeaderRange>,
    over_limits: Option<&'static str>,
}

/// Where and when a record was written.
#[derive(Clone, Debug)]
pub struct RecordHead {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The record's timestamp; `Timestamp::ZERO` when it has none.
    pub timestamp: Timestamp,
}

/// A header as it is kept: its name, and its value if it has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptHeader(pub String, pub Option<KeptValue>);

/// A header's value: text where it is text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KeptValue {
    /// As it is.
    Text(String),
    /// Bytes that are no text.
    Bytes {
        /// Their digits.
        hex: String,
    },
}

impl fmt::Display for KeptValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Bytes { hex } => write!(f, "0x{hex}"),
        }
    }
}

impl KeptValue {
    fn of(value: &[u8]) -> Self {
        match std::str::from_utf8(value) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes { hex: value.iter().map(|byte| format!("{byte:02x}")).collect() },
        }
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::Bytes { hex } => {
                let mut bytes = vec![0; hex.len() / 2];
                const_hex::decode_to_slice(hex, &mut bytes).map_err(|error| error.to_string())?;
                Ok(bytes)
            }
        }
    }
}

#[derive(Clone, Debug)]
struct HeaderRange {
    name: Range<usize>,
    value: Option<Range<usize>>,
}

impl Record {
    /// Copies a record. A value over the limit is cut to the part that is kept of it.
    pub fn new<'a>(
        head: RecordHead,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>,
    ) -> Self {
        let mut over_limits = None;
        let mut bytes = Vec::with_capacity(
            key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len).min(limits::VALUE_BYTES) + 512,
        );
        let mut keep = |part: &[u8]| {
            let start = bytes.len();
            bytes.extend_from_slice(part);
            start..bytes.len()
        };
        let mut cut = |part: Option<&'_ [u8]>, most: usize, what: &'static str| {
            let whole = part?;
            if whole.len() > most {
                over_limits = Some(what);
                return Some(keep(&whole[..limits::PARKED_BYTES.min(most)]));
            }
            Some(keep(whole))
        };
        let key = cut(key, limits::KEY_BYTES, "the key is too long");
        let value = cut(value, limits::VALUE_BYTES, "the value is too long");
        let mut ranges = Vec::with_capacity(16);
        let mut header_bytes = 0;
        for (name, value) in headers {
            header_bytes += name.len() + value.map_or(0, <[u8]>::len);
            if ranges.len() == limits::HEADERS || header_bytes > limits::HEADER_BYTES {
                over_limits = Some("too many or too long headers");
                break;
            }
            ranges.push(HeaderRange { name: keep(name.as_bytes()), value: value.map(&mut keep) });
        }
        Self { head, bytes: bytes.into_boxed_slice(), key, value, headers: ranges, over_limits }
    }

    /// A record whose headers could not even be read.
    pub fn unreadable(head: RecordHead, key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        let over_limits = Some("a header whose name is not text");
        Self { over_limits, ..Self::new(head, key, value, std::iter::empty()) }
    }

    /// Bytes that its parts take in memory, about.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.headers.len() * size_of::<HeaderRange>() + size_of::<Self>()
    }

    /// The topic.
    pub fn topic(&self) -> &Arc<str> {
        &self.head.topic
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.head.partition
    }

    /// The offset.
    pub fn offset(&self) -> i64 {
        self.head.offset
    }

    /// The record's timestamp.
    pub fn timestamp(&self) -> Timestamp {
        self.head.timestamp
    }

    /// The key's bytes.
    pub fn key(&self) -> Option<&[u8]> {
        self.key.clone().map(|range| &self.bytes[range])
    }

    /// The value's bytes; its beginning when the record is over the limits.
    pub fn value(&self) -> Option<&[u8]> {
        self.value.clone().map(|range| &self.bytes[range])
    }

    /// Names and values of the headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.headers.iter().map(|header| {
            let name = std::str::from_utf8(&self.bytes[header.name.clone()]).expect("it was a str when it was copied");
            (name, header.value.clone().map(|range| &self.bytes[range]))
        })
    }

    /// Which limit the record exceeds, if it does.
    pub fn over_limits(&self) -> Option<&'static str> {
        self.over_limits
    }

    /// The headers as they are kept with a record that is put aside: a JSON array of `[name, value]`, see `KeptHeader`.
    pub fn kept_headers(&self) -> String {
        let kept = self.headers().map(|(name, value)| KeptHeader(name.to_owned(), value.map(KeptValue::of)));
        serde_json::to_string(&kept.collect::<Vec<_>>()).expect("names and values are text")
    }

    /// The record that was put aside with these headers.
    ///
    /// # Errors
    /// The headers are not what `kept_headers` writes.
    pub fn restore(head: RecordHead, key: Option<&[u8]>, value: Option<&[u8]>, headers: &str) -> Result<Self, String> {
        let kept: Vec<KeptHeader> = serde_json::from_str(headers).map_err(|error| format!("its headers: {error}"))?;
        let bytes = |KeptHeader(name, value): &KeptHeader| {
            Ok((name.clone(), value.as_ref().map(KeptValue::bytes).transpose()?))
        };
        let bytes: Vec<(String, Option<Vec<u8>>)> = kept.iter().map(bytes).collect::<Result<_, String>>()?;
        Ok(Self::new(head, key, value, bytes.iter().map(|(name, value)| (&**name, value.as_deref()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> RecordHead {
        RecordHead { topic: Arc::from("t"), partition: 0, offset: 7, timestamp: Timestamp::ZERO }
    }

    #[test]
    fn key_value_and_headers_come_back_as_they_were() {
        let headers = [("ce_id", Some(&b"1"[..])), ("empty", None)];
        let record = Record::new(head(), Some(b"k"), Some(b"{}"), headers.into_iter());
        assert_eq!((record.key(), record.value()), (Some(&b"k"[..]), Some(&b"{}"[..])));
        assert_eq!(record.headers().collect::<Vec<_>>(), headers);
        assert_eq!(record.over_limits(), None);
    }

    #[test]
    fn a_record_that_was_put_aside_comes_back_as_it_was() {
        let headers =
            [("ce_id", Some(&b"1: 2"[..])), ("a: \n", Some(&b""[..])), ("none", None), ("raw", Some(&[0, 255]))];
        let record = Record::new(head(), Some(b"k"), None, headers.into_iter());
        let restored =
            Record::restore(head(), record.key(), record.value(), &record.kept_headers()).expect("it is ours");
        assert_eq!(restored.headers().collect::<Vec<_>>(), headers);
        assert_eq!((restored.key(), restored.value()), (record.key(), None));
        assert!(Record::restore(head(), None, None, "ce_id: 1\n").is_err());
    }

    #[test]
    fn ten_thousand_headers_cost_no_more_than_the_limit() {
        let headers = (0..10_000).map(|_| ("x", Some(&b"y"[..])));
        let record = Record::new(head(), None, None, headers);
        assert_eq!(record.headers().count(), limits::HEADERS);
        assert!(record.over_limits().is_some());
    }

    #[test]
    fn of_a_value_over_the_limit_the_beginning_is_kept() {
        let value = vec![b'x'; limits::VALUE_BYTES + 1];
        let record = Record::new(head(), None, Some(&value), std::iter::empty());
        assert_eq!(record.value().map(<[u8]>::len), Some(limits::PARKED_BYTES));
        assert!(record.over_limits().is_some());
    }
}
