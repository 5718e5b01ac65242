//! What the headers of a dead letter tell: where it came from, why it was put there, and which command of ours it is. There is no standard;
//! these are the conventions that are met: Spring's (`kafka_dlt-*`, and the older `x-*`), Kafka Connect's (`__connect.errors.*`), our own.

use uuid::Uuid;

use crate::core::Timestamp;

use super::record::Record;

/// What the headers of a dead letter tell, as far as they do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetter {
    /// The topic that it was read from first.
    pub topic: Option<String>,
    /// Its partition there.
    pub partition: Option<i32>,
    /// Its offset there.
    pub offset: Option<i64>,
    /// When it was written there.
    pub written_at: Option<Timestamp>,
    /// Why it was put aside, for people.
    pub error: Option<String>,
    /// `ce_correlationid`: the saga, where it says one.
    pub saga_id: Option<Uuid>,
    /// `ce_id`, where it is a UUID, as those of our commands are.
    pub id: Option<Uuid>,
    /// `ce_sagastep`
    pub step: Option<String>,
    /// `ce_sagaaction`
    pub action: Option<String>,
}

/// The names of one convention.
struct Convention {
    prefix: &'static str,
    topic: &'static str,
    partition: &'static str,
    offset: &'static str,
    timestamp: &'static str,
    /// The first that is there tells.
    errors: &'static [&'static str],
}

const CONVENTIONS: [Convention; 4] = [
    Convention {
        prefix: "kafka_dlt-",
        topic: "kafka_dlt-original-topic",
        partition: "kafka_dlt-original-partition",
        offset: "kafka_dlt-original-offset",
        timestamp: "kafka_dlt-original-timestamp",
        errors: &["kafka_dlt-exception-message", "kafka_dlt-exception-fqcn"],
    },
    Convention {
        prefix: "parked.",
        topic: "parked.original.topic",
        partition: "parked.original.partition",
        offset: "parked.original.offset",
        timestamp: "parked.original.timestamp",
        errors: &["parked.reason"],
    },
    Convention {
        prefix: "__connect.errors.",
        topic: "__connect.errors.topic",
        partition: "__connect.errors.partition",
        offset: "__connect.errors.offset",
        timestamp: "__connect.errors.timestamp",
        errors: &["__connect.errors.exception.message", "__connect.errors.exception.class.name"],
    },
    Convention {
        prefix: "x-",
        topic: "x-original-topic",
        partition: "x-original-partition",
        offset: "x-original-offset",
        timestamp: "x-original-timestamp",
        errors: &["x-exception-message", "x-exception-fqcn"],
    },
];

/// What this dead letter tells.
pub fn dead_letter(record: &Record) -> DeadLetter {
    let value = |name: &str| {
        let named = record.headers().find(|(header, _)| header.eq_ignore_ascii_case(name));
        named.and_then(|(_, value)| value).filter(|value| !value.is_empty())
    };
    let text = |name: &str| value(name).map(|value| String::from_utf8_lossy(value).into_owned());
    let uuid = |name: &str| Uuid::try_parse(&text(name)?).ok();
    let told = CONVENTIONS.iter().find(|convention| value(convention.topic).is_some());
    let of = |name: fn(&Convention) -> &'static str| told.and_then(|convention| number(value(name(convention))?));
    let errors = CONVENTIONS.iter().flat_map(|convention| convention.errors);
    DeadLetter {
        topic: told.and_then(|convention| text(convention.topic)),
        partition: of(|convention| convention.partition).and_then(|number| i32::try_from(number).ok()),
        offset: of(|convention| convention.offset),
        written_at: of(|convention| convention.timestamp).map(Timestamp::from_millis),
        error: errors.copied().find_map(text),
        saga_id: uuid("ce_correlationid"),
        id: uuid("ce_id"),
        step: text("ce_sagastep"),
        action: text("ce_sagaaction"),
    }
}

