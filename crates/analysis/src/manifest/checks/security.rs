//! Identities and TLS that contradict themselves.

use super::at;
use crate::manifest::finding::Finding;
use crate::manifest::problems::{Draft, Problems};
use crate::manifest::source::Span;
use crate::manifest::tree::Node;
use std::collections::BTreeMap;
use tenon_core::manifest::{Authorization, Mtls, System, Traffic};

pub(super) fn check(system: &System, root: &Node, problems: &mut Problems<'_>) {
    let services = system.traffic.services.iter().map(|(name, traffic)| (name.as_str(), traffic));
    for (service, traffic) in std::iter::once(("*", &system.traffic.default)).chain(services) {
        let stated = ["mtls", "authorization"].map(|key| (key, at(root, &["traffic", service, key])));
        if let Some((key, node)) = stated.iter().find_map(|(key, node)| Some((key, (*node)?)))
            && is_without_effect(traffic)
        {
            let message = "plain text is permitted, but nobody who calls in plain text is let in".to_owned();
            let draft = Draft::new(Finding::PermissiveWithoutEffect, node.span, message);
            let draft = draft.path(format!("traffic.{service}.{key}"));
            problems.add(draft.label("expected `mtls: strict`, or `authorization: open`"));
        }
    }
    certificates_differ(root, problems);
    listeners_differ(system, root, problems);
}

fn is_without_effect(traffic: &Traffic) -> bool {
    traffic.security.mtls == Mtls::Permissive && traffic.security.authorization == Authorization::Declared
}

/// Each host has one certificate, and so have all others.
fn certificates_differ(root: &Node, problems: &mut Problems<'_>) {
    let certificates = at(root, &["gateway", "tls", "certificates"]).map(Node::items).unwrap_or_default();
    let mut taken: BTreeMap<String, Span> = BTreeMap::new();
    for (index, certificate) in certificates.iter().enumerate() {
        let hosts = certificate.get("hosts").map(Node::items).unwrap_or_default();
        let named = hosts.iter().filter_map(|host| Some((host.text()?.to_ascii_lowercase(), host.span)));
        let others = hosts.is_empty().then(|| ("every other host".to_owned(), certificate.span));
        for (host, span) in named.chain(others) {
            match taken.get(&host) {
                Some(first) => {
                    let message = format!("there are two certificates for {host}");
                    let draft = Draft::new(Finding::DuplicateName, span, message);
                    let draft = draft.path(format!("gateway.tls.certificates[{index}]"));
                    problems.add(draft.label("expected other hosts").note(*first, "first here"));
                }
                None => drop(taken.insert(host, span)),
            }
        }
    }
}

fn listeners_differ(system: &System, root: &Node, problems: &mut Problems<'_>) {
    let Some(gateway) = &system.gateway else { return };
    let plain = gateway.tls.as_ref().and_then(|tls| tls.plain);
    let Some(plain) = plain.filter(|plain| plain.listen == gateway.listen && plain.listen.port() != 0) else {
        return;
    };
    let node = at(root, &["gateway", "tls", "plain", "listen"]);
    let message = format!("the gateway wants {} with TLS and without", plain.listen);
    let draft = Draft::new(Finding::PortClash, node.map(|node| node.span).unwrap_or_default(), message);
    problems.add(draft.path("gateway.tls.plain.listen").label("expected another port"));
}
