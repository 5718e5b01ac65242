//! The file as authors write it. The JSON Schema that editors use is generated from these types.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};

use super::step_file::StepFile;

/// A saga definition.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct DefinitionFile {
    /// The version of this format: `v1`.
    pub(super) saga: Format,
    /// Name of the saga: lower case words with hyphens, such as `trade-settlement`.
    #[schemars(with = "String")]
    pub(super) name: Spanned<String>,
    /// Version of this definition: raise it with every change.
    pub(super) version: u32,
    /// Which Kafka records start a saga.
    pub(super) trigger: TriggerFile,
    /// Expression: Kafka key of every command, unique for each saga of this name.
    #[schemars(with = "String")]
    pub(super) business_key: Spanned<String>,
    /// Participants that need other settings than the defaults.
    #[serde(default)]
    pub(super) participants: BTreeMap<String, ParticipantFile>,
    /// Where participants answer. Default: `<name>.replies`.
    pub(super) reply_topic: Option<String>,
    /// Where ends of sagas are announced, and what steps wait for that command nobody. Default: `<name>.events`.
    pub(super) outcome_topic: Option<String>,
    /// Places in the data of triggers, commands and replies that only some people may see: JSON pointers, such as `/customer/card`;
    /// `*` stands for any member or item.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) mask: Vec<Spanned<String>>,
    /// Clocks and retry of every step that does not say otherwise.
    #[serde(default)]
    pub(super) defaults: ClocksFile,
    /// The steps, by name.
    #[schemars(with = "BTreeMap<String, StepFile>")]
    pub(super) steps: Ordered<StepFile>,
}

/// The version of the file format.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) enum Format {
    #[serde(rename = "v1")]
    V1,
}

/// Which Kafka records start a saga.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct TriggerFile {
    /// The topic.
    pub(super) topic: String,
    /// The records' `ce_type`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// Expression that must be true, without `${}`.
    #[schemars(with = "Option<String>")]
    pub(super) when: Option<Spanned<String>>,
    /// JSON Schema of the records' data: a file, relative to this one.
    #[schemars(with = "Option<String>")]
    pub(super) schema: Option<Spanned<String>>,
}

/// A participant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct ParticipantFile {
    /// Its command topic. Default: `<participant>.commands`.
    pub(super) command_topic: Option<String>,
}

/// Clocks and retry.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct ClocksFile {
    /// How long to wait for a reply before the same command is sent again. Each further wait is longer, as `retry` says: by its
    /// `backoffCoefficient`, up to its `maximumInterval`, spread by its `jitter`, never below the timeout. Default: `30s`.
    #[schemars(with = "Option<String>")]
    pub(super) timeout: Option<Spanned<String>>,
    /// How long a command may stay unanswered in all; then its outcome is unknown for good. Default: `5m`.
    #[schemars(with = "Option<String>")]
    pub(super) patience: Option<Spanned<String>>,
    /// Retry of retryable failures, and the pace at which an unanswered command is sent again.
    #[serde(default)]
    pub(super) retry: RetryFile,
    /// Clocks, retry and end of compensations.
    #[serde(default)]
    pub(super) compensation: CompensationFile,
}

/// Retry of retryable failures, and how the pace slows at which an unanswered command is sent again; names follow Temporal's.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct RetryFile {
    /// Attempts in all, the first counted. Default: 5.
    #[schemars(with = "Option<u16>")]
    pub(super) maximum_attempts: Option<Spanned<u16>>,
    /// Delay before the second attempt. Default: `1s`.
    #[schemars(with = "Option<String>")]
    pub(super) initial_interval: Option<Spanned<String>>,
    /// Growth of the delay. Default: 2.
    #[schemars(with = "Option<f64>")]
    pub(super) backoff_coefficient: Option<Spanned<f64>>,
    /// The delay never exceeds this. Default: `60s`.
    #[schemars(with = "Option<String>")]
    pub(super) maximum_interval: Option<Spanned<String>>,
    /// How delays are spread: `full` (default) or `none`.
    pub(super) jitter: Option<JitterFile>,
}

/// How delays are spread.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum JitterFile {
    Full,
    None,
}

