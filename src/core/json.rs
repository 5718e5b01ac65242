//! Foreign JSON that passes through byte for byte: checked once, shared, never parsed into a tree.

use std::fmt;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::limits;

/// One JSON value as its text. Cheap to clone. Two are equal when their bytes are (the contract's *same data*); white space
/// around the value is not part of it.
#[derive(Clone)]
pub struct Json(Arc<RawValue>);

impl Json {
    /// `{}`: the data of a command that has none.
    pub fn empty_object() -> Self {
        Self::parse(b"{}").expect("two braces are JSON")
    }

    /// `null`.
    pub fn null() -> Self {
        Self::parse(b"null").expect("null is JSON")
    }

    /// Checks that `bytes` are one JSON value in UTF-8.
    ///
    /// # Errors
    /// What serde_json says of bytes that are not.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let raw: Box<RawValue> = serde_json::from_slice(bytes)?;
        Ok(Self(Arc::from(raw)))
    }

    /// Checks that `bytes` from outside are one JSON value within the limits of depth, size and numbers: whatever reads it later,
    /// an expression or a schema, may build a tree of it.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn foreign(bytes: &[u8]) -> Result<Self, String> {
        let json = Self::parse(bytes).map_err(|error| format!("not JSON: {error}"))?;
        check_shape(json.get())?;
        Ok(json)
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

/// Depth, number of values, digits and size of numbers, in one pass without a tree. `text` is JSON.
fn check_shape(text: &str) -> Result<(), String> {
    let (mut depth, mut nodes, mut digits) = (0_usize, 1_usize, 0_usize);
    let (mut in_text, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        if in_text {
            (in_text, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'[' | b'{' => {
                depth += 1;
                nodes += 1;
            }
            b']' | b'}' => depth -= 1,
            b',' => nodes += 1,
            b'e' | b'E' if digits > 0 && !is_number_to_all(text, at) => {
                return Err("a number that no reader can hold, such as 1e999".to_owned());
            }
            _ => {}
        }
        digits = if byte.is_ascii_digit() {
            digits + 1
        } else if byte == b'.' {
            digits
        } else {
            0
        };
        if depth > limits::JSON_DEPTH {
            return Err(format!("nested deeper than {}", limits::JSON_DEPTH));
        }
        if nodes > limits::JSON_NODES {
            return Err(format!("more than {} values", limits::JSON_NODES));
        }
        if digits > limits::NUMBER_DIGITS {
            return Err(format!("a number of more than {} digits", limits::NUMBER_DIGITS));
        }
    }
    Ok(())
}

/// Whether whoever builds a tree of `text` can hold the number whose exponent begins at `at`.
fn is_number_to_all(text: &str, at: usize) -> bool {
    let is_part = |byte: &&u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let (before, behind) = text.as_bytes().split_at(at);
    let begin = at - before.iter().rev().take_while(is_part).count();
    let end = at + behind.iter().take_while(is_part).count();
    serde_json::from_str::<f64>(&text[begin..end]).is_ok()
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
    /// As itself within JSON, else as its text.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { self.0.serialize(serializer) } else { serializer.serialize_str(self.get()) }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = if deserializer.is_human_readable() {
            Box::<RawValue>::deserialize(deserializer)?
        } else {
            RawValue::from_string(String::deserialize(deserializer)?).map_err(D::Error::custom)?
        };
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
    fn foreign_json_is_bounded_in_depth_values_and_digits() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let wide = |values: usize| format!("[{}1]", "1,".repeat(values));
        assert!(Json::foreign(deep(limits::JSON_DEPTH).as_bytes()).is_ok());
        assert!(Json::foreign(deep(limits::JSON_DEPTH + 1).as_bytes()).is_err());
        assert!(Json::foreign(wide(limits::JSON_NODES).as_bytes()).is_err());
        assert!(Json::foreign("9".repeat(limits::NUMBER_DIGITS + 1).as_bytes()).is_err());
        assert!(Json::foreign(br#"{"a":"[[[[\"{{{{,,,,99999999999999999999999999999999999999999"}"#).is_ok());
    }

    #[test]
    fn a_number_that_nobody_could_read_later_is_refused() {
        let told = |text: &str| Json::foreign(text.as_bytes()).map(|_| ());
        for good in ["1e308", "[-1.5E+300,2]", "1e-999", "0e999", r#"{"a": "1e999", "1e999": true}"#, "[1,false,null]"]
        {
            assert_eq!(told(good), Ok(()), "{good}");
        }
        for bad in ["1e309", "-1e999", "[1,17.5E999 ]", r#"{"a":{"b":1e+400}}"#] {
            assert!(serde_json::from_str::<serde_json::Value>(bad).is_err(), "{bad}: no reader can");
            assert!(told(bad).unwrap_err().contains("1e999"), "{bad}");
        }
    }

    #[test]
    fn the_limits_of_foreign_json_are_exact() {
        let is_accepted = |text: String| Json::foreign(text.as_bytes()).is_ok();
        // An array of n numbers is n + 1 values.
        let numbers = |count: usize| format!("[{}1]", "1,".repeat(count - 1));
        assert!(is_accepted(numbers(limits::JSON_NODES - 1)) && !is_accepted(numbers(limits::JSON_NODES)));
        let members = |count: usize| format!("{{{}\"a\":1}}", "\"a\":1,".repeat(count - 1));
        assert!(is_accepted(members(limits::JSON_NODES - 1)) && !is_accepted(members(limits::JSON_NODES)));
        let digits = |before: usize, behind: usize| format!("{}.{}", "1".repeat(before), "1".repeat(behind));
        assert!(is_accepted(digits(17, 17)) && !is_accepted(digits(17, 18)));
        assert!(is_accepted("9".repeat(limits::NUMBER_DIGITS)));
        let far_apart = "9".repeat(20);
        assert!(is_accepted(format!("[{far_apart}, {far_apart},{far_apart}]")), "each number counts alone");
        assert!(is_accepted(format!("[{}[]]", "[],".repeat(100))), "what is closed is not deep any more");
        assert!(is_accepted(format!("[{}{{}}]", "{},".repeat(100))), "what is closed is not deep any more");
        let arrays = |count: usize| format!("[{}[]]", "[],".repeat(count - 1));
        assert!(is_accepted(arrays(4_999)) && !is_accepted(arrays(5_000)), "an array counts, and so does its comma");
    }

    #[test]
    fn a_text_member_is_found_and_nothing_else_is_one() {
        let json = Json::parse(br#"{"message":"none left","code":7}"#).unwrap();
        assert_eq!(json.text_member("message"), Some("none left".to_owned()));
        assert_eq!((json.text_member("code"), json.text_member("absent")), (None, None));
        assert_eq!(Json::parse(b"[1]").unwrap().text_member("message"), None);
    }

    #[test]
    fn values_are_the_same_when_their_bytes_are() {
        let json = |text: &str| Json::parse(text.as_bytes()).unwrap();
        assert_eq!(json(" {} "), Json::empty_object());
        assert_ne!(json("1.0"), json("1.00"));
    }

    #[test]
    fn two_values_in_one_record_are_not_json() {
        assert!(Json::parse(b"{} {}").is_err());
        assert!(Json::parse(b"").is_err());
        assert!(Json::parse(b"\xff").is_err());
    }
}
