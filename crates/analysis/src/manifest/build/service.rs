//! Services.

use super::{duration, integer, items, parsed, set, text};
use crate::manifest::format::{cpu_millis, memory_bytes};
use crate::manifest::tree::{Entry, Node};
use tenon_core::manifest::{
    DataStore, Direction, Endpoint, HttpMethod, Interface, PathPattern, Process, Protocol, Resources,
    SecretRef, Service, StoreKind, Version, Workload,
};
use tenon_core::{ServiceName, health};

pub(super) fn service(name: ServiceName, node: &Node) -> Service {
    Service {
        name,
        version: node.get("version").and_then(|node| Version::new(node.text()?).ok()).unwrap_or_default(),
        workload: workload(node),
        context: text(node.get("context")),
        team: text(node.get("team")),
        interfaces: items(node.get("interfaces"), interface),
        depends_on: items(node.get("depends_on"), |item| parsed(Some(item))).into_iter().collect(),
        data: items(node.get("data"), data_store),
        resources: resources(node.get("resources")),
        health: node.get("health").map(health).unwrap_or_default(),
    }
}

fn workload(node: &Node) -> Workload {
    if let Some(addresses) = node.get("addresses") {
        return Workload::External(items(Some(addresses), |item| parsed(Some(item))));
    }
    Workload::Process(Process {
        command: items(node.get("command"), |item| text(Some(item))),
        working_directory: text(node.get("working_directory")),
        env: node.get("env").map(Node::entries).unwrap_or_default().iter().filter_map(variable).collect(),
        replicas: integer(node.get("replicas")).unwrap_or(1),
    })
}

/// Numbers and booleans are taken as they were written.
fn variable(entry: &Entry) -> Option<(String, String)> {
    Some((entry.key.clone(), entry.value.scalar()?.text.clone()))
}

fn interface(node: &Node) -> Option<Interface> {
    let output = node.get("direction").and_then(Node::text) == Some("output");
    Some(Interface {
        name: text(node.get("name"))?,
        direction: if output { Direction::Output } else { Direction::Input },
        protocol: match node.get("protocol").and_then(Node::text) {
            Some("grpc") => Protocol::Grpc,
            Some("message-queue") => Protocol::MessageQueue,
            Some("event-stream") => Protocol::EventStream,
            _ => Protocol::Http,
        },
        endpoints: items(node.get("endpoints"), endpoint),
    })
}

fn endpoint(node: &Node) -> Option<Endpoint> {
    Some(Endpoint {
        path: PathPattern::new(node.get("path")?.text()?).ok()?,
        method: node.get("method").and_then(|node| HttpMethod::new(node.text()?).ok()),
        schema: text(node.get("schema")),
    })
}

fn data_store(node: &Node) -> Option<DataStore> {
    Some(DataStore {
        name: text(node.get("name"))?,
        kind: store_kind(node.get("type")?.text()?),
        connection: node.get("connection").and_then(|node| text(node.get("env"))).map(SecretRef),
        entities: items(node.get("entities"), |item| text(Some(item))),
    })
}

fn store_kind(text: &str) -> StoreKind {
    match text {
        "postgresql" => StoreKind::PostgreSql,
        "mongodb" => StoreKind::MongoDb,
        "redis" => StoreKind::Redis,
        "elasticsearch" => StoreKind::Elasticsearch,
        "sqlite" => StoreKind::Sqlite,
        "file" => StoreKind::File,
        other => StoreKind::Other(other.to_owned()),
    }
}

fn resources(node: Option<&Node>) -> Resources {
    let quantity = |key: &str, parse: fn(&str) -> Option<u64>| parse(&node?.get(key)?.scalar()?.text);
    let mut resources = Resources::default();
    let cpu = quantity("cpu", cpu_millis).map(|millis| u32::try_from(millis).unwrap_or(u32::MAX));
    set(&mut resources.cpu_millis, cpu);
    set(&mut resources.memory_bytes, quantity("memory", memory_bytes));
    resources
}

fn health(node: &Node) -> health::Config {
    let mut health = health::Config::default();
    set(&mut health.check, check(node));
    set(&mut health.interval, duration(node.get("interval")));
    set(&mut health.timeout, duration(node.get("timeout")));
    set(&mut health.unhealthy_threshold, integer(node.get("unhealthy_threshold")));
    set(&mut health.healthy_threshold, integer(node.get("healthy_threshold")));
    set(&mut health.damping, duration(node.get("damping")));
    health.deregister_after = duration(node.get("deregister_after"));
    health
}

fn check(node: &Node) -> Option<health::Check> {
    if let Some(http) = node.get("http") {
        return Some(health::Check::Http {
            path: text(http.get("path")).unwrap_or_else(|| "/health".to_owned()),
        });
    }
    if let Some(grpc) = node.get("grpc") {
        return Some(health::Check::Grpc { service: text(grpc.get("service")).unwrap_or_default() });
    }
    if node.get("tcp").is_some() {
        return Some(health::Check::Tcp);
    }
    Some(health::Check::Ttl { ttl: duration(node.get("heartbeat")?.get("ttl"))? })
}
