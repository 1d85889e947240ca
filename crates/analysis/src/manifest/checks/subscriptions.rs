//! Subscriptions that push: where to, and whether the service takes it.

use super::at;
use crate::manifest::finding::Finding;
use crate::manifest::problems::{Draft, Problems};
use crate::manifest::tree::Node;
use tenon_core::group::{Definition, Delivered, Form, is_method};
use tenon_core::manifest::{Direction, Protocol, Service, System};

/// Checks what each needs no other part for.
pub(super) fn check(root: &Node, problems: &mut Problems<'_>) {
    for entry in root.get("subscriptions").map(Node::entries).unwrap_or_default() {
        let Some(push) = entry.value.get("push") else { continue };
        let is_grpc = push.get("mode").and_then(Node::text) == Some("grpc");
        let place = format!("subscriptions.{}.push", entry.key);
        match push.get("path") {
            None if !is_grpc => {
                let message = format!("`{}` says no path to post to", entry.key);
                let draft = Draft::new(Finding::MissingKey, push.span, message).path(&place);
                problems.add(draft.label("expected `path:`, or `mode: grpc`"));
            }
            Some(path) if is_grpc && path.text().is_some_and(|text| !is_method(text)) => {
                let message = format!("`{}` is no gRPC method", path.text().unwrap_or_default());
                let draft = Draft::new(Finding::InvalidValue, path.span, message);
                problems.add(draft.path(format!("{place}.path")).label("expected /package.Service/Method"));
            }
            _ => {}
        }
    }
}

/// Checks whether services accept what they are to be sent.
pub(super) fn targets(system: &System, root: &Node, problems: &mut Problems<'_>) {
    for (name, Definition { delivered, .. }) in &system.subscriptions {
        let Delivered::Push { service, path, form } = delivered else { continue };
        // A service of another namespace is another system's.
        let own = system.services.get(&service.name).filter(|_| service.namespace == system.namespace);
        if own.is_none_or(|own| accepts(own, path, *form)) {
            continue;
        }
        let Some(push) = at(root, &["subscriptions", name.as_str(), "push"]) else { continue };
        let (verb, kind) = if *form == Form::Grpc { ("calls to", "gRPC ") } else { ("POST", "") };
        let message = format!("no {kind}endpoint of `{}` accepts {verb} {path}", service.name);
        let span = push.get("path").or(push.get("service")).map_or(push.span, |node| node.span);
        let draft = Draft::new(Finding::PushNotAccepted, span, message)
            .path(format!("subscriptions.{name}.push"))
            .label(format!("expected a path that an input interface of `{}` has", service.name));
        problems.add(draft);
    }
}

pub(super) fn accepts(service: &Service, path: &str, form: Form) -> bool {
    let wanted = if form == Form::Grpc { Protocol::Grpc } else { Protocol::Http };
    let mut endpoints = service
        .interfaces
        .iter()
        .filter(|interface| interface.direction == Direction::Input && interface.protocol == wanted)
        .flat_map(|interface| &interface.endpoints);
    endpoints.any(|endpoint| {
        endpoint.method.as_ref().is_none_or(|method| method.as_str() == "POST") && endpoint.path.matches(path)
    })
}
