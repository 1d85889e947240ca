//! Expressions that only name a field, such as `steps.order.id`. They are most of all, and looking one up costs a small part of
//! what it costs to evaluate it: nothing becomes a value of the language and JSON again.
//!
//! What is found is what evaluating it would make; where nothing is found, evaluating it says why.

use serde_json::Value;
use std::io::{self, Write};
use tenon_core::saga::{Data, Definition, Expr, Instance, StepIx};

/// How deep lists and objects may lie in each other, so that the JSON can be read again.
pub(super) const MOST_LEVELS: usize = 127;

/// A field, and where it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    of: Source,
    names: Vec<Box<str>>,
}

/// What has fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The saga's input.
    Input,
    /// The output of a step.
    Step(StepIx),
    /// The output of the step that is undone.
    Output,
}

impl Field {
    /// The field that an expression names, if it does nothing else.
    pub(super) fn of(expr: &Expr, definition: &Definition) -> Option<Self> {
        let mut names = expr.as_str().trim().split('.').map(|name| is_name(name).then_some(name));
        let of = match names.next()?? {
            "input" => Source::Input,
            "output" => Source::Output,
            "steps" => {
                let name = names.next()??;
                let at = definition.steps.iter().position(|step| step.name.as_str() == name)?;
                Source::Step(StepIx(u8::try_from(at).ok()?))
            }
            _ => return None,
        };
        let names = names.map(|name| name.map(Box::from)).collect::<Option<_>>()?;
        Some(Self { of, names })
    }
}

/// Whether it is a name and nothing else.
fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    let begins = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    begins && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What fields are looked up in. Each text is read once.
pub(super) struct Sources<'a> {
    instance: &'a Instance,
    undone: Option<StepIx>,
    read: Vec<(Source, Value)>,
}

impl<'a> Sources<'a> {
    /// Of a saga, of which perhaps a step is undone.
    pub(super) const fn new(instance: &'a Instance, undone: Option<StepIx>) -> Self {
        Self { instance, undone, read: Vec::new() }
    }

    /// The value of a field, if it is there.
    pub(super) fn find(&mut self, field: &Field) -> Option<Value> {
        let at = match self.read.iter().position(|(of, _)| *of == field.of) {
            Some(at) => at,
            None => {
                let read = serde_json::from_str(self.text(field.of)?.as_str()).ok()?;
                self.read.push((field.of, read));
                self.read.len() - 1
            }
        };
        let (_, whole) = self.read.get(at)?;
        field.names.iter().try_fold(whole, |value, name| value.as_object()?.get(&**name)).cloned()
    }

    fn text(&self, of: Source) -> Option<&'a Data> {
        let output = |step| self.instance.progress(step)?.output.as_ref();
        match of {
            Source::Input => Some(self.instance.input()),
            Source::Step(step) => output(step),
            Source::Output => output(self.undone?),
        }
    }
}

/// Whether values lie in each other deeper than JSON can be read.
pub(super) fn is_too_deep(value: &Value) -> bool {
    fn exceeds(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(items) => left == 0 || items.iter().any(|item| exceeds(item, left - 1)),
            Value::Object(fields) => left == 0 || fields.values().any(|field| exceeds(field, left - 1)),
            _ => false,
        }
    }
    exceeds(value, MOST_LEVELS)
}

/// How many bytes a value has as JSON.
pub(super) fn size(value: &Value) -> usize {
    struct Count(usize);
    impl Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting does not fail.
    _ = serde_json::to_writer(&mut count, value);
    count.0
}
