//! What an expression (CEL) uses: which variables, and which of their fields.
//!
//! There is no type checker for them, so this walks the expression's tree. Names that a macro binds, as `i` in
//! `input.items.map(i, i.sku)`, are left out.

use super::tree::Node;
use cel::common::ast::operators::INDEX;
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue};
use cel::{Context, Env, ExecutionError, ParseErrors, Program};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};
use tenon_core::saga::Expr as Written;

/// A variable and the fields that are taken of it, one within the other: `steps.pay.id`.
pub(crate) type Path = Vec<String>;

/// The text of an expression, as it was written; a number or a boolean is one, too.
pub(super) fn written(node: &Node) -> Option<&str> {
    node.scalar().map(|scalar| scalar.text.as_str())
}

/// Reads an expression.
///
/// # Errors
/// What is wrong with it, in one line.
pub(crate) fn read(text: &str) -> Result<Vec<Path>, String> {
    // Whatever the parser does to itself is the expression's failure.
    let program = catch_unwind(|| Program::compile(text)).map_err(|_| "it cannot be read".to_owned())?;
    let program = program.map_err(|errors| stopped(text, &errors))?;
    let mut walk = Walk { bound: Vec::new(), paths: Vec::new() };
    walk.expression(program.expression());
    Ok(walk.paths)
}

/// Where reading an expression stopped. The parser's own words are about its grammar.
fn stopped(text: &str, errors: &ParseErrors) -> String {
    errors.errors.first().map_or_else(|| "it cannot be read".to_owned(), |it| Written::stopped(text, it.pos))
}

/// The functions that there are: those of the language itself, as where sagas run.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// One value of each type, as it is written.
const SAMPLES: [&str; 9] = ["null", "true", "1", "1u", "1.5", "'a'", "b'a'", "[1]", "{'a': 1}"];

/// The most arguments of a function, with what it is called on, of which every combination of types is tried.
const MOST_TRIED: usize = 2;

/// What an expression that can be read is bound to fail at: functions that are not there or do not take so many arguments, and parts
/// without variables that fail.
pub(crate) fn faults(text: &str, functions: &mut Functions) -> Vec<String> {
    let Ok(Ok(program)) = catch_unwind(|| ENV.compile(text)) else { return Vec::new() };
    let mut found = Vec::new();
    calls(program.expression(), functions, &mut found);
    found
}

/// What was found out about functions, of which each is tried once: by its name, whether it is called on something, and how many
/// arguments it is given.
#[derive(Default)]
pub(crate) struct Functions(BTreeMap<(String, bool, usize), Option<String>>);

impl Functions {
    /// That there is no such function, if so.
    fn no_such(&mut self, call: &CallExpr) -> Option<String> {
        let key = (call.func_name.clone(), call.target.is_some(), call.args.len());
        self.0.entry(key).or_insert_with(|| no_such(call)).clone()
    }
}

fn calls(it: &IdedExpr, functions: &mut Functions, found: &mut Vec<String>) {
    if let Expr::Call(call) = &it.expr {
        if let Some(fault) = functions.no_such(call) {
            return found.push(fault);
        }
        if is_constant(it) {
            let context = Context::with_env(Arc::clone(&ENV));
            // Whatever the interpreter does to itself is the expression's failure.
            let value = catch_unwind(AssertUnwindSafe(|| context.resolve(it)));
            match value {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => found.push(format!("fails whatever it is given: {error}")),
                Err(_) => found.push("cannot be evaluated".to_owned()),
            }
            return;
        }
    }
    parts(&it.expr).into_iter().for_each(|part| calls(part, functions, found));
}

