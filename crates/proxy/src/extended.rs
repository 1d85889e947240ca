//! A change of protocol over HTTP/2 (RFC 8441): one stream becomes the connection of a WebSocket. Services are asked in
//! HTTP/1.1's way (RFC 6455), so from here on the request is one of those, and the answer is turned back.

use crate::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use hyper::ext::Protocol;

const KEY: HeaderName = header::SEC_WEBSOCKET_KEY;
const ACCEPT: HeaderName = header::SEC_WEBSOCKET_ACCEPT;

/// Turns an extended `CONNECT` into a request to change the protocol; whether it was one.
pub(crate) fn begin<B>(request: &mut Request<B>) -> bool {
    if request.method() != Method::CONNECT {
        return false;
    }
    let Some(protocol) = request.extensions_mut().remove::<Protocol>() else { return false };
    let Ok(protocol) = HeaderValue::from_str(protocol.as_str()) else { return false };
    *request.method_mut() = Method::GET;
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
    // By which HTTP/1.1 sees that it is understood. Over HTTP/2 there is none, and nobody asks for the answer.
    if let Ok(key) = HeaderValue::from_str(&STANDARD.encode(fastrand::u128(..).to_be_bytes())) {
        headers.insert(KEY, key);
    }
    true
}

/// Turns the answer to such a request back.
pub(crate) fn end(mut response: Response<Body>) -> Response<Body> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        *response.status_mut() = StatusCode::OK;
        for name in [header::CONNECTION, header::UPGRADE, ACCEPT] {
            response.headers_mut().remove(name);
        }
    } else if response.status().is_success() {
        // A success would say that the protocol has changed.
        *response.status_mut() = StatusCode::BAD_GATEWAY;
    }
    response
}

#[cfg(test)]
mod tests;
