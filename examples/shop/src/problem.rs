//! How every error is answered: problem+json (RFC 9457).

use crate::id::OrderId;
use axum::Json;
use axum::body::to_bytes;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was refused or failed. The RFC's `type` is left out, which means `about:blank`; programs
/// look at `code`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The status in words.
    #[serde(default)]
    pub title: String,
    /// A stable text, `area.reason`, for example `payment.insufficient-funds`.
    #[serde(default)]
    pub code: String,
    /// One sentence for people: what was refused and how to mend it.
    #[serde(default)]
    pub detail: String,
    /// The order that this is about, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderId>,
}

impl Problem {
    /// A problem with its status, code and sentence.
    pub fn new(status: u16, code: impl Into<String>, detail: impl Into<String>) -> Self {
        let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        Self {
            status,
            title: reason.unwrap_or("Error").into(),
            code: code.into(),
            detail: detail.into(),
            order: None,
        }
    }

    /// The same problem, about this order.
    #[must_use]
    pub fn about(mut self, order: &OrderId) -> Self {
        self.order = Some(order.clone());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response
    }
}

/// Turns the plain-text refusals that axum makes itself (a malformed body, an unknown path, a wrong method)
/// into problems; passes everything else on.
pub async fn explain_refusals(response: Response) -> Response {
    let status = response.status();
    let explained = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == MEDIA_TYPE);
    if explained || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = to_bytes(body, 4_096).await.unwrap_or_default();
    let detail = match String::from_utf8_lossy(&text) {
        text if text.is_empty() => "no such path, or not with this method".into(),
        text => text.into_owned(),
    };
    let code = if status == StatusCode::NOT_FOUND { "request.unknown" } else { "request.invalid" };
    let mut problem = Problem::new(status.as_u16(), code, detail).into_response();
    if let Some(allowed) = parts.headers.get("allow") {
        problem.headers_mut().insert("allow", allowed.clone());
    }
    problem
}
