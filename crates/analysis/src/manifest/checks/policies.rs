//! Policies: what they refer to, whether their words fit together, and what has no effect.

use super::at;
use crate::manifest::build::policy::condition;
use crate::manifest::finding::Finding;
use crate::manifest::problems::{Draft, Problems};
use crate::manifest::source::{Span, shortened};
use crate::manifest::suggest;
use crate::manifest::tree::{Entry, Node};
use std::collections::{BTreeMap, BTreeSet};
use tenon_core::Namespace;

/// Checks names and words.
pub(super) fn check(root: &Node, problems: &mut Problems<'_>) {
    let lists = lists(root);
    let known: BTreeSet<&str> = policies(root).iter().map(|entry| entry.key.as_str()).collect();
    for (path, list) in &lists {
        for (index, item) in list.iter().enumerate() {
            let Some(name) = item.text().filter(|name| !known.contains(name)) else { continue };
            let message = format!("there is no policy `{}`", shortened(name));
            let draft =
                Draft::new(Finding::UnknownPolicy, item.span, message).path(format!("{path}[{index}]"));
            let draft = draft.label("expected the name of one of the policies");
            problems.add(draft.suggestion(suggest::nearest(name, known.iter().copied())));
        }
    }
    let services: BTreeSet<&str> = super::services(root).iter().map(|entry| entry.key.as_str()).collect();
    for entry in policies(root) {
        let path = format!("policies.{}", entry.key);
        words(&entry.value, &path, &services, problems);
        action(&entry.value, &path, &services, problems);
    }
}

/// Checks what has no effect.
pub(super) fn effects(root: &Node, problems: &mut Problems<'_>) {
    let lists = lists(root);
    let attached: BTreeSet<&str> =
        lists.iter().flat_map(|(_, list)| list.iter().filter_map(Node::text)).collect();
    let by_name: BTreeMap<&str, &Node> =
        policies(root).iter().map(|it| (it.key.as_str(), &it.value)).collect();
    for entry in policies(root).iter().filter(|entry| !attached.contains(entry.key.as_str())) {
        let message = format!("the policy `{}` is attached to nothing", entry.key);
        let draft = Draft::new(Finding::PolicyWithoutEffect, entry.key_span, message);
        let draft = draft.path(format!("policies.{}", entry.key)).label("not attached anywhere");
        problems.add(draft.help("name it in the `policies` of `traffic` or of a route of the gateway"));
    }
    for (path, list) in &lists {
        let Some((denied, span)) = always_denied(list, &by_name) else { continue };
        for (index, item) in list.iter().enumerate() {
            let Some(name) = item.text().filter(|name| is(by_name.get(name), "allow")) else { continue };
            let message = format!("`{name}` allows nothing: `{denied}` denies every call");
            let draft = Draft::new(Finding::PolicyWithoutEffect, item.span, message);
            let draft =
                draft.path(format!("{path}[{index}]")).label("expected a `deny` with conditions beside it");
            problems.add(draft.note(span, "this one denies every call"));
        }
    }
}

/// The first policy of a list that denies every call.
fn always_denied<'a>(list: &'a [Node], by_name: &BTreeMap<&str, &Node>) -> Option<(&'a str, Span)> {
    let bare = |node: &Node| node.get("rules").is_none() && node.get("unless").is_none();
    let denies = |name| is(by_name.get(name), "deny") && by_name.get(name).is_some_and(|it| bare(it));
    list.iter().find_map(|item| item.text().filter(|name| denies(*name)).map(|name| (name, item.span)))
}

fn is(policy: Option<&&Node>, action: &str) -> bool {
    policy.and_then(|it| it.get("action")).and_then(Node::text) == Some(action)
}

fn policies(root: &Node) -> &[Entry] {
    root.get("policies").map(Node::entries).unwrap_or_default()
}

/// Every list of attached policies, with its path.
fn lists(root: &Node) -> Vec<(String, &[Node])> {
    let traffic = root.get("traffic").map(Node::entries).unwrap_or_default();
    let routes = at(root, &["gateway", "routes"]).map(Node::items).unwrap_or_default();
    let of_traffic = traffic.iter().map(|entry| (format!("traffic.{}.policies", entry.key), &entry.value));
    let of_route = |(index, route)| (format!("gateway.routes[{index}].policies"), route);
    let all = of_traffic.chain(routes.iter().enumerate().map(of_route));
    all.filter_map(|(path, node)| Some((path, node.get("policies")?.items()))).collect()
}

fn words(policy: &Node, path: &str, services: &BTreeSet<&str>, problems: &mut Problems<'_>) {
    for key in ["rules", "unless"] {
        let conditions = policy.get(key).map(Node::items).unwrap_or_default();
        for (index, node) in conditions.iter().enumerate() {
            let path = format!("{path}.{key}[{index}]");
            // What the form has refused already is not refused again.
            if node.get("field").and_then(Node::text).is_none() {
                continue;
            }
            if let Err(invalid) = condition(node, &Namespace::default()) {
                let message =
                    format!("the {} `{}` {}", invalid.kind, shortened(&invalid.text), invalid.problem);
                let draft = Draft::new(Finding::PolicyContradiction, node.span, message).path(path);
                problems.add(draft.label("expected words that fit together"));
            } else {
                callers(node, &path, services, problems);
            }
        }
    }
}

/// Names of services that a condition compares with.
fn callers(node: &Node, path: &str, services: &BTreeSet<&str>, problems: &mut Problems<'_>) {
    let word = |key| node.get(key).and_then(Node::text);
    let whole = matches!(word("operator"), None | Some("equals" | "not-equals" | "one-of"));
    if !whole || !matches!(word("field"), Some("source" | "destination")) {
        return;
    }
    let Some(value) = node.get("value") else { return };
    for item in std::iter::once(value).chain(value.items()) {
        if let Some(name) = item.text().filter(|name| !name.contains(['.', '@'])) {
            service_must_be_known(name, item.span, &format!("{path}.value"), services, problems);
        }
    }
}

fn action(policy: &Node, path: &str, services: &BTreeSet<&str>, problems: &mut Problems<'_>) {
    if let Some(node) = at(policy, &["action", "mirror", "service"])
        && let Some(name) = node.text()
    {
        service_must_be_known(name, node.span, &format!("{path}.action.mirror.service"), services, problems);
    }
    let Some(limit) = at(policy, &["action", "rate_limit"]) else { return };
    let by_header = limit.get("by").and_then(Node::text) == Some("header");
    if by_header != limit.get("header").is_some() {
        let message = if by_header { "`by: header` needs a `header`" } else { "`header` needs `by: header`" };
        let draft = Draft::new(Finding::PolicyContradiction, limit.span, message.to_owned());
        problems.add(draft.path(format!("{path}.action.rate_limit")).label("expected both or neither"));
    }
}

fn service_must_be_known(
    name: &str,
    span: Span,
    path: &str,
    services: &BTreeSet<&str>,
    problems: &mut Problems<'_>,
) {
    if services.contains(name) {
        return;
    }
    let message = format!("there is no service `{}`", shortened(name));
    let draft = Draft::new(Finding::UnknownService, span, message).path(path);
    let draft = draft.label("expected the name of one of the services");
    problems.add(draft.suggestion(suggest::nearest(name, services.iter().copied())));
}
