//! What a request is part of, and how long whoever sent it still waits.

use axum::http::{HeaderMap, HeaderValue};
use std::time::{Duration, Instant};

/// The header of W3C Trace Context.
pub const TRACEPARENT: &str = "traceparent";

/// The header that carries how many milliseconds the caller still waits.
const TIMEOUT: &str = "tenon-timeout-ms";

/// How long a caller waits who does not say.
const PATIENCE: Duration = Duration::from_secs(10);

/// What outgoing calls inherit from the request that they are made for.
#[derive(Debug, Clone)]
pub struct Context {
    /// The trace, if it is part of one.
    pub traceparent: Option<HeaderValue>,
    deadline: Instant,
}

impl Context {
    /// What the request's headers say. A header that cannot be read counts as absent.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let millis = headers.get(TIMEOUT).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
        let patience = millis.map_or(PATIENCE, |millis| Duration::from_millis(millis.into()));
        Self { traceparent: headers.get(TRACEPARENT).cloned(), deadline: Instant::now() + patience }
    }

    /// How long the caller still waits.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}
