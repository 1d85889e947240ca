//! Reading requests and writing answers.

use axum::body::Body;
use axum::extract::{FromRequestParts, Query, RawPathParams};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::error::Error;
use tenon_api::Problem;
use tenon_api::caller::Caller;
use tenon_api::problem::Component;
use tenon_core::manifest::ConfigKey;
use tenon_core::{Actor, Code, InstanceId, Position, Refusal, Revision, ServiceRef};

/// The most bytes of a request's body.
pub(super) const MAX_BODY_BYTES: usize = 1 << 20;

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

impl Failure {
    /// The document.
    pub(super) fn problem(&self) -> &Problem {
        &self.0
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.0.to_response().map(Body::from);
        if self.0.code == Code::AccessUnauthenticated {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A JSON document with status 200.
pub(super) fn json(document: &impl Serialize) -> Reply {
    json_with(StatusCode::OK, document)
}

/// A JSON document. Never cached: what it says may change at any time.
pub(super) fn json_with(status: StatusCode, document: &impl Serialize) -> Reply {
    let bytes = serde_json::to_vec(document)
        .map_err(|error| Refusal::new(Code::Internal, format!("the answer cannot be written: {error}")))?;
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((status, headers, bytes).into_response())
}

/// The answer with the ETag of what it holds.
pub(super) fn tagged(mut response: Response, revision: Revision) -> Response {
    if let Ok(tag) = HeaderValue::try_from(format!("\"{revision}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Reads a JSON document of the type.
pub(super) async fn read<T: DeserializeOwned>(body: Body) -> Result<T, Failure> {
    read_most(body, MAX_BODY_BYTES).await
}

/// The same with another bound.
pub(super) async fn read_most<T: DeserializeOwned>(body: Body, most: usize) -> Result<T, Failure> {
    let bytes = axum::body::to_bytes(body, most).await.map_err(|error| unreadable(&error, most))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let detail = format!("the body is not the JSON document that is expected: {error}");
        Refusal::new(Code::RequestInvalid, detail).into()
    })
}

fn unreadable(error: &axum::Error, most: usize) -> Refusal {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            let detail = format!("the body has more than {most} bytes, which is the most");
            return Refusal::new(Code::RequestTooLarge, detail);
        }
        cause = error.source();
    }
    Refusal::new(Code::RequestInvalid, format!("the body could not be read: {error}"))
}

/// What a request says outside its body.
pub(super) struct Asked {
    parts: Parts,
    parameters: Vec<(String, String)>,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        // There are none if a segment does not decode; whoever asks for one then refuses.
        let raw = RawPathParams::from_request_parts(parts, state).await;
        let parameters = raw.map(|raw| raw.iter().map(|(name, value)| (name.into(), value.into())).collect());
        Ok(Self { parts: parts.clone(), parameters: parameters.unwrap_or_default() })
    }
}

impl Asked {
    /// The service that the path names.
    pub(super) fn service(&self) -> Result<ServiceRef, Failure> {
        self.parameter("service")
    }

    /// The instance that the path names.
    pub(super) fn instance(&self) -> Result<InstanceId, Failure> {
        self.parameter("id")
    }

    /// The configuration key that the path names.
    pub(super) fn key(&self) -> Result<ConfigKey, Failure> {
        let text = self.parameter_text("key")?;
        ConfigKey::new(text).map_err(|error| invalid(error).into())
    }

    /// The query.
    pub(super) fn query<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let query = Query::<T>::try_from_uri(&self.parts.uri);
        query.map(|Query(query)| query).map_err(|rejection| invalid(rejection.body_text()).into())
    }

    /// Who makes a change.
    pub(super) fn actor(&self) -> Result<Actor, Failure> {
        let caller = self.parts.extensions.get::<Caller>();
        let unknown = || Refusal::new(Code::AccessUnauthenticated, "nobody has signed this change").into();
        caller.map(Caller::actor).ok_or_else(unknown)
    }

    /// The revision of `If-Match`, as a position of this log.
    pub(super) fn if_match(&self, present: Revision) -> Result<Option<Position>, Failure> {
        let Some(tag) = self.text(&header::IF_MATCH)? else { return Ok(None) };
        let text = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(tag);
        let revision: Revision = text.parse().map_err(invalid)?;
        if revision.log != present.log {
            let detail = format!("{revision} is of another log; read the value again");
            return Err(Refusal::new(Code::ConfigConflict, detail).into());
        }
        Ok(Some(revision.position))
    }

    /// The revision that a stream is to go on after.
    pub(super) fn last_event_id(&self) -> Result<Option<Revision>, Failure> {
        let text = self.text(&HeaderName::from_static("last-event-id"))?;
        text.map(|text| text.parse().map_err(|error| invalid(error).into())).transpose()
    }

    fn text(&self, name: &HeaderName) -> Result<Option<&str>, Failure> {
        let headers: &HeaderMap = &self.parts.headers;
        let value = headers.get(name).map(HeaderValue::to_str).transpose();
        value.map_err(|_| invalid(format!("the header {name} is not text")).into())
    }

    fn parameter<T: std::str::FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<T, Failure> {
        self.parameter_text(name)?.parse().map_err(|error| invalid(error).into())
    }

    fn parameter_text(&self, name: &str) -> Result<&str, Failure> {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        let missing = || invalid(format!("the path has no valid {name}")).into();
        found.map(|(_, value)| value.as_str()).ok_or_else(missing)
    }
}

/// `request.invalid` with this detail.
pub(super) fn invalid(problem: impl std::fmt::Display) -> Refusal {
    Refusal::new(Code::RequestInvalid, problem.to_string())
}

/// A segment of a path, as the router decodes it.
pub(super) fn decoded(segment: &str) -> Option<String> {
    let text = percent_encoding::percent_decode_str(segment).decode_utf8().ok()?;
    Some(text.into_owned())
}