/// True for a header that a record got when it was put aside: where it goes back it does without.
pub fn is_of_dead_letters(name: &str) -> bool {
    CONVENTIONS.iter().any(|convention| {
        let tells = [convention.topic, convention.partition, convention.offset, convention.timestamp];
        // `x-` begins many a header that is nobody's but the sender's.
        let is_own = convention.prefix != "x-" && name.starts_with(convention.prefix);
        is_own || tells.contains(&name) || name.starts_with("x-exception-")
    })
}

/// A number as text, or as Java writes it: four or eight bytes, the highest first.
fn number(value: &[u8]) -> Option<i64> {
    if value.iter().all(u8::is_ascii_digit) {
        return std::str::from_utf8(value).ok()?.parse().ok();
    }
    let of_four = || Some(i64::from(i32::from_be_bytes(value.try_into().ok()?)));
    of_four().or_else(|| Some(i64::from_be_bytes(value.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::record::RecordHead;
    use super::*;

    fn told(headers: &[(&str, &[u8])]) -> DeadLetter {
        let head = RecordHead { topic: Arc::from("dead"), partition: 0, offset: 7, timestamp: Timestamp::ZERO };
        dead_letter(&Record::new(head, None, None, headers.iter().map(|(name, value)| (*name, Some(*value)))))
    }

    #[test]
    fn each_convention_tells_where_a_record_came_from() {
        let spring = told(&[
            ("kafka_dlt-original-topic", b"orders.events"),
            ("kafka_dlt-original-partition", &[0, 0, 0, 3]),
            ("kafka_dlt-original-offset", &[0, 0, 0, 0, 0, 1, 0, 0]),
            ("kafka_dlt-original-timestamp", &1_700_000_000_000_i64.to_be_bytes()),
            ("kafka_dlt-exception-message", b"no such account"),
        ]);
        let place = |letter: &DeadLetter| (letter.topic.clone().unwrap(), letter.partition, letter.offset);
        assert_eq!(place(&spring), ("orders.events".to_owned(), Some(3), Some(65_536)));
        assert_eq!(spring.written_at, Some(Timestamp::from_millis(1_700_000_000_000)));
        assert_eq!(spring.error.as_deref(), Some("no such account"));
        let connect = told(&[
            ("__connect.errors.topic", b"orders.events"),
            ("__connect.errors.partition", b"2"),
            ("__connect.errors.offset", b"88123"),
            ("__connect.errors.exception.class.name", b"X"),
        ]);
        assert_eq!(place(&connect), ("orders.events".to_owned(), Some(2), Some(88_123)));
        assert_eq!(connect.error.as_deref(), Some("X"));
        let own = told(&[
            ("parked.original.topic", b"t"),
            ("parked.reason", b"malformed"),
            ("parked.original.partition", b"x"),
        ]);
        assert_eq!((place(&own), own.error.as_deref()), (("t".to_owned(), None, None), Some("malformed")));
        assert_eq!(told(&[("x-other", b"1")]), DeadLetter::default());
    }

    #[test]
    fn a_command_is_told_by_its_headers() {
        let (saga, id) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let letter = told(&[
            ("ce_id", id.to_string().as_bytes()),
            ("ce_correlationid", saga.to_string().as_bytes()),
            ("ce_sagastep", b"clearing"),
            ("ce_sagaaction", b"undo"),
        ]);
        assert_eq!((letter.saga_id, letter.id), (Some(saga), Some(id)));
        assert_eq!((letter.step.as_deref(), letter.action.as_deref()), (Some("clearing"), Some("undo")));
        assert_eq!(told(&[("ce_id", b"order-1"), ("ce_correlationid", b"x")]), DeadLetter::default());
    }

    #[test]
    fn what_was_added_on_the_way_is_told_from_what_the_sender_said() {
        for added in ["kafka_dlt-exception-stacktrace", "__connect.errors.stage", "parked.reason", "x-original-topic"] {
            assert!(is_of_dead_letters(added), "{added}");
        }
        for own in ["ce_id", "traceparent", "x-request-id", "content-type"] {
            assert!(!is_of_dead_letters(own), "{own}");
        }
    }
}
