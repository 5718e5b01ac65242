//! A checked definition with its templates and schemas: what `core` asks to render, and what the engine asks of triggers.

use std::sync::Arc;

use serde_json::Value;

use crate::core::{Action, Definition, Json, Render, RenderError, Rules, Saga, StepIx, Trigger, limits};

use super::expression::{Root, Scope};
use super::mask::Mask;
use super::template::{Template, as_text};

/// A checked definition, ready to decide with.
#[derive(Debug)]
pub struct Compiled {
    pub(super) definition: Definition,
    pub(super) business_key: Template,
    pub(super) when: Option<Template>,
    pub(super) trigger_schema: Option<Schema>,
    pub(super) mask: Mask,
    pub(super) steps: Vec<Rendered>,
}

/// What is rendered and checked for one step.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) command: Template,
    pub(super) command_schema: Option<Schema>,
    /// `None`: the data of the command.
    pub(super) undo: Option<Template>,
    pub(super) undo_schema: Option<Schema>,
    pub(super) reply_schema: Option<Schema>,
}

/// A compiled JSON Schema.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) name: String,
    pub(super) validator: Arc<jsonschema::Validator>,
}

/// What a definition makes of a trigger of its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TriggerMatch {
    /// A saga with this business key.
    Start {
        /// Unique for the definition's name.
        business_key: Arc<str>,
    },
    /// Its `when` is false.
    NotThisOne,
}

impl Compiled {
    /// The definition as the rules know it.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// What only some people may see of its sagas' payloads.
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// Definition and renderer together.
    pub fn rules(&self) -> Rules<'_> {
        Rules { definition: &self.definition, render: self, held: &[] }
    }

    /// What this definition makes of a trigger whose type it has.
    ///
    /// # Errors
    /// Its data break the schema, `when` cannot be evaluated, or there is no usable business key: for people.
    pub fn accepts(&self, trigger: &Trigger) -> Result<TriggerMatch, String> {
        let scope = TriggerScope { definition: &self.definition, trigger };
        if let Some(when) = &self.when {
            match when.render(&scope).map_err(|error| error.message)?.get() {
                "true" => {}
                "false" => return Ok(TriggerMatch::NotThisOne),
                _ => return Err("`when` is neither true nor false".to_owned()),
            }
        }
        if let Some(schema) = &self.trigger_schema {
            schema.check(&trigger.data)?;
        }
        let key = self.business_key.render(&scope).map_err(|error| error.message)?;
        let is_key = key.get().starts_with('"') || key.get().parse::<i64>().is_ok();
        let text = as_text(&key);
        if !is_key || text.is_empty() || text.len() > limits::KEY_BYTES || text.chars().any(char::is_control) {
            return Err("the business key is neither a printable text of 1 to 1024 bytes nor a whole number".to_owned());
        }
        Ok(TriggerMatch::Start { business_key: text.into() })
    }
}

impl Render for Compiled {
    fn data(&self, saga: &Saga, step: StepIx, action: Action) -> Result<Json, RenderError> {
        let rendered = &self.steps[step.at()];
        let (template, schema) = match action {
            Action::Do => (&rendered.command, &rendered.command_schema),
            Action::Undo => (rendered.undo.as_ref().unwrap_or(&rendered.command), &rendered.undo_schema),
        };
        let name = &self.definition.step(step).name;
        let failed = |code: &'static str, message: String| RenderError {
            code,
            message: format!("{} of step {name}: {message}", action.name()),
        };
        let state = saga.step(step);
        // An undo without data of its own takes those of its `do`, also edited ones.
        let as_done = state.edited(Action::Do).filter(|_| action == Action::Undo && rendered.undo.is_none());
        let data = match state.edited(action).or(as_done) {
            Some(data) => data.clone(),
            None => {
                let scope =
                    SagaScope { definition: &self.definition, saga, own: (action == Action::Undo).then_some(step) };
                template.render(&scope).map_err(|error| failed(error.code, error.message))?
            }
        };
        if data.get().len() > limits::VALUE_BYTES {
            return Err(failed(
                "saga.too_large",
                format!("{} bytes, more than {}", data.get().len(), limits::VALUE_BYTES),
            ));
        }
        if let Some(schema) = schema {
            schema.check(&data).map_err(|message| failed("saga.schema", message))?;
        }
        Ok(data)
    }

    fn check_reply(&self, step: StepIx, data: &Json) -> Result<(), String> {
        self.steps[step.at()].reply_schema.as_ref().map_or(Ok(()), |schema| schema.check(data))
    }
}

impl Schema {
    fn check(&self, data: &Json) -> Result<(), String> {
        let value: Value = serde_json::from_str(data.get()).map_err(|error| error.to_string())?;
        self.validator.validate(&value).map_err(|error| {
            // Payload is never logged: the place and the rule are said, not the value.
            format!(
                "breaks schema {} at {:?}, rule {}",
                self.name,
                error.instance_path().to_string(),
                error.schema_path()
            )
        })
    }
}

struct TriggerScope<'a> {
    definition: &'a Definition,
    trigger: &'a Trigger,
}

impl Scope for TriggerScope<'_> {
    fn root(&self, root: &Root) -> Result<Option<Json>, String> {
        match root {
            Root::TriggerData => Ok(Some(self.trigger.data.clone())),
            Root::Trigger(name) => Ok(trigger_attribute(self.trigger, name)),
            Root::Saga("name") => Ok(Some(text(&self.definition.name))),
            Root::Saga("version") => Ok(Some(text_of_json(&self.definition.version.to_string()))),
            Root::Saga(_) | Root::Reply(..) => Err("before a saga begins there is only its trigger".to_owned()),
        }
    }
}

struct SagaScope<'a> {
    definition: &'a Definition,
    saga: &'a Saga,
    /// The step that is being undone: its own reply may be missing.
    own: Option<StepIx>,
}

impl Scope for SagaScope<'_> {
    fn root(&self, root: &Root) -> Result<Option<Json>, String> {
        match root {
            Root::Saga("id") => Ok(Some(text(&self.saga.id.to_string()))),
            Root::Saga("businessKey") => Ok(Some(text(&self.saga.business_key))),
            Root::Reply(name, step) => match &self.saga.step(*step).reply {
                Some(reply) => Ok(Some(reply.clone())),
                None if self.own == Some(*step) => Ok(None),
                None => Err(format!("step {name} has no reply")),
            },
            Root::TriggerData | Root::Trigger(_) | Root::Saga(_) => {
                TriggerScope { definition: self.definition, trigger: &self.saga.trigger }.root(root)
            }
        }
    }
}

fn trigger_attribute(trigger: &Trigger, name: &str) -> Option<Json> {
    match name {
        "type" => Some(text(&trigger.kind)),
        "id" => trigger.id.as_deref().map(text),
        "topic" => Some(text(&trigger.topic)),
        _ => Some(text(&trigger.timestamp.to_string())),
    }
}

fn text(text: &str) -> Json {
    text_of_json(&Value::from(text).to_string())
}

fn text_of_json(json: &str) -> Json {
    Json::parse(json.as_bytes()).expect("it was written as JSON")
}
