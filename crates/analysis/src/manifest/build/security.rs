//! Identities and TLS.

use super::{boolean, duration, items, parsed, set, text};
use crate::manifest::tree::Node;
use tenon_core::manifest::{
    Authorization, Certificate, GatewayTls, Mesh, Mtls, PlainListener, Security, TlsVersion,
};

pub(super) fn mesh(node: Option<&Node>) -> Mesh {
    let mut mesh = Mesh::default();
    set(&mut mesh.certificate_ttl, duration(node.and_then(|node| node.get("certificate_ttl"))));
    mesh
}

/// Puts what a service's entry states over `security`.
pub(super) fn over(security: &mut Security, node: &Node) {
    let word = |key: &str| node.get(key).and_then(Node::text);
    set(&mut security.mtls, word("mtls").and_then(mtls));
    set(&mut security.authorization, word("authorization").and_then(authorization));
}

fn mtls(word: &str) -> Option<Mtls> {
    match word {
        "strict" => Some(Mtls::Strict),
        "permissive" => Some(Mtls::Permissive),
        _ => None,
    }
}

fn authorization(word: &str) -> Option<Authorization> {
    match word {
        "open" => Some(Authorization::Open),
        "declared" => Some(Authorization::Declared),
        _ => None,
    }
}

pub(super) fn gateway_tls(node: &Node) -> GatewayTls {
    let only_13 = node.get("min_version").and_then(Node::text) == Some("tls1.3");
    GatewayTls {
        certificates: items(node.get("certificates"), certificate),
        min_version: if only_13 { TlsVersion::Tls13 } else { TlsVersion::Tls12 },
        plain: node.get("plain").and_then(plain),
    }
}

fn certificate(node: &Node) -> Option<Certificate> {
    Some(Certificate {
        hosts: items(node.get("hosts"), |item| parsed(Some(item))),
        cert: text(node.get("cert"))?,
        key: text(node.get("key"))?,
    })
}

fn plain(node: &Node) -> Option<PlainListener> {
    let redirect = boolean(node.get("redirect")).unwrap_or(true);
    Some(PlainListener { listen: parsed(node.get("listen"))?, redirect })
}