/// That there is no such function, if so.
fn no_such(call: &CallExpr) -> Option<String> {
    let name = &call.func_name;
    // Operators have names that nobody could write.
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let given = call.args.len() + usize::from(call.target.is_some());
    let try_with = |values: &[&str]| {
        let text = match (&call.target, values.split_first()) {
            (Some(_), Some((on, values))) => format!("{on}.{name}({})", values.join(", ")),
            _ => format!("{name}({})", values.join(", ")),
        };
        let program = ENV.compile(&text).ok()?;
        let context = Context::with_env(Arc::clone(&ENV));
        catch_unwind(AssertUnwindSafe(|| program.execute(&context))).ok()?.err()
    };
    match try_with(&vec!["null"; given])? {
        ExecutionError::UndeclaredReference(_) => Some(format!("uses a function `{name}` that is not there")),
        ExecutionError::NoSuchOverload(_) if given <= MOST_TRIED => {
            let refuses =
                |values: &[&str]| matches!(try_with(values), Some(ExecutionError::NoSuchOverload(_)));
            let is_refused = match given {
                1 => SAMPLES.iter().all(|one| refuses(&[*one])),
                2 => SAMPLES.iter().all(|one| SAMPLES.iter().all(|two| refuses(&[*one, *two]))),
                _ => refuses(&[]),
            };
            is_refused
                .then(|| format!("gives `{name}` {} arguments, which it does not take", call.args.len()))
        }
        _ => None,
    }
}

fn is_constant(it: &IdedExpr) -> bool {
    match &it.expr {
        Expr::Ident(_) | Expr::Comprehension(_) | Expr::Struct(_) | Expr::Unspecified => false,
        other => parts(other).into_iter().all(is_constant),
    }
}

/// What an expression is made of.
fn parts(of: &Expr) -> Vec<&IdedExpr> {
    match of {
        Expr::Call(call) => call.target.iter().map(AsRef::as_ref).chain(&call.args).collect(),
        Expr::Comprehension(it) => {
            vec![&it.iter_range, &it.accu_init, &it.loop_cond, &it.loop_step, &it.result]
        }
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|entry| entry_parts(&entry.expr)).collect(),
        Expr::Struct(it) => it.entries.iter().flat_map(|entry| entry_parts(&entry.expr)).collect(),
        Expr::Select(select) => vec![select.operand.as_ref()],
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

fn entry_parts(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}

struct Walk {
    bound: Vec<String>,
    paths: Vec<Path>,
}

impl Walk {
    fn expression(&mut self, it: &IdedExpr) {
        if let Some(path) = path(&it.expr) {
            if !path.first().is_some_and(|root| self.bound.contains(root)) {
                self.paths.push(path);
            }
            return;
        }
        match &it.expr {
            Expr::Call(call) => {
                call.target.iter().for_each(|target| self.expression(target));
                call.args.iter().for_each(|argument| self.expression(argument));
            }
            Expr::Comprehension(macro_) => {
                self.expression(&macro_.iter_range);
                let before = self.bound.len();
                self.bound.extend([macro_.iter_var.clone(), macro_.accu_var.clone()]);
                self.bound.extend(macro_.iter_var2.clone());
                for part in [&macro_.accu_init, &macro_.loop_cond, &macro_.loop_step, &macro_.result] {
                    self.expression(part);
                }
                self.bound.truncate(before);
            }
            Expr::List(list) => list.elements.iter().for_each(|element| self.expression(element)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.entry(&entry.expr)),
            Expr::Struct(it) => it.entries.iter().for_each(|entry| self.entry(&entry.expr)),
            Expr::Select(select) => self.expression(&select.operand),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn entry(&mut self, entry: &EntryExpr) {
        match entry {
            EntryExpr::StructField(field) => self.expression(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.expression(&entry.key);
                self.expression(&entry.value);
            }
        }
    }
}

/// A variable with fields of fields, if it is nothing else: `input.note` or `input["note"]`.
fn path(expression: &Expr) -> Option<Path> {
    match expression {
        Expr::Ident(name) => Some(vec![name.clone()]),
        Expr::Select(select) => {
            let mut path = path(&select.operand.expr)?;
            path.push(select.field.clone());
            Some(path)
        }
        Expr::Call(call) if call.func_name == INDEX => {
            let [of, IdedExpr { expr: Expr::Literal(LiteralValue::String(field)), .. }] =
                call.args.as_slice()
            else {
                return None;
            };
            let mut path = path(&of.expr)?;
            path.push(field.inner().to_owned());
            Some(path)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
