//! Expressions between `${` and `}`: CEL, compiled at load. A plain path such as `trigger.data.orderId` runs no CEL: it copies
//! the bytes of the JSON value, so that numbers and key order pass as they came.

mod path;
mod prepare;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::objects::{Key, Map};
use cel::{Context, IdedExpr, Program, Value as CelValue};
use serde_json::Value;

use crate::core::{Json, StepIx, limits};

pub(super) use path::Path;
pub(super) use path::Root;

/// What an expression can read: the JSON text behind each root. `Ok(None)`: the reply that the step's own undo reads, and there is
/// none; what reads it is `null` as a whole.
pub(super) trait Scope {
    fn root(&self, root: &Root) -> Result<Option<Json>, String>;
}

/// A compiled expression.
#[derive(Debug)]
pub(super) enum Expression {
    Path(Path),
    Cel(CelExpression),
}

/// An expression that needs CEL, with everything that it reads.
pub(super) struct CelExpression {
    parsed: IdedExpr,
    roots: Vec<Root>,
    /// With which power of the data its loops grow; 0 without loops.
    power: u32,
}

impl std::fmt::Debug for CelExpression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CelExpression").field("roots", &self.roots).finish_non_exhaustive()
    }
}

impl Expression {
    /// Compiles `text`; `step` finds steps by name.
    ///
    /// # Errors
    /// It is too long, is not CEL, loops too deeply, or reads what there is not.
    pub(super) fn compile(text: &str, step: &dyn Fn(&str) -> Option<StepIx>) -> Result<Self, String> {
        if text.len() > limits::EXPRESSION_BYTES {
            return Err(format!("an expression has {} bytes, more than {}", text.len(), limits::EXPRESSION_BYTES));
        }
        if let Some(path) = Path::parse(text.trim(), step) {
            return path.map(Self::Path);
        }
        if nesting(text) > limits::EXPRESSION_DEPTH {
            return Err(format!("an expression is nested deeper than {}", limits::EXPRESSION_DEPTH));
        }
        let count = |of: &[u8]| text.bytes().filter(|byte| of.contains(byte)).count();
        if count(b"+-*/%<>=!?[({") > limits::EXPRESSION_OPERATORS || count(b".") > limits::EXPRESSION_DOTS {
            return Err(format!("an expression has more than {} operators", limits::EXPRESSION_OPERATORS));
        }
        // The parser is not ours: whatever it does on odd text must not end the process.
        let program = catch_unwind(|| Program::compile(text))
            .map_err(|_| "the expression cannot be parsed".to_owned())?
            .map_err(|error| format!("not a CEL expression: {}", first_line(&error.to_string())))?;
        let mut parsed = program.expression().clone();
        let (roots, power) = prepare::prepare(&mut parsed, step)?;
        Ok(Self::Cel(CelExpression { parsed, roots, power }))
    }

    /// Everything that it reads.
    pub(super) fn roots(&self) -> Vec<Root> {
        match self {
            Self::Path(path) => vec![path.root.clone()],
            Self::Cel(expression) => expression.roots.clone(),
        }
    }

    /// Its value as JSON text.
    ///
    /// # Errors
    /// What could not be evaluated, for people.
    pub(super) fn evaluate(&self, scope: &dyn Scope) -> Result<Json, String> {
        match self {
            Self::Path(path) => path.evaluate(scope),
            Self::Cel(expression) => expression.evaluate(scope),
        }
    }
}

impl CelExpression {
    fn evaluate(&self, scope: &dyn Scope) -> Result<Json, String> {
        let mut tree = Value::Object(serde_json::Map::new());
        let mut weight = limits::EXPRESSION_BYTES;
        for root in &self.roots {
            let Some(json) = scope.root(root)? else { return Ok(Json::null()) };
            let value: Value = serde_json::from_str(json.get()).map_err(|error| error.to_string())?;
            weight += values_in(&value) + json.get().len() / 64;
            root.place(&mut tree, value);
        }
        if weight.saturating_pow(self.power) > limits::EXPRESSION_WORK {
            return Err("its loops would take too long over so much data".to_owned());
        }
        let mut context = Context::default();
        context.add_function(prepare::IN_ORDER, prepare::in_order).map_err(|error| error.to_string())?;
        if let Value::Object(members) = tree {
            for (name, value) in members {
                context.add_variable_from_value(name, to_cel(value));
            }
        }
        // The interpreter is not ours: whatever it does on odd data must not end the process.
        let outcome = catch_unwind(AssertUnwindSafe(|| context.resolve(&self.parsed)));
        let value =
            outcome.map_err(|_| "the expression cannot be evaluated".to_owned())?.map_err(|error| error.to_string())?;
        let mut room = limits::VALUE_BYTES;
        let text = to_json(value, &mut room)?.to_string();
        Json::parse(text.as_bytes()).map_err(|error| error.to_string())
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn nesting(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' | b'!' | b'-' | b'?' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The number of values in a tree.
fn values_in(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
        Value::Array(items) => 1 + items.iter().map(values_in).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(values_in).sum::<usize>(),
    }
}

/// JSON whole numbers are Int, as authors write them.
fn to_cel(value: Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(value) => CelValue::Bool(value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => CelValue::Int(whole),
            (None, Some(float)) => CelValue::Float(float),
            (None, None) => CelValue::Null,
        },
        Value::String(text) => CelValue::String(Arc::new(text)),
        Value::Array(items) => CelValue::List(Arc::new(items.into_iter().map(to_cel).collect())),
        Value::Object(members) => {
            let map: HashMap<Key, CelValue> =
                members.into_iter().map(|(name, value)| (Key::String(Arc::new(name)), to_cel(value))).collect();
            CelValue::Map(Map { map: Arc::new(map) })
        }
    }
}

/// Members come in the order of their names: the same value renders to the same bytes. What CEL shares, JSON writes out: `room` is
/// for how many bytes there is room, at least one a value.
fn to_json(value: CelValue, room: &mut usize) -> Result<Value, String> {
    let length = if let CelValue::String(text) = &value { text.len() } else { 1 };
    *room = room.checked_sub(length).ok_or_else(|| format!("its value has more than {} bytes", limits::VALUE_BYTES))?;
    Ok(match value {
        CelValue::Null => Value::Null,
        CelValue::Bool(flag) => Value::Bool(flag),
        CelValue::Int(whole) => Value::from(whole),
        CelValue::UInt(whole) => Value::from(whole),
        CelValue::Float(float) => serde_json::Number::from_f64(float)
            .map(Value::Number)
            .ok_or("a number is not finite, JSON has no such value")?,
        CelValue::String(text) => Value::String(text.to_string()),
        CelValue::List(items) => {
            Value::Array(items.iter().map(|item| to_json(item.clone(), room)).collect::<Result<_, _>>()?)
        }
        CelValue::Map(map) => {
            let mut members = std::collections::BTreeMap::new();
            for (key, value) in map.map.iter() {
                let name = key.to_string();
                if members.insert(name.clone(), to_json(value.clone(), room)?).is_some() {
                    return Err(format!("a map has two keys that JSON calls {name:?}"));
                }
            }
            Value::Object(members.into_iter().collect())
        }
        CelValue::Function(..) | CelValue::Bytes(_) | CelValue::Opaque(_) | CelValue::Struct(_) => {
            return Err(format!("{:?} has no JSON form", value.type_of()));
        }
    })
}
