//! Words that are chosen once for all, such as the names of phases and verbs, read back from an answer of the API. Each is kept once,
//! however often it is read: who watches a saga for days reads the same ten.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Deserializer};

/// A word that lives as long as the process. A name of its own, since a derived `Deserialize` would borrow a field of type `&str`.
pub(super) type Word = &'static str;

static KEPT: Mutex<BTreeSet<Word>> = Mutex::new(BTreeSet::new());

fn kept(text: String) -> Word {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(word) = kept.get(text.as_str()) {
        return word;
    }
    let word: Word = String::leak(text);
    kept.insert(word);
    word
}

/// Reads a word.
pub(super) fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Word, D::Error> {
    String::deserialize(deserializer).map(kept)
}

/// Reads a word, or null.
pub(super) fn maybe_word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Word>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(kept))
}

/// Reads a list of words.
pub(super) fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Word>, D::Error> {
    Ok(Vec::<String>::deserialize(deserializer)?.into_iter().map(kept).collect())
}

/// Reads numbers by words.
pub(super) fn counts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Word, u64>, D::Error> {
    let read = BTreeMap::<String, u64>::deserialize(deserializer)?;
    Ok(read.into_iter().map(|(word, count)| (kept(word), count)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_kept_once_however_often_it_is_read() {
        #[derive(Deserialize)]
        struct Said {
            #[serde(deserialize_with = "word")]
            phase: Word,
            #[serde(deserialize_with = "maybe_word")]
            end: Option<Word>,
            #[serde(deserialize_with = "words")]
            can: Vec<Word>,
        }
        let read = || {
            let text = r#"{"phase": "st\u0075ck", "end": null, "can": ["retry", "stuck"]}"#;
            serde_json::from_reader::<_, Said>(text.as_bytes()).unwrap()
        };
        let (one, other) = (read(), read());
        assert_eq!((one.phase, one.end, one.can.as_slice()), ("stuck", None, ["retry", "stuck"].as_slice()));
        assert!(std::ptr::eq(one.phase, other.can[1]));
    }
}
