//! A step as authors write it: its command or what it waits for, its undo, what is known of its replies.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_saphyr::Spanned;

use super::file::{CompensationFile, RetryFile};

/// A step.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, extend("anyOf" = [{ "required": ["command"] }, { "required": ["wait"] }]))]
pub(super) struct StepFile {
    /// Steps that must be done before. Without it the step starts at once.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) after: Vec<Spanned<String>>,
    /// What its failure and success mean for the saga. Default: `compensatable`.
    pub(super) kind: Option<KindFile>,
    /// The service that it talks to. Default: the step's own name.
    pub(super) participant: Option<String>,
    /// The command. Each step has one, or waits.
    pub(super) command: Option<MessageFile>,
    /// What it waits for, commanding nobody. A notice on the outcome topic says so; its `kind` is `readOnly` by default.
    pub(super) wait: Option<WaitFile>,
    /// How it is undone: a command, or `none` (its effect may stay).
    pub(super) compensate: Option<CompensateFile>,
    /// What is known of its replies.
    pub(super) reply: Option<ReplyFile>,
    /// See `defaults`.
    #[schemars(with = "Option<String>")]
    pub(super) timeout: Option<Spanned<String>>,
    /// See `defaults`.
    #[schemars(with = "Option<String>")]
    pub(super) patience: Option<Spanned<String>>,
    /// See `defaults`.
    #[serde(default)]
    pub(super) retry: RetryFile,
    /// See `defaults`.
    #[serde(default)]
    pub(super) compensation: CompensationFile,
}

/// What a step's failure and success mean for the saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum KindFile {
    /// May fail; is undone by its compensation.
    Compensatable,
    /// May fail; once it has succeeded the saga only goes forward.
    Pivot,
    /// Never fails for good: asked again without end.
    Retriable,
    /// No effect, may fail, nothing to undo.
    ReadOnly,
}

/// A command.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct MessageFile {
    /// Its `ce_type`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// Its data, with expressions in `${}`. Default: `{}`; for a compensation the data of the step's command.
    #[schemars(with = "Option<Value>")]
    pub(super) data: Option<Spanned<Value>>,
    /// JSON Schema of its data: a file, relative to this one.
    #[schemars(with = "Option<String>")]
    pub(super) schema: Option<Spanned<String>>,
}

/// What a step waits for that commands nobody: a reply of whoever reads its notice, or a person's action. The notice is sent again after each
/// `timeout`, a day by default; after the `patience`, a week by default, the step has failed.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct WaitFile {
    /// What a person can say: `sagabus signal`, or `sagabus approve` and `reject`, which need a right of their own. Default: `signal`.
    #[serde(default, rename = "for")]
    pub(super) answer: WaitForFile,
    /// `ce_type` of its notice. Default: `sagabus.step.waiting`.
    #[serde(rename = "type", default = "waiting")]
    pub(super) kind: String,
    /// Data of its notice, with expressions in `${}`: what whoever answers has to know. Default: `{}`.
    #[schemars(with = "Option<Value>")]
    pub(super) data: Option<Spanned<Value>>,
    /// JSON Schema of its data: a file, relative to this one.
    #[schemars(with = "Option<String>")]
    pub(super) schema: Option<Spanned<String>>,
}

/// What a step waits for.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum WaitForFile {
    /// Word that something has happened.
    #[default]
    Signal,
    /// A person's yes or no.
    Approval,
}

fn waiting() -> String {
    "sagabus.step.waiting".to_owned()
}

/// A command or a notice, as its author wrote it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) kind: &'a str,
    pub(super) data: Option<&'a Spanned<Value>>,
    pub(super) schema: Option<&'a Spanned<String>>,
}

impl MessageFile {
    pub(super) fn message(&self) -> Message<'_> {
        Message { kind: &self.kind, data: self.data.as_ref(), schema: self.schema.as_ref() }
    }
}

impl WaitFile {
    fn notice(&self) -> Message<'_> {
        Message { kind: &self.kind, data: self.data.as_ref(), schema: self.schema.as_ref() }
    }
}

impl StepFile {
    /// Its command, or its notice; `None` when it says neither.
    pub(super) fn message(&self) -> Option<Message<'_>> {
        self.command.as_ref().map(MessageFile::message).or(self.wait.as_ref().map(WaitFile::notice))
    }

    /// The command that undoes it.
    pub(super) fn undo(&self) -> Option<Message<'_>> {
        match &self.compensate {
            Some(CompensateFile::Command(message)) => Some(message.message()),
            Some(CompensateFile::Nothing) | None => None,
        }
    }
}

/// How a step is undone.
#[derive(Debug)]
pub(super) enum CompensateFile {
    /// Not at all: the effect may stay.
    Nothing,
    /// By a command.
    Command(Box<MessageFile>),
}

impl<'de> Deserialize<'de> for CompensateFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = CompensateFile;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command, or the word none")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<CompensateFile, E> {
                match text {
                    "none" => Ok(CompensateFile::Nothing),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CompensateFile, A::Error> {
                let message = MessageFile::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(CompensateFile::Command(Box::new(message)))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl JsonSchema for CompensateFile {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Compensate".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let command = generator.subschema_for::<MessageFile>();
        json_schema!({ "description": "A command, or `none`: the effect may stay.", "anyOf": [{ "const": "none" }, command] })
    }
}

/// What is known of a step's replies.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct ReplyFile {
    /// JSON Schema of a success's data: a file, relative to this one.
    #[schemars(with = "Option<String>")]
    pub(super) schema: Option<Spanned<String>>,
}
