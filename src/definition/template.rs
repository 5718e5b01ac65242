//! A command's data as the author wrote them: a tree of JSON with expressions at its leaves. Rendered in the order of its keys.

use serde_json::Value;

use crate::core::{Json, RenderError, StepIx, limits};

use super::expression::{Expression, Root, Scope};

/// A compiled template.
#[derive(Debug)]
pub(super) enum Template {
    /// JSON without expressions.
    Literal(String),
    /// One expression and nothing around it: its value.
    Value(Expression),
    /// Text with expressions in it: a text.
    Text(Vec<Part>),
    /// An object with expressions somewhere below.
    Object(Vec<(String, Template)>),
    /// An array with expressions somewhere below.
    Array(Vec<Template>),
}

#[derive(Debug)]
pub(super) enum Part {
    Plain(String),
    Expression(Expression),
}

impl Template {
    /// Compiles the tree. The YAML reader has bounded its depth.
    pub(super) fn compile(value: &Value, step: &dyn Fn(&str) -> Option<StepIx>) -> Result<Self, String> {
        Ok(match value {
            Value::String(text) => Self::compile_text(text, step)?,
            Value::Array(items) => {
                Self::Array(items.iter().map(|item| Self::compile(item, step)).collect::<Result<_, _>>()?)
            }
            Value::Object(members) => {
                let compiled = members.iter().map(|(name, value)| Ok((name.clone(), Self::compile(value, step)?)));
                Self::Object(compiled.collect::<Result<_, String>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Literal(value.to_string()),
        })
    }

    /// Compiles a text: plain, one expression, or expressions within text.
    pub(super) fn compile_text(text: &str, step: &dyn Fn(&str) -> Option<StepIx>) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            if start > 0 {
                parts.push(Part::Plain(rest[..start].to_owned()));
            }
            let end = end_of_expression(&rest[start + 2..]).ok_or_else(|| {
                let shown: String = rest[start..].chars().take(60).collect();
                format!("${{ without }}: {shown:?}")
            })?;
            parts.push(Part::Expression(Expression::compile(&rest[start + 2..start + 2 + end], step)?));
            rest = &rest[start + 2 + end + 1..];
        }
        if parts.is_empty() {
            return Ok(Self::Literal(Value::String(text.to_owned()).to_string()));
        }
        if !rest.is_empty() {
            parts.push(Part::Plain(rest.to_owned()));
        }
        Ok(match (parts.len(), parts.pop()) {
            (1, Some(Part::Expression(expression))) => Self::Value(expression),
            (_, last) => {
                parts.extend(last);
                Self::Text(parts)
            }
        })
    }

    /// Everything that its expressions read.
    pub(super) fn roots(&self) -> Vec<Root> {
        match self {
            Self::Literal(_) => Vec::new(),
            Self::Value(expression) => expression.roots(),
            Self::Text(parts) => parts
                .iter()
                .flat_map(|part| match part {
                    Part::Plain(_) => Vec::new(),
                    Part::Expression(expression) => expression.roots(),
                })
                .collect(),
            Self::Object(members) => members.iter().flat_map(|(_, value)| value.roots()).collect(),
            Self::Array(items) => items.iter().flat_map(Self::roots).collect(),
        }
    }

    /// The data.
    ///
    /// # Errors
    /// What could not be evaluated, or is too large.
    pub(super) fn render(&self, scope: &dyn Scope) -> Result<Json, RenderError> {
        if let Self::Value(expression) = self {
            return expression.evaluate(scope).map_err(not_evaluated);
        }
        let mut text = String::new();
        self.write(scope, &mut text)?;
        Json::parse(text.as_bytes()).map_err(|error| not_evaluated(error.to_string()))
    }

    /// Ends as soon as it is too large: a thousand times the largest trigger is more than the memory that there is.
    fn write(&self, scope: &dyn Scope, into: &mut String) -> Result<(), RenderError> {
        let evaluate = |expression: &Expression| expression.evaluate(scope).map_err(not_evaluated);
        match self {
            Self::Literal(text) => into.push_str(text),
            Self::Value(expression) => into.push_str(evaluate(expression)?.get()),
            Self::Text(parts) => {
                let mut text = String::new();
                for part in parts {
                    match part {
                        Part::Plain(plain) => text.push_str(plain),
                        Part::Expression(expression) => text.push_str(&as_text(&evaluate(expression)?)),
                    }
                    within_limit(&text)?;
                }
                into.push_str(&Value::String(text).to_string());
            }
            Self::Object(members) => {
                into.push('{');
                for (place, (name, value)) in members.iter().enumerate() {
                    if place > 0 {
                        into.push(',');
                    }
                    into.push_str(&Value::String(name.clone()).to_string());
                    into.push(':');
                    value.write(scope, into)?;
                }
                into.push('}');
            }
            Self::Array(items) => {
                into.push('[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        into.push(',');
                    }
                    item.write(scope, into)?;
                }
                into.push(']');
            }
        }
        within_limit(into)
    }
}

fn not_evaluated(message: String) -> RenderError {
    RenderError { code: "saga.expression", message }
}

/// A command has a limit, and so has every part of it.
fn within_limit(text: &str) -> Result<(), RenderError> {
    if text.len() <= limits::VALUE_BYTES {
        return Ok(());
    }
    Err(RenderError { code: "saga.too_large", message: format!("more than {} bytes", limits::VALUE_BYTES) })
}

/// A text as it is, anything else as its JSON.
pub(super) fn as_text(json: &Json) -> String {
    serde_json::from_str::<String>(json.get()).unwrap_or_else(|_| json.get().to_owned())
}

/// The place of the `}` that ends an expression: braces of its own and quoted text are passed over.
fn end_of_expression(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some(at),
            (None, '}') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}
