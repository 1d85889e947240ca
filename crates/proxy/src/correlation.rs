//! What ties a request's hops together: the request id, and W3C trace context (<https://www.w3.org/TR/trace-context/>).

use crate::headers::Trust;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt::Write as _;
use tenon_api::headers::{REQUEST_ID, TRACEPARENT};
use tenon_core::RequestId;

const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The id of a request: the one it carries, if it comes from inside the mesh.
pub(crate) fn request_id(headers: &HeaderMap, trust: Trust) -> Option<RequestId> {
    let carried = headers.get(REQUEST_ID).filter(|_| trust == Trust::Mesh)?;
    carried.to_str().ok()?.parse().ok()
}

/// Writes the ids into a request that goes on: its own, and those of the trace, which is continued with this hop as
/// the parent, or begun (and sampled) if there is none.
pub(crate) fn write(headers: &mut HeaderMap, id: RequestId) {
    set(headers, REQUEST_ID, &id.to_string());
    let carried = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()).and_then(Parent::parse);
    if carried.is_none() {
        headers.remove(TRACESTATE);
    }
    let Parent { trace, flags } = carried.unwrap_or_else(Parent::begin);
    let mut text = String::with_capacity(55);
    // Writing to a string does not fail. A span id of zero is not valid.
    let _ = write!(text, "00-{trace:032x}-{:016x}-{flags:02x}", fastrand::u64(1..));
    set(headers, TRACEPARENT, &text);
}

/// What is handed on of a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parent {
    trace: u128,
    flags: u8,
}

impl Parent {
    /// Reads version 00, and of later versions what version 00 has.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = hex(version, 2)?;
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let trace = hex(trace, 32).filter(|trace| *trace != 0)?;
        hex(span, 16).filter(|span| *span != 0)?;
        Some(Self { trace, flags: u8::try_from(hex(flags, 2)?).ok()? & 1 })
    }

    fn begin() -> Self {
        Self { trace: fastrand::u128(1..), flags: 1 }
    }
}

/// Exactly so many hexadecimal digits in lower case.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != digits || !text.bytes().all(is_digit) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    // Ids are made of characters that a field may hold.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
