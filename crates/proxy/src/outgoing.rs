//! A request as it goes on: what every attempt has in common, and the form that each protocol wants.

use crate::body::{Replay, ReplayBody};
use crate::config::Limits;
use crate::headers;
use crate::pool::Protocol;
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use std::time::Duration;
use tenon_api::headers::{GRPC_TIMEOUT, IDEMPOTENCY_KEY, MIRRORED, TIMEOUT_MS};
use tenon_core::deadline::{GrpcTimeout, MillisTimeout};
use tenon_core::retry;

/// A request that can be sent several times.
pub(crate) struct Outgoing {
    method: Method,
    path: PathAndQuery,
    authority: Authority,
    headers: HeaderMap,
    pub(crate) body: Replay,
    /// Whether processing it twice does no harm, by its method or by a key.
    pub(crate) idempotent: bool,
    pub(crate) grpc: bool,
    /// Whether it stays in the mesh, where the remaining time is told in a header of Tenon's own.
    pub(crate) in_mesh: bool,
    /// The change of protocol that it asks for.
    pub(crate) upgrade: Option<Upgrade>,
}

/// A connection that is to speak another protocol after this request.
pub(crate) struct Upgrade {
    pub(crate) protocol: HeaderValue,
    /// The caller's side.
    pub(crate) caller: OnUpgrade,
}

impl Outgoing {
    /// The request for `authority` with its `path`; what ends at this hop is taken out.
    pub(crate) fn new(
        mut request: Request<Incoming>,
        authority: Authority,
        path: PathAndQuery,
        limits: &Limits,
    ) -> Self {
        let wanted = headers::wants_upgrade(request.headers()).filter(|_| !headers::is_http2(&request));
        let upgrade = wanted.map(|protocol| Upgrade { protocol, caller: hyper::upgrade::on(&mut request) });
        let (parts, body) = request.into_parts();
        let mut headers = parts.headers;
        headers::strip_request(&mut headers);
        headers.remove(header::HOST);
        let keyed = headers.contains_key(IDEMPOTENCY_KEY);
        Self {
            idempotent: keyed || retry::is_idempotent(parts.method.as_str()),
            grpc: headers::is_grpc(&headers),
            in_mesh: true,
            method: parts.method,
            path,
            authority,
            headers,
            body: Replay::new(body, limits.replay_bytes),
            upgrade,
        }
    }

    /// Whom it is for.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The path that it asks for, without its query.
    pub(crate) fn path(&self) -> &str {
        self.path.path()
    }

    /// Its headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Its headers, to be completed before the first attempt.
    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// The protocol that it goes on in. gRPC needs HTTP/2.
    pub(crate) fn protocol(&self) -> Protocol {
        if self.grpc { Protocol::Http2 } else { Protocol::Http1 }
    }

    /// Puts in what belongs to every attempt, to be done before the first one: whom it is for, and room for the time that is left, so that the copies made for attempts need not grow.
    pub(crate) fn complete(&mut self) {
        if self.protocol() == Protocol::Http1
            && let Ok(host) = HeaderValue::from_str(self.authority.as_str())
        {
            self.headers.insert(header::HOST, host);
        }
        if self.in_mesh {
            self.headers.insert(TIMEOUT_MS, HeaderValue::from_static("0"));
        }
    }

    /// The request for the attempt with this number, counted from 1, which may take this long.
    pub(crate) fn attempt(&self, number: u32, remaining: Duration) -> Request<ReplayBody> {
        self.request(self.body.body(), number, remaining)
    }

    /// A copy for somebody else, marked as such; `None` if its body is not remembered to its end, or if it asks for a
    /// change of protocol.
    pub(crate) fn copy(&self, remaining: Duration, mark: HeaderValue) -> Option<Request<ReplayBody>> {
        if self.upgrade.is_some() {
            return None;
        }
        let mut request = self.request(self.body.copy()?, 1, remaining);
        request.headers_mut().insert(MIRRORED, mark);
        Some(request)
    }

    fn request(&self, body: ReplayBody, number: u32, remaining: Duration) -> Request<ReplayBody> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        let headers = request.headers_mut();
        if self.in_mesh {
            headers.insert(TIMEOUT_MS, decimal(MillisTimeout(remaining).as_millis()));
            if number > 1 {
                headers::set_attempt(headers, number);
            }
        }
        match self.protocol() {
            Protocol::Http1 => self.for_http1(&mut request),
            Protocol::Http2 => self.for_http2(&mut request, remaining),
        }
        request
    }

    fn for_http1(&self, request: &mut Request<ReplayBody>) {
        *request.version_mut() = Version::HTTP_11;
        *request.uri_mut() = Uri::from(self.path.clone());
        let headers = request.headers_mut();
        headers::join_cookies(headers);
        if let Some(upgrade) = &self.upgrade {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, upgrade.protocol.clone());
        }
    }

    fn for_http2(&self, request: &mut Request<ReplayBody>, remaining: Duration) {
        *request.version_mut() = Version::HTTP_2;
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = Some(self.path.clone());
        // Complete parts make a URI.
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        if let Ok(timeout) = HeaderValue::try_from(GrpcTimeout(remaining).to_string()) {
            headers.insert(GRPC_TIMEOUT, timeout);
        }
    }
}

/// A number as a field's value, with no more than the one allocation.
fn decimal(mut number: u64) -> HeaderValue {
    let mut digits = [0; 20];
    let mut first = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        first -= 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    // Digits are characters that a field may hold.
    HeaderValue::from_bytes(digits.get(first..).unwrap_or_default()).unwrap_or(HeaderValue::from_static("0"))
}
