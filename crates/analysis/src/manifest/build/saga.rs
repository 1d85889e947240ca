//! Work over several services that is done wholly or undone wholly.

use super::traffic::{delay, jitter};
use super::{duration, integer, parsed, set};
use crate::manifest::expression;
use crate::manifest::protos::Compiled;
use crate::manifest::tree::{Entry, Node};
use std::collections::BTreeMap;
use std::time::Duration;
use tenon_api::saga::protos::cut;
use tenon_core::manifest::{HttpMethod, PathPattern};
use tenon_core::priority::Priority;
use tenon_core::saga::{
    Action, Call, Definition, Expr, Fields, InputOf, Kind, Late, OnUndoFailure, Retry, SagaName, Step,
    StepIx, StepSet, Undo, UndoWork, Work,
};
use tenon_core::{Namespace, ServiceRef};

/// How long a call is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn sagas(
    node: Option<&Node>,
    namespace: &Namespace,
    protos: &Compiled,
) -> BTreeMap<SagaName, Definition> {
    let entries = node.map(Node::entries).unwrap_or_default().iter();
    entries
        .filter_map(|entry| {
            let name: SagaName = entry.key.parse().ok()?;
            Some((name.clone(), saga(&entry.value, namespace, name, protos)?))
        })
        .collect()
}

/// A saga, if every step of it can be made: without one the others would not be what they are.
pub(in crate::manifest) fn saga(
    node: &Node,
    namespace: &Namespace,
    name: SagaName,
    protos: &Compiled,
) -> Option<Definition> {
    let steps = node.get("steps").map(Node::entries).unwrap_or_default();
    let mut definition = Definition {
        namespace: namespace.clone(),
        name,
        steps: steps.iter().map(|entry| step(entry, steps, namespace)).collect::<Option<_>>()?,
        input: fields(node.get("input")),
        deadline: duration(node.get("deadline")),
        priority: node.get("priority").and_then(Node::text).and_then(Priority::parse).unwrap_or_default(),
        serialize_by: node.get("serialize_by").and_then(expr),
        output: input(node.get("output")),
        protos: BTreeMap::new(),
    };
    let called: Vec<ServiceRef> = definition
        .steps
        .iter()
        .flat_map(Step::actions)
        .filter(|it| matches!(it.call, Call::Grpc(_)))
        .map(|it| it.service.clone())
        .collect();
    let known = called.into_iter().filter_map(|it| Some((it.clone(), protos.get(&it)?.protos.clone())));
    definition.protos = known.collect();
    if cut(&mut definition).is_err() {
        // What is wrong is found at its place.
        definition.protos.clear();
    }
    Some(definition)
}

fn step(entry: &Entry, all: &[Entry], namespace: &Namespace) -> Option<Step> {
    let node = &entry.value;
    let work = work(node, namespace)?;
    let undo = match (&work, node.get("undo")) {
        (Work::Child(_), _) => Some(revert(node)),
        (_, Some(undo)) if undo.is_map() => Some(self::undo(undo, namespace)?),
        _ => None,
    };
    Some(Step {
        name: entry.key.parse().ok()?,
        after: after(node, all),
        kind: match node.get("kind").and_then(Node::text) {
            Some("pivot") => Kind::Pivot,
            Some("retriable") => Kind::Retriable,
            _ => Kind::Compensatable,
        },
        work,
        input: input(node.get("input")),
        output: fields(node.get("output")),
        retry: retry(node.get("retry")),
        undo,
    })
}

fn work(node: &Node, namespace: &Namespace) -> Option<Work> {
    if let Some(call) = node.get("call") {
        let timeout = duration(node.get("timeout")).unwrap_or(TIMEOUT);
        return Some(Work::Call { action: action(call, namespace)?, timeout });
    }
    if let Some(signal) = node.get("signal") {
        let late = match signal.get("late").and_then(Node::text) {
            Some("continue") => Late::Continue,
            _ => Late::Fail,
        };
        return Some(Work::Signal {
            name: parsed(signal.get("name"))?,
            timeout: duration(signal.get("timeout")),
            late,
        });
    }
    if let Some(timer) = node.get("timer") {
        return Some(Work::Timer(duration(Some(timer))?));
    }
    Some(Work::Child(parsed(node.get("saga"))?))
}

