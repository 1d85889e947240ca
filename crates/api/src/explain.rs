//! The story of a request, as the data plane's admin address tells it and `tenon explain` prints it.

use crate::problem::Component;
use crate::text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tenon_core::{Address, Code, InstanceId, RequestId, Revision, ServiceRef, Timestamp};

/// All that is remembered of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// The request.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub request_id: RequestId,
    /// What happened to it at each gateway or sidecar that it came to, by time.
    pub hops: Vec<Hop>,
}

/// What happened to a request at one gateway or sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hop {
    /// Where.
    pub component: Component,
    /// Whose sidecar that was.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub sidecar: Option<InstanceId>,
    /// When the request came in.
    #[serde(with = "text::time")]
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// How long it took until it was answered.
    #[serde(rename = "duration_us", with = "text::micros")]
    #[schemars(with = "u64")]
    pub duration: Duration,
    /// The service that called; absent if it came from outside.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub source: Option<ServiceRef>,
    /// The service that was to be called.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub destination: Option<ServiceRef>,
    /// The method.
    pub method: String,
    /// The path, without its query (which may hold personal data).
    pub path: String,
    /// The status that was answered.
    pub status: u16,
    /// Why Tenon refused or failed it; absent if the answer is the service's own.
    #[serde(default, with = "text::code::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub code: Option<Code>,
    /// The same in a sentence.
    pub reason: String,
    /// The gateway's route that it fell under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The rule that decided, for example `breaker` or `egress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// How long it might have taken, when it came in.
    #[serde(
        default,
        rename = "timeout_ms",
        with = "text::millis::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<u64>")]
    pub timeout: Option<Duration>,
    /// The configuration that this was decided by, `LOG-ID@POSITION`.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub revision: Option<Revision>,
    /// Each time that it was sent on, by time.
    pub attempts: Vec<Attempt>,
}

/// One time that a request was sent on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// To which instance; absent if none could be chosen.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub instance: Option<InstanceId>,
    /// How it was chosen, for example `round-robin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<String>,
    /// At which address.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub address: Option<Address>,
    /// How long after the request came in.
    #[serde(rename = "after_us", with = "text::micros")]
    #[schemars(with = "u64")]
    pub after: Duration,
    /// How long it took.
    #[serde(rename = "duration_us", with = "text::micros")]
    #[schemars(with = "u64")]
    pub duration: Duration,
    /// The status that came back; absent if none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How it ended, for example `connection refused` or `503`.
    pub outcome: String,
    /// What was decided then, for example `retry after 25 ms` or `the retry budget is spent`.
    pub decision: String,
}

#[cfg(test)]
pub(crate) mod tests;
