//! A response that Tenon itself makes: which code, and the sentence that explains it.

use crate::body::Body;
use crate::headers::set_no_retry;
use crate::story::Story;
use http::{HeaderMap, HeaderValue, Response, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::borrow::Cow;
use std::time::Duration;
use tenon_api::{Problem, headers};
use tenon_core::{Code, PolicyName};

/// Why a request is not answered by the service that it was meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: Code,
    /// One sentence for people: what was refused and how to mend it.
    pub(crate) detail: String,
    /// The rule that decided.
    pub(crate) policy: Option<Cow<'static, str>>,
    /// When it is worth asking again.
    pub(crate) retry_after: Option<Duration>,
    /// Whether retries have been spent before it was refused.
    pub(crate) spent: bool,
    /// The status that it is answered with, if not that of the code.
    pub(crate) status: Option<u16>,
    /// The limit that was exceeded, as `RateLimit-Policy` and `RateLimit` state it.
    pub(crate) limit: Option<Box<[String; 2]>>,
}

impl Refused {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            policy: None,
            retry_after: None,
            spent: false,
            status: None,
            limit: None,
        }
    }

    #[must_use]
    pub(crate) fn by(self, policy: &'static str) -> Self {
        Self { policy: Some(policy.into()), ..self }
    }

    /// Decided by a policy of the manifest.
    #[must_use]
    pub(crate) fn by_policy(self, name: &PolicyName) -> Self {
        Self { policy: Some(format!("policies.{name}").into()), ..self }
    }

    /// Answered with another status than the code's.
    #[must_use]
    pub(crate) fn with_status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    /// Because a limit of this form was exceeded; to be stated after when it is worth asking again.
    #[must_use]
    pub(crate) fn limited(self, policy: String, name: &PolicyName) -> Self {
        let after = self.retry_after.map(seconds).unwrap_or_default();
        Self { limit: Some(Box::new([policy, format!("\"{name}\";r=0;t={after}")])), ..self }
    }

    /// The status that it is answered with.
    pub(crate) fn http_status(&self) -> u16 {
        self.status.unwrap_or_else(|| self.code.http_status())
    }

    #[must_use]
    pub(crate) fn retry_after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    /// Whether whoever called is to be told not to try again: retries have been spent, or more requests are the last thing
    /// that helps.
    pub(crate) fn stops_callers(&self) -> bool {
        self.spent || matches!(self.code, Code::MeshOverloaded | Code::MeshCircuitOpen)
    }

    /// The response: problem+json, or for gRPC what its clients understand.
    pub(crate) fn to_response(&self, story: &Story) -> Response<Body> {
        let mut response = if story.grpc { self.to_grpc() } else { self.to_problem(story) };
        let to = response.headers_mut();
        if self.code == Code::MeshUnauthenticated {
            to.insert(header::PROXY_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"tenon\""));
        }
        if self.stops_callers() {
            set_no_retry(to, story.grpc);
        }
        if let Some(after) = self.retry_after {
            to.insert(header::RETRY_AFTER, HeaderValue::from(seconds(after)));
        }
        let limit = self.limit.iter().flat_map(|it| ["ratelimit-policy", "ratelimit"].into_iter().zip(&**it));
        for (name, value) in limit {
            if let Ok(value) = HeaderValue::try_from(value.as_str()) {
                to.insert(name, value);
            }
        }
        response
    }

    fn to_problem(&self, story: &Story) -> Response<Body> {
        let problem = Problem {
            component: Some(story.labels.component),
            sidecar: story.sidecar.clone(),
            route: story.labels.route.as_ref().map(ToString::to_string),
            destination: story.labels.destination.clone(),
            policy: self.policy.as_deref().map(Into::into),
            status: self.http_status(),
            attempts: Some(u32::try_from(story.sent()).unwrap_or(u32::MAX)),
            revision: story.revision,
            ..Problem::new(self.code, self.detail.as_str()).of_request(story.request_id)
        };
        problem.to_response().map(Body::whole)
    }

    /// "Trailers-Only" of `grpc/grpc` `doc/PROTOCOL-HTTP2.md`: HTTP 200, the status in the head, no body.
    fn to_grpc(&self) -> Response<Body> {
        let mut response = Response::new(Body::Empty);
        let to: &mut HeaderMap = response.headers_mut();
        to.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        to.insert("grpc-status", HeaderValue::from(u16::from(self.code.grpc_status())));
        let message = format!("{}: {}", self.code, self.detail);
        let encoded = utf8_percent_encode(&message, GRPC_MESSAGE).to_string();
        if let Ok(message) = HeaderValue::try_from(encoded) {
            to.insert("grpc-message", message);
        }
        to.insert(headers::ERROR, HeaderValue::from_static(self.code.as_str()));
        response
    }
}

/// What `grpc-message` encodes: everything but printable ASCII, and the percent sign.
const GRPC_MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// In whole seconds, and never too early.
fn seconds(after: Duration) -> u64 {
    u64::try_from(after.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX).max(1)
}
