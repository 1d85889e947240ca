//! Sagas: their shape, what they call, and what their expressions use.

mod messages;

use super::subscriptions::accepts;
use super::{MOST_COMPARISONS, at};
use crate::expressions::{Fault, Known, KnownStep, Scope};
use crate::manifest::build::saga::{expressions, saga};
use crate::manifest::expression::{self, Functions};
use crate::manifest::finding::Finding;
use crate::manifest::problems::{Draft, Problems};
use crate::manifest::protos::Compiled;
use crate::manifest::source::{Span, shortened};
use crate::manifest::suggest;
use crate::manifest::tree::{Entry, Node};
use std::collections::BTreeMap;
use tenon_core::group::Form;
use tenon_core::manifest::{Direction, Endpoint, Interface, Protocol, Service, System};
use tenon_core::saga::{Call, Definition, Fields, InputOf, Misfit, Saga, SagaName, StepIx, StepSet, runs};

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
        check.idle();
        check.variables();
        // What follows from what is wrong already is not told as well.
        let is_whole = !check.problems.has_errors_at(&format!("sagas.{}", entry.key));
        check.undo_is_stated();
        check.methods();
        let before = if is_whole { check.shape() } else { None };
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
    let mut comparisons = MOST_COMPARISONS;
    for (name, definition) in &system.sagas {
        for step in &definition.steps {
            let node = at(root, &["sagas", name.as_str(), "steps", step.name.as_str()]);
            for (action, keys) in step.actions().zip([&["call"][..], &["undo", "call"]]) {
                let own = system.services.get(&action.service.name);
                // A service of another namespace is another system's.
                let Some(own) = own.filter(|_| action.service.namespace == system.namespace) else {
                    continue;
                };
                let endpoints: usize = own.interfaces.iter().map(|it| it.endpoints.len()).sum();
                let Some(left) = comparisons.checked_sub(endpoints) else { return };
                comparisons = left;
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
                let path = self.path(&format!("steps.{}.after[{index}]", step.key));
                if item.text() == Some(step.key.as_str()) {
                    let message = format!("step `{}` depends on itself", step.key);
                    let draft = Draft::new(Finding::SagaShape, item.span, message).path(path);
                    self.problems.add(draft.label("expected another step"));
                    continue;
                }
                let Some(name) = item.text().filter(|name| !steps.contains(name)) else { continue };
                let message = format!("there is no step `{}`", shortened(name));
                let draft = Draft::new(Finding::SagaUnknown, item.span, message).path(path);
                let draft = draft.label("expected the name of one of the saga's steps");
                self.problems.add(draft.suggestion(suggest::nearest(name, steps.iter().copied())));
            }
            self.own_output(step);
            if let Some(child) = step.value.get("saga") {
                self.child(step, child);
            }
        }
    }

    /// What a step is given does not use what it answers.
    fn own_output(&mut self, step: &Entry) {
        let uses_it = |path: &expression::Path| matches!(path.as_slice(), [root, name, ..] if root == "steps" && *name == step.key);
        for node in expressions(step.value.get("input")) {
            let used = expression::written(node).and_then(|text| expression::read(text).ok());
            if used.is_some_and(|used| used.iter().any(uses_it)) {
                let message = format!("the input of step `{}` uses what that step answers", step.key);
                let path = format!("steps.{}.input", step.key);
                let expected = "expected the output of another step";
                self.add(Finding::SagaExpression, node.span, &path, message, expected);
            }
        }
    }

    /// Keys that would do nothing where they stand.
    fn idle(&mut self) {
        for step in self.steps() {
            let kind = step.value.get("kind").and_then(Node::text);
            let (does, keys): (_, &[&str]) = match &step.value {
                it if it.get("signal").is_some() => {
                    ("waits for a signal", &["timeout", "retry", "input", "undo"])
                }
                it if it.get("timer").is_some() => {
                    ("lets time pass", &["timeout", "retry", "input", "output", "undo"])
                }
                it if it.get("saga").is_some() => ("runs a saga, which is reverted", &["timeout", "undo"]),
                _ if kind == Some("pivot") => ("is the pivot, which is never undone", &["undo"]),
                _ if kind == Some("retriable") => ("is behind the pivot, where nothing is undone", &["undo"]),
                _ => continue,
            };
            for entry in keys.iter().filter_map(|key| step.value.entry(key)) {
                // What should be undone by a call is told with the shape.
                if entry.key == "undo" && entry.value.is_map() {
                    continue;
                }
                let message = format!("`{}` has no effect here: step `{}` {does}", entry.key, step.key);
                let path = self.path(&format!("steps.{}.{}", step.key, entry.key));
                let draft = Draft::new(Finding::SagaShape, entry.key_span, message).path(path);
                let help = match entry.key.as_str() {
                    "timeout" if step.value.get("signal").is_some() => "state it within `signal`",
                    _ => "leave it out",
                };
                self.problems.add(draft.label("expected not to be here").help(help));
            }
            let signal = step.value.get("signal").filter(|signal| signal.get("timeout").is_none());
            if let Some(late) = signal.and_then(|signal| signal.entry("late")) {
                let message =
                    "`late` has no effect here: without a `timeout` the signal is never late".to_owned();
                let path = self.path(&format!("steps.{}.signal.late", step.key));
                let draft = Draft::new(Finding::SagaShape, late.key_span, message).path(path);
                self.problems.add(draft.label("expected a `timeout` beside it"));
            }
        }
    }

    /// The variables of paths are fields of what is sent there.
    fn variables(&mut self) {
        for step in self.steps() {
            let of_undo = format!("what undoes `{}`", step.key);
            let of_step = format!("step `{}`", step.key);
            let directions = [("", of_step, Some(&step.value)), ("undo.", of_undo, step.value.get("undo"))];
            for (place, of, node) in directions {
                let path = node.and_then(|node| node.get("call")?.get("path"));
                let Some((path, text)) = path.and_then(|path| Some((path, path.text()?))) else { continue };
                let input = node.and_then(|node| node.get("input"));
                let entries = input.map(Node::entries).unwrap_or_default();
                for variable in text.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}')) {
                    let variable = variable.trim_end_matches("...");
                    if entries.iter().any(|entry| entry.key == variable) {
                        continue;
                    }
                    let message =
                        format!("{of} has `{{{variable}}}` in its path, which its input does not state");
                    let span = input.filter(|input| input.is_map()).map_or(path.span, |input| input.span);
                    let at = self.path(&format!("steps.{}.{place}input", step.key));
                    let draft = Draft::new(Finding::SagaShape, span, message).path(at);
                    let known = entries.iter().map(|entry| entry.key.as_str());
                    let draft = draft.suggestion(suggest::nearest(variable, known));
                    self.problems.add(draft.label(format!("expected an `input` with a field `{variable}`")));
                }
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
        if child.has_pivot() {
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
        } else if let Some(stated) = &child.input {
            self.given_to_child(step, name, stated);
        }
    }

    /// What a saga that is a step is given has the fields that it states, so far as they are known before it is made.
    fn given_to_child(&mut self, step: &Entry, child: &str, stated: &Fields) {
        let input = step.value.get("input");
        if input.is_some_and(|input| !input.is_map()) {
            return;
        }
        let entries = input.map(Node::entries).unwrap_or_default();
        let names: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
        let Some(misfit) = stated.misfit(&names) else { return };
        let (span, message) = match misfit {
            Misfit::Missing(name) => {
                let span = input.map_or(step.key_span, |input| input.span);
                (span, format!("the saga `{child}` is not given `{name}`"))
            }
            Misfit::Unknown(name) => {
                let entry = entries.iter().find(|entry| entry.key == name);
                let span = entry.map_or(step.key_span, |entry| entry.key_span);
                (span, format!("the saga `{child}` has no field `{}` in its input", shortened(name)))
            }
        };
        let path = format!("steps.{}.input", step.key);
        let expected = "expected the fields that its `input` states";
        self.add(Finding::SagaExpression, span, &path, message, expected);
    }

    /// Whether something undoes a call must be said, lest it be forgotten.
    fn undo_is_stated(&mut self) {
        for step in self.steps() {
            let kind = step.value.get("kind").and_then(Node::text).unwrap_or("compensatable");
            let called = step.value.get("call").is_some();
            let is_whole = !self.problems.has_errors_at(&self.path(&format!("steps.{}", step.key)));
            if is_whole && called && kind == "compensatable" && step.value.get("undo").is_none() {
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
                    Some(step) => {
                        let (span, place) =
                            on_circle(step, &refusal.detail).unwrap_or((step.key_span, String::new()));
                        (span, self.path(&format!("steps.{}{place}", step.key)))
                    }
                    None => (self.saga.key_span, format!("sagas.{}", self.saga.key)),
                };
                let draft = Draft::new(Finding::SagaShape, span, refusal.detail).path(path);
                self.problems.add(draft.label("this"));
                None
            }
        }
    }

    fn expressions(&mut self, before: Option<&[StepSet]>) {
        let mut known = self.known();
        let all: StepSet = (0..self.steps().len() as u8).map(StepIx).collect();
        for (number, step) in self.steps().iter().enumerate() {
            let before = before.and_then(|before| before.get(number).copied());
            let scope = Scope { before, undone: None, of: &step.key };
            self.each(&mut known, step.value.get("input"), &format!("steps.{}.input", step.key), &scope);
            let undo = step.value.get("undo").and_then(|undo| undo.get("input"));
            let scope = Scope { undone: Some(number), ..scope };
            self.each(&mut known, undo, &format!("steps.{}.undo.input", step.key), &scope);
        }
        let scope = Scope { before: Some(all), undone: None, of: "output" };
        self.each(&mut known, self.saga.value.get("output"), "output", &scope);
        let scope = Scope { before: Some(StepSet::NONE), undone: None, of: "serialize_by" };
        self.each(&mut known, self.saga.value.get("serialize_by"), "serialize_by", &scope);
    }

    /// What expressions may use.
    fn known(&self) -> Known<'a> {
        let step = |entry: &'a Entry| KnownStep {
            name: &entry.key,
            output: stated(entry.value.get("output")).or_else(|| self.answers(entry)),
            message: self.output_of(entry),
        };
        Known {
            input: stated(self.saga.value.get("input")),
            steps: self.steps().iter().map(step).collect(),
            functions: Functions::default(),
        }
    }

    /// The fields of what a saga that is a step answers, if it makes them one by one.
    fn answers(&self, step: &Entry) -> Option<Vec<&'a str>> {
        match &self.definitions.get(step.value.get("saga")?.text()?)?.output {
            InputOf::Fields(fields) => Some(fields.keys().map(String::as_str).collect()),
            InputOf::Nothing | InputOf::Whole(_) => None,
        }
    }

    fn each(&mut self, known: &mut Known<'_>, node: Option<&Node>, path: &str, scope: &Scope<'_>) {
        for expression in expressions(node) {
            let Some(text) = expression::written(expression) else { continue };
            for fault in known.faults(text, scope) {
                self.fault(fault, expression.span, path);
            }
        }
    }

    fn fault(&mut self, fault: Fault, span: Span, path: &str) {
        let Fault { message, expected, meant } = fault;
        let draft = Draft::new(Finding::SagaExpression, span, message).path(self.path(path));
        self.problems.add(draft.label(expected).suggestion(meant));
    }
}

