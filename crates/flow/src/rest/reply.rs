//! Writing answers, and reading bodies.

use crate::events::error::Error;
use crate::vault;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tenon_api::http::{StoredEvent, Withheld};
use tenon_api::problem::Component;
use tenon_api::{InvalidMessage, Problem};
use tenon_core::{Code, Refusal, Revision};
use tenon_store::{Event, Metadata};

/// The most bytes of a request's body: an append of the largest size, with what JSON and base64 add to it.
const MAX_BODY_BYTES: usize = 16 << 20;

/// An answer, or why there is none.
pub(super) type Reply = Result<Response, Failure>;

/// An error as problem+json.
#[derive(Debug)]
pub(super) struct Failure(Box<Problem>);

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(Box::new(Problem { component: Some(Component::Server), ..problem }))
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Problem::from(refusal).into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Problem::new(error.code(), error.detail()).into()
    }
}

impl From<InvalidMessage> for Failure {
    fn from(error: InvalidMessage) -> Self {
        invalid(error.to_string()).into()
    }
}

impl Failure {
    /// The document.
    pub(super) fn problem(&self) -> &Problem {
        &self.0
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.0.to_response().map(Body::from)
    }
}

/// A JSON document. Never cached: what it says may change at any time.
pub(super) fn json(document: &impl Serialize) -> Reply {
    let bytes = serde_json::to_vec(document)
        .map_err(|error| Refusal::new(Code::Internal, format!("the answer cannot be written: {error}")))?;
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::OK, headers, bytes).into_response())
}

/// The answer with the ETag of what it holds.
pub(super) fn tagged(mut response: Response, revision: Revision) -> Response {
    if let Ok(tag) = HeaderValue::try_from(format!("\"{revision}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Reads a body.
pub(super) async fn bytes(body: Body) -> Result<Bytes, Failure> {
    let too_large = || {
        let detail = format!("the body has more than {MAX_BODY_BYTES} bytes, or did not come to its end");
        Refusal::new(Code::RequestTooLarge, detail)
    };
    axum::body::to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| too_large().into())
}

/// Reads a JSON document of the type.
pub(super) async fn read<T: DeserializeOwned>(body: Body) -> Result<T, Failure> {
    let bytes = bytes(body).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        invalid(format!("the body is not the JSON document that is expected: {error}")).into()
    })
}

/// `request.invalid` with this detail.
pub(super) fn invalid(problem: impl Into<String>) -> Refusal {
    Refusal::new(Code::RequestInvalid, problem)
}

/// An event as it is told.
pub(super) fn stored(event: Event) -> StoredEvent {
    let Event { position, time, id, namespace, stream, event_type, tags, data, metadata } = event;
    let Metadata { actor, traceparent, causation, correlation, mut other } = metadata;
    let subject = other.remove(vault::SUBJECT);
    let withheld = other.remove(vault::WITHHELD).map(|why| match why.as_str() {
        vault::FORGOTTEN => Withheld::Forgotten,
        _ => Withheld::Unreadable,
    });
    let (data, data_base64) = if data.is_empty() {
        (None, None)
    } else {
        match serde_json::from_slice(&data) {
            Ok(json) => (Some(json), None),
            Err(_) => (None, Some(BASE64_STANDARD.encode(&data))),
        }
    };
    StoredEvent {
        position: position.0,
        time,
        id,
        namespace,
        stream,
        event_type,
        tags: tags.into_iter().collect(),
        data,
        data_base64,
        subject,
        withheld,
        actor,
        traceparent: traceparent.map(String::from),
        causation,
        correlation: correlation.map(String::from),
        metadata: other,
    }
}
