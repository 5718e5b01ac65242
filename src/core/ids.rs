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

/// A command by its place in its saga: what its id is derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The step.
    pub step: StepIx,
    /// Done or undone.
    pub action: Action,
    /// From 1.
    pub attempt: u16,
}

/// A command's id: UUIDv8 (RFC 9562), 88 bits of its saga's digest and, in the clear, direction, step and attempt. A re-sent command keeps
/// it; only a new attempt has a new one. It tells which command it names (`command_named`), so that a forged or old answer costs one
/// digest and not one for each command that its saga could have sent.
pub fn command_id(saga: Uuid, step: StepIx, action: Action, attempt: u16) -> Uuid {
    let kind = match action {
        Action::Do => 0,
        Action::Undo => 1,
    };
    derived(saga, kind, (u32::from(step.0) << 16) | u32::from(attempt))
}

/// The command of `saga` that has this id, if one could have it: steps and attempts may be more than the saga has.
pub fn command_named(saga: Uuid, id: Uuid) -> Option<Target> {
    let [.., kind, _, _, _, high, low, next, last] = id.into_bytes();
    let action = match (kind >> 4) & 3 {
        0 => Action::Do,
        1 => Action::Undo,
        _ => return None,
    };
    let step = StepIx(u16::from_be_bytes([high, low]));
    let attempt = u16::from_be_bytes([next, last]);
    (command_id(saga, step, action, attempt) == id).then_some(Target { step, action, attempt })
}

/// The id of the announcement that the journal row `seq` of a saga leads to: built as a command's.
pub fn announcement_id(saga: Uuid, seq: u32) -> Uuid {
    derived(saga, 2, seq)
}

/// ```text
/// byte  0 .. 5   6          7      8                      9 .. 11   12 .. 15
///       digest   8, digest  digest 2 bits 10, kind, digest  digest    place
/// ```
fn derived(saga: Uuid, kind: u8, place: u32) -> Uuid {
    let digest = Sha256::of(saga.as_bytes());
    let mut bytes = [0_u8; 16];
    bytes[..12].copy_from_slice(&digest.as_bytes()[..12]);
    bytes[6] = 0x80 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (kind << 4) | (bytes[8] & 0x0f);
    bytes[12..].copy_from_slice(&place.to_be_bytes());
    Uuid::from_bytes(bytes)
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
    fn a_moment_out_of_range_is_the_nearest_within() {
        let at = |micros| saga_id("trade", "k", Timestamp::from_micros(micros)).as_bytes()[..6].to_vec();
        assert_eq!(at(i64::MAX), [0xff; 6]);
        assert_eq!(at(i64::MIN), [0; 6]);
    }

    #[test]
    fn ids_never_change_from_version_to_version() {
        let saga = saga_id("trade", "k", Timestamp::from_millis(1_700_000_000_000));
        assert_eq!(saga.to_string(), "018bcfe5-6800-7c7f-aaae-d3211004abc0");
        assert_eq!(command_id(saga, StepIx(3), Action::Undo, 2).to_string(), "7d0cbe7d-f271-8640-9573-580600030002");
        assert_eq!(announcement_id(saga, 7).to_string(), "7d0cbe7d-f271-8640-a573-580600000007");
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

    #[test]
    fn a_command_is_told_by_its_id_and_only_by_an_id_of_its_saga() {
        let saga = saga_id("t", "k", Timestamp::ZERO);
        for (step, action, attempt) in [(0, Action::Do, 1), (499, Action::Undo, 300), (u16::MAX, Action::Do, u16::MAX)]
        {
            let target = Target { step: StepIx(step), action, attempt };
            let id = command_id(saga, target.step, action, attempt);
            assert_eq!((id.get_version_num(), id.get_variant()), (8, uuid::Variant::RFC4122));
            assert_eq!(command_named(saga, id), Some(target));
            assert_eq!(command_named(Uuid::nil(), id), None);
            let forged = (0..96).map(|bit| Uuid::from_u128(id.as_u128() ^ (1 << (127 - bit))));
            for other in forged.filter_map(|id| command_named(saga, id)) {
                assert_ne!(other.action, action, "the only bit in the clear here is the direction's");
            }
        }
        assert_eq!(command_named(saga, announcement_id(saga, 7)), None);
    }
}
