//! Places in payloads that only some people may see: JSON pointers (RFC 6901) in the definition, with `*` for any member or item.

use serde_json::Value;

use crate::core::limits;

use super::compile::Bench;
use super::file::DefinitionFile;

/// What stands for what is masked.
pub const MASKED: &str = "masked";

/// A shorter text occurs everywhere: it is masked where it stands, and nowhere else.
const TELLING_LETTERS: usize = 4;

/// The places that a definition masks, in the data of its triggers, commands and replies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask(Vec<Vec<String>>);

impl Mask {
    /// True when everybody may see everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Masks a payload. Returns the texts and numbers that stood there, but for those that are too short to tell anything.
    pub fn apply(&self, payload: &mut Value) -> Vec<String> {
        let mut hidden = Vec::new();
        self.0.iter().for_each(|path| hide(payload, path, &mut hidden));
        hidden
    }
}

fn hide(value: &mut Value, path: &[String], hidden: &mut Vec<String>) {
    let Some((name, rest)) = path.split_first() else {
        tell(value, hidden);
        *value = Value::from(MASKED);
        return;
    };
    match value {
        Value::Object(members) if name == "*" => members.iter_mut().for_each(|(_, one)| hide(one, rest, hidden)),
        Value::Array(items) if name == "*" => items.iter_mut().for_each(|one| hide(one, rest, hidden)),
        Value::Object(members) => members.get_mut(name).into_iter().for_each(|one| hide(one, rest, hidden)),
        Value::Array(items) => {
            let place = name.parse().ok().and_then(|place: usize| items.get_mut(place));
            place.into_iter().for_each(|one| hide(one, rest, hidden));
        }
        Value::Null => {}
        // Where an object was expected stands what may be all of it.
        Value::Bool(_) | Value::Number(_) | Value::String(_) => hide(value, &[], hidden),
    }
}

/// Every text and number below.
fn tell(value: &Value, hidden: &mut Vec<String>) {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) => return items.iter().for_each(|item| tell(item, hidden)),
        Value::Object(members) => return members.values().for_each(|member| tell(member, hidden)),
        Value::Null | Value::Bool(_) => return,
    };
    if text.chars().count() >= TELLING_LETTERS && text != MASKED {
        hidden.push(text);
    }
}

/// The names on the way that a pointer goes.
fn path(pointer: &str) -> Option<Vec<String>> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    let is_written = |name: &&str| name.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    let name = |name: &str| is_written(&name).then(|| name.replace("~1", "/").replace("~0", "~"));
    pointer.strip_prefix('/')?.split('/').map(name).collect()
}

/// Whether the expression reads what stands at the path in a trigger, or below it.
fn reads(expression: &str, path: &[String]) -> bool {
    let read = format!("trigger.data.{}", path.join("."));
    let is_end = |rest: &str| !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_');
    expression.match_indices(&read).any(|(at, _)| is_end(&expression[at + read.len()..]))
}

impl Bench<'_> {
    /// What the file says to mask.
    pub(super) fn mask(&mut self, model: &DefinitionFile) -> Mask {
        let mut paths: Vec<Vec<String>> = Vec::new();
        for pointer in &model.mask {
            let (text, at) = (&pointer.value, pointer.referenced);
            let Some(path) = path(text) else {
                let hint =
                    "such as /customer/card, /items/*/name, or \"\" for all; ~1 stands for / and ~0 for ~ in a name";
                self.find(at, format!("{text:?} is no JSON pointer"), hint);
                continue;
            };
            if paths.contains(&path) {
                self.find(at, format!("{text} is masked twice"), "name it once");
            }
            if !path.is_empty() && reads(&model.business_key.value, &path) {
                let hint = "the business key is shown everywhere: take another one";
                self.find(at, format!("businessKey reads {text}, which is masked"), hint);
            }
            paths.push(path);
        }
        if let Some(beyond) = model.mask.get(limits::MASKED_PLACES) {
            let message = format!("{} places are masked, at most {} are allowed", paths.len(), limits::MASKED_PLACES);
            self.find(beyond.referenced, message, "mask what they have in common, or use *");
        }
        Mask(paths)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn masked(pointers: &[&str], mut payload: Value) -> (Value, Vec<String>) {
        let mask = Mask(pointers.iter().map(|pointer| path(pointer).unwrap()).collect());
        let hidden = mask.apply(&mut payload);
        (payload, hidden)
    }

    #[test]
    fn what_stands_at_a_place_is_masked_with_all_below_it() {
        let payload = json!({"customer": {"card": {"number": "4111", "month": 12}, "name": "Ada"}, "amount": 7});
        let (seen, hidden) = masked(&["/customer/card", "/nothing/there"], payload.clone());
        assert_eq!(seen, json!({"customer": {"card": "masked", "name": "Ada"}, "amount": 7}));
        assert_eq!(hidden, ["4111"], "12 occurs everywhere");
        assert_eq!(masked(&[""], payload).0, json!("masked"));
    }

    #[test]
    fn a_star_is_any_member_or_item_and_a_number_is_an_item() {
        let payload = json!({"items": [{"pin": 12345}, {"pin": "x"}, 3], "by/name": {"a~b": {"pin": "secret"}}});
        let (seen, hidden) = masked(&["/items/*/pin", "/by~1name/*/pin"], payload.clone());
        assert_eq!(seen["items"], json!([{"pin": "masked"}, {"pin": "masked"}, "masked"]));
        assert_eq!(seen["by/name"], json!({"a~b": {"pin": "masked"}}));
        assert_eq!(hidden, ["12345", "secret"]);
        assert_eq!(masked(&["/items/1/pin", "/by~1name/a~0b"], payload).0["items"][0]["pin"], 12345);
    }

    #[test]
    fn what_stands_in_the_way_is_masked_as_well() {
        assert_eq!(masked(&["/customer/card"], json!({"customer": "Ada, 4111"})).0, json!({"customer": "masked"}));
        assert_eq!(masked(&["/customer/card"], json!("4111")).0, json!("masked"));
        assert_eq!(masked(&["/customer/card"], json!({"customer": null})).0, json!({"customer": null}));
    }

    #[test]
    fn pointers_are_written_as_in_rfc_6901() {
        assert_eq!(path("/a~1b/~01//*"), Some(vec!["a/b".into(), "~1".into(), String::new(), "*".into()]));
        for none in ["a", "a/b", "/a~2", "/~", "#/a"] {
            assert_eq!(path(none), None, "{none}");
        }
    }

    #[test]
    fn a_key_that_reads_a_masked_place_is_seen() {
        let at = |text: &str| path(text).unwrap();
        assert!(reads("${trigger.data.card.number}", &at("/card")) && reads("x-${trigger.data.card}", &at("/card")));
        assert!(!reads("${trigger.data.cardId}", &at("/card")) && !reads("${trigger.data.id}", &at("/card")));
    }
}
