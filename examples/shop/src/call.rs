//! Calls to other services, by name, with an ordinary HTTP client.
//!
//! What a service must do for the mesh, or any other tracing and deadline scheme, to see a request as one:
//! pass on `traceparent` and what is left of `tenon-timeout-ms`, and name each request that may be sent
//! again by an `Idempotency-Key`.

use crate::id::IdempotencyKey;
use crate::problem::Problem;
use axum::http::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, Response};
use serde_json::Value;
use std::time::{Duration, Instant};

/// The header of W3C Trace Context.
const TRACEPARENT: &str = "traceparent";

/// The header that carries how many milliseconds the caller still waits.
const TIMEOUT: &str = "tenon-timeout-ms";

/// How long a call may take that has no deadline, or a later one.
const LONGEST_CALL: Duration = Duration::from_secs(5);

/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 64 << 10;

/// Why a call gave no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// The service itself decided against it, with one of its own codes: it had no effect and never will.
    Refused(Problem),
    /// No answer, or none that tells: it may have had its effect, or may have it later.
    Unknown(String),
}

/// What outgoing calls inherit from the request that they are made for.
#[derive(Debug, Clone, Default)]
pub struct Context {
    traceparent: Option<HeaderValue>,
    deadline: Option<Instant>,
}

/// Another service.
#[derive(Debug, Clone)]
pub struct Peer {
    client: Client,
    name: &'static str,
    base: String,
}

/// A client that takes its proxy from the environment (`HTTP_PROXY`, `NO_PROXY`) as ordinary clients do.
///
/// # Errors
/// A problem (503) if the client cannot be made.
pub fn client() -> Result<Client, Problem> {
    let built = Client::builder()
        .connect_timeout(Duration::from_secs(1))
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(32)
        .build();
    built.map_err(|error| {
        Problem::new(503, "client.unavailable", format!("cannot make an HTTP client: {error}"))
    })
}

impl Context {
    /// What the request's headers say. A header that cannot be read counts as absent.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let millis = headers.get(TIMEOUT).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
        let deadline = millis.map(|millis| Instant::now() + Duration::from_millis(millis.into()));
        Self { traceparent: headers.get(TRACEPARENT).cloned(), deadline }
    }

    /// The same trace without the deadline: for what must be done even when the caller has given up.
    #[must_use]
    pub fn without_deadline(&self) -> Self {
        Self { traceparent: self.traceparent.clone(), deadline: None }
    }

    fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

impl Peer {
    /// The service `name`, reached at `base`, for example `http://payment`.
    pub fn new(client: Client, name: &'static str, base: impl Into<String>) -> Self {
        Self { client, name, base: base.into() }
    }

    /// Makes one call, which has its effect once however often it is sent with this key.
    ///
    /// # Errors
    /// [`CallError`] tells a decision of the service from everything that leaves the effect unknown.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        key: &IdempotencyKey,
        body: Option<&Value>,
        context: &Context,
    ) -> Result<(), CallError> {
        let left = context.left();
        if left.is_some_and(|left| left.is_zero()) {
            return Err(CallError::Unknown(format!("the time is up before {} was called", self.name)));
        }
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .header(IdempotencyKey::HEADER, key.as_str())
            .timeout(left.map_or(LONGEST_CALL, |left| left.min(LONGEST_CALL)));
        if let Some(left) = left {
            request = request.header(TIMEOUT, left.as_millis().max(1).to_string());
        }
        if let Some(traceparent) = &context.traceparent {
            request = request.header(TRACEPARENT, traceparent);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let unknown = |error: reqwest::Error| CallError::Unknown(format!("{}: {}", self.name, chain(&error)));
        let answer = request.send().await.map_err(unknown)?;
        self.judge(answer).await
    }

    async fn judge(&self, answer: Response) -> Result<(), CallError> {
        let status = answer.status();
        let body = bounded_body(answer).await;
        if status.is_success() {
            return Ok(());
        }
        // A proxy on the way answers with problems too: only the service's own codes are its decisions.
        let problem = serde_json::from_slice::<Problem>(&body).ok();
        let own = |problem: &Problem| problem.code.split_once('.').is_some_and(|(area, _)| area == self.name);
        match problem {
            Some(problem) if status.is_client_error() && own(&problem) => Err(CallError::Refused(problem)),
            Some(problem) => Err(CallError::Unknown(format!("{} answered {status}: {problem}", self.name))),
            None => Err(CallError::Unknown(format!("{} answered {status}", self.name))),
        }
    }
}

/// The answer's body, as far as it is there and small enough; read also where nobody needs it, so that the
/// connection can be used again.
async fn bounded_body(mut answer: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        if body.len() + chunk.len() > MAX_ANSWER {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    body
}

/// An error with its causes; `reqwest`'s own text names only the outermost.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
