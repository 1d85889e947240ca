//! Policies, and what they are attached to.

use super::{boolean, duration, integer, items, parsed, text};
use crate::manifest::tree::Node;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tenon_core::policy::{Action, Condition, Edits, Fault, HeaderEdits, Mirror, Policies, Policy, Words};
use tenon_core::route::HeaderName;
use tenon_core::{InvalidName, Namespace, PolicyName, ServiceRef, rate};

pub(super) fn policies(root: &Node, namespace: &Namespace) -> Policies {
    let entries = |key| root.get(key).map(Node::entries).unwrap_or_default();
    let policy = |node: &Node| policy(node, namespace).map(Arc::new);
    let named = entries("policies").iter();
    let traffic = entries("traffic").iter().filter(|entry| entry.key != "*");
    let routes = root.get("gateway").and_then(|it| it.get("routes")).map(Node::items).unwrap_or_default();
    Policies {
        named: named.filter_map(|it| Some((it.key.parse().ok()?, policy(&it.value)?))).collect(),
        all: root.get("traffic").and_then(|it| it.get("*")).map(attached).unwrap_or_default(),
        services: traffic
            .filter(|entry| entry.value.get("policies").is_some())
            .filter_map(|entry| {
                let name = entry.key.parse().ok()?;
                Some((ServiceRef { name, namespace: namespace.clone() }, attached(&entry.value)))
            })
            .collect(),
        routes: routes
            .iter()
            .filter(|route| route.get("policies").is_some())
            .filter_map(|route| Some((parsed(route.get("name"))?, attached(route))))
            .collect(),
    }
}

fn attached(node: &Node) -> BTreeSet<PolicyName> {
    items(node.get("policies"), |item| parsed(Some(item))).into_iter().collect()
}

fn policy(node: &Node, namespace: &Namespace) -> Option<Policy> {
    let conditions = |key| items(node.get(key), |it| condition(it, namespace).ok());
    Some(Policy {
        rules: conditions("rules"),
        unless: conditions("unless"),
        action: action(node.get("action")?, namespace)?,
    })
}

/// The condition that a node states.
///
/// # Errors
/// [`InvalidName`] if its words do not fit together.
pub(in crate::manifest) fn condition(node: &Node, namespace: &Namespace) -> Result<Condition, InvalidName> {
    let words = Words {
        field: text(node.get("field")).unwrap_or_default(),
        name: text(node.get("name")),
        operator: text(node.get("operator")).unwrap_or_else(|| "equals".to_owned()),
        values: values(node.get("value")),
    };
    let names = matches!(words.field.as_str(), "source" | "destination");
    let whole = matches!(words.operator.as_str(), "equals" | "not-equals" | "one-of");
    let values = if names && whole {
        words.values.iter().map(|name| in_namespace(name, namespace)).collect()
    } else {
        words.values
    };
    Words { values, ..words }.read()
}

/// One text, or a list of them.
fn values(node: Option<&Node>) -> Vec<String> {
    let one = text(node);
    one.map_or_else(|| items(node, |item| text(Some(item))), |one| vec![one])
}

/// What a service of this system is called by all.
fn in_namespace(name: &str, namespace: &Namespace) -> String {
    match name.parse::<ServiceRef>() {
        Ok(service) if !name.contains('.') => {
            ServiceRef { namespace: namespace.clone(), ..service }.to_string()
        }
        _ => name.to_owned(),
    }
}

fn action(node: &Node, namespace: &Namespace) -> Option<Action> {
    match node.text() {
        Some("allow") => return Some(Action::Allow),
        Some("deny") => return Some(Action::Deny),
        _ => {}
    }
    if let Some(limit) = node.get("rate_limit") {
        return rate_limit(limit).map(Action::RateLimit);
    }
    if let Some(retry) = node.get("retry") {
        return Some(Action::Retry { max_attempts: integer(retry.get("max_attempts"))? });
    }
    if let Some(timeout) = node.get("timeout") {
        return duration(Some(timeout)).map(Action::Timeout);
    }
    if let Some(mirror) = node.get("mirror") {
        let service = ServiceRef { name: parsed(mirror.get("service"))?, namespace: namespace.clone() };
        return Some(Action::Mirror(Mirror { service, percent: percent(mirror) }));
    }
    if let Some(fault) = node.get("fault") {
        let (delay, abort) = (duration(fault.get("delay")), integer(fault.get("abort")));
        return Some(Action::Fault(Fault { delay, abort, percent: percent(fault) }));
    }
    let edits = node.get("headers")?;
    Some(Action::Headers(Edits {
        request: header_edits(edits.get("request")),
        response: header_edits(edits.get("response")),
    }))
}

fn rate_limit(node: &Node) -> Option<rate::Limit> {
    let requests = integer(node.get("requests"))?;
    let header = text(node.get("header"));
    Some(rate::Limit {
        requests,
        per: duration(node.get("per")).unwrap_or(Duration::from_secs(1)),
        burst: integer(node.get("burst")).unwrap_or(requests),
        by: rate::By::read(node.get("by").and_then(Node::text).unwrap_or("all"), header.as_deref()).ok()?,
        shared: boolean(node.get("shared")).unwrap_or(false),
    })
}

fn percent(node: &Node) -> u8 {
    integer(node.get("percent")).unwrap_or(100)
}

fn header_edits(node: Option<&Node>) -> HeaderEdits {
    let pairs = |key| {
        let entries = node.and_then(|it| it.get(key)).map(Node::entries).unwrap_or_default();
        let pair = |name: &str, value| Some((HeaderName::new(name).ok()?, text(Some(value))?));
        entries.iter().filter_map(|entry| pair(&entry.key, &entry.value)).collect()
    };
    HeaderEdits {
        remove: items(node.and_then(|it| it.get("remove")), |item| parsed(Some(item))),
        set: pairs("set"),
        add: pairs("add"),
    }
}
