//! What an expression (CEL) uses: which variables, and which of their fields.
//!
//! There is no type checker for them, so this walks the expression's tree. Names that a macro binds, as `i` in
//! `input.items.map(i, i.sku)`, are left out.

use super::tree::Node;
use cel::Program;
use cel::common::ast::{EntryExpr, Expr, IdedExpr};

/// A variable and the fields that are taken of it, one within the other: `steps.pay.id`.
pub(super) type Path = Vec<String>;

/// The text of an expression, as it was written; a number or a boolean is one, too.
pub(super) fn written(node: &Node) -> Option<&str> {
    node.scalar().map(|scalar| scalar.text.as_str())
}

/// Reads an expression.
///
/// # Errors
/// What is wrong with it, in one line.
pub(super) fn read(text: &str) -> Result<Vec<Path>, String> {
    let program = Program::compile(text).map_err(|errors| {
        let all = errors.to_string();
        let lines = all.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.take(1).collect::<String>()
    })?;
    let mut walk = Walk { bound: Vec::new(), paths: Vec::new() };
    walk.expression(program.expression());
    Ok(walk.paths)
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

/// A variable with fields of fields, if it is nothing else.
fn path(expression: &Expr) -> Option<Path> {
    match expression {
        Expr::Ident(name) => Some(vec![name.clone()]),
        Expr::Select(select) => {
            let mut path = path(&select.operand.expr)?;
            path.push(select.field.clone());
            Some(path)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
