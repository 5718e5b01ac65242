//! The headers of a record to send, in one piece: a command has a dozen of them, and a string for each would cost more than deciding it.

use std::fmt::{Display, Write as _};

use serde::{Serialize, Serializer};

/// Names and values, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    text: String,
    /// Each name, and where its value ends in the text; it begins where the one before it ends.
    parts: Vec<(&'static str, usize)>,
}

impl Headers {
    /// Room for the headers of a command.
    pub(super) fn new() -> Self {
        Self { text: String::with_capacity(512), parts: Vec::with_capacity(18) }
    }

    /// Adds one behind the others.
    pub fn push(&mut self, name: &'static str, value: impl Display) {
        write!(self.text, "{value}").expect("a text takes what is written");
        self.parts.push((name, self.text.len()));
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'static str, &str)> {
        let mut start = 0;
        self.parts.iter().map(move |(name, end)| (*name, &self.text[std::mem::replace(&mut start, *end)..*end]))
    }

    /// The same, with another value under this name.
    #[must_use]
    pub fn with(&self, name: &str, other: &str) -> Self {
        self.iter().map(|(found, value)| (found, if found == name { other } else { value })).collect()
    }

    /// The value of the first one of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}

impl<V: Display> FromIterator<(&'static str, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (&'static str, V)>>(pairs: I) -> Self {
        let mut headers = Self::new();
        pairs.into_iter().for_each(|(name, value)| headers.push(name, value));
        headers
    }
}

/// As pairs.
impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_out_as_they_went_in_empty_ones_and_those_of_one_name_too() {
        let pairs = [("a", "1"), ("b", ""), ("a", "two"), ("c", "é")];
        let headers: Headers = pairs.into_iter().collect();
        assert_eq!(headers.iter().collect::<Vec<_>>(), pairs);
        assert_eq!((headers.get("a"), headers.get("b"), headers.get("d")), (Some("1"), Some(""), None));
        assert_eq!(
            headers.with("b", "x").iter().collect::<Vec<_>>(),
            [("a", "1"), ("b", "x"), ("a", "two"), ("c", "é")]
        );
        assert_eq!(serde_json::to_string(&headers).unwrap(), r#"[["a","1"],["b",""],["a","two"],["c","é"]]"#);
    }
}
