//! What ties a request's hops together: the request id, and W3C trace context (<https://www.w3.org/TR/trace-context/>).

use crate::headers::Trust;
use http::{HeaderMap, HeaderName, HeaderValue};
use tenon_api::headers::{REQUEST_ID, TRACEPARENT};
use tenon_core::manifest::Ratio;
use tenon_core::trace::{self, Parent};
use tenon_core::{RequestId, sampling};

const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The id of a request: the one it carries, if it comes from inside the mesh.
pub(crate) fn request_id(headers: &HeaderMap, trust: Trust) -> Option<RequestId> {
    let carried = headers.get(REQUEST_ID).filter(|_| trust == Trust::Mesh)?;
    carried.to_str().ok()?.parse().ok()
}

/// A request's place in its trace at one hop. No id is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) id: u128,
    /// The caller's span; `None` if the trace begins here.
    pub(crate) parent: Option<u64>,
    /// The span of the request as it came in.
    pub(crate) server: u64,
    /// The span of the request as it goes on.
    pub(crate) client: u64,
    /// Whether the trace is kept, as its head has decided.
    pub(crate) sampled: bool,
    /// The caller's other flags.
    pub(crate) flags: u8,
}

impl Trace {
    /// The trace that a request continues, or a new one, of which this share is kept.
    pub(crate) fn of(headers: &HeaderMap, sampling: Ratio) -> Self {
        let carried = parent(headers);
        let id = carried.map_or_else(|| fastrand::u128(1..), |parent| parent.trace);
        Self {
            id,
            parent: carried.map(|parent| parent.span),
            server: fastrand::u64(1..),
            client: fastrand::u64(1..),
            sampled: sampling::head(id, carried.map(Parent::is_sampled), sampling),
            flags: carried.map_or(0, |parent| parent.flags & !1),
        }
    }

    /// A trace that is kept, for tests.
    #[cfg(test)]
    pub(crate) fn kept(id: u128) -> Self {
        Self { id, parent: None, server: 2, client: 3, sampled: true, flags: 0 }
    }
}

/// Writes the ids into a request that goes on: its own, and those of its trace with this hop as the parent.
pub(crate) fn write(headers: &mut HeaderMap, id: RequestId, trace: &Trace) {
    set(headers, REQUEST_ID, &id.to_ascii());
    let states = headers.get_all(TRACESTATE).iter().map(HeaderValue::as_bytes);
    // Without a parent it has no meaning.
    if trace.parent.is_none() || !trace::is_state(states) {
        headers.remove(TRACESTATE);
    }
    let flags = trace.flags | u8::from(trace.sampled);
    set(headers, TRACEPARENT, &Parent { trace: trace.id, span: trace.client, flags }.to_bytes());
}

/// The trace that a request belongs to. Two are none.
fn parent(headers: &HeaderMap) -> Option<Parent> {
    let mut carried = headers.get_all(TRACEPARENT).iter();
    let parent = Parent::parse(carried.next()?.as_bytes());
    parent.filter(|_| carried.next().is_none())
}

fn set(headers: &mut HeaderMap, name: HeaderName, id: &[u8]) {
    if let Some(value) = field(id) {
        headers.insert(name, value);
    }
}

/// An id as a field's value, which HTTP/2 keeps out of its table of fields (RFC 7541, 7.1.3): it does not come again, and
/// would drive out those that do.
pub(crate) fn field(id: &[u8]) -> Option<HeaderValue> {
    // Ids are made of characters that a field may hold.
    let mut value = HeaderValue::from_bytes(id).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests;
