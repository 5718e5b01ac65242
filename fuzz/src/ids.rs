//! Names and numbers: ids of sagas and commands, digests, moments, lengths of time, foreign JSON.

use sagabus::core::{
    Action, Jitter, Json, Phase, RetryPolicy, Sha256, StepIx, Target, Timestamp, announcement_id, command_id,
    command_named, limits, saga_id,
};
use sagabus::definition::parse_duration;
use serde_json::Value;
use uuid::{Uuid, Variant};

/// Tries bytes as each of these. As parts of a saga's id: the first 8 bytes are its moment, the rest name and key with a NUL between.
pub fn ids(bytes: &[u8]) {
    let (head, rest) = bytes.split_first_chunk::<8>().unwrap_or((&[0; 8], bytes));
    let number = u64::from_be_bytes(*head);
    let text = String::from_utf8_lossy(rest);
    let (name, key) = text.split_once('\0').unwrap_or((&text, ""));
    let moment = Timestamp::from_micros(number.cast_signed());
    let saga = saga_of(name, key, moment);
    commands(saga, head);
    shown(moment);
    delays(number, rest);
    words(&text);
    foreign(bytes);
}

fn saga_of(name: &str, key: &str, moment: Timestamp) -> Uuid {
    let id = saga_id(name, key, moment);
    assert_eq!((id.get_version_num(), id.get_variant()), (7, Variant::RFC4122), "the layout of version 7");
    assert_eq!(id, saga_id(name, key, moment), "derived, not minted");
    let millis = id.as_u128() >> 80;
    let latest = (1_u128 << 48) - 1;
    assert_eq!(millis, u128::try_from(moment.micros() / 1_000).unwrap_or(0).min(latest), "ordered by time");
    assert_ne!(id, saga_id(name, &format!("{key}x"), moment), "another key is another saga");
    assert_eq!(Uuid::try_parse(&id.to_string()), Ok(id));
    id
}

fn commands(saga: Uuid, head: &[u8; 8]) {
    let [a, b, c, d, ..] = *head;
    let (step, attempt) = (StepIx(u16::from_be_bytes([a, b])), u16::from_be_bytes([c, d]));
    let id = command_id(saga, step, Action::Do, attempt);
    assert_eq!((id.get_version_num(), id.get_variant()), (8, Variant::RFC4122));
    assert_eq!(command_named(saga, id), Some(Target { step, action: Action::Do, attempt }), "an id says what it names");
    assert_eq!(command_named(saga, saga), None);
    let others = [
        command_id(saga, step, Action::Undo, attempt),
        command_id(saga, step, Action::Do, attempt.wrapping_add(1)),
        command_id(saga, StepIx(step.0.wrapping_add(1)), Action::Do, attempt),
        announcement_id(saga, u32::from(attempt)),
    ];
    assert!(!others.contains(&id), "every command has an id of its own");
}

/// RFC 3339 where there is such a text, else the bare number: readers of `ce_time` and `ce_expirytime` parse the one or see the other.
fn shown(moment: Timestamp) {
    let shown = moment.to_string();
    match chrono::DateTime::parse_from_rfc3339(&shown) {
        Ok(read) => assert_eq!(read.timestamp_millis(), moment.micros().div_euclid(1_000), "{shown}"),
        Err(_) => assert_eq!(shown.parse(), Ok(moment.micros()), "neither RFC 3339 nor a number"),
    }
    assert!(moment.plus_millis(u64::MAX) >= moment);
    assert_eq!(moment.millis_since(moment), 0);
}

fn delays(number: u64, seed: &[u8]) {
    let [a, b, c, d, e, f, ..] = number.to_be_bytes();
    let small = |high: u8, low: u8| u64::from(u16::from_be_bytes([high, low]));
    for jitter in [Jitter::Full, Jitter::None] {
        let policy = RetryPolicy {
            maximum_attempts: 1,
            initial_interval_ms: number,
            backoff_coefficient_milli: 1_000 + small(c, d),
            maximum_interval_ms: number.rotate_left(32),
            jitter,
        };
        let failures = u16::from_be_bytes([e, f]);
        let delay = policy.delay_ms(failures, seed);
        assert!(delay <= policy.maximum_interval_ms, "a delay never exceeds its maximum");
        assert_eq!(delay, policy.delay_ms(failures, seed), "the same each time it is asked for");
        if jitter == Jitter::None {
            assert!(policy.delay_ms(failures.saturating_add(u16::from(a ^ b)), seed) >= delay, "delays do not shrink");
        }
    }
}

fn words(text: &str) {
    if let Some(digest) = Sha256::parse(text) {
        assert_eq!(digest.to_string(), text.to_ascii_lowercase(), "64 hexadecimal digits and nothing else");
    }
    let digest = Sha256::of(text.as_bytes());
    assert_eq!(Sha256::parse(&digest.to_string()), Some(digest));
    if let Some(phase) = Phase::parse(text) {
        assert_eq!((phase.name(), Phase::from_number(phase.number())), (text, Some(phase)));
    }
    if let Some(millis) = parse_duration(text) {
        let again = parse_duration(&format!("{millis}ms"));
        assert_eq!(again, Some(millis), "a length of time is a number of milliseconds");
    }
}

/// Foreign JSON that is accepted is JSON, and a tree of it is bounded.
fn foreign(bytes: &[u8]) {
    let json = Json::parse(bytes);
    let Ok(accepted) = Json::foreign(bytes) else { return };
    assert_eq!(json.ok().as_ref(), Some(&accepted));
    // A number that no double holds passes, and is refused by who reads it.
    let Ok(tree) = serde_json::from_str::<Value>(accepted.get()) else { return };
    let (mut nodes, mut left) = (0, vec![(&tree, 0)]);
    while let Some((value, depth)) = left.pop() {
        nodes += 1;
        match value {
            Value::Array(items) => left.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(members) => left.extend(members.values().map(|member| (member, depth + 1))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        assert!(depth <= limits::JSON_DEPTH && nodes <= limits::JSON_NODES);
    }
}