/// Where a step states a dependency of a circle, if it is that for which it was refused: in an expression, or in `after`.
fn on_circle(step: &Entry, refused: &str) -> Option<(Span, String)> {
    let (_, others) = refused.split_once(" in the end, by way of ")?;
    let is_on_it = |name: &str| others.contains(&format!("`{name}`"));
    let is_used = |path: &expression::Path| matches!(path.as_slice(), [root, name, ..] if root == "steps" && is_on_it(name));
    let uses = |node: &&Node| {
        let used = expression::written(node).and_then(|text| expression::read(text).ok());
        used.is_some_and(|used| used.iter().any(is_used))
    };
    if let Some(node) = expressions(step.value.get("input")).into_iter().find(uses) {
        return Some((node.span, ".input".to_owned()));
    }
    let mut after = step.value.get("after").map(Node::items).unwrap_or_default().iter().enumerate();
    let (index, item) = after.find(|(_, item)| item.text().is_some_and(is_on_it))?;
    Some((item.span, format!(".after[{index}]")))
}

/// The names of fields that are stated, without what says that one may be absent.
fn stated(node: Option<&Node>) -> Option<Vec<&str>> {
    let names = node?.items().iter().filter_map(Node::text);
    Some(names.map(|text| text.strip_suffix('?').unwrap_or(text)).collect())
}
