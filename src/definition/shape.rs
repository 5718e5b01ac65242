//! The format of a file: what does not fit the JSON Schema that editors use, all of it, each at its place. Asked only of a file that
//! does not read as it should.

use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_saphyr::Spanned;

use super::{check, file};

/// One thing that does not fit.
#[derive(Debug)]
pub(super) struct Misfit {
    /// The byte in the file where it stands.
    pub(super) at: usize,
    pub(super) message: String,
    pub(super) hint: String,
    /// A key that means nothing: the file can be read without it.
    pub(super) is_unknown_key: bool,
    /// The bytes of a word or number that could be left out.
    pub(super) word: Option<Range<usize>>,
}

static FORMAT: LazyLock<(Value, jsonschema::Validator)> = LazyLock::new(|| {
    let schema = serde_json::from_str(&file::json_schema()).expect("a schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("it is generated");
    (schema, validator)
});

/// What does not fit the format, at most `limit`. Nothing when the text is no YAML at all.
pub(super) fn misfits(yaml: &str, limit: usize) -> Vec<Misfit> {
    let tree = serde_saphyr::with_deserializer_from_str_with_options(yaml, file::options(), |deserializer| {
        Tree::deserialize(deserializer)
    });
    let Ok(tree) = tree else { return Vec::new() };
    let value = tree.to_value();
    let mut shape = Shape { yaml, tree, limit, found: Vec::new() };
    for error in FORMAT.1.iter_errors(&value) {
        if shape.found.len() >= limit {
            break;
        }
        shape.say(&error);
    }
    shape.found
}

/// The text without these words: `~` (nothing) stands where they stood, and everything else keeps its place.
pub(super) fn without_words(yaml: &str, misfits: &[Misfit]) -> String {
    let mut bytes = yaml.as_bytes().to_vec();
    for word in misfits.iter().filter_map(|misfit| misfit.word.clone()) {
        bytes[word.clone()].fill(b' ');
        bytes[word.start] = b'~';
    }
    String::from_utf8(bytes).unwrap_or_default()
}

struct Shape<'a> {
    yaml: &'a str,
    tree: Tree,
    limit: usize,
    found: Vec<Misfit>,
}

impl Shape<'_> {
    fn say(&mut self, error: &ValidationError<'_>) {
        let path = segments(error.instance_path().as_str());
        if let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() {
            self.unknown(&path, unexpected, error);
        } else if let ValidationErrorKind::Required { property } = error.kind() {
            let missing = property.as_str().unwrap_or_default();
            self.add(&path, format!("{missing} is missing in {}", shown(&path)), format!("add {missing}"));
        } else {
            // Of several forms, the author meant the one that the value has the type of.
            let meant = forms(error).iter().find(|errors| !errors.iter().any(|inner| is_other(error, inner)));
            match meant {
                Some(errors) => errors.iter().for_each(|inner| self.say(inner)),
                None => self.wrong(&path, error),
            }
        }
    }

    fn unknown(&mut self, path: &[String], keys: &[String], error: &ValidationError<'_>) {
        let known = known_keys(error.schema_path().as_str());
        for key in keys.iter().take(self.limit.saturating_sub(self.found.len())) {
            let mut path = path.to_vec();
            path.push(key.clone());
            let hint = match check::did_you_mean(key, &known) {
                Some(known) => format!("did you mean {known}?"),
                None if known.is_empty() => "remove it".to_owned(),
                None => format!("remove it; there may be {}", known.join(", ")),
            };
            let at = self.tree.key_at(&path, self.yaml);
            let message = format!("unknown key {}", path.join("."));
            self.found.push(Misfit { at, message, hint, is_unknown_key: true, word: None });
        }
    }

    fn wrong(&mut self, path: &[String], error: &ValidationError<'_>) {
        let instance = error.instance();
        let value: String = instance.to_string().chars().take(60).collect();
        let words = expected(error);
        let hint = match instance
            .as_str()
            .and_then(|word| check::did_you_mean(word, &words.iter().map(String::as_str).collect::<Vec<_>>()))
        {
            Some(known) => format!("did you mean {known}?"),
            None => format!("write {}", words.join(" or ")),
        };
        self.add(path, format!("{} is {value}", shown(path)), hint);
    }

    fn add(&mut self, path: &[String], message: String, hint: String) {
        let place = self.tree.get(path);
        let word = place.filter(|tree| matches!(tree.node, Node::Leaf(_))).map(|tree| tree.bytes.clone());
        let at = place.map_or(0, |tree| tree.bytes.start);
        let word = word.filter(|word| !word.is_empty() && self.yaml.get(word.clone()).is_some());
        self.found.push(Misfit { at, message, hint, is_unknown_key: false, word });
    }
}

