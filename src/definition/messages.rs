//! What is sent and read: data with expressions, conditions, schemas.

use std::sync::Arc;

use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use crate::core::{Action, StepIx};

use super::check;
use super::compile::Bench;
use super::compiled::{Rendered, Schema};
use super::expression::Expression;
use super::source;
use super::step_file::{Message, ReplyFile};
use super::template::Template;

impl Bench<'_> {
    pub(super) fn rendered(
        &mut self,
        at: Location,
        (message, undo, reply): (Message<'_>, Option<Message<'_>>, Option<&ReplyFile>),
        ancestors: &[bool],
        place: usize,
        names: &[String],
        step: &dyn Fn(&str) -> Option<StepIx>,
    ) -> Option<Rendered> {
        let command = self.data(message, step).unwrap_or(Some(Template::Literal("{}".to_owned())));
        let undo_data = undo.and_then(|message| self.data(message, step));
        for (template, action) in
            [(command.as_ref(), Action::Do), (undo_data.as_ref().and_then(Option::as_ref), Action::Undo)]
        {
            let roots = template.map(Template::roots).unwrap_or_default();
            for message in check::unreadable(&roots, ancestors, place, action, names) {
                self.find(at, message, "read the trigger and the replies of steps that are done before (see after)");
            }
        }
        let command_schema = self.schema(message.schema);
        let undo_schema = self.schema(undo.and_then(|message| message.schema));
        let reply_schema = self.schema(reply.and_then(|reply| reply.schema.as_ref()));
        let undo = undo_data.map(|compiled| compiled.unwrap_or(Template::Literal("null".to_owned())));
        let command = command.unwrap_or(Template::Literal("null".to_owned()));
        Some(Rendered { command, command_schema, undo, undo_schema, reply_schema })
    }

    /// `None` when there is no data; `Some(None)` when it is wrong, which has been said.
    fn data(&mut self, message: Message<'_>, step: &dyn Fn(&str) -> Option<StepIx>) -> Option<Option<Template>> {
        let data = message.data?;
        match Template::compile(&data.value, step) {
            Ok(template) => Some(Some(template)),
            Err(error) => {
                self.find(data.referenced, error, "expressions are CEL between ${ and }");
                Some(None)
            }
        }
    }

    pub(super) fn text(&mut self, text: &Spanned<String>, step: &dyn Fn(&str) -> Option<StepIx>) -> Option<Template> {
        match Template::compile_text(&text.value, step) {
            Ok(Template::Literal(_)) => {
                self.find(
                    text.referenced,
                    "businessKey is the same for every saga".to_owned(),
                    "read it from the trigger: ${trigger.data.id}",
                );
                None
            }
            Ok(template) => self.before_start(text.referenced, template),
            Err(error) => {
                self.find(text.referenced, error, "before a saga begins there is only its trigger");
                None
            }
        }
    }

    /// A template that is asked of a trigger reads what there is then.
    fn before_start(&mut self, at: Location, template: Template) -> Option<Template> {
        let roots = template.roots();
        let Some(early) = roots.iter().find(|root| !root.is_before_start()) else { return Some(template) };
        let hint = "before a saga begins there are its trigger, saga.name and saga.version";
        self.find(at, format!("{early} is read before there is one"), hint);
        None
    }

    pub(super) fn condition(&mut self, when: &Spanned<String>) -> Option<Template> {
        let text = when.value.trim().strip_prefix("${").and_then(|text| text.strip_suffix('}')).unwrap_or(&when.value);
        match Expression::compile(text, &|_| None) {
            Ok(expression) => self.before_start(when.referenced, Template::Value(expression)),
            Err(error) => {
                self.find(when.referenced, error, "before a saga begins there is only its trigger");
                None
            }
        }
    }

    pub(super) fn schema(&mut self, name: Option<&Spanned<String>>) -> Option<Schema> {
        let name = name?;
        let Some(text) = self.source.schemas.get(&name.value) else {
            let why = if source::is_inside(&name.value) { "cannot be read" } else { "lies outside the project" };
            let hint = "schemas are files, named relative to the definition file, at most one folder up";
            self.find(name.referenced, format!("schema {} {why}", name.value), hint);
            return None;
        };
        let compile = || {
            serde_json::from_str::<Value>(text)
                .map_err(|error| error.to_string())
                .and_then(|schema| jsonschema::validator_for(&schema).map_err(|error| error.to_string()))
                .map(Arc::new)
        };
        match self.validators.entry(name.value.clone()).or_insert_with(compile).clone() {
            Ok(validator) => Some(Schema { name: name.value.clone(), validator }),
            Err(error) => {
                self.find(
                    name.referenced,
                    format!("schema {}: {error}", name.value),
                    "it must be JSON Schema without remote references",
                );
                None
            }
        }
    }
}
