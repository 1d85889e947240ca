//! The services that take part in sagas, and how they are called over HTTP; `participants/grpc.rs` is how they are over gRPC.
//!
//! The contract of a participant is in `docs/sagas.md`: `idempotency-key` stays the same over the repeats of a call, and
//! [`barrier`](tenon_core::saga::barrier) says what to do with one that comes twice, late, or after it was undone. What its
//! answers mean is the task of [`judge`].

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use std::time::Duration;
use tenon_api::headers;
use tenon_core::priority::Priority;
use tenon_core::retry::{Advice, after};
use tenon_core::saga::answer::{Answer, judge};
use tenon_core::saga::{Action, Call, Data, Direction, Outcome, SagaName, StepName};
use tenon_core::trace::Parent;
use tenon_core::{Code, SagaId, ServiceRef, Timestamp};
use tenon_store::log::BoxFuture;
use tenon_store::system_clock;

mod grpc;

pub use super::messages::Method as GrpcMethod;
use super::names::call_key;
use super::{MAX_DATA, MAX_PROBLEM};
pub use grpc::{GrpcAnswer, MOST as MOST_GRPC};
use std::sync::Arc;

/// A call of a service.
#[derive(Debug, Clone)]
pub struct Request {
    /// The saga.
    pub saga: SagaId,
    /// What it is one of.
    pub name: SagaName,
    /// The step.
    pub step: StepName,
    /// Whether it is done or undone.
    pub direction: Direction,
    /// How often it was refused and is tried under a new key.
    pub round: u32,
    /// Which attempt it is.
    pub attempt: u32,
    /// What is called.
    pub action: Action,
    /// What is known of it, if it is called over gRPC.
    pub grpc: Option<Arc<GrpcMethod>>,
    /// What is sent.
    pub input: Option<Value>,
    /// How much it matters.
    pub priority: Priority,
    /// The trace that it is part of.
    pub parent: Parent,
    /// How long it may take.
    pub within: Duration,
}

impl Request {
    /// By which the other side knows that it is the same call again.
    pub fn key(&self) -> String {
        call_key(self.saga, self.step.as_str(), self.direction, self.round)
    }
}

/// What came of a call: an output, or how it failed.
pub type Called = Result<Option<Data>, Failure>;

/// How a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What that means for the saga.
    pub outcome: Outcome,
    /// What was answered, or why there is no answer; for people, and for whoever started the saga.
    pub problem: Option<Data>,
    /// How long it wants to be left alone, if it said so.
    pub wait: Duration,
}

/// The services that take part.
pub trait Participants: Send + Sync + 'static {
    /// Calls one.
    fn call(&self, request: Request) -> BoxFuture<'_, Called>;
}

/// What is sent.
#[derive(Debug, Clone)]
pub struct HttpCall {
    /// The service.
    pub service: ServiceRef,
    /// The method.
    pub method: Method,
    /// The path and query.
    pub target: String,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How long it may take.
    pub within: Duration,
}

/// What is answered.
#[derive(Debug, Clone)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, no longer than `most`.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// It certainly was not sent.
    #[error("it was not sent: {0}")]
    Unsent(String),
    /// It may have been.
    #[error("no answer came: {0}")]
    Lost(String),
}

impl Failure {
    /// A failure in words.
    pub fn saying(outcome: Outcome, problem: &str) -> Self {
        let detail: String = problem.chars().take(MAX_PROBLEM / 4).collect();
        let problem = Some(Data::new(&serde_json::json!({"detail": detail}).to_string()));
        Self { problem, ..outcome.into() }
    }
}

impl From<Outcome> for Failure {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, problem: None, wait: Duration::ZERO }
    }
}

/// How services are reached.
pub trait Web: Send + Sync + 'static {
    /// Makes a call, and reads at most `most` bytes of the answer's body.
    fn call(&self, call: HttpCall, most: usize) -> BoxFuture<'_, Result<HttpAnswer, Unanswered>>;

    /// Makes a call over HTTP/2, as gRPC has it, and reads at most `most` bytes of the answer's body, and its trailers.
    fn call_grpc(&self, call: HttpCall, most: usize) -> BoxFuture<'_, Result<GrpcAnswer, Unanswered>>;
}

/// Participants over HTTP and gRPC.
pub struct OverHttp<W>(pub W);

