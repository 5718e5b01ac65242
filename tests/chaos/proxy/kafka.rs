//! Kafka's frames: a length, then a request (kind, version, correlation) or an answer (correlation).

use std::collections::HashMap;

use super::{Direction, Point, Side};

const PRODUCE: i16 = 0;
const OFFSET_COMMIT: i16 = 8;
const HEARTBEAT: i16 = 12;

#[derive(Debug, Default)]
pub(super) struct Session {
    under_way: HashMap<i32, Request>,
    /// What was answered last.
    answered: Option<Request>,
    is_producers: bool,
}

/// A request's kind and version.
type Request = (i16, i16);

/// Requests that a client of ours sends.
fn name(kind: i16) -> Option<&'static str> {
    Some(match kind {
        PRODUCE => "produce",
        1 => "fetch",
        2 => "list_offsets",
        3 => "metadata",
        OFFSET_COMMIT => "offset_commit",
        9 => "offset_fetch",
        10 => "find_coordinator",
        11 => "join_group",
        HEARTBEAT => "heartbeat",
        13 => "leave_group",
        14 => "sync_group",
        18 => "api_versions",
        22 => "init_producer_id",
        32 => "describe_configs",
        _ => return None,
    })
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    Some(4 + usize::try_from(u32::from_be_bytes(number(bytes, 0)?)).ok()?)
}

impl Session {
    pub(super) fn point(&mut self, direction: Direction, frame: &[u8]) -> Option<Point> {
        if direction == Direction::Down {
            self.answered = self.under_way.remove(&i32::from_be_bytes(number(frame, 4)?));
            return Some((name(self.answered?.0)?.to_owned(), Side::After));
        }
        let kind = i16::from_be_bytes(number(frame, 4)?);
        let version = i16::from_be_bytes(number(frame, 6)?);
        self.is_producers |= kind == PRODUCE;
        self.under_way.insert(i32::from_be_bytes(number(frame, 8)?), (kind, version));
        Some((name(kind)?.to_owned(), Side::Before))
    }

    /// Whether records are sent on this connection.
    pub(super) fn is_producers(&self) -> bool {
        self.is_producers
    }

    /// Makes the answer that was looked at last say this error: as a whole, or of its first partition. Behind length and correlation
    /// stand tags, where the version has them, and a number of milliseconds, where the client is to wait.
    pub(super) fn answer(&self, frame: &mut [u8], code: i16) {
        let at = match self.answered {
            Some((HEARTBEAT, 1..=3)) => 12,
            Some((PRODUCE, 9..)) => first_partition(frame, 9) + 4,
            Some((OFFSET_COMMIT, 8..)) => first_partition(frame, 13) + 4,
            other => panic!("where an answer to {other:?} tells an error is not known here"),
        };
        frame[at..at + 2].copy_from_slice(&code.to_be_bytes());
    }
}

/// A variable length number, and the place behind it.
fn variable(frame: &[u8], mut at: usize) -> (usize, usize) {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = frame[at];
        at += 1;
        value |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return (value, at);
        }
    }
}

/// Where the first partition of the first topic stands in a list of topics: behind their number, a topic's name, the number of its
/// partitions.
fn first_partition(frame: &[u8], topics: usize) -> usize {
    let (number, at) = variable(frame, topics);
    assert!(number > 1, "an answer about partitions names a topic");
    let (name, at) = variable(frame, at);
    variable(frame, at + name - 1).1
}
