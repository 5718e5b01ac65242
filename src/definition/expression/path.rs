//! Plain paths: the fast way to a value. No tree is built; members that are not on the path are skipped.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::core::{Json, StepIx};

use super::Scope;

/// Where a path begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::definition) enum Root {
    /// `trigger.data`
    TriggerData,
    /// `trigger.type`, `trigger.id`, `trigger.topic`, `trigger.timestamp`
    Trigger(&'static str),
    /// `saga.id`, `saga.businessKey`, `saga.name`, `saga.version`
    Saga(&'static str),
    /// `steps.<name>.reply`
    Reply(String, StepIx),
}

const TRIGGER: [&str; 4] = ["type", "id", "topic", "timestamp"];
const SAGA: [&str; 4] = ["id", "businessKey", "name", "version"];

impl Root {
    pub(super) fn trigger() -> Vec<Self> {
        TRIGGER.iter().map(|name| Self::Trigger(name)).chain([Self::TriggerData]).collect()
    }

    pub(super) fn saga() -> Vec<Self> {
        SAGA.iter().map(|name| Self::Saga(name)).collect()
    }

    /// Puts the root's value where expressions look for it.
    pub(super) fn place(&self, tree: &mut Value, value: Value) {
        match self {
            Self::TriggerData => tree["trigger"]["data"] = value,
            Self::Trigger(name) => tree["trigger"][*name] = value,
            Self::Saga(name) => tree["saga"][*name] = value,
            Self::Reply(step, _) => tree["steps"][step]["reply"] = value,
        }
    }
}

/// A path whose step is not looked up yet.
#[derive(Debug)]
pub(super) struct Parsed {
    root: ParsedRoot,
    members: Vec<String>,
}

#[derive(Debug)]
enum ParsedRoot {
    Known(Root),
    Reply(String),
}

/// A path: a root, and members of objects below it.
#[derive(Debug)]
pub(in crate::definition) struct Path {
    pub(in crate::definition) root: Root,
    members: Vec<String>,
}

impl Path {
    /// The path that `text` is; `None` when it is something else.
    pub(super) fn parse(text: &str) -> Option<Parsed> {
        let parts: Vec<&str> = text.split('.').collect();
        let is_name = |part: &&str| {
            let mut chars = part.chars();
            chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
                && chars.all(|rest| rest.is_ascii_alphanumeric() || rest == '_')
        };
        if !parts.iter().all(is_name) {
            return None;
        }
        let (root, used) = match parts.as_slice() {
            ["trigger", "data", ..] => (ParsedRoot::Known(Root::TriggerData), 2),
            ["trigger", name] => (ParsedRoot::Known(Root::Trigger(TRIGGER.iter().find(|known| *known == name)?)), 2),
            ["saga", name] => (ParsedRoot::Known(Root::Saga(SAGA.iter().find(|known| *known == name)?)), 2),
            ["steps", step, "reply", ..] => (ParsedRoot::Reply((*step).to_owned()), 3),
            _ => return None,
        };
        Some(Parsed { root, members: parts[used..].iter().map(|part| (*part).to_owned()).collect() })
    }

    pub(super) fn evaluate(&self, scope: &dyn Scope) -> Result<Json, String> {
        let Some(json) = scope.root(&self.root)? else {
            return Ok(Json::parse(b"null").expect("null is JSON"));
        };
        if self.members.is_empty() {
            return Ok(json);
        }
        let mut text = json.get();
        for name in &self.members {
            text = member(text, name).ok_or_else(|| format!("there is no member {name} on the path {self}"))?;
        }
        Json::parse(text.as_bytes()).map_err(|error| error.to_string())
    }
}

impl Parsed {
    pub(super) fn resolve(self, step: &dyn Fn(&str) -> Option<StepIx>) -> Result<Path, String> {
        let root = match self.root {
            ParsedRoot::Known(root) => root,
            ParsedRoot::Reply(name) => {
                let place = step(&name).ok_or_else(|| unknown_step(&name))?;
                Root::Reply(name, place)
            }
        };
        Ok(Path { root, members: self.members })
    }
}

pub(super) fn unknown_step(name: &str) -> String {
    format!("it reads the reply of step {name}, and there is no such step")
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.root {
            Root::TriggerData => f.write_str("trigger.data")?,
            Root::Trigger(name) => write!(f, "trigger.{name}")?,
            Root::Saga(name) => write!(f, "saga.{name}")?,
            Root::Reply(step, _) => write!(f, "steps.{step}.reply")?,
        }
        self.members.iter().try_for_each(|member| write!(f, ".{member}"))
    }
}

/// The text of an object's member. When a name is there twice the first one counts.
fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    struct Find<'n>(&'n str);
    impl<'de> Visitor<'de> for Find<'_> {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                if found.is_none() && name == self.0 {
                    found = Some(map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(object);
    reader.deserialize_map(Find(name)).ok().flatten().map(RawValue::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_found_behind_others_and_copied_as_it_is_written() {
        let text = r#"{"a":{"b":[1,2]},"\u0062":1.10,"c":1e3}"#;
        assert_eq!(member(text, "b"), Some("1.10"));
        assert_eq!(member(text, "c"), Some("1e3"));
        assert_eq!(member(text, "d"), None);
        assert_eq!(member("[1]", "a"), None);
    }

    #[test]
    fn only_plain_paths_are_paths() {
        assert!(Path::parse("trigger.data.a.b").is_some());
        assert!(Path::parse("steps.order.reply").is_some());
        for text in ["trigger.data.a + 1", "trigger.data[0]", "trigger", "trigger.unknown", "size(trigger.data)"] {
            assert!(Path::parse(text).is_none(), "{text}");
        }
    }
}
