//! `--where`: which sagas, or which records put aside, as `name=value`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::core::{Phase, Timestamp};
use crate::store::{ParkedFilter, SagaFilter};

use super::access::Caller;

/// What may stand before the `=`.
const NAMES: [&str; 6] = ["phase", "definition", "key", "code", "started-after", "started-before"];

/// A condition such as `phase=stuck`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `phase=NAME`
    Phase(Phase),
    /// `definition=NAME`
    Definition(String),
    /// `key=PREFIX*`: the business key begins so.
    Key(String),
    /// `code=CODE`: of what went wrong first.
    Code(String),
    /// `started-after=TIME`
    StartedAfter(When),
    /// `started-before=TIME`
    StartedBefore(When),
}

/// A moment, or how long ago it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// RFC 3339.
    At(Timestamp),
    /// Such as `1h30m`.
    Ago(Duration),
}

impl When {
    fn seen_from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(duration) => {
                let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
                Timestamp::from_micros(now.micros().saturating_sub(micros))
            }
        }
    }
}

impl Condition {
    /// Reads `name=value`.
    ///
    /// # Errors
    /// There is no such name, or the value does not fit it: for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = named(text, &NAMES)?;
        match name {
            "phase" => Ok(Self::Phase(parse_phase(value)?)),
            "definition" => Ok(Self::Definition(value.to_owned())),
            "key" => {
                let prefix =
                    value.strip_suffix('*').ok_or("say key=PREFIX*; by its whole key a saga is found by find")?;
                Ok(Self::Key(prefix.to_owned()))
            }
            "code" => Ok(Self::Code(value.to_owned())),
            "started-after" => Ok(Self::StartedAfter(when(value)?)),
            "started-before" => Ok(Self::StartedBefore(when(value)?)),
            _ => Err(unknown(name, &NAMES)),
        }
    }
}

fn named<'a>(text: &'a str, names: &[&str]) -> Result<(&'a str, &'a str), String> {
    text.split_once('=').ok_or_else(|| format!("say NAME=VALUE; names are {}", names.join(", ")))
}

fn unknown(name: &str, names: &[&str]) -> String {
    let meant = crate::definition::did_you_mean(name, names);
    let meant = meant.map_or_else(String::new, |meant| format!(" (did you mean {meant}?)"));
    format!("there is no {name}{meant}; names are {}", names.join(", "))
}

/// What may stand before the `=` of a record that was put aside.
const PARKED_NAMES: [&str; 6] = ["topic", "key", "reason", "code", "parked-after", "parked-before"];

/// A condition on a record that was put aside, such as `topic=orders.events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParkedCondition {
    /// `topic=NAME`
    Topic(String),
    /// `key=KEY`: the record's whole key.
    Key(String),
    /// `reason=PREFIX`: its reason begins so.
    Reason(String),
    /// `code=CODE`: the second word of its reason.
    Code(String),
    /// `parked-after=TIME`
    After(When),
    /// `parked-before=TIME`
    Before(When),
}

impl ParkedCondition {
    /// Reads `name=value`.
    ///
    /// # Errors
    /// There is no such name, or the value does not fit it: for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = named(text, &PARKED_NAMES)?;
        match name {
            "topic" => Ok(Self::Topic(value.to_owned())),
            "key" => Ok(Self::Key(value.to_owned())),
            "reason" => Ok(Self::Reason(value.to_owned())),
            "code" => Ok(Self::Code(value.to_owned())),
            "parked-after" => Ok(Self::After(when(value)?)),
            "parked-before" => Ok(Self::Before(when(value)?)),
            _ => Err(unknown(name, &PARKED_NAMES)),
        }
    }
}

/// All conditions together, seen from `now`; of two of the same name the last one counts.
pub fn parked_filter(conditions: &[ParkedCondition], now: Timestamp) -> ParkedFilter {
    let mut filter = ParkedFilter::default();
    for condition in conditions {
        match condition.clone() {
            ParkedCondition::Topic(topic) => filter.topic = Some(topic),
            ParkedCondition::Key(key) => filter.key = Some(key),
            ParkedCondition::Reason(prefix) => filter.reason_prefix = Some(prefix),
            ParkedCondition::Code(code) => filter.code = Some(code),
            ParkedCondition::After(when) => filter.parked_after = Some(when.seen_from(now)),
            ParkedCondition::Before(when) => filter.parked_before = Some(when.seen_from(now)),
        }
    }
    filter
}

/// Conditions as programs say them, each at most once: all of them are true of the sagas that are meant.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(min_properties = 1)]
pub struct Conditions {
    /// They are in this phase.
    #[schema(
        pattern = "^(running|compensating|stuck|paused|completed|compensated|compensated_with_skips|cancelled|abandoned)$"
    )]
    pub phase: Option<String>,
    /// They are of this definition.
    pub definition: Option<String>,
    /// Their business key begins so: `order-*`.
    #[schema(pattern = r"^[^\x00]*\*$")]
    pub key: Option<String>,
    /// This went wrong first.
    pub code: Option<String>,
    /// They were begun then or later: RFC 3339, or how long ago, such as `1h30m`.
    pub started_after: Option<String>,
    /// They were begun earlier.
    pub started_before: Option<String>,
}

