//! How an error looks over HTTP: problem+json (RFC 9457), with what explains the case.

use crate::http::Finding;
use crate::{headers, text};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tenon_core::{Code, InstanceId, Refusal, RequestId, Revision, ServiceRef};

/// The media type of a [`Problem`].
pub const CONTENT_TYPE: &str = "application/problem+json";

/// An error as RFC 9457 has it. The members after `code` explain the case and are absent where they say nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `urn:tenon:error:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the code means, in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here, and how to mend it.
    pub detail: String,
    /// The stable code, for programs.
    #[serde(with = "text::code")]
    #[schemars(with = "String")]
    pub code: Code,
    /// The case itself: `urn:tenon:request:` and the request's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The request, for `tenon explain`.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub request_id: Option<RequestId>,
    /// Which part of Tenon refused or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Component>,
    /// Whose sidecar that was.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub sidecar: Option<InstanceId>,
    /// The gateway's route that the request fell under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The service that was to be called.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub destination: Option<ServiceRef>,
    /// The rule that decided, for example `breaker` or `egress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// How many times the request was sent on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// The configuration that this was decided by, `LOG-ID@POSITION`.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub revision: Option<Revision>,
    /// Everything that is wrong with a manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Finding>,
}

/// The part of Tenon that dealt with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    /// The gateway.
    Gateway,
    /// The sidecar of the caller.
    Outbound,
    /// The sidecar of the instance that was called.
    Inbound,
    /// The server: log, control and API.
    Server,
    /// The data plane's admin address.
    Admin,
}

impl Problem {
    /// A problem that says no more than its code and a sentence.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:tenon:error:{code}"),
            title: title(code),
            status: code.http_status(),
            detail: detail.into(),
            code,
            instance: None,
            request_id: None,
            component: None,
            sidecar: None,
            route: None,
            destination: None,
            policy: None,
            attempts: None,
            revision: None,
            errors: Vec::new(),
        }
    }

    /// The same problem of this request.
    #[must_use]
    pub fn of_request(self, id: RequestId) -> Self {
        Self { instance: Some(format!("urn:tenon:request:{id}")), request_id: Some(id), ..self }
    }

    /// The document as it is sent.
    pub fn to_json(&self) -> Bytes {
        // Texts, numbers and lists of them always serialise; were it otherwise, the status still tells.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// The response to send: never cached, with the code in its `tenon-error` header too.
    pub fn to_response(&self) -> Response<Bytes> {
        let mut response = Response::new(self.to_json());
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let to = response.headers_mut();
        to.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        to.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        to.insert(headers::ERROR, HeaderValue::from_static(self.code.as_str()));
        if let Some(id) = self.request_id.and_then(|id| HeaderValue::try_from(id.to_string()).ok()) {
            to.insert(headers::REQUEST_ID, id);
        }
        response
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        Self::new(refusal.code, refusal.detail.as_str())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.detail)
    }
}

/// `registry.duplicate-instance` is titled `Registry duplicate instance`.
fn title(code: Code) -> String {
    let mut title = code.as_str().replace(['.', '-'], " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}

#[cfg(test)]
mod tests;
