//! Who is given which events.

use super::traffic::{delay, jitter};
use super::{duration, integer, items, parsed, set, text};
use crate::manifest::tree::Node;
use std::collections::BTreeMap;
use tenon_api::system::{parse_ordering, parse_start};
use tenon_core::group::{Config, DELIVER, Definition, Delivered, Form, ParkedKey, WhenFull};
use tenon_core::{Namespace, ServiceRef, SubscriptionName};

pub(super) fn subscriptions(
    node: Option<&Node>,
    namespace: &Namespace,
) -> BTreeMap<SubscriptionName, Definition> {
    let entries = node.map(Node::entries).unwrap_or_default().iter();
    let named = |key: &str| key.parse::<SubscriptionName>().ok();
    entries
        .filter_map(|entry| {
            let name = named(&entry.key)?;
            Some((name.clone(), subscription(&entry.value, namespace, name)))
        })
        .collect()
}

fn subscription(node: &Node, namespace: &Namespace, name: SubscriptionName) -> Definition {
    let types = items(node.get("types"), |item| item.text()?.parse().ok()).into_iter().collect();
    let mut subscription = Definition::of_types(namespace.clone(), name, types);
    subscription.declared = true;
    subscription.filter.tags =
        items(node.get("tags"), |item| item.text()?.parse().ok()).into_iter().collect();
    subscription.filter.prefix = parsed(node.get("prefix"));
    set(&mut subscription.start, text(node.get("start")).and_then(|text| parse_start(&text).ok()));
    set(&mut subscription.ordering, text(node.get("order_by")).and_then(|text| parse_ordering(&text).ok()));
    set(&mut subscription.delivered, node.get("push").and_then(|push| pushed(push, namespace)));
    config(&mut subscription.config, node);
    subscription
}

fn config(config: &mut Config, node: &Node) {
    set(&mut config.ack_deadline, duration(node.get("ack_deadline")));
    set(&mut config.in_flight, integer(node.get("in_flight")));
    set(&mut config.deliveries, integer(node.get("max_deliveries")));
    if let Some(node) = node.get("backoff") {
        set(&mut config.backoff.delay, node.get("delay").and_then(delay));
        set(&mut config.backoff.jitter, node.get("jitter").and_then(jitter));
        set(&mut config.backoff.max_delay, duration(node.get("max_delay")));
    }
    set(&mut config.dedup, integer(node.get("dedup")));
    set(&mut config.capacity, integer(node.get("capacity")));
    set(
        &mut config.when_full,
        node.get("when_full").and_then(|node| match node.text()? {
            "block" => Some(WhenFull::Block),
            "reject" => Some(WhenFull::Reject),
            "drop-oldest" => Some(WhenFull::DropOldest),
            _ => None,
        }),
    );
    set(
        &mut config.parked_key,
        node.get("parked_key").and_then(|node| match node.text()? {
            "block" => Some(ParkedKey::Block),
            "continue" => Some(ParkedKey::Continue),
            _ => None,
        }),
    );
    set(&mut config.most_parked, integer(node.get("most_parked")));
}

/// A name alone is one of the system's own namespace.
fn pushed(node: &Node, namespace: &Namespace) -> Option<Delivered> {
    let text = node.get("service")?.text()?;
    let mut service: ServiceRef = text.parse().ok()?;
    if !text.contains('.') {
        service.namespace = namespace.clone();
    }
    let form = match node.get("mode").and_then(Node::text) {
        Some("grpc") => Form::Grpc,
        Some("structured") => Form::Structured,
        _ => Form::Binary,
    };
    let path = match (node.get("path"), form) {
        (None, Form::Grpc) => DELIVER.to_owned(),
        (stated, _) => stated?.text()?.to_owned(),
    };
    Some(Delivered::Push { service, path, form })
}
