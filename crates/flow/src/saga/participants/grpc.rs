//! How a participant is called over gRPC, and what it answers there. What that means is the task of [`judge_grpc`].

use super::super::messages::Method;
use super::super::{MAX_DATA, MAX_PROBLEM};
use super::{Called, Failure, HttpCall, Request, headers_of};
use crate::unary;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use prost::Message;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;
use tenon_api::headers;
use tenon_core::Code;
use tenon_core::saga::answer::{self, judge_grpc};
use tenon_core::saga::{Data, Outcome};

/// The most bytes of an answer's body that are read.
pub const MOST: usize = MAX_DATA + unary::PREFIX + 1;

/// What is answered over gRPC.
#[derive(Debug, Clone)]
pub struct GrpcAnswer {
    /// The status of HTTP.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, no longer than `most`.
    pub body: Bytes,
    /// What came behind the body, if it was read to its end.
    pub trailers: Option<HeaderMap>,
}

/// What is sent to call a method.
pub(super) fn call(request: Request, method: &Method) -> Result<HttpCall, String> {
    let mut sent = headers_of(&request);
    let body = method.request(request.input.as_ref(), request.within, &mut sent)?;
    let (service, within) = (request.action.service, request.within);
    Ok(HttpCall { service, method: http::Method::POST, target: method.path(), headers: sent, body, within })
}

impl Method {
    /// What is posted to its path, with the headers that go with it.
    ///
    /// # Errors
    /// The input is no message of the method's.
    pub fn request(
        &self,
        input: Option<&Value>,
        within: Duration,
        headers: &mut HeaderMap,
    ) -> Result<Bytes, String> {
        Ok(unary::request(&self.message(input)?, within, headers))
    }

    /// What an answer means, of which [`MOST`] bytes of the body were read.
    pub fn told(&self, answer: GrpcAnswer) -> Called {
        told(answer, self)
    }
}

fn told(answer: GrpcAnswer, method: &Method) -> Called {
    let of_mesh = answer.headers.get(headers::ERROR).and_then(|code| Code::parse(code.to_str().ok()?));
    if answer.body.len() >= MOST {
        let problem = format!("it answered more than {MAX_DATA} bytes");
        return Err(Failure::saying(Outcome::Unknown, &problem));
    }
    let said = Said::of(&answer);
    let (status, retry_after) = (said.status, said.retry_after());
    judge_grpc(answer::GrpcAnswer { status, retry_after: retry_after.is_some(), of_mesh }).map_err(
        |outcome| Failure {
            outcome,
            problem: Some(said.problem(answer.status, of_mesh)),
            wait: retry_after.unwrap_or_default(),
        },
    )?;
    let unreadable = |problem: &str| Failure::saying(Outcome::Unknown, problem);
    let message = unary::answered(answer.body).map_err(unreadable)?;
    method.json(&message).map(Some).map_err(|problem| unreadable(&problem))
}

/// What the end of an answer says.
struct Said {
    status: Option<u32>,
    message: String,
    details: Option<Status>,
    pushback: Option<Duration>,
}

impl Said {
    /// In the trailers, or in the head if there is nothing else.
    fn of(answer: &GrpcAnswer) -> Self {
        let end = match &answer.trailers {
            Some(trailers) if trailers.contains_key(headers::GRPC_STATUS) => trailers,
            _ => &answer.headers,
        };
        let text = |name: &str| end.get(name).and_then(|value| value.to_str().ok());
        let message = percent_decode_str(text("grpc-message").unwrap_or_default()).decode_utf8_lossy();
        let details = text("grpc-status-details-bin").and_then(|text| ENCODING.decode(text).ok());
        Self {
            status: text(headers::GRPC_STATUS.as_str()).and_then(|text| text.parse().ok()),
            message: message.into_owned(),
            details: details.and_then(|bytes| Status::decode(&*bytes).ok()),
            // A negative one asks not to be called again, which is no time.
            pushback: text("grpc-retry-pushback-ms")
                .and_then(|text| text.parse().ok())
                .map(Duration::from_millis),
        }
    }

    /// How long it wants to be left alone, if it says so.
    fn retry_after(&self) -> Option<Duration> {
        let info = || Some(RetryInfo::decode(self.detail("google.rpc.RetryInfo")?).unwrap_or_default());
        let delay = || {
            let Span { seconds, nanos } = info()?.retry_delay.unwrap_or_default();
            let (seconds, nanos) = (u64::try_from(seconds), u64::try_from(nanos));
            let nanos = Duration::from_nanos(nanos.unwrap_or_default());
            Some(Duration::from_secs(seconds.unwrap_or_default()).saturating_add(nanos))
        };
        self.pushback.or_else(delay)
    }

    fn detail(&self, name: &str) -> Option<&[u8]> {
        let is_it = |it: &&Packed| it.type_url.rsplit('/').next() == Some(name);
        Some(&self.details.as_ref()?.details.iter().find(is_it)?.value)
    }

    /// The service's own words, if they are few enough; with the status as `code`.
    fn problem(&self, http: u16, of_mesh: Option<Code>) -> Data {
        let code = match (of_mesh, self.status) {
            (Some(code), _) => code.as_str().to_owned(),
            (None, Some(status)) => name_of(status),
            (None, None) => {
                let said = match http {
                    200 => "its answer ended without a status".to_owned(),
                    _ => format!("it answered with the HTTP status {http}, and not over gRPC"),
                };
                return data(Map::from_iter([("detail".to_owned(), said.into())]));
            }
        };
        let in_words = || Map::from_iter([("detail".to_owned(), Value::from(self.message.as_str()))]);
        let mut own: Map<String, Value> = serde_json::from_str(&self.message).unwrap_or_else(|_| in_words());
        own.entry("code").or_insert_with(|| code.as_str().into());
        let info = self.detail("google.rpc.ErrorInfo").and_then(|bytes| ErrorInfo::decode(bytes).ok());
        if let Some(ErrorInfo { reason, domain, metadata }) = info {
            own.entry("reason").or_insert_with(|| reason.into());
            own.entry("domain").or_insert_with(|| domain.into());
            own.entry("metadata").or_insert_with(|| {
                metadata.into_iter().map(|(key, value)| (key, value.into())).collect::<Map<_, _>>().into()
            });
        }
        let whole = data(own);
        if whole.as_str().len() <= MAX_PROBLEM {
            return whole;
        }
        let detail: String = self.message.chars().take(MAX_PROBLEM / 8).collect();
        data(Map::from_iter([("code".to_owned(), code.into()), ("detail".to_owned(), detail.into())]))
    }
}

fn data(fields: Map<String, Value>) -> Data {
    Data::new(&Value::Object(fields).to_string())
}

/// Base64 with its padding or without.
const ENCODING: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `google.rpc.Status`, of which the details are not in the trailers.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Packed>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Span>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Packed {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.ErrorInfo`.
#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: BTreeMap<String, String>,
}

const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// A status by its name, or by its number if it has none.
fn name_of(status: u32) -> String {
    let name = usize::try_from(status).ok().and_then(|status| NAMES.get(status));
    name.map_or_else(|| status.to_string(), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests;