/// Clocks, retry and end of compensations.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct CompensationFile {
    /// As `timeout`, for the undo. Default: `30s`.
    #[schemars(with = "Option<String>")]
    pub(super) timeout: Option<Spanned<String>>,
    /// As `patience`, for the undo. Default: `1h`.
    #[schemars(with = "Option<String>")]
    pub(super) patience: Option<Spanned<String>>,
    /// Missing fields are taken from `retry`; `maximumAttempts` 20 and `maximumInterval` `10m` by default.
    #[serde(default)]
    pub(super) retry: RetryFile,
    /// What happens when the undo failed for good: `block` (default) makes the saga stuck, `skip` goes on without it.
    pub(super) on_exhausted: Option<ExhaustedFile>,
}

impl CompensationFile {
    /// True when it says anything.
    pub(super) fn is_said(&self) -> bool {
        let Self { timeout, patience, retry, on_exhausted } = self;
        let RetryFile { maximum_attempts, initial_interval, backoff_coefficient, maximum_interval, jitter } = retry;
        let texts = [timeout, patience, initial_interval, maximum_interval];
        let others =
            [maximum_attempts.is_some(), backoff_coefficient.is_some(), jitter.is_some(), on_exhausted.is_some()];
        texts.into_iter().any(Option::is_some) || others.contains(&true)
    }
}

/// What happens when an undo failed for good.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum ExhaustedFile {
    Block,
    Skip,
}

/// A map in the order of the file, each value with its place.
#[derive(Debug)]
pub(super) struct Ordered<T>(pub(super) Vec<(String, Location, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Ordered<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Spanned<T>>()? {
                    entries.push((name, value.referenced, value.value));
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(Reader(PhantomData))
    }
}

/// A parsed file.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) model: DefinitionFile,
    /// True when there are keys in it that mean nothing.
    pub(super) has_unknown_keys: bool,
}

/// What serde-saphyr calls the wrapper that carries a value's place.
const SPANNED: &str = "__serde_saphyr_private_spanned";

/// Reads the file. Booleans are `true` and `false` only; what a bomb would need is over the budget.
pub(super) fn parse(yaml: &str) -> Result<Parsed, Box<serde_saphyr::Error>> {
    let mut has_unknown_keys = false;
    let model = serde_saphyr::with_deserializer_from_str_with_options(yaml, options(), |deserializer| {
        serde_ignored::deserialize(deserializer, |path| {
            // The reader's own wrapper for places looks like an unknown key.
            has_unknown_keys |= !matches!(path, serde_ignored::Path::Map { ref key, .. } if key == SPANNED);
        })
    })?;
    Ok(Parsed { model, has_unknown_keys })
}

/// How YAML is read.
pub(super) fn options() -> serde_saphyr::Options {
    serde_saphyr::options! { strict_booleans: true, with_snippet: false }
}

/// What the reader of YAML says, for authors.
pub(super) fn said(error: &serde_saphyr::Error) -> String {
    if let serde_saphyr::Error::DuplicateMappingKey { key, .. } = error {
        format!("the key {} is there twice", key.as_deref().unwrap_or_default())
    } else if let serde_saphyr::Error::MultipleDocuments { .. } = error {
        "there are several documents: a file holds one definition".to_owned()
    } else if let serde_saphyr::Error::InvalidScalar { .. } = error {
        "the number does not fit there".to_owned()
    } else {
        error.to_string().lines().next().unwrap_or_default().to_owned()
    }
}

impl DefinitionFile {
    /// Where participants answer.
    pub(super) fn reply_topic(&self) -> Arc<str> {
        self.own_topic(self.reply_topic.as_ref(), "replies")
    }

    /// Where ends of sagas are announced, and what steps wait for.
    pub(super) fn outcome_topic(&self) -> Arc<str> {
        self.own_topic(self.outcome_topic.as_ref(), "events")
    }

    fn own_topic(&self, written: Option<&String>, what: &str) -> Arc<str> {
        written.map_or_else(|| format!("{}.{what}", self.name.value).into(), |topic| topic.as_str().into())
    }

    /// Every schema file that the definition names.
    pub(super) fn schema_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.trigger.schema.iter().map(|name| name.value.clone()).collect();
        for (_, _, step) in &self.steps.0 {
            let messages = step.message().into_iter().chain(step.undo());
            names.extend(messages.filter_map(|message| message.schema).map(|name| name.value.clone()));
            names.extend(step.reply.as_ref().and_then(|reply| reply.schema.as_ref()).map(|name| name.value.clone()));
        }
        names
    }
}

/// The JSON Schema of definition files, as it is kept in `schemas/saga.v1.json`.
pub fn json_schema() -> String {
    let schema =
        schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<DefinitionFile>();
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    text.push('\n');
    text
}