/// What each form says against the value, where there are several.
fn forms<'e>(error: &'e ValidationError<'_>) -> &'e [Vec<ValidationError<'static>>] {
    if let ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } = error.kind() {
        context
    } else {
        &[]
    }
}

/// True for an error that says: the value as a whole is something else.
fn is_other(outer: &ValidationError<'_>, inner: &ValidationError<'_>) -> bool {
    let is_deeper = inner.instance_path().as_str() != outer.instance_path().as_str();
    let is_of_members =
        matches!(inner.kind(), ValidationErrorKind::AdditionalProperties { .. } | ValidationErrorKind::Required { .. });
    let forms = forms(inner);
    !is_deeper && !is_of_members && forms.iter().all(|errors| errors.iter().any(|error| is_other(outer, error)))
}

/// What could stand there instead, as people say it.
fn expected(error: &ValidationError<'_>) -> Vec<String> {
    let mut words: Vec<String> = forms(error).iter().flatten().flat_map(expected).collect();
    if let ValidationErrorKind::Constant { expected_value } = error.kind() {
        words.push(word(expected_value));
    } else if let ValidationErrorKind::Enum { options } = error.kind() {
        words.extend(options.as_array().into_iter().flatten().map(word));
    } else if let ValidationErrorKind::Type { .. } = error.kind() {
        let text = error.to_string();
        words.extend(text.split('"').rev().skip(1).step_by(2).filter_map(type_name).map(str::to_owned));
    } else if words.is_empty() {
        words.push(format!("what fits: {error}"));
    }
    words.dedup();
    words
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn type_name(name: &str) -> Option<&'static str> {
    match name {
        "string" => Some("a text"),
        "integer" => Some("a whole number"),
        "number" => Some("a number"),
        "boolean" => Some("true or false"),
        "array" => Some("a list"),
        "object" => Some("a map"),
        _ => None,
    }
}

fn shown(path: &[String]) -> String {
    if path.is_empty() { "the file".to_owned() } else { path.join(".") }
}

fn segments(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
}

/// The keys that an object may have, by where the schema forbids others.
fn known_keys(schema_path: &str) -> Vec<&'static str> {
    let place = schema_path.rsplit_once('/').map_or("", |(place, _)| place);
    let properties = FORMAT.0.pointer(place).and_then(|node| node.get("properties")).and_then(Value::as_object);
    properties.map(|known| known.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// A file's values with their places.
#[derive(Debug)]
struct Tree {
    bytes: Range<usize>,
    node: Node,
}

#[derive(Debug)]
enum Node {
    Leaf(Value),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    fn to_value(&self) -> Value {
        match &self.node {
            Node::Leaf(value) => value.clone(),
            Node::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Node::Map(members) => {
                Value::Object(members.iter().map(|(name, value)| (name.clone(), value.to_value())).collect())
            }
        }
    }

    fn get(&self, path: &[String]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        match &self.node {
            Node::Leaf(_) => None,
            Node::List(items) => items.get(first.parse::<usize>().ok()?)?.get(rest),
            Node::Map(members) => members.iter().find(|(name, _)| name == first)?.1.get(rest),
        }
    }

    /// The byte where the key of the value at `path` stands: the last time that it is written before its value.
    fn key_at(&self, path: &[String], yaml: &str) -> usize {
        let value = self.get(path).map_or(0, |tree| tree.bytes.start);
        let before = yaml.get(..value).unwrap_or(yaml);
        path.last().and_then(|key| before.rfind(key.as_str())).unwrap_or(value)
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Node>::deserialize(deserializer)?;
        let span = spanned.referenced.span();
        let number = |bytes: Option<u64>| bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
        let start = number(span.byte_offset());
        Ok(Self { bytes: start..start + number(span.byte_len()), node: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Leaf(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
                Ok(Node::Leaf(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Leaf(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
                Ok(Node::Leaf(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Node, E> {
                Ok(Node::Leaf(value.into()))
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Leaf(Value::Null))
            }

            fn visit_none<E>(self) -> Result<Node, E> {
                Ok(Node::Leaf(Value::Null))
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
                Node::deserialize(deserializer)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Node::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Node::Map(members))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}
