//! Single services: what their interfaces say, which variables they set, how they are checked.

use super::services;
use crate::manifest::finding::Finding;
use crate::manifest::format::{duration, shortest};
use crate::manifest::problems::{Draft, Problems};
use crate::manifest::source::Span;
use crate::manifest::tree::{Entry, Node};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) fn check(root: &Node, problems: &mut Problems<'_>) {
    for service in services(root) {
        let path = format!("services.{}", service.key);
        let interfaces = service.value.get("interfaces").map(Node::items).unwrap_or_default();
        for (index, interface) in interfaces.iter().enumerate() {
            of_interface(interface, &format!("{path}.interfaces[{index}]"), problems);
        }
        for variable in service.value.get("env").map(Node::entries).unwrap_or_default() {
            reserved_variable(variable, &path, problems);
        }
        if let Some(health) = service.value.get("health") {
            overlap(health, &path, problems);
        }
    }
}

fn of_interface(interface: &Node, path: &str, problems: &mut Problems<'_>) {
    let endpoints = interface.get("endpoints").map(Node::items).unwrap_or_default();
    let grpc = interface.get("protocol").and_then(Node::text) == Some("grpc");
    let mut taken: BTreeMap<(&str, &str), Span> = BTreeMap::new();
    for (index, endpoint) in endpoints.iter().enumerate() {
        let path = format!("{path}.endpoints[{index}]");
        let Some((place, text)) = endpoint.get("path").and_then(|node| Some((node, node.text()?))) else {
            continue;
        };
        let method = endpoint.get("method").and_then(Node::text);
        if let Some(first) = taken.get(&(text, method.unwrap_or_default())) {
            let message = format!("the endpoint `{text}` is listed twice");
            let draft = inconsistent(place.span, message, &path).label("expected another path or method");
            problems.add(draft.note(*first, "first here"));
        }
        taken.entry((text, method.unwrap_or_default())).or_insert(place.span);
        if grpc && !is_grpc_method(text) {
            let message = format!("`{text}` is not the path of a gRPC method");
            let draft = inconsistent(place.span, message, &format!("{path}.path"));
            problems.add(draft.label("expected /package.Service/Method"));
        }
        if let (true, Some(node), Some(method)) =
            (grpc && method != Some("POST"), endpoint.get("method"), method)
        {
            let message = format!("a gRPC endpoint cannot have the method `{method}`");
            let draft = inconsistent(node.span, message, &format!("{path}.method"));
            problems.add(draft.label("expected POST, or nothing").suggestion(Some("POST")));
        }
    }
}

fn inconsistent(span: Span, message: String, path: &str) -> Draft {
    Draft::new(Finding::InterfaceInconsistent, span, message).path(path)
}

/// `/package.Service/Method` (`grpc/grpc` `doc/PROTOCOL-HTTP2.md`); the package may be absent.
fn is_grpc_method(path: &str) -> bool {
    let word = |text: &str| {
        text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let parts = path.strip_prefix('/').and_then(|rest| rest.split_once('/'));
    parts.is_some_and(|(service, method)| service.split('.').all(word) && word(method))
}

fn reserved_variable(variable: &Entry, path: &str, problems: &mut Problems<'_>) {
    const RESERVED: [&str; 6] =
        ["PORT", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "NODE_USE_ENV_PROXY"];
    let name = variable.key.as_str();
    if !RESERVED.contains(&name) && !name.starts_with("TENON_") {
        return;
    }
    let draft =
        Draft::new(Finding::ReservedVariable, variable.key_span, format!("Tenon sets `{name}` itself"));
    let draft = draft.path(format!("{path}.env.{name}")).label("this value has no effect");
    problems.add(draft.help("remove it, or use another name"));
}

fn overlap(health: &Node, path: &str, problems: &mut Problems<'_>) {
    let stated = |key: &str| health.get(key).and_then(|node| Some((node, duration(node.text()?)?)));
    let (interval, timeout) = (stated("interval"), stated("timeout"));
    let defaults = tenon_core::health::Config::default();
    let of = |stated: Option<(&Node, Duration)>, default: Duration| stated.map_or(default, |(_, span)| span);
    let (every, within) = (of(interval, defaults.interval), of(timeout, defaults.timeout));
    let Some((place, _)) =
        timeout.or(interval).filter(|_| within > every && health.get("heartbeat").is_none())
    else {
        return;
    };
    let message = format!("a check may take {}, but one is due every {}", shortest(within), shortest(every));
    let draft = Draft::new(Finding::HealthOverlap, place.span, message).path(format!("{path}.health"));
    problems
        .add(draft.label(format!("expected a `timeout` of at most the `interval` of {}", shortest(every))));
}
