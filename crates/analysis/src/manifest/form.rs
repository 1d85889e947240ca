//! Holds a tree against the tables of the format: every unknown or missing key, wrong type and wrong form.
//!
//! After this pass, whatever was not reported can be built; what was reported is left out or replaced there.

mod keys;
mod values;

use super::finding::Finding;
use super::format::{Record, SYSTEM, Shape, TextForm};
use super::path::Path;
use super::problems::{Draft, Problems};
use super::source::Span;
use super::tree::{Entry, Node, Value};

/// Reports everything in the tree that is not as the format has it.
pub(super) fn check(root: &Node, problems: &mut Problems<'_>) {
    check_record(root, &SYSTEM, problems);
}

/// Reports everything in a value that is not as its record has it.
pub(super) fn check_record(node: &Node, record: &'static Record, problems: &mut Problems<'_>) {
    let at = At { path: &Path::ROOT, section: record.anchor };
    Form { problems }.record(node, record, at);
}

struct Form<'a, 'b> {
    problems: &'a mut Problems<'b>,
}

/// Where we are: in the manifest, and in the reference.
#[derive(Clone, Copy)]
struct At<'a> {
    path: &'a Path<'a>,
    section: &'static str,
}

impl At<'_> {
    fn draft(self, finding: Finding, span: Span, message: String) -> Draft {
        Draft::new(finding, span, message).path(self.path.to_string()).section(self.section)
    }
}

impl Form<'_, '_> {
    fn value(&mut self, node: &Node, shape: &'static Shape, at: At<'_>) {
        match shape {
            Shape::Record(record) => self.record(node, record, at),
            Shape::List { item, least, most } => self.list(node, shape, item, (*least, *most), at),
            Shape::Map { key, value, least, most } => {
                self.map(node, shape, (key, value), (*least, *most), at);
            }
            Shape::Either(first, _) if fits(first, node) => self.value(node, first, at),
            Shape::Either(_, second) if fits(second, node) => self.value(node, second, at),
            Shape::Either(..) => self.wrong_type(node, shape, at),
            Shape::Json | Shape::JsonButObject => self.json(node, shape, at),
            _ => self.scalar(node, shape, at),
        }
    }

    fn record(&mut self, node: &Node, record: &'static Record, at: At<'_>) {
        let Value::Map(entries) = &node.value else {
            return self.wrong_type(node, &Shape::Record(record), at);
        };
        let at = At { section: record.anchor, ..at };
        for entry in entries {
            match record.field(&entry.key) {
                Some(field) => {
                    let path = at.path.key(&entry.key);
                    self.value(&entry.value, &field.shape, At { path: &path, ..at });
                }
                None => self.problems.add(keys::unknown(entry, record, at)),
            }
        }
        for draft in keys::missing(node, record, at).into_iter().chain(keys::broken_rules(node, record, at)) {
            self.problems.add(draft);
        }
    }

    fn list(
        &mut self,
        node: &Node,
        shape: &'static Shape,
        item: &'static Shape,
        bounds: (usize, usize),
        at: At<'_>,
    ) {
        let Value::List(items) = &node.value else { return self.wrong_type(node, shape, at) };
        self.count(node, items.len(), bounds, at);
        for (index, node) in items.iter().enumerate() {
            let path = at.path.item(index);
            self.value(node, item, At { path: &path, ..at });
        }
    }

    fn map(
        &mut self,
        node: &Node,
        shape: &'static Shape,
        (key, value): (&'static TextForm, &'static Shape),
        bounds: (usize, usize),
        at: At<'_>,
    ) {
        let Value::Map(entries) = &node.value else { return self.wrong_type(node, shape, at) };
        self.count(node, entries.len(), bounds, at);
        for entry in entries {
            let path = at.path.key(&entry.key);
            let at = At { path: &path, ..at };
            self.map_key(entry, key, at);
            self.value(&entry.value, value, at);
        }
    }

    fn map_key(&mut self, entry: &Entry, form: &TextForm, at: At<'_>) {
        if let Some(draft) = values::text(&entry.key, entry.key_span, form, at) {
            self.problems.add(draft);
        }
    }

    fn count(&mut self, node: &Node, count: usize, (least, most): (usize, usize), at: At<'_>) {
        if (least..=most).contains(&count) {
            return;
        }
        let message = format!("{} has {count} entries", at.path.name());
        let expected = if count < least {
            format!("expected at least {least}")
        } else {
            format!("expected at most {most}")
        };
        self.problems.add(at.draft(Finding::WrongCount, node.span, message).label(expected));
    }

    fn json(&mut self, node: &Node, shape: &Shape, at: At<'_>) {
        if !fits(shape, node) {
            return self.wrong_type(node, shape, at);
        }
        if super::tree::to_json(node).is_none() {
            let message = format!("{} holds a number that JSON does not have", at.path.name());
            let draft = at.draft(Finding::InvalidValue, node.span, message);
            self.problems.add(draft.label("expected no `.inf` and no `.nan`"));
        }
    }

    fn scalar(&mut self, node: &Node, shape: &Shape, at: At<'_>) {
        match values::scalar(node, shape, at) {
            Ok(()) => {}
            Err(values::Wrong::Type) => self.wrong_type(node, shape, at),
            Err(values::Wrong::Value(draft)) => self.problems.add(*draft),
        }
    }

    fn wrong_type(&mut self, node: &Node, shape: &Shape, at: At<'_>) {
        let message = format!("{} is {}", at.path.name(), node.kind());
        let draft = at.draft(Finding::WrongType, node.span, message);
        let draft = draft.label(format!("expected {}", shape.expected()));
        self.problems.add(values::with_remedy(draft, node, shape));
    }
}

/// Whether a value has the type of a shape.
fn fits(shape: &Shape, node: &Node) -> bool {
    match shape {
        Shape::Record(_) | Shape::Map { .. } => matches!(node.value, Value::Map(_)),
        Shape::List { .. } => matches!(node.value, Value::List(_)),
        Shape::Json => true,
        Shape::JsonButObject => !matches!(node.value, Value::Map(_)),
        Shape::Either(first, second) => fits(first, node) || fits(second, node),
        _ => values::has_type(node, shape),
    }
}

#[cfg(test)]
mod tests;
