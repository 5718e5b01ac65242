//! A saga's journal as people and programs read it: facts with the names of their steps.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::core::{Definition, Fact, Transition};

use super::moments::Moment;

/// A journal row, as programs read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JournalRow {
    /// From 1.
    pub seq: u32,
    /// When it was decided.
    pub at: Moment,
    /// `{"fact": name, ...}` each.
    pub facts: Vec<Value>,
}

/// All rows of a journal, in order.
pub fn history(definition: &Definition, journal: &[Transition]) -> Vec<JournalRow> {
    let row = |(place, row): (usize, &Transition)| JournalRow {
        seq: u32::try_from(place + 1).unwrap_or(u32::MAX),
        at: Moment(row.now),
        facts: row.facts.iter().map(|fact| named_fact(definition, fact)).collect(),
    };
    journal.iter().enumerate().map(row).collect()
}

/// The rows in which something went wrong, with only the facts that say so.
pub fn failed_only(definition: &Definition, journal: &[Transition]) -> Vec<JournalRow> {
    let failing = |row: &Transition| Transition {
        now: row.now,
        facts: row.facts.iter().filter(|fact| is_failure(fact)).cloned().collect(),
    };
    let failing: Vec<Transition> = journal.iter().map(failing).collect();
    history(definition, &failing).into_iter().filter(|row| !row.facts.is_empty()).collect()
}

fn is_failure(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Failed { .. }
            | Fact::Refused { .. }
            | Fact::GivenUp { .. }
            | Fact::FailedForGood { .. }
            | Fact::Exhausted { .. }
            | Fact::Blocked { .. }
            | Fact::Conflicted { .. }
            | Fact::Undeliverable { .. }
    )
}

/// `{"issued": {"step": 1, ...}}` as `{"fact": "issued", "step": "clearing", ...}`. Foreign data may hold a number that is none to
/// us, such as 1e999: that fact is shown as `unreadable`, and the others go on.
pub(super) fn named_fact(definition: &Definition, fact: &Fact) -> Value {
    let mut flat = Map::new();
    let read = serde_json::to_value(fact).unwrap_or_else(|error| json!({"unreadable": {"why": error.to_string()}}));
    let (name, body) = match read {
        Value::Object(members) => members.into_iter().next().unwrap_or_default(),
        // A fact without content is its bare name.
        bare @ (Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
            (bare.as_str().unwrap_or_default().to_owned(), Value::Null)
        }
    };
    flat.insert("fact".to_owned(), Value::from(name));
    if let Value::Object(members) = body {
        for (key, value) in members.into_iter().filter(|(_, value)| !value.is_null()) {
            let value = match key.as_str() {
                "step" => step_name(definition, &value),
                // A cause names its step one level deeper.
                "cause" => value.get("step").cloned().map_or(value, |step| step_name(definition, &step)),
                "at" => moment(value),
                _ => value,
            };
            flat.insert(key, value);
        }
    }
    Value::Object(flat)
}

fn step_name(definition: &Definition, place: &Value) -> Value {
    let step = place.as_u64().and_then(|place| definition.steps.get(usize::try_from(place).ok()?));
    step.map_or_else(|| place.clone(), |step| Value::from(&*step.name))
}

fn moment(micros: Value) -> Value {
    let at = micros.as_i64().map(|micros| crate::core::Timestamp::from_micros(micros).to_string());
    at.map_or(micros, Value::from)
}