impl<W: Web> Participants for OverHttp<W> {
    fn call(&self, request: Request) -> BoxFuture<'_, Called> {
        Box::pin(self.call_one(request))
    }
}

impl<W: Web> OverHttp<W> {
    async fn call_one(&self, request: Request) -> Called {
        let (saga, step, method) = (request.saga, request.step.clone(), request.grpc.clone());
        let call = match &method {
            Some(method) => grpc::call(request, method),
            None => http_call(request),
        };
        let call = match call {
            Ok(call) => call,
            Err(problem) => {
                tracing::warn!(%saga, %step, problem, "a step's call cannot be made");
                return Err(Failure::saying(Outcome::Refused, &problem));
            }
        };
        let called = match &method {
            Some(method) => self.0.call_grpc(call, grpc::MOST).await.map(|answer| method.told(answer)),
            None => self.0.call(call, MAX_DATA + 1).await.map(|answer| told(&answer, system_clock()())),
        };
        match called {
            Ok(called) => called.inspect_err(|failure| {
                tracing::debug!(%saga, %step, ?failure, "a step was not done");
            }),
            Err(error) => {
                tracing::debug!(%saga, %step, %error, "a step was not answered");
                let is_unsent = matches!(error, Unanswered::Unsent(_));
                let outcome = if is_unsent { Outcome::Unsent } else { Outcome::Unknown };
                Err(Failure::saying(outcome, &error.to_string()))
            }
        }
    }
}

/// What an answer means.
fn told(answer: &HttpAnswer, now: Timestamp) -> Called {
    let of_mesh = answer.headers.get(headers::ERROR).and_then(|code| Code::parse(code.to_str().ok()?));
    let retry_after = answer.headers.get(header::RETRY_AFTER);
    let advice = retry_after.and_then(|text| Some(after::retry_after(text.to_str().ok()?, now)));
    let wait = if let Some(Advice::After(wait)) = advice { wait } else { Duration::ZERO };
    judge(Answer { status: answer.status, retry_after: retry_after.is_some(), of_mesh })
        .map_err(|outcome| Failure { outcome, problem: Some(problem_of(answer)), wait })?;
    if answer.body.len() > MAX_DATA {
        let problem = format!("it answered more than {MAX_DATA} bytes");
        return Err(Failure::saying(Outcome::Unknown, &problem));
    }
    output_of(answer).map_err(|problem| Failure::saying(Outcome::Unknown, &problem))
}

/// The output, if the body is JSON. What is called JSON, or looks like it, and cannot be read later is no output, and not none:
/// what the step answered would be lost, and what undoes it needs that.
fn output_of(answer: &HttpAnswer) -> Result<Option<Data>, String> {
    let body = answer.body.trim_ascii();
    if body.is_empty() {
        return Ok(None);
    }
    let Err(error) = serde_json::from_slice::<Value>(body) else {
        return Ok(std::str::from_utf8(body).ok().map(Data::new));
    };
    let is_called_json = answer.headers.get(header::CONTENT_TYPE).is_some_and(is_json);
    if is_called_json || serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() {
        Err(format!("it succeeded, and its JSON cannot be read: {error}"))
    } else {
        Ok(None)
    }
}

