//! Where the histories of two sagas part: their facts without ids, moments and data. Pure.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use similar::utils::diff_slices;
use similar::{Algorithm, ChangeTag};
use utoipa::ToSchema;

use crate::core::{Definition, Transition};

use super::history::named_fact;
use super::words::{Word, word};

/// Members of a fact that tell what happened; the others tell when, or with which ids and data.
const TOLD: [&str; 9] = ["step", "action", "attempt", "code", "kind", "phase", "cause", "unanswered", "message"];

/// A fact of one of the sagas or of both, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiffLine {
    /// `both`, `a` or `b`.
    #[serde(rename = "in", deserialize_with = "word")]
    #[schema(value_type = String)]
    pub side: Word,
    /// The fact in one line.
    pub fact: String,
}

/// Both histories, line by line.
pub fn diff(a: (&Definition, &[Transition]), b: (&Definition, &[Transition])) -> Vec<DiffLine> {
    let (a, b) = (told(a), told(b));
    let line = |(tag, facts): (ChangeTag, &[String])| {
        let side = match tag {
            ChangeTag::Equal => "both",
            ChangeTag::Delete => "a",
            ChangeTag::Insert => "b",
        };
        facts.iter().map(|fact| DiffLine { side, fact: fact.clone() }).collect::<Vec<_>>()
    };
    diff_slices(Algorithm::Myers, &a, &b).into_iter().flat_map(line).collect()
}

fn told((definition, journal): (&Definition, &[Transition])) -> Vec<String> {
    let facts = journal.iter().flat_map(|row| &row.facts);
    facts.map(|fact| line(&named_fact(definition, fact))).collect()
}

fn line(fact: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut words = vec![fact.get("fact").map(text).unwrap_or_default()];
    words.extend(TOLD.iter().filter_map(|key| fact.get(key)).map(text));
    let answer = fact.get("answer");
    words.extend(
        ["outcome", "code"].iter().filter_map(|key| answer?.get(key)).filter(|value| !value.is_null()).map(text),
    );
    words.extend(fact.get("operation").and_then(|operation| operation.get("verb")).map(text));
    words.retain(|word| !word.is_empty());
    words.join(" ")
}
