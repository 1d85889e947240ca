//! `x-forwarded-for`, `-proto` and `-host`: who the request came from, for the application.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::net::IpAddr;

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
        headers.remove(FOR);
        headers.remove(PROTO);
        headers.remove(HOST);
    }
    headers.entry(FOR).or_insert_with(|| address(peer));
    headers.entry(PROTO).or_insert_with(|| HeaderValue::from_static("http"));
    if let Some(host) = host {
        headers.entry(HOST).or_insert_with(|| host.clone());
    }
}

fn address(peer: IpAddr) -> HeaderValue {
    if peer == IpAddr::from([127, 0, 0, 1]) {
        return HeaderValue::from_static("127.0.0.1");
    }
    // An IP address is made of characters that a field may hold.
    HeaderValue::try_from(peer.to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}
