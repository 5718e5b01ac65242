//! Foreign JSON that passes through byte for byte: checked once, shared, never parsed into a tree.

use std::fmt;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// One JSON value as its text. Cheap to clone. Two are equal when their bytes are (the contract's *same data*); white space
/// around the value is not part of it.
#[derive(Clone)]
pub struct Json(Arc<RawValue>);

impl Json {
    /// `{}`: the data of a command that has none.
    pub fn empty_object() -> Self {
        Self::parse(b"{}").expect("two braces are JSON")
    }

    /// Checks that `bytes` are one JSON value in UTF-8.
    ///
    /// # Errors
    /// What serde_json says of bytes that are not.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let raw: Box<RawValue> = serde_json::from_slice(bytes)?;
        Ok(Self(Arc::from(raw)))
    }

    /// The text of the value.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The text member `name` of an object, such as a failure's `message`; `None` when there is no such text.
    pub fn text_member(&self, name: &str) -> Option<String> {
        let value: serde_json::Value = serde_json::from_str(self.get()).ok()?;
        Some(value.get(name)?.as_str()?.to_owned())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer).map_err(D::Error::custom)?;
        Ok(Self(Arc::from(raw)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_through_as_they_came() {
        let json = Json::parse(br#"{ "amount": 1.10,  "a":1e3 }"#).unwrap();
        assert_eq!(json.get(), r#"{ "amount": 1.10,  "a":1e3 }"#);
        assert_eq!(serde_json::to_string(&json).unwrap(), json.get());
    }

    #[test]
    fn two_values_in_one_record_are_not_json() {
        assert!(Json::parse(b"{} {}").is_err());
        assert!(Json::parse(b"").is_err());
        assert!(Json::parse(b"\xff").is_err());
    }
}
