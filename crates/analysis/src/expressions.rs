//! What the expressions of a saga use, held against what there is: its input, the steps that are done by then, and what these answer.
//!
//! The rules are the same for a saga of the manifest and for one that is defined over the API; where an expression stands is the affair of
//! whoever asks.

use crate::manifest::expression::{Functions, Path, faults, read};
use crate::manifest::source::shortened;
use crate::manifest::suggest;
use prost_reflect::{Kind, MessageDescriptor};
use tenon_core::saga::{Expr, MAX_EXPR, StepIx, StepSet};

/// How a message is told apart from one whose fields are not the ones that its JSON has.
const OWN_FORM: &str = "google.protobuf.";

/// What the expressions of a saga may know.
pub(crate) struct Known<'a> {
    /// The fields of its input, if they are stated.
    pub(crate) input: Option<Vec<&'a str>>,
    /// Its steps.
    pub(crate) steps: Vec<KnownStep<'a>>,
    /// The functions that were met.
    pub(crate) functions: Functions,
}

/// A step, and what it answers.
pub(crate) struct KnownStep<'a> {
    pub(crate) name: &'a str,
    /// The fields of what it answers, if they are stated.
    pub(crate) output: Option<Vec<&'a str>>,
    /// The message that it answers, if it calls a method of which that is known.
    pub(crate) message: Option<MessageDescriptor>,
}

/// Where an expression stands.
pub(crate) struct Scope<'a> {
    /// Of the steps, those that are done by then, if that is known.
    pub(crate) before: Option<StepSet>,
    /// The step that is undone there, whose own output it may use.
    pub(crate) undone: Option<usize>,
    /// Where the expression belongs to, for people.
    pub(crate) of: &'a str,
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) message: String,
    /// What was expected.
    pub(crate) expected: String,
    /// What was most likely meant.
    pub(crate) meant: Option<String>,
}

impl Fault {
    fn new(message: String, expected: impl Into<String>) -> Self {
        Self { message, expected: expected.into(), meant: None }
    }

    fn meant<'a>(self, written: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        Self { meant: suggest::nearest(written, known).map(ToOwned::to_owned), ..self }
    }
}

impl Known<'_> {
    /// What is wrong with an expression.
    pub(crate) fn faults(&mut self, text: &str, scope: &Scope<'_>) -> Vec<Fault> {
        if text.len() > MAX_EXPR || text.trim().is_empty() {
            return vec![Fault::new(
                "the expression is empty or too long".to_owned(),
                "expected 1 to 4,096 bytes",
            )];
        }
        let mut found = Vec::new();
        let loops = Expr::new(text).map_or(0, |expr| expr.loops());
        if loops > Expr::MOST_LOOPS {
            let message = format!("`{}` goes through lists {loops} times", shortened(text));
            found.push(Fault::new(message, format!("expected at most {}", Expr::MOST_LOOPS)));
        }
        match read(text) {
            Ok(paths) => {
                paths.iter().for_each(|used| self.used(used, scope, &mut found));
                found.extend(faults(text, &mut self.functions).into_iter().map(|fault| {
                    let expected =
                        "expected an expression that can be evaluated; only CEL's own functions are there";
                    Fault::new(format!("`{}` {fault}", shortened(text)), expected)
                }));
            }
            Err(problem) => {
                let message = format!("`{}` is no expression", shortened(text));
                found.push(Fault::new(
                    message,
                    format!("expected one in the Common Expression Language; {problem}"),
                ));
            }
        }
        found
    }

    fn used(&self, used: &Path, scope: &Scope<'_>, found: &mut Vec<Fault>) {
        let Some((root, fields)) = used.split_first() else { return };
        let is_undone = scope.undone.is_some();
        match root.as_str() {
            "input" => found.extend(field("input", fields, self.input.as_deref())),
            "steps" => self.step(fields, scope, found),
            "saga" if !is_undone && fields.first().is_some_and(|it| it == "problem") => {
                let message = "`saga.problem` is only there where a step is undone".to_owned();
                found.push(Fault::new(message, "expected `saga.id` or `saga.key`"));
            }
            "saga" => found.extend(field("saga", fields, Some(&["id", "key", "problem"]))),
            "output" => match scope.undone.and_then(|step| self.steps.get(step)) {
                Some(step) => step.answered("output", fields, found),
                None => {
                    let message = "`output` is only there where a step is undone".to_owned();
                    let expected =
                        "expected `input`, `steps` or `saga`; `steps.NAME` is the output of a step";
                    found.push(Fault::new(message, expected));
                }
            },
            _ => {
                let message = format!("there is no variable `{}`", shortened(root));
                let expected = match is_undone {
                    true => "expected `input`, `steps`, `output` or `saga`",
                    false => "expected `input`, `steps` or `saga`",
                };
                let known = ["input", "steps", "saga", "output"];
                found.push(Fault::new(message, expected).meant(root, known));
            }
        }
    }

    fn step(&self, fields: &[String], scope: &Scope<'_>, found: &mut Vec<Fault>) {
        let Some((name, fields)) = fields.split_first() else { return };
        let Some((number, step)) = self.steps.iter().enumerate().find(|(_, step)| step.name == name) else {
            let message = format!("there is no step `{}`", shortened(name));
            let fault = Fault::new(message, "expected the name of one of the saga's steps");
            return found.push(fault.meant(name, self.steps.iter().map(|step| step.name)));
        };
        let is_before = |before: StepSet| u8::try_from(number).is_ok_and(|number| before.has(StepIx(number)));
        if scope.before.is_some_and(|before| !is_before(before)) {
            let message = format!("`{name}` need not be done before `{}`", scope.of);
            found.push(Fault::new(message, "expected a step that it depends on (`after`)"));
        }
        step.answered(&format!("steps.{name}"), fields, found);
    }
}

impl KnownStep<'_> {
    /// What is taken of an answer is there: fields, and fields of these.
    fn answered(&self, of: &str, fields: &[String], found: &mut Vec<Fault>) {
        found.extend(field(of, fields, self.output.as_deref()));
        let mut message = self.message.clone();
        for name in fields {
            let Some(of) = message.filter(|it| !has_own_form(it)) else { return };
            let Some(taken) = of.get_field_by_name(name) else {
                return found.push(no_field(&of, name));
            };
            message = match taken.kind() {
                Kind::Message(inner) if !taken.is_list() && !taken.is_map() => Some(inner),
                _ => None,
            };
        }
    }
}

fn field(of: &str, fields: &[String], known: Option<&[&str]>) -> Option<Fault> {
    let (name, known) = (fields.first()?, known?);
    if known.contains(&name.as_str()) {
        return None;
    }
    let message = format!("`{of}` has no field `{}`", shortened(name));
    let fault = Fault::new(message, "expected one of the fields that are declared");
    Some(fault.meant(name, known.iter().copied()))
}

/// That a message does not have a field.
pub(crate) fn no_field(message: &MessageDescriptor, field: &str) -> Fault {
    let said = format!("`{}` has no field `{}`", message.full_name(), shortened(field));
    let names: Vec<String> = message.fields().map(|field| field.name().to_owned()).collect();
    Fault::new(said, "expected a field of the message").meant(field, names.iter().map(String::as_str))
}

/// Whether the fields of a message are not those of its JSON.
pub(crate) fn has_own_form(message: &MessageDescriptor) -> bool {
    message.full_name().starts_with(OWN_FORM)
}
