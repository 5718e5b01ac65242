//! What an expression reads and how deep its loops are: found in its parsed form, never in its text. Its loops are made to go
//! through maps in the order of their keys, so that it renders the same bytes each time.

use std::collections::BTreeSet;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};
use cel::{IdedExpr, Value};

use crate::core::StepIx;

use super::path::{ROOTS, Root, root_of};

/// The function that loops go through: no name that an author could write.
pub(super) const IN_ORDER: &str = "@in_order";

/// Loops in loops cost the product of their lengths: one within another, and no more.
const LOOP_DEPTH: usize = 2;

/// Everything that the expression reads, and with which power of its size the work of its loops grows: a loop within a loop squares it,
/// and so does a path that is read within a loop, since each turn copies it. Its loops go in order from now on.
///
/// # Errors
/// It reads what there is not, or loops too deeply.
pub(super) fn prepare(expr: &mut IdedExpr, step: &dyn Fn(&str) -> Option<StepIx>) -> Result<(Vec<Root>, u32), String> {
    let mut visitor = Visitor { step, locals: Vec::new(), roots: BTreeSet::new(), power: 0 };
    visitor.visit(expr)?;
    Ok((visitor.roots.into_iter().collect(), visitor.power))
}

/// What a loop goes through: the keys of a map in their order, anything else as it is.
pub(super) fn in_order(value: Value) -> Value {
    let Value::Map(map) = &value else { return value };
    let mut keys: Vec<_> = map.map.keys().cloned().collect();
    keys.sort();
    Value::List(keys.into_iter().map(Value::from).collect::<Vec<_>>().into())
}

struct Visitor<'a> {
    step: &'a dyn Fn(&str) -> Option<StepIx>,
    /// The names of the loops around the place that is visited: two or three for each.
    locals: Vec<Vec<String>>,
    roots: BTreeSet<Root>,
    power: u32,
}

impl Visitor<'_> {
    fn visit(&mut self, expr: &mut IdedExpr) -> Result<(), String> {
        if let Some(path) = path_of(&expr.expr)
            && !self.locals.iter().flatten().any(|local| *local == path[0])
        {
            let parts: Vec<&str> = path.iter().map(String::as_str).collect();
            self.roots.insert(root_of(&parts, self.step)?.0);
            if !self.locals.is_empty() {
                self.grows(self.locals.len() + 1);
            }
            return Ok(());
        }
        match &mut expr.expr {
            Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) => Ok(()),
            Expr::Select(select) => self.visit(&mut select.operand),
            Expr::Call(call) => {
                call.target.as_deref_mut().into_iter().chain(&mut call.args).try_for_each(|part| self.visit(part))
            }
            Expr::List(list) => list.elements.iter_mut().try_for_each(|element| self.visit(element)),
            Expr::Map(map) => map.entries.iter_mut().try_for_each(|entry| self.entry(&mut entry.expr)),
            Expr::Struct(object) => object.entries.iter_mut().try_for_each(|entry| self.entry(&mut entry.expr)),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
        }
    }

    fn grows(&mut self, power: usize) {
        self.power = self.power.max(u32::try_from(power).unwrap_or(u32::MAX));
    }

    fn entry(&mut self, entry: &mut EntryExpr) -> Result<(), String> {
        match entry {
            EntryExpr::StructField(field) => self.visit(&mut field.value),
            EntryExpr::MapEntry(entry) => {
                self.visit(&mut entry.key)?;
                self.visit(&mut entry.value)
            }
        }
    }

    fn comprehension(&mut self, comprehension: &mut ComprehensionExpr) -> Result<(), String> {
        self.visit(&mut comprehension.iter_range)?;
        self.visit(&mut comprehension.accu_init)?;
        if self.locals.len() == LOOP_DEPTH {
            return Err("loops (map, filter, all, exists) stand in one another more than twice".to_owned());
        }
        let names = [Some(&comprehension.iter_var), comprehension.iter_var2.as_ref(), Some(&comprehension.accu_var)];
        let names: Vec<String> = names.into_iter().flatten().cloned().collect();
        if let Some(name) = names.iter().find(|name| ROOTS.contains(&name.as_str())) {
            return Err(format!("a loop calls its element {name}, which is the name of something else"));
        }
        self.locals.push(names);
        self.grows(self.locals.len());
        for part in [&mut comprehension.loop_cond, &mut comprehension.loop_step, &mut comprehension.result] {
            self.visit(part)?;
        }
        self.locals.pop();
        let range = std::mem::take(&mut comprehension.iter_range);
        comprehension.iter_range = IdedExpr {
            id: range.id,
            expr: Expr::Call(CallExpr { func_name: IN_ORDER.to_owned(), target: None, args: vec![range] }),
        };
        Ok(())
    }
}

/// The names of a path such as `trigger.data.x` or `steps['a'].reply`, outermost first; `None` when it is something else.
fn path_of(expr: &Expr) -> Option<Vec<String>> {
    match expr {
        Expr::Ident(name) => Some(vec![name.clone()]),
        Expr::Select(select) => longer(&select.operand, &select.field),
        Expr::Call(call) if call.func_name == operators::INDEX && call.target.is_none() => {
            let [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }] = call.args.as_slice()
            else {
                return None;
            };
            longer(operand, name.inner())
        }
        Expr::Unspecified
        | Expr::Call(_)
        | Expr::Comprehension(_)
        | Expr::List(_)
        | Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Struct(_) => None,
    }
}

fn longer(operand: &IdedExpr, name: &str) -> Option<Vec<String>> {
    let mut path = path_of(&operand.expr)?;
    path.push(name.to_owned());
    Some(path)
}
