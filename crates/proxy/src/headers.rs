//! Header fields on their way through: which end at this hop, which are set anew, and in which form the next
//! hop's protocol wants them.

mod forwarded;
mod hop;
mod marks;

pub(crate) use forwarded::{Trust, set_forwarded};
pub(crate) use hop::{join_cookies, strip_request, strip_response, wants_upgrade};
pub(crate) use marks::{
    Marks, pushback, says_no_retry, set_attempt, set_no_retry, set_priority, strip_claim,
};

use http::{HeaderMap, Request, Version, header};

/// The content type of gRPC; what follows it may be nothing, a `+format` or parameters.
const GRPC: &[u8] = b"application/grpc";

/// Whether these are the headers of a gRPC request or response (`grpc/grpc` `doc/PROTOCOL-HTTP2.md`).
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let rest = value.as_bytes().strip_prefix(GRPC);
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    })
}

/// Whether a request arrived over HTTP/2.
pub(crate) fn is_http2<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_2
}

#[cfg(test)]
mod tests;