impl Conditions {
    /// What `--where` said in texts that could be read; of two of the same name the last one counts.
    pub fn of<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut said = Self::default();
        for (name, value) in texts.filter_map(|text| text.split_once('=')) {
            let member = match name {
                "phase" => &mut said.phase,
                "definition" => &mut said.definition,
                "key" => &mut said.key,
                "code" => &mut said.code,
                "started-after" => &mut said.started_after,
                "started-before" => &mut said.started_before,
                _ => continue,
            };
            *member = Some(value.to_owned());
        }
        said
    }

    /// Each as `--where` says it.
    pub(super) fn texts(&self) -> Vec<String> {
        let said = [&self.phase, &self.definition, &self.key, &self.code, &self.started_after, &self.started_before];
        NAMES.into_iter().zip(said).filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?))).collect()
    }

    /// The conditions that are said, in the order of their names.
    ///
    /// # Errors
    /// A value does not fit its name: for people.
    pub fn read(&self) -> Result<Vec<Condition>, String> {
        let read = |text: &String| match text.split_once('=') {
            Some((name, value)) if value.contains('\0') => Err(format!("{name} holds a zero byte")),
            Some(_) | None => Condition::parse(text),
        };
        self.texts().iter().map(read).collect()
    }
}

/// The phase of this name.
///
/// # Errors
/// There is none: with those that there are.
pub fn parse_phase(text: &str) -> Result<Phase, String> {
    let known = || Phase::ALL.map(Phase::name).join(", ");
    Phase::parse(text).ok_or_else(|| format!("no such phase; there are {}", known()))
}

fn when(text: &str) -> Result<When, String> {
    if let Some(millis) = crate::definition::parse_duration(text) {
        return Ok(When::Ago(Duration::from_millis(millis)));
    }
    text.parse().map(When::At).map_err(|no| format!("neither {no} nor how long ago, such as 1h30m"))
}

/// All conditions together, seen from `now`; of two of the same name the last one counts.
pub fn filter(conditions: &[Condition], now: Timestamp) -> SagaFilter {
    let mut filter = SagaFilter::default();
    for condition in conditions {
        match condition.clone() {
            Condition::Phase(phase) => filter.phase = Some(phase),
            Condition::Definition(name) => filter.definition = Some(name),
            Condition::Key(prefix) => filter.key_prefix = Some(prefix),
            Condition::Code(code) => filter.code = Some(code),
            Condition::StartedAfter(when) => filter.started_after = Some(when.seen_from(now)),
            Condition::StartedBefore(when) => filter.started_before = Some(when.seen_from(now)),
        }
    }
    filter
}

/// The same for somebody for whom only some definitions exist.
pub fn filter_for(caller: &Caller, conditions: &[Condition], now: Timestamp) -> SagaFilter {
    filter(conditions, now).within(caller.definitions.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_and_put_together() {
        let now = Timestamp::from_millis(3_600_000);
        let said =
            ["phase=stuck", "key=order-*", "code=NO=1", "started-after=30m", "started-before=1970-01-01T01:00:00Z"];
        let conditions: Vec<Condition> = said.iter().map(|text| Condition::parse(text).unwrap()).collect();
        let expected = SagaFilter {
            phase: Some(Phase::Stuck),
            definition: None,
            key_prefix: Some("order-".to_owned()),
            code: Some("NO=1".to_owned()),
            started_after: Some(Timestamp::from_millis(1_800_000)),
            started_before: Some(now),
            ..SagaFilter::default()
        };
        assert_eq!(filter(&conditions, now), expected);
    }

    #[test]
    fn conditions_on_records_put_aside_are_read_and_put_together() {
        let now = Timestamp::from_millis(3_600_000);
        let said = ["topic=orders.events", "reason=malformed", "code=trigger-data", "parked-after=30m", "key=a=b"];
        let conditions: Vec<ParkedCondition> = said.iter().map(|text| ParkedCondition::parse(text).unwrap()).collect();
        let expected = ParkedFilter {
            topic: Some("orders.events".to_owned()),
            key: Some("a=b".to_owned()),
            reason_prefix: Some("malformed".to_owned()),
            code: Some("trigger-data".to_owned()),
            parked_after: Some(Timestamp::from_millis(1_800_000)),
            ..ParkedFilter::default()
        };
        assert_eq!(parked_filter(&conditions, now), expected);
        assert!(ParkedCondition::parse("topics=x").unwrap_err().contains("did you mean topic?"));
    }

    #[test]
    fn what_programs_say_is_what_the_command_line_says() {
        let said = r#"{"startedAfter": "30m", "phase": "stuck", "key": "a=b*"}"#;
        let said: Conditions = serde_json::from_str(said).unwrap();
        assert_eq!(said.texts(), ["phase=stuck", "key=a=b*", "started-after=30m"]);
        let read: Vec<Condition> = said.texts().iter().map(|text| Condition::parse(text).unwrap()).collect();
        assert_eq!(said.read(), Ok(read));
        let again =
            Conditions::of(["phase=running", "nothing"].into_iter().chain(said.texts().iter().map(String::as_str)));
        assert_eq!(again.texts(), said.texts());
        let zero = Conditions { code: Some("\0".to_owned()), ..Conditions::default() };
        assert_eq!(zero.read(), Err("code holds a zero byte".to_owned()));
        assert!(serde_json::from_str::<Conditions>(r#"{"phases": "stuck"}"#).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_told_with_what_could() {
        assert!(Condition::parse("phases=stuck").unwrap_err().contains("did you mean phase?"));
        assert!(Condition::parse("phase=lost").unwrap_err().contains("compensated_with_skips"));
        assert!(Condition::parse("key=order-4").unwrap_err().contains("PREFIX*"), "order-42 would be among them");
        assert!(Condition::parse("stuck").unwrap_err().contains("NAME=VALUE"));
        assert!(Condition::parse("started-after=yesterday").unwrap_err().contains("1h30m"));
    }
}
