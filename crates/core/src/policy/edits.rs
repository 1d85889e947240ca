//! Changes to headers.

use crate::route::HeaderName;

/// Changes to the headers of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Edits {
    /// Of the request, before it is sent on.
    pub request: HeaderEdits,
    /// Of the response, before it is passed back.
    pub response: HeaderEdits,
}

/// Changes to one message's headers, in this order. Every name is one that [`is_editable`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct HeaderEdits {
    /// Taken out.
    pub remove: Vec<HeaderName>,
    /// Put in place of what was there.
    pub set: Vec<(HeaderName, String)>,
    /// Put beside what was there.
    pub add: Vec<(HeaderName, String)>,
}

impl Edits {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let both = [&self.request, &self.response];
        if !both.iter().flat_map(|it| it.names()).all(is_editable) {
            return Err("a header that frames a message or is Tenon's own cannot be changed");
        }
        let printable = |text: &str| text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        let values = both.iter().flat_map(|it| it.set.iter().chain(&it.add));
        if values.map(|(_, value)| value).all(|value| printable(value)) {
            Ok(())
        } else {
            Err("a header's value must be printable ASCII")
        }
    }
}

impl HeaderEdits {
    /// All names in it.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let pairs = self.set.iter().chain(&self.add);
        self.remove.iter().chain(pairs.map(|(name, _)| name))
    }
}

/// Fields that say how a message is framed, where it goes or whom its hop trusts: changing them would change what the
/// next hop understands.
const KEPT: [&str; 24] = [
    "connection",
    "content-length",
    "expect",
    "grpc-message",
    "grpc-status",
    "grpc-timeout",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
    "forwarded",
    "content-type",
];

/// Whether a policy may change this header: not one that belongs to the connection, the message's framing, the trace or
/// Tenon itself.
pub fn is_editable(name: &HeaderName) -> bool {
    let name = name.as_str();
    !(name.starts_with("tenon-") || name.starts_with("x-tenon-") || KEPT.contains(&name))
}
