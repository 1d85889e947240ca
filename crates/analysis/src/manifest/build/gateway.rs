//! The gateway: each route of a manifest is a route with one rule.

use super::security::gateway_tls;
use super::{balance, boolean, duration, integer, items, parsed, text};
use crate::manifest::tree::Node;
use std::net::SocketAddr;
use tenon_core::manifest::{Gateway, HttpMethod};
use tenon_core::route::{Backend, HeaderMatch, Match, PathMatch, QueryMatch, Route, RoutePath, Rule};
use tenon_core::{Namespace, ServiceRef};

pub(super) fn gateway(node: &Node, namespace: &Namespace) -> Gateway {
    Gateway {
        listen: parsed(node.get("listen")).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
        proxy_protocol: boolean(node.get("proxy_protocol")).unwrap_or_default(),
        routes: items(node.get("routes"), |node| route(node, namespace)),
        tls: node.get("tls").map(gateway_tls),
    }
}

fn route(node: &Node, namespace: &Namespace) -> Option<Route> {
    let rule = Rule {
        matches: items(node.get("matches"), |node| Some(request_match(node))),
        backends: items(node.get("backends"), |node| backend(node, namespace)),
        timeout: duration(node.get("timeout")),
    };
    Some(Route {
        name: parsed(node.get("name"))?,
        hostnames: items(node.get("hostnames"), |item| parsed(Some(item))),
        rules: vec![rule],
    })
}

fn request_match(node: &Node) -> Match {
    Match {
        path: node.get("path").and_then(path).unwrap_or_default(),
        method: node.get("method").and_then(|node| HttpMethod::new(node.text()?).ok()),
        headers: items(node.get("headers"), |node| {
            Some(HeaderMatch { name: parsed(node.get("name"))?, value: text(node.get("value"))? })
        }),
        query: items(node.get("query_params"), |node| {
            Some(QueryMatch { name: text(node.get("name"))?, value: text(node.get("value"))? })
        }),
    }
}

fn path(node: &Node) -> Option<PathMatch> {
    let value = RoutePath::new(node.get("value")?.text()?).ok()?;
    let exact = node.get("type").and_then(Node::text) == Some("Exact");
    Some(if exact { PathMatch::Exact(value) } else { PathMatch::Prefix(value) })
}

fn backend(node: &Node, namespace: &Namespace) -> Option<Backend> {
    let name = parsed(node.get("service"))?;
    let service = ServiceRef { name, namespace: namespace.clone() };
    let subset = balance::subset(node.get("subset"));
    Some(Backend { service, weight: integer(node.get("weight")).unwrap_or(1), subset })
}
