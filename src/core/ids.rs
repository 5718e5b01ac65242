//! Ids are derived, not minted: the same decision made twice gives the same id, so a participant can deduplicate on it.

use uuid::Uuid;

use super::definition::StepIx;
use super::hash::Sha256;
use super::saga::Action;
use super::time::Timestamp;

/// A saga's id: UUIDv7 layout (RFC 9562), 48 bits of the trigger record's timestamp in milliseconds, the rest from the SHA-256
/// of definition name and business key. Time-ordered, so the journal grows at its end. A timestamp out of range is clamped.
pub fn saga_id(definition_name: &str, business_key: &str, triggered_at: Timestamp) -> Uuid {
    let millis = u64::try_from(triggered_at.micros() / 1_000).unwrap_or(0).min((1 << 48) - 1);
    let mut text = Vec::with_capacity(definition_name.len() + business_key.len() + 1);
    text.extend_from_slice(definition_name.as_bytes());
    text.push(0);
    text.extend_from_slice(business_key.as_bytes());
    let digest = Sha256::of(&text);
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&digest.as_bytes()[..10]);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    Uuid::from_bytes(bytes)
}

/// A command's id: UUIDv5 of saga, step, direction and attempt. A re-sent command keeps it; only a new attempt has a new one.
pub fn command_id(saga: Uuid, step: StepIx, action: Action, attempt: u16) -> Uuid {
    let mut name = [0_u8; 5];
    name[..2].copy_from_slice(&step.0.to_be_bytes());
    name[2] = match action {
        Action::Do => 0,
        Action::Undo => 1,
    };
    name[3..].copy_from_slice(&attempt.to_be_bytes());
    Uuid::new_v5(&saga, &name)
}

/// The id of the announcement that the journal row `seq` of a saga leads to.
pub fn announcement_id(saga: Uuid, seq: u32) -> Uuid {
    let mut name = [0_u8; 5];
    name[0] = b'a';
    name[1..].copy_from_slice(&seq.to_be_bytes());
    Uuid::new_v5(&saga, &name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saga_id_has_the_layout_of_version_7_and_orders_by_time() {
        let early = saga_id("trade", "k", Timestamp::from_millis(1_700_000_000_000));
        let late = saga_id("trade", "a", Timestamp::from_millis(1_700_000_000_001));
        assert_eq!((early.get_version_num(), early.get_variant()), (7, uuid::Variant::RFC4122));
        assert!(early < late);
        assert_eq!(early, saga_id("trade", "k", Timestamp::from_millis(1_700_000_000_000)));
    }

    #[test]
    fn ids_never_change_from_version_to_version() {
        let saga = saga_id("trade", "k", Timestamp::from_millis(1_700_000_000_000));
        assert_eq!(saga.to_string(), "018bcfe5-6800-7c7f-aaae-d3211004abc0");
        assert_eq!(command_id(saga, StepIx(3), Action::Undo, 2).to_string(), "66896992-dee1-51bb-a48a-5c33e3a3d335");
        assert_eq!(announcement_id(saga, 7).to_string(), "14066c82-a141-594b-9938-a8e43bb03b19");
    }

    #[test]
    fn timestamps_out_of_range_give_an_id_all_the_same() {
        assert!(saga_id("t", "k", Timestamp::from_millis(-1)) < saga_id("t", "k", Timestamp::from_micros(i64::MAX)));
    }

    #[test]
    fn every_attempt_and_direction_has_an_id_of_its_own() {
        let saga = saga_id("trade", "k", Timestamp::ZERO);
        let mut ids: Vec<_> = [Action::Do, Action::Undo]
            .into_iter()
            .flat_map(|action| (1..=3).map(move |attempt| (action, attempt)))
            .flat_map(|(action, attempt)| (0..3).map(move |step| command_id(saga, StepIx(step), action, attempt)))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 18);
    }
}