/// Whether a content type is that of JSON: `application/json`, `application/problem+json; charset=utf-8`.
fn is_json(content_type: &HeaderValue) -> bool {
    let text = content_type.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

/// The answer's own words, if they are JSON and few enough; otherwise what it was.
fn problem_of(answer: &HttpAnswer) -> Data {
    let own = Some(&answer.body).filter(|body| body.len() <= MAX_PROBLEM);
    let own = own.and_then(|body| serde_json::from_slice::<Map<String, Value>>(body).ok());
    let mut own = own.unwrap_or_default();
    own.entry("status").or_insert_with(|| answer.status.into());
    Data::new(&Value::Object(own).to_string())
}

/// What a segment of a path may hold as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn http_call(request: Request) -> Result<HttpCall, String> {
    let Call::Http { method, path } = &request.action.call else {
        return Err("what its gRPC method is given is not known".to_owned());
    };
    let method = Method::from_bytes(method.as_str().as_bytes()).map_err(|error| error.to_string())?;
    let mut sent = headers_of(&request);
    let (mut fields, other) = match request.input {
        Some(Value::Object(fields)) => (Some(fields), None),
        other => (None, other),
    };
    let mut target = filled(path.as_str(), fields.as_mut())?;
    let without_body = is_without_body(method.as_str());
    let body = match fields {
        Some(fields) if without_body => {
            target.push_str(&query(&fields));
            None
        }
        Some(fields) => Some(Value::Object(fields)),
        None => other,
    };
    let body = body.filter(|_| !without_body);
    if body.is_some() {
        sent.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Ok(HttpCall {
        service: request.action.service,
        method,
        target,
        headers: sent,
        body: body.map(|body| Bytes::from(body.to_string())).unwrap_or_default(),
        within: request.within,
    })
}

/// Whether an input can be sent by a call, as it is.
pub(super) fn sendable(action: &Action, grpc: Option<&GrpcMethod>, input: &Value) -> Result<(), String> {
    let (method, path) = match (&action.call, grpc) {
        (Call::Http { method, path }, _) => (method.as_str(), path),
        (Call::Grpc(_), Some(method)) => return method.message(Some(input)).map(drop),
        (Call::Grpc(_), None) => return Err("what its gRPC method is given is not known".to_owned()),
    };
    let mut fields = match input {
        Value::Object(fields) => Some(fields.clone()),
        _ => None,
    };
    filled(path.as_str(), fields.as_mut())?;
    let is_nested = |(_, value): &(&String, &Value)| value.is_array() || value.is_object();
    match fields {
        _ if !is_without_body(method) => Ok(()),
        None if input.is_null() => Ok(()),
        None => Err(format!("{method} has no body; give an object, whose fields are the query")),
        Some(fields) => match fields.iter().find(is_nested) {
            Some((name, _)) => Err(format!("{method} has no body, and `{name}` is no value of a query")),
            None => Ok(()),
        },
    }
}

/// Whether all that is sent is the path and the query.
fn is_without_body(method: &str) -> bool {
    matches!(method, "GET" | "HEAD")
}

fn headers_of(request: &Request) -> HeaderMap {
    let mut sent = HeaderMap::with_capacity(16);
    let texts = [
        (headers::IDEMPOTENCY_KEY, request.key()),
        (headers::SAGA, request.saga.to_string()),
        (headers::SAGA_STEP, request.step.to_string()),
        (headers::SAGA_DIRECTION, request.direction.to_string()),
        (HeaderName::from_static(headers::PRIORITY), request.priority.to_string()),
    ];
    for (name, text) in texts {
        if let Ok(value) = HeaderValue::try_from(text) {
            sent.insert(name, value);
        }
    }
    let within = u64::try_from(request.within.as_millis()).unwrap_or(u64::MAX);
    sent.insert(headers::SAGA_ROUND, request.round.into());
    sent.insert(headers::SAGA_ATTEMPT, request.attempt.into());
    sent.insert(headers::TIMEOUT_MS, within.into());
    // The mesh leaves it at one try: it is the saga that repeats, and it must know what was sent.
    sent.insert(headers::ATTEMPT, HeaderValue::from_static("2"));
    if let Ok(value) = HeaderValue::from_bytes(&request.parent.to_bytes()) {
        sent.insert(headers::TRACEPARENT, value);
    }
    sent
}

/// The path with its variables, which are taken out of the fields.
fn filled(path: &str, mut fields: Option<&mut Map<String, Value>>) -> Result<String, String> {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        let Some(variable) = segment.strip_prefix('{').and_then(|it| it.strip_suffix('}')) else {
            segments.push(segment.to_owned());
            continue;
        };
        let variable = variable.trim_end_matches("...");
        let value = fields.as_mut().and_then(|fields| fields.remove(variable));
        let text = value.as_ref().and_then(text).filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| format!("its path needs `{variable}`, a text or a number"))?;
        segments.push(utf8_percent_encode(&text, SEGMENT).to_string());
    }
    Ok(segments.join("/"))
}

fn query(fields: &Map<String, Value>) -> String {
    let pair = |(name, value): (&String, &Value)| {
        let value = text(value)?;
        Some(format!("{}={}", utf8_percent_encode(name, SEGMENT), utf8_percent_encode(&value, SEGMENT)))
    };
    let pairs: Vec<String> = fields.iter().filter_map(pair).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(it) => Some(it.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests;
