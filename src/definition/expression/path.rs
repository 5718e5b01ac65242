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

/// The names that paths begin with.
pub(super) const ROOTS: [&str; 3] = ["trigger", "steps", "saga"];

impl Root {
    /// True for what there is when a trigger is judged.
    pub(in crate::definition) fn is_before_start(&self) -> bool {
        matches!(self, Self::TriggerData | Self::Trigger(_) | Self::Saga("name" | "version"))
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

/// What a path begins with, and how many of its names that takes.
///
/// # Errors
/// There is no such thing.
pub(super) fn root_of(parts: &[&str], step: &dyn Fn(&str) -> Option<StepIx>) -> Result<(Root, usize), String> {
    let attribute = |known: &[&'static str], names: &[&str]| match names {
        [name] => known.iter().find(|known| *known == name).copied(),
        _ => None,
    };
    let unknown =
        |known: &[&str]| format!("{} is unknown; of {} there are {}", parts.join("."), parts[0], known.join(", "));
    match parts {
        ["trigger", "data", ..] => Ok((Root::TriggerData, 2)),
        ["trigger", names @ ..] => attribute(&TRIGGER, names)
            .map(|name| (Root::Trigger(name), 2))
            .ok_or_else(|| unknown(&["data", "type", "id", "topic", "timestamp"])),
        ["saga", names @ ..] => attribute(&SAGA, names).map(|name| (Root::Saga(name), 2)).ok_or_else(|| unknown(&SAGA)),
        ["steps", name, "reply", ..] => {
            let place =
                step(name).ok_or_else(|| format!("it reads the reply of step {name}, and there is no such step"))?;
            Ok((Root::Reply((*name).to_owned(), place), 3))
        }
        ["steps", ..] => Err("steps are read by name: steps.<name>.reply".to_owned()),
        [other, ..] => Err(format!("{other} is unknown; there are trigger, saga and steps")),
        [] => Err("there is no path".to_owned()),
    }
}

/// A path: a root, and members of objects below it.
#[derive(Debug)]
pub(in crate::definition) struct Path {
    pub(in crate::definition) root: Root,
    members: Vec<String>,
}

impl Path {
    /// The path that `text` is; `None` when it is something else. `step` finds steps by name.
    ///
    /// # Errors
    /// It reads what there is not.
    pub(super) fn parse(text: &str, step: &dyn Fn(&str) -> Option<StepIx>) -> Option<Result<Self, String>> {
        let parts: Vec<&str> = text.split('.').collect();
        let is_name = |part: &&str| {
            let mut chars = part.chars();
            chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
                && chars.all(|rest| rest.is_ascii_alphanumeric() || rest == '_')
        };
        let is_plain = ROOTS.contains(&parts[0]) && parts.iter().all(is_name);
        is_plain.then(|| {
            let (root, used) = root_of(&parts, step)?;
            Ok(Self { root, members: parts[used..].iter().map(|part| (*part).to_owned()).collect() })
        })
    }

    pub(super) fn evaluate(&self, scope: &dyn Scope) -> Result<Json, String> {
        let Some(json) = scope.root(&self.root)? else {
            return Ok(Json::null());
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

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TriggerData => f.write_str("trigger.data"),
            Self::Trigger(name) => write!(f, "trigger.{name}"),
            Self::Saga(name) => write!(f, "saga.{name}"),
            Self::Reply(step, _) => write!(f, "steps.{step}.reply"),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)?;
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
        let parse = |text| Path::parse(text, &|name| (name == "order").then_some(StepIx(0)));
        for text in ["trigger.data.a.b", "steps.order.reply", "steps.order.reply.x", "saga.name"] {
            assert!(parse(text).is_some_and(|path| path.is_ok()), "{text}");
        }
        for text in ["trigger", "trigger.unknown", "saga.nmae", "steps.order.attempts", "steps.nobody.reply"] {
            assert!(parse(text).is_some_and(|path| path.is_err()), "{text}");
        }
        for text in ["trigger.data.a + 1", "trigger.data[0]", "true", "size(trigger.data)"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
