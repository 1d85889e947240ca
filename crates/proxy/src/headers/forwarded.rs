//! `x-forwarded-for`, `-proto` and `-host`: who the request came from, for the application.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::net::IpAddr;
use tenon_core::deadline;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whether what a request says of where it came from is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It comes from within the mesh: what it says stays.
    Mesh,
    /// It comes from anybody: what it says is replaced.
    Stranger,
}

/// Sets the fields for a request from `peer` to `host`.
pub(crate) fn set_forwarded(headers: &mut HeaderMap, peer: IpAddr, host: Option<&HeaderValue>, trust: Trust) {
    if trust == Trust::Stranger {
        remove_claims(headers);
    }
    headers.entry(FOR).or_insert_with(|| address(peer));
    headers.entry(PROTO).or_insert_with(|| HeaderValue::from_static("http"));
    if let Some(host) = host {
        headers.entry(HOST).or_insert_with(|| host.clone());
    }
}

/// Takes out what a stranger says of where the request came from, of who he is, and in Tenon's name. How long he
/// waits he may say: it only shortens what he gets.
fn remove_claims(headers: &mut HeaderMap) {
    let claims: Vec<HeaderName> = headers.keys().filter(|name| is_claim(name.as_str())).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
}

fn is_claim(name: &str) -> bool {
    match name.as_bytes().first() {
        Some(b'x') => {
            let rest = name.strip_prefix("x-").unwrap_or_default();
            let known = [
                "real-ip",
                "client-ip",
                "original-url",
                "rewrite-url",
                "client-cert",
                "original-forwarded-for",
            ];
            rest.starts_with("forwarded") || rest.starts_with("ssl-") || known.contains(&rest)
        }
        Some(b'f') => name == "forwarded",
        Some(b't') => (name.starts_with("tenon-") && name != deadline::HEADER) || name == "true-client-ip",
        Some(b'c') => name == "client-cert" || name == "client-cert-chain",
        _ => false,
    }
}

fn address(peer: IpAddr) -> HeaderValue {
    if peer == IpAddr::from([127, 0, 0, 1]) {
        return HeaderValue::from_static("127.0.0.1");
    }
    // An IP address is made of characters that a field may hold.
    HeaderValue::try_from(peer.to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}
