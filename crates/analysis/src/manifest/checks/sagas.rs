//! Sagas: their shape, what they call, and what their expressions use.

mod messages;

use super::at;
use super::subscriptions::accepts;
use crate::manifest::build::saga::{expressions, saga};
use crate::manifest::expression;
use crate::manifest::finding::Finding;
use crate::manifest::problems::{Draft, Problems};
use crate::manifest::protos::Compiled;
use crate::manifest::source::{Span, shortened};
use crate::manifest::suggest;
use crate::manifest::tree::{Entry, Node};
use std::collections::BTreeMap;
use tenon_core::group::Form;
use tenon_core::manifest::{Direction, Endpoint, Interface, Protocol, Service, System};
use tenon_core::saga::{Call, Definition, Expr, Kind, Saga, SagaName, StepIx, StepSet, runs};

pub(super) fn check(root: &Node, protos: &Compiled, problems: &mut Problems<'_>) {
    let entries = root.get("sagas").map(Node::entries).unwrap_or_default();
    let definitions: BTreeMap<&str, Definition> = entries
        .iter()
        .filter_map(|entry| {
            let name: SagaName = entry.key.parse().ok()?;
            Some((entry.key.as_str(), saga(&entry.value, protos.namespace(), name, protos)?))
        })
        .collect();
    for entry in entries {
        let mut check = Check { root, saga: entry, definitions: &definitions, protos, problems };
        check.names();
        check.undo_is_stated();
        check.methods();
        let before = check.shape();
        check.expressions(before.as_deref());
    }
}

struct Check<'a, 'b, 'c> {
    root: &'a Node,
    saga: &'a Entry,
    definitions: &'a BTreeMap<&'a str, Definition>,
    protos: &'a Compiled,
    problems: &'b mut Problems<'c>,
}

/// The most bytes of descriptors of all sagas together, so that a system fits into an event.
const MOST_PROTOS: usize = 384 << 10;

/// Checks whether services accept what they are to be called with over gRPC.
pub(super) fn targets(system: &System, root: &Node, problems: &mut Problems<'_>) {
    let protos = system.sagas.values().flat_map(|it| it.protos.values());
    let bytes: usize = protos.map(|it| it.as_bytes().len()).sum();
    if let Some(entry) = root.entry("sagas").filter(|_| bytes > MOST_PROTOS) {
        let message = format!("the sagas take along {bytes} bytes of what gRPC methods are given and answer");
        let draft = Draft::new(Finding::TooLarge, entry.key_span, message).path("sagas");
        problems.add(draft.label(format!("expected at most {MOST_PROTOS}, all sagas together")));
    }
    for (name, definition) in &system.sagas {
        for step in &definition.steps {
            let node = at(root, &["sagas", name.as_str(), "steps", step.name.as_str()]);
            for (action, keys) in step.actions().zip([&["call"][..], &["undo", "call"]]) {
                let own = system.services.get(&action.service.name);
                // A service of another namespace is another system's.
                let Some(own) = own.filter(|_| action.service.namespace == system.namespace) else {
                    continue;
                };
                let Some((finding, key, message)) = refused(own, &action.call) else { continue };
                let Some(node) = node.and_then(|node| at(node, keys)?.get(key)) else { continue };
                let path = format!("sagas.{name}.steps.{}.{}.{key}", step.name, keys.join("."));
                let draft = Draft::new(finding, node.span, message).path(path);
                problems.add(draft.label("expected what an input interface of the service has"));
            }
        }
    }
}

