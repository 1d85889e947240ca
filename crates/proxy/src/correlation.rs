//! What ties a request's hops together: the request id, and W3C trace context (<https://www.w3.org/TR/trace-context/>).

use crate::headers::Trust;
use http::{HeaderMap, HeaderName, HeaderValue};
use tenon_api::headers::{REQUEST_ID, TRACEPARENT};
use tenon_core::RequestId;
use tenon_core::trace::{self, Parent};

const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The id of a request: the one it carries, if it comes from inside the mesh.
pub(crate) fn request_id(headers: &HeaderMap, trust: Trust) -> Option<RequestId> {
    let carried = headers.get(REQUEST_ID).filter(|_| trust == Trust::Mesh)?;
    carried.to_str().ok()?.parse().ok()
}

/// Writes the ids into a request that goes on: its own, and those of the trace, which is continued with this hop as
/// the parent, or begun (and sampled) if there is none.
pub(crate) fn write(headers: &mut HeaderMap, id: RequestId) {
    set(headers, REQUEST_ID, &id.to_ascii());
    let carried = parent(headers);
    let states = headers.get_all(TRACESTATE).iter().map(HeaderValue::as_bytes);
    // Without a parent it has no meaning.
    if carried.is_none() || !trace::is_state(states) {
        headers.remove(TRACESTATE);
    }
    let Parent { trace, flags, .. } =
        carried.unwrap_or_else(|| Parent { trace: fastrand::u128(1..), span: 1, flags: 1 });
    // A span id of zero is not valid.
    let next = Parent { trace, span: fastrand::u64(1..), flags };
    set(headers, TRACEPARENT, &next.to_bytes());
}

/// The trace that a request belongs to. Two are none.
fn parent(headers: &HeaderMap) -> Option<Parent> {
    let mut carried = headers.get_all(TRACEPARENT).iter();
    let parent = Parent::parse(carried.next()?.as_bytes());
    parent.filter(|_| carried.next().is_none())
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    // Ids are made of characters that a field may hold.
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
