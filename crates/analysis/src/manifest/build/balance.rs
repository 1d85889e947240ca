//! How instances are chosen: the name of a strategy alone, or what is stated over what holds already.

use super::{boolean, duration, integer, parsed, set};
use crate::manifest::tree::Node;
use tenon_core::balance::{Config, HashOn, Strategy, Subset};

pub(super) fn balance(config: &mut Config, node: Option<&Node>) {
    let Some(node) = node else { return };
    let named = |node: &Node| Strategy::parse(node.text()?);
    set(&mut config.strategy, named(node).or_else(|| node.get("strategy").and_then(named)));
    set(&mut config.choices, integer(node.get("choices")));
    set(&mut config.hash_on, node.get("hash_on").and_then(hash_on));
    set(&mut config.virtual_nodes, integer(node.get("virtual_nodes")));
    if let Some(percent) = integer(node.get("max_load_percent")) {
        config.max_load_percent = Some(percent);
    }
    set(&mut config.slow_start, duration(node.get("slow_start")));
    set(&mut config.panic_percent, integer(node.get("panic_threshold")));
    set(&mut config.prefer_near, boolean(node.get("prefer_near")));
    if node.get("subset").is_some() {
        config.subset = subset(node.get("subset"));
    }
}

/// The instances with this metadata.
pub(super) fn subset(node: Option<&Node>) -> Subset {
    let entries = node.map(Node::entries).unwrap_or_default();
    let pair = |key: &str, value: &Node| Some((key.to_owned(), value.text()?.to_owned()));
    let pairs = entries.iter().filter_map(|entry| pair(&entry.key, &entry.value)).collect();
    Subset::new(pairs).unwrap_or_default()
}

fn hash_on(node: &Node) -> Option<HashOn> {
    if let Some(word) = node.text() {
        return Some(if word == "path" { HashOn::Path } else { HashOn::Client });
    }
    if let Some(header) = parsed(node.get("header")) {
        return Some(HashOn::Header(header));
    }
    let cookie = node.get("cookie")?;
    Some(HashOn::Cookie { name: parsed(cookie.get("name"))?, ttl: duration(cookie.get("ttl")) })
}