/// That a service does not take a call, if so: what is found, and at which key.
fn refused(service: &Service, call: &Call) -> Option<(Finding, &'static str, String)> {
    let name = &service.name;
    match call {
        Call::Grpc(method) => {
            let path = format!("/{method}");
            let message = format!("no gRPC endpoint of `{name}` accepts calls to {path}");
            (!accepts(service, &path, Form::Grpc)).then_some((Finding::SagaNotAccepted, "grpc", message))
        }
        Call::Http { method, path } => {
            let is_input =
                |it: &&Interface| it.direction == Direction::Input && it.protocol == Protocol::Http;
            let mut interfaces = service.interfaces.iter().filter(is_input).peekable();
            if interfaces.peek().is_none() {
                let message = format!("`{name}` has no HTTP interface");
                return Some((Finding::SagaMethod, "service", message));
            }
            let takes = |endpoint: &Endpoint| {
                endpoint.method.as_ref().is_none_or(|own| own == method)
                    && may_match(endpoint.path.as_str(), path.as_str())
            };
            let message = format!("no endpoint of `{name}` accepts {} {path}", method.as_str());
            let is_taken = interfaces.flat_map(|it| &it.endpoints).any(takes);
            (!is_taken).then_some((Finding::SagaNotAccepted, "path", message))
        }
    }
}

