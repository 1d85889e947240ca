//! When calls are no longer sent to a service.
//!
//! What came later is optional: a missing field stands for what held before there was such a field, whatever the defaults
//! become.

use crate::mirror::mirror;
use crate::text::millis::round_up;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tenon_core::breaker::{Config, Mode, Outcomes, SlowCall, Window};

/// When to stop calling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BreakerDoc {
    /// Consecutive failures that open it.
    pub failure_threshold: u32,
    /// How long it stays open.
    pub open_timeout_ms: u64,
    /// How many calls it admits when half open.
    pub permitted_half_open_calls: u32,
    /// How long it waits for those.
    pub half_open_max_wait_ms: u64,
    /// Whether it does anything; automatic if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<BreakerModeDoc>,
    /// Which calls it looks back at; as many as failed one after the other if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowDoc>,
    /// The fewest calls in a window that say something; 100 if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_calls: Option<u32>,
    /// Failures among 100 calls that open it; 50 if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_rate_percent: Option<u32>,
    /// When slow calls open it; never if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_call: Option<SlowCallDoc>,
    /// Which outcomes are failures; network, time-outs, 5xx but 501, gRPC 4, 13, 14 and 15 if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<OutcomesDoc>,
    /// Which outcomes say nothing; none if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignored: Option<OutcomesDoc>,
}

mirror! {
    /// Whether a breaker does anything.
    BreakerModeDoc of Mode {
        /// It opens and closes.
        Automatic,
        /// Every call passes.
        Disabled,
        /// Every call passes, and is counted.
        MetricsOnly,
        /// No call passes.
        ForcedOpen,
    }
}

/// Which calls a breaker looks back at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WindowDoc {
    /// The last so many.
    Count {
        /// How many.
        size: u32,
    },
    /// Those of the last so long.
    Time {
        /// How long.
        span_ms: u64,
    },
}

/// When slow calls open a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SlowCallDoc {
    /// A call is slow that takes longer.
    pub longer_than_ms: u64,
    /// Slow calls among 100 that open it.
    pub rate_percent: u32,
}

/// A set of outcomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutcomesDoc {
    /// No connection, or one that broke.
    pub network: bool,
    /// No answer in time.
    pub timeout: bool,
    /// HTTP statuses.
    pub statuses: Vec<u16>,
    /// gRPC statuses.
    pub grpc_statuses: Vec<u8>,
}

const UNSTATED_MINIMUM_CALLS: u32 = 100;
const UNSTATED_FAILURE_RATE_PERCENT: u32 = 50;

fn unstated_failures() -> Outcomes {
    let statuses = (500..600).filter(|status| *status != 501);
    Outcomes::of(statuses, [4, 13, 14, 15]).and(true, true)
}

impl From<&Config> for BreakerDoc {
    fn from(config: &Config) -> Self {
        let unless = |value: u32, unstated: u32| (value != unstated).then_some(value);
        Self {
            failure_threshold: config.failure_threshold,
            open_timeout_ms: round_up(config.open_timeout),
            permitted_half_open_calls: config.permitted_half_open_calls,
            half_open_max_wait_ms: round_up(config.half_open_max_wait),
            mode: Some(config.mode).filter(|mode| *mode != Mode::Automatic).map(Into::into),
            window: match config.window {
                Window::Consecutive => None,
                Window::Count { size } => Some(WindowDoc::Count { size }),
                Window::Time { span } => Some(WindowDoc::Time { span_ms: round_up(span) }),
            },
            minimum_calls: unless(config.minimum_calls, UNSTATED_MINIMUM_CALLS),
            failure_rate_percent: unless(config.failure_rate_percent, UNSTATED_FAILURE_RATE_PERCENT),
            slow_call: config.slow_call.map(|rule| SlowCallDoc {
                longer_than_ms: round_up(rule.longer_than),
                rate_percent: rule.rate_percent,
            }),
            failures: (config.failures != unstated_failures()).then(|| (&config.failures).into()),
            ignored: (config.ignored != Outcomes::default()).then(|| (&config.ignored).into()),
        }
    }
}

impl From<&BreakerDoc> for Config {
    fn from(doc: &BreakerDoc) -> Self {
        Self {
            failure_threshold: doc.failure_threshold,
            open_timeout: Duration::from_millis(doc.open_timeout_ms),
            permitted_half_open_calls: doc.permitted_half_open_calls,
            half_open_max_wait: Duration::from_millis(doc.half_open_max_wait_ms),
            mode: doc.mode.map_or(Mode::Automatic, Into::into),
            window: match doc.window {
                None => Window::Consecutive,
                Some(WindowDoc::Count { size }) => Window::Count { size },
                Some(WindowDoc::Time { span_ms }) => Window::Time { span: Duration::from_millis(span_ms) },
            },
            minimum_calls: doc.minimum_calls.unwrap_or(UNSTATED_MINIMUM_CALLS),
            failure_rate_percent: doc.failure_rate_percent.unwrap_or(UNSTATED_FAILURE_RATE_PERCENT),
            slow_call: doc.slow_call.map(|rule| SlowCall {
                longer_than: Duration::from_millis(rule.longer_than_ms),
                rate_percent: rule.rate_percent,
            }),
            failures: doc.failures.as_ref().map_or_else(unstated_failures, Into::into),
            ignored: doc.ignored.as_ref().map(Into::into).unwrap_or_default(),
        }
    }
}

impl From<&Outcomes> for OutcomesDoc {
    fn from(outcomes: &Outcomes) -> Self {
        Self {
            network: outcomes.network,
            timeout: outcomes.timeout,
            statuses: outcomes.statuses().collect(),
            grpc_statuses: outcomes.grpc_statuses().collect(),
        }
    }
}

impl From<&OutcomesDoc> for Outcomes {
    fn from(doc: &OutcomesDoc) -> Self {
        let (statuses, grpc) = (doc.statuses.iter().copied(), doc.grpc_statuses.iter().copied());
        Self::of(statuses, grpc).and(doc.network, doc.timeout)
    }
}
