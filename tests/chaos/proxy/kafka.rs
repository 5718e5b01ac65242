//! Kafka's frames: a length, then a request (kind, version, correlation) or an answer (correlation).

use std::collections::HashMap;

use super::{Direction, Point, Side};

const PRODUCE: i16 = 0;
/// Produce answers have compact lengths and tags from this version on.
const COMPACT: i16 = 9;

#[derive(Debug, Default)]
pub(super) struct Session {
    under_way: HashMap<i32, i16>,
}

/// Requests that a client of ours sends.
fn name(kind: i16) -> Option<&'static str> {
    Some(match kind {
        PRODUCE => "produce",
        1 => "fetch",
        2 => "list_offsets",
        3 => "metadata",
        8 => "offset_commit",
        9 => "offset_fetch",
        10 => "find_coordinator",
        11 => "join_group",
        12 => "heartbeat",
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
            let kind = self.under_way.remove(&i32::from_be_bytes(number(frame, 4)?))?;
            return Some((name(kind)?.to_owned(), Side::After));
        }
        let kind = i16::from_be_bytes(number(frame, 4)?);
        let version = i16::from_be_bytes(number(frame, 6)?);
        assert!(kind != PRODUCE || version >= COMPACT, "the client speaks produce version {version}");
        self.under_way.insert(i32::from_be_bytes(number(frame, 8)?), kind);
        Some((name(kind)?.to_owned(), Side::Before))
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

/// Makes the first partition of a produce answer say this error. Behind length, correlation and tags stand: the number of topics, a
/// topic's name, the number of its partitions; a partition's number, its error.
pub(super) fn answer_produce(frame: &mut [u8], code: i16) {
    let (topics, at) = variable(frame, 9);
    assert!(topics > 1, "an answer to a produce request names a topic");
    let (name, at) = variable(frame, at);
    let (_, at) = variable(frame, at + name - 1);
    frame[at + 4..at + 6].copy_from_slice(&code.to_be_bytes());
}
