//! Two things that want the same port.

use super::{at, services};
use crate::manifest::finding::Finding;
use crate::manifest::problems::{Draft, Problems};
use crate::manifest::source::Span;
use crate::manifest::tree::Node;
use std::net::{IpAddr, Ipv4Addr};
use tenon_core::Address;
use tenon_core::manifest::System;

pub(super) fn check(system: &System, root: &Node, problems: &mut Problems<'_>) {
    let gateway = system.gateway.as_ref().map(|gateway| {
        let stated = at(root, &["gateway", "listen"]).map(|node| node.span);
        let key = root.entry("gateway").map(|entry| entry.key_span);
        Listener {
            what: "the gateway".to_owned(),
            path: "gateway.listen".to_owned(),
            span: stated.or(key).unwrap_or_default(),
            ip: Some(gateway.listen.ip()),
            port: gateway.listen.port(),
        }
    });
    let addresses = addresses(root);
    for listener in gateway.iter().chain(&addresses) {
        for draft in [reserved(listener), in_range(listener)].into_iter().flatten() {
            problems.add(draft);
        }
    }
    for address in &addresses {
        if let Some(draft) = gateway.as_ref().and_then(|gateway| clash(gateway, address)) {
            problems.add(draft);
        }
    }
}

/// The port of API and console, and that of the data plane's metrics.
const OWN_PORTS: [(u16, &str); 2] = [(7420, "Tenon's API and console"), (7421, "the data plane's metrics")];

/// The ports that Tenon gives to applications and sidecars.
const GIVEN_PORTS: std::ops::RangeInclusive<u16> = 20_000..=29_999;

/// Something that listens on this machine or elsewhere.
struct Listener {
    what: String,
    path: String,
    span: Span,
    /// `None` for a host name that is not this machine's.
    ip: Option<IpAddr>,
    port: u16,
}

impl Listener {
    fn is_local(&self) -> bool {
        self.ip.is_some_and(|ip| ip.is_loopback() || ip.is_unspecified())
    }

    fn draft(&self, finding: Finding, message: String) -> Draft {
        Draft::new(finding, self.span, message).path(&self.path)
    }
}

fn addresses(root: &Node) -> Vec<Listener> {
    let mut found = Vec::new();
    for service in services(root) {
        let items = service.value.get("addresses").map(Node::items).unwrap_or_default();
        for (index, item) in items.iter().enumerate() {
            let Some(address) = item.text().and_then(|text| text.parse::<Address>().ok()) else { continue };
            found.push(Listener {
                what: format!("the service `{}`", service.key),
                path: format!("services.{}.addresses[{index}]", service.key),
                span: item.span,
                ip: ip(address.host()),
                port: address.port(),
            });
        }
    }
    found
}

fn ip(host: &str) -> Option<IpAddr> {
    if host.eq_ignore_ascii_case("localhost") { Some(Ipv4Addr::LOCALHOST.into()) } else { host.parse().ok() }
}

fn reserved(listener: &Listener) -> Option<Draft> {
    let (port, owner) = OWN_PORTS.iter().find(|(port, _)| *port == listener.port && listener.is_local())?;
    let message = format!("{} wants port {port}, which belongs to {owner}", listener.what);
    Some(listener.draft(Finding::PortClash, message).label("expected another port"))
}

fn in_range(listener: &Listener) -> Option<Draft> {
    if !GIVEN_PORTS.contains(&listener.port) || !listener.is_local() {
        return None;
    }
    let message =
        format!("{} wants port {}, which Tenon may give to an application", listener.what, listener.port);
    Some(listener.draft(Finding::PortRange, message).label("expected a port outside 20000 to 29999"))
}

fn clash(gateway: &Listener, other: &Listener) -> Option<Draft> {
    let same_host = gateway.ip == other.ip
        || gateway.ip.is_some_and(|ip| ip.is_unspecified()) && other.is_local()
        || other.ip.is_some_and(|ip| ip.is_unspecified()) && gateway.is_local();
    if gateway.port != other.port || !same_host {
        return None;
    }
    let message = format!("{} and {} want the same port {}", gateway.what, other.what, gateway.port);
    Some(
        other
            .draft(Finding::PortClash, message)
            .label("expected another port")
            .note(gateway.span, "the gateway listens here"),
    )
}
