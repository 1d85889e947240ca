//! What can be wrong with a system whose parts are all well-formed.
//!
//! Two passes: [`names`] looks at the tree and needs no other part to be right; [`sums`] reasons about the
//! system as a whole (time, tries, ports, routes) and runs only if there is no error, because its findings
//! would follow from values that nobody wrote.

mod calls;
mod config;
mod data;
mod interfaces;
mod policies;
mod ports;
mod references;
mod routes;
mod sagas;
mod security;
mod subscriptions;
mod traffic;

use super::problems::Problems;
use super::protos::Compiled;
use super::source::Span;
use super::tree::{Entry, Node};
use tenon_core::ServiceName;
use tenon_core::manifest::System;

/// Checks what the tree's names refer to, and single services.
pub(super) fn names(root: &Node, protos: &Compiled, problems: &mut Problems<'_>) {
    references::check(root, problems);
    interfaces::check(root, problems);
    data::check(root, problems);
    config::check(root, problems);
    policies::check(root, problems);
    sagas::check(root, protos, problems);
    subscriptions::check(root, problems);
}

/// Checks the system as a whole. `system` is what `root` says, without errors.
pub(super) fn sums(system: &System, root: &Node, problems: &mut Problems<'_>) {
    calls::check(system, root, problems);
    traffic::check(system, root, problems);
    routes::check(system, root, problems);
    ports::check(system, root, problems);
    policies::effects(root, problems);
    security::check(system, root, problems);
    subscriptions::targets(system, root, problems);
    sagas::targets(system, root, problems);
}

/// How often what is sent is compared with an endpoint, by the routes and by the sagas; what remains then is taken as accepted. Enough
/// for 1,000 routes to a service of 20,000 endpoints.
const MOST_COMPARISONS: usize = 20_000_000;

/// The entries under `services`.
fn services(root: &Node) -> &[Entry] {
    root.get("services").map(Node::entries).unwrap_or_default()
}

/// The value at a path of keys, if it is stated.
fn at<'a>(root: &'a Node, keys: &[&str]) -> Option<&'a Node> {
    keys.iter().try_fold(root, |node, key| node.get(key))
}

/// Where `service` says that it depends on `callee`: which item of its list, and its place.
fn dependency(root: &Node, service: &ServiceName, callee: &ServiceName) -> (usize, Span) {
    let items = at(root, &["services", service.as_str(), "depends_on"]).map(Node::items).unwrap_or_default();
    let position = items.iter().position(|item| item.text() == Some(callee.as_str())).unwrap_or_default();
    (position, items.get(position).map(|item| item.span).unwrap_or_default())
}

#[cfg(test)]
mod tests;