/// A name alone is one of the system's own namespace.
fn action(node: &Node, namespace: &Namespace) -> Option<Action> {
    let text = node.get("service")?.text()?;
    let mut service: ServiceRef = text.parse().ok()?;
    if !text.contains('.') {
        service.namespace = namespace.clone();
    }
    let call = match node.get("grpc").and_then(Node::text) {
        Some(method) => Call::Grpc(method.into()),
        None => Call::Http {
            method: HttpMethod::new(node.get("method")?.text()?).ok()?,
            path: PathPattern::new(node.get("path")?.text()?).ok()?,
        },
    };
    Some(Action { service, call })
}

fn undo(node: &Node, namespace: &Namespace) -> Option<Undo> {
    let timeout = duration(node.get("timeout")).unwrap_or(TIMEOUT);
    Some(Undo {
        work: UndoWork::Call { action: action(node.get("call")?, namespace)?, timeout },
        input: input(node.get("input")),
        retry: retry(node.get("retry")),
        on_failure: match node.get("on_failure").and_then(Node::text) {
            Some("skip") => OnUndoFailure::Skip,
            Some("escalate") => OnUndoFailure::Escalate,
            _ => OnUndoFailure::Park,
        },
    })
}

fn revert(node: &Node) -> Undo {
    Undo {
        work: UndoWork::Revert,
        input: InputOf::Nothing,
        retry: retry(node.get("retry")),
        on_failure: OnUndoFailure::Park,
    }
}

/// What a step names, and what its input uses.
fn after(node: &Node, all: &[Entry]) -> StepSet {
    let stated = node.get("after").map(Node::items).unwrap_or_default().iter().filter_map(Node::text);
    let stated = stated.map(ToOwned::to_owned);
    let used = expressions(node.get("input")).into_iter().filter_map(expression::written);
    let used = used.filter_map(|text| expression::read(text).ok()).flatten();
    let used = used.filter_map(|path| match path.as_slice() {
        [root, step, ..] if root == "steps" => Some(step.clone()),
        _ => None,
    });
    let numbered =
        |name: String| all.iter().position(|entry| entry.key == name).map(|number| StepIx(number as u8));
    stated.chain(used).filter_map(numbered).collect()
}

/// Every expression of an input or output.
pub(in crate::manifest) fn expressions(node: Option<&Node>) -> Vec<&Node> {
    match node {
        None => Vec::new(),
        Some(node) if node.is_map() => node.entries().iter().map(|entry| &entry.value).collect(),
        Some(node) => vec![node],
    }
}

fn input(node: Option<&Node>) -> InputOf {
    match node {
        None => InputOf::Nothing,
        Some(node) if node.is_map() => {
            let field = |entry: &Entry| Some((entry.key.clone(), expr(&entry.value)?));
            InputOf::Fields(node.entries().iter().filter_map(field).collect())
        }
        Some(node) => expr(node).map_or(InputOf::Nothing, InputOf::Whole),
    }
}

/// The fields that are stated, if any are.
fn fields(node: Option<&Node>) -> Option<Fields> {
    Fields::new(node?.items().iter().filter_map(Node::text)).ok()
}

fn expr(node: &Node) -> Option<Expr> {
    Expr::new(expression::written(node)?).ok()
}

fn retry(node: Option<&Node>) -> Retry {
    let mut retry = Retry::default();
    let Some(node) = node else { return retry };
    set(&mut retry.tries, integer(node.get("tries")));
    set(&mut retry.backoff.delay, node.get("delay").and_then(delay));
    set(&mut retry.backoff.jitter, node.get("jitter").and_then(jitter));
    set(&mut retry.backoff.max_delay, duration(node.get("max_delay")));
    retry
}
