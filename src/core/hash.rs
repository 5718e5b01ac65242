//! SHA-256 as a value: the name of a definition's content, and the proof that a command's data renders the same again.

use std::fmt;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// A SHA-256 digest; shown and stored in text as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The 32 bytes of a digest made elsewhere.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest that `text`, 64 hexadecimal digits, stands for; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0_u8; 32];
        // A prefix `0x` is not ours.
        let is_bare = text.len() == 64;
        (is_bare && const_hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(Self(bytes))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(const_hex::Buffer::<32>::new().format(&self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Sha256 {
    /// As text where people may read it, else as bytes.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(const_hex::Buffer::<32>::new().format(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Digest)
        } else {
            deserializer.deserialize_bytes(Digest)
        }
    }
}

/// Reads a digest.
struct Digest;

impl Visitor<'_> for Digest {
    type Value = Sha256;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a SHA-256 digest: 64 hexadecimal digits, or 32 bytes")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Sha256, E> {
        Sha256::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Sha256, E> {
        bytes.try_into().map(Sha256).map_err(|_| E::invalid_length(bytes.len(), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_digest_is_told_what_one_is() {
        let error = serde_json::from_str::<Sha256>("\"abc\"").expect_err("three digits");
        assert!(error.to_string().contains("expected a SHA-256 digest: 64 hexadecimal digits"), "{error}");
    }

    #[test]
    fn a_digest_reads_back_from_its_own_text() {
        let digest = Sha256::of(b"order-42");
        assert_eq!(Sha256::parse(&digest.to_string()), Some(digest));
        assert_eq!(Sha256::parse("no"), None);
        assert_eq!(Sha256::from_bytes(*digest.as_bytes()), digest);
        assert_ne!(Sha256::of(b"order-43"), digest);
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!((json.len(), serde_json::from_str(&json).ok()), (66, Some(digest)));
    }

    #[test]
    fn only_64_hexadecimal_digits_are_a_digest() {
        for text in ["0".repeat(63), "0".repeat(65), "g".repeat(64), "\u{e9}".repeat(32), String::new()] {
            assert_eq!(Sha256::parse(&text), None, "{text}");
        }
        assert_eq!(Sha256::parse(&"0".repeat(64)), Some(Sha256::from_bytes([0; 32])));
    }
}
