//! Makes a [`System`] of a tree.
//!
//! Runs on every tree, so that a system with a mistake in one place can still be checked in the others: what
//! the form refused is left out or takes its default. Only if there was no error does anybody get the result.

mod balance;
mod gateway;
pub(super) mod policy;
pub(super) mod saga;
mod security;
mod service;
mod subscription;
mod telemetry;
mod traffic;

use super::protos::Compiled;
use super::tree::{Meaning, Node, canonical, to_json};
use std::collections::BTreeMap;
use std::time::Duration;
use tenon_core::ServiceName;
use tenon_core::config::Value;
use tenon_core::manifest::{ConfigEntry, ConfigKey, Egress, Service, System};

pub(super) fn system(root: &Node, protos: &Compiled) -> System {
    let namespace = parsed(root.get("namespace")).unwrap_or_default();
    System {
        name: parsed(root.get("name")).unwrap_or_else(unnamed),
        services: services(root),
        traffic: traffic::rules(root.get("traffic")),
        policies: policy::policies(root, &namespace),
        gateway: root.get("gateway").map(|node| gateway::gateway(node, &namespace)),
        egress: egress(root.get("egress")),
        telemetry: telemetry::telemetry(root.get("telemetry")),
        mesh: security::mesh(root.get("mesh")),
        subscriptions: subscription::subscriptions(root.get("subscriptions"), &namespace),
        sagas: saga::sagas(root.get("sagas"), &namespace, protos),
        config: config(root.get("config")),
        namespace,
    }
}

fn unnamed() -> ServiceName {
    ServiceName::new("unnamed").expect("`unnamed` is a DNS label")
}

fn services(root: &Node) -> BTreeMap<ServiceName, Service> {
    let entries = root.get("services").map(Node::entries).unwrap_or_default();
    let service = |name: ServiceName, node: &Node| (name.clone(), service::service(name, node));
    entries.iter().filter_map(|entry| Some(service(entry.key.parse().ok()?, &entry.value))).collect()
}

fn egress(node: Option<&Node>) -> Egress {
    if node.and_then(Node::text) == Some("allow") { Egress::Allow } else { Egress::Deny }
}

fn config(node: Option<&Node>) -> BTreeMap<ServiceName, BTreeMap<ConfigKey, ConfigEntry>> {
    let services = node.map(Node::entries).unwrap_or_default();
    services.iter().filter_map(|entry| Some((entry.key.parse().ok()?, config_keys(&entry.value)))).collect()
}

fn config_keys(node: &Node) -> BTreeMap<ConfigKey, ConfigEntry> {
    let entries = node.entries().iter();
    entries
        .filter_map(|entry| Some((ConfigKey::new(&entry.key).ok()?, config_entry(&entry.value)?)))
        .collect()
}

/// A map is the long form; everything else stands for itself.
fn config_entry(node: &Node) -> Option<ConfigEntry> {
    let long = node.is_map();
    let value = if long { node.get("value")? } else { node };
    let schema = if long { node.get("schema") } else { None };
    Some(ConfigEntry { value: json(value)?, schema: schema.and_then(json) })
}

fn json(node: &Node) -> Option<Value> {
    to_json(node).map(|json| Value::from_canonical(&canonical(&json)))
}

/// A text that is read by its type's own reader.
pub(super) fn parsed<T: std::str::FromStr>(node: Option<&Node>) -> Option<T> {
    node?.text()?.parse().ok()
}

fn text(node: Option<&Node>) -> Option<String> {
    node?.text().map(ToOwned::to_owned)
}

fn duration(node: Option<&Node>) -> Option<Duration> {
    super::format::duration(node?.text()?)
}

fn integer<T: TryFrom<i128>>(node: Option<&Node>) -> Option<T> {
    match node?.scalar()?.meaning() {
        Meaning::Integer(value) => T::try_from(value).ok(),
        _ => None,
    }
}

fn boolean(node: Option<&Node>) -> Option<bool> {
    match node?.scalar()?.meaning() {
        Meaning::Boolean(value) => Some(value),
        _ => None,
    }
}

/// The items of a list, those left out that cannot be made.
fn items<T>(node: Option<&Node>, make: impl FnMut(&Node) -> Option<T>) -> Vec<T> {
    node.map(Node::items).unwrap_or_default().iter().filter_map(make).collect()
}

/// Puts a value in its place, if there is one.
fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

#[cfg(test)]
mod tests;