/// Whether some path is of both forms.
fn may_match(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('/'), other.split('/'));
    let takes_rest = |it: &str| it.starts_with('{') && it.ends_with("...}");
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(it), Some(_)) | (Some(_), Some(it)) if takes_rest(it) => return true,
            (Some(one), Some(other)) => {
                let fits = one == other
                    || (one.starts_with('{') && !other.is_empty())
                    || (other.starts_with('{') && !one.is_empty());
                if !fits {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

/// What an expression may use.
struct Scope<'a> {
    /// Of the steps, those that are done by then.
    before: Option<StepSet>,
    /// Whose own output it may use.
    own: Option<&'a Entry>,
    /// Where the expression belongs to, for people.
    of: &'a str,
}

impl<'a> Check<'a, '_, '_> {
    fn steps(&self) -> &'a [Entry] {
        self.saga.value.get("steps").map(Node::entries).unwrap_or_default()
    }

    fn path(&self, rest: &str) -> String {
        format!("sagas.{}.{rest}", self.saga.key)
    }

    fn add(&mut self, finding: Finding, span: Span, path: &str, message: String, label: &str) {
        let path = self.path(path);
        self.problems.add(Draft::new(finding, span, message).path(path).label(label));
    }

    /// The steps and sagas that are named are there.
    fn names(&mut self) {
        let steps: Vec<&str> = self.steps().iter().map(|entry| entry.key.as_str()).collect();
        for step in self.steps() {
            let after = step.value.get("after").map(Node::items).unwrap_or_default();
            for (index, item) in after.iter().enumerate() {
                let Some(name) = item.text().filter(|name| !steps.contains(name)) else { continue };
                let path = self.path(&format!("steps.{}.after[{index}]", step.key));
                let message = format!("there is no step `{}`", shortened(name));
                let draft = Draft::new(Finding::SagaUnknown, item.span, message).path(path);
                let draft = draft.label("expected the name of one of the saga's steps");
                self.problems.add(draft.suggestion(suggest::nearest(name, steps.iter().copied())));
            }
            if let Some(child) = step.value.get("saga") {
                self.child(step, child);
            }
        }
    }

    fn child(&mut self, step: &Entry, node: &Node) {
        let Some(name) = node.text() else { return };
        let path = format!("steps.{}.saga", step.key);
        let Some(child) = self.definitions.get(name) else {
            let message = format!("there is no saga `{}`", shortened(name));
            let draft = Draft::new(Finding::SagaUnknown, node.span, message).path(self.path(&path));
            let draft = draft.label("expected the name of one of the sagas");
            self.problems.add(draft.suggestion(suggest::nearest(name, self.definitions.keys().copied())));
            return;
        };
        if child.steps.iter().any(|step| step.kind == Kind::Pivot) {
            let message = format!("`{name}` has a pivot, so it could not be reverted");
            self.add(Finding::SagaShape, node.span, &path, message, "expected a saga without a pivot");
        }
        let known = |name: &SagaName| self.definitions.get(name.as_str());
        let own: Option<SagaName> = self.saga.key.parse().ok();
        if own.is_some_and(|own| runs(&child.name, &own, known)) {
            let message = format!("`{}` runs itself in the end", self.saga.key);
            self.add(
                Finding::SagaShape,
                node.span,
                &path,
                message,
                "expected a saga that does not run this one",
            );
        }
    }

    /// Whether something undoes a call must be said, lest it be forgotten.
    fn undo_is_stated(&mut self) {
        for step in self.steps() {
            let kind = step.value.get("kind").and_then(Node::text).unwrap_or("compensatable");
            let called = step.value.get("call").is_some();
            if called && kind == "compensatable" && step.value.get("undo").is_none() {
                let message = format!("nothing undoes the step `{}`", step.key);
                let path = self.path(&format!("steps.{}", step.key));
                let draft = Draft::new(Finding::SagaShape, step.key_span, message).path(path);
                let draft = draft.label("expected an `undo` here");
                self.problems.add(draft.help(
                    "if it only reads, state `undo: nothing`; if it is the last that may fail, `kind: pivot`",
                ));
            }
        }
    }

    /// Checks the shape; of each step, those that are done before it.
    fn shape(&mut self) -> Option<Vec<StepSet>> {
        let definition = self.definitions.get(self.saga.key.as_str())?.clone();
        match Saga::new(definition) {
            Ok(saga) => {
                let before = |step| saga.steps().filter(|other| saga.behind(*other).has(step)).collect();
                Some(saga.steps().map(before).collect())
            }
            Err(refusal) => {
                let named = |entry: &&Entry| refusal.detail.starts_with(&format!("step `{}` ", entry.key));
                let step = self.steps().iter().find(named);
                let (span, path) = match step {
                    Some(step) => (step.key_span, self.path(&format!("steps.{}", step.key))),
                    None => (self.saga.key_span, format!("sagas.{}", self.saga.key)),
                };
                let draft = Draft::new(Finding::SagaShape, span, refusal.detail).path(path);
                self.problems.add(draft.label("this"));
                None
            }
        }
    }

    fn expressions(&mut self, before: Option<&[StepSet]>) {
        let all: StepSet = (0..self.steps().len() as u8).map(StepIx).collect();
        for (number, step) in self.steps().iter().enumerate() {
            let done = before.and_then(|before| before.get(number).copied());
            let scope = Scope { before: done, own: None, of: &step.key };
            self.each(step.value.get("input"), &format!("steps.{}.input", step.key), &scope);
            let undo = step.value.get("undo").and_then(|undo| undo.get("input"));
            let scope = Scope { before: done, own: Some(step), of: &step.key };
            self.each(undo, &format!("steps.{}.undo.input", step.key), &scope);
        }
        let scope = Scope { before: Some(all), own: None, of: "output" };
        self.each(self.saga.value.get("output"), "output", &scope);
        let scope = Scope { before: Some(StepSet::NONE), own: None, of: "serialize_by" };
        self.each(self.saga.value.get("serialize_by"), "serialize_by", &scope);
    }

    fn each(&mut self, node: Option<&Node>, path: &str, scope: &Scope<'_>) {
        for expression in expressions(node) {
            let Some(text) = expression::written(expression) else { continue };
            if text.len() > tenon_core::saga::MAX_EXPR || text.trim().is_empty() {
                let message = "the expression is empty or too long".to_owned();
                self.add(
                    Finding::SagaExpression,
                    expression.span,
                    path,
                    message,
                    "expected 1 to 4,096 bytes",
                );
                continue;
            }
            let loops = Expr::new(text).map_or(0, |expr| expr.loops());
            if loops > Expr::MOST_LOOPS {
                let message = format!("`{}` goes through lists {loops} times", shortened(text));
                let help = format!("expected at most {}", Expr::MOST_LOOPS);
                self.add(Finding::SagaExpression, expression.span, path, message, &help);
            }
            match expression::read(text) {
                Ok(paths) => {
                    paths.iter().for_each(|used| self.used(used, expression.span, path, scope));
                    for fault in expression::faults(text) {
                        let message = format!("`{}` {fault}", shortened(text));
                        let label = "expected an expression that can be evaluated; only CEL's own functions are there";
                        self.add(Finding::SagaExpression, expression.span, path, message, label);
                    }
                }
                Err(problem) => {
                    let message = format!("`{}` is no expression", shortened(text));
                    self.add(Finding::SagaExpression, expression.span, path, message, &problem);
                }
            }
        }
    }

    fn used(&mut self, used: &[String], span: Span, path: &str, scope: &Scope<'_>) {
        let Some((root, fields)) = used.split_first() else { return };
        let declared =
            |list: Option<&'a Node>| list.map(|list| list.items().iter().filter_map(Node::text).collect());
        match root.as_str() {
            "input" => {
                let known = declared(self.saga.value.get("input"));
                self.field("input", fields.first(), known, span, path);
            }
            "steps" => self.step(fields, span, path, scope),
            "saga" if scope.own.is_none() && fields.first().is_some_and(|it| it == "problem") => {
                let message = "`saga.problem` is only there where a step is undone".to_owned();
                self.add(Finding::SagaExpression, span, path, message, "expected `saga.id` or `saga.key`");
            }
            "output" if scope.own.is_none() => {
                let message = "`output` is only there where a step is undone".to_owned();
                let label = "expected `input`, `steps` or `saga`; `steps.NAME` is the output of a step";
                self.add(Finding::SagaExpression, span, path, message, label);
            }
            "saga" => self.field("saga", fields.first(), Some(vec!["id", "key", "problem"]), span, path),
            "output" => {
                let known = declared(scope.own.and_then(|_| self.own_output(scope.of)));
                self.field("output", fields.first(), known, span, path);
                if let Some(message) = self.output_of(scope.of) {
                    self.taken(fields, message, span, path);
                }
            }
            _ => {
                let known = ["input", "steps", "saga", "output"];
                let message = format!("there is no variable `{}`", shortened(root));
                let draft = Draft::new(Finding::SagaExpression, span, message).path(self.path(path));
                let expected = match scope.own {
                    Some(_) => "expected `input`, `steps`, `output` or `saga`",
                    None => "expected `input`, `steps` or `saga`",
                };
                self.problems.add(draft.label(expected).suggestion(suggest::nearest(root, known)));
            }
        }
    }

    fn own_output(&self, step: &str) -> Option<&'a Node> {
        self.steps().iter().find(|entry| entry.key == step)?.value.get("output")
    }

    fn step(&mut self, fields: &[String], span: Span, path: &str, scope: &Scope<'_>) {
        let Some((name, fields)) = fields.split_first() else { return };
        let Some(number) = self.steps().iter().position(|entry| entry.key == *name) else {
            let message = format!("there is no step `{}`", shortened(name));
            let draft = Draft::new(Finding::SagaExpression, span, message).path(self.path(path));
            let draft = draft.label("expected the name of one of the saga's steps");
            let known = self.steps().iter().map(|entry| entry.key.as_str());
            return self.problems.add(draft.suggestion(suggest::nearest(name, known)));
        };
        if scope.before.is_some_and(|before| !before.has(StepIx(number as u8))) {
            let message = format!("`{name}` need not be done before `{}`", scope.of);
            self.add(Finding::SagaExpression, span, path, message, "expected a step that it depends on");
        }
        let declared = self.own_output(name).map(|list| list.items().iter().filter_map(Node::text).collect());
        self.field(&format!("steps.{name}"), fields.first(), declared, span, path);
        if let Some(message) = self.output_of(name) {
            self.taken(fields, message, span, path);
        }
    }

    fn field(&mut self, of: &str, field: Option<&String>, known: Option<Vec<&str>>, span: Span, path: &str) {
        let (Some(field), Some(known)) = (field, known) else { return };
        if known.contains(&field.as_str()) {
            return;
        }
        let message = format!("`{of}` has no field `{}`", shortened(field));
        let draft = Draft::new(Finding::SagaExpression, span, message).path(self.path(path));
        let draft = draft.label("expected one of the fields that are declared");
        self.problems.add(draft.suggestion(suggest::nearest(field, known.iter().copied())));
    }
}
