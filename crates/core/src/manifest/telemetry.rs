//! What a manifest says of what is recorded of requests.

use std::sync::Arc;
use std::time::Duration;

/// What is recorded of requests besides metrics and explanations.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Telemetry {
    /// How many of the traces that begin here are kept. Those that come with a decision keep it.
    pub sampling: Ratio,
    /// From when on a request is slow, and its span kept in any case.
    pub slow: Duration,
    /// Which requests are written to the access log.
    pub access_log: AccessLog,
    /// Where spans are sent: an OpenTelemetry collector's address for OTLP over HTTP, without a path.
    pub otlp: Option<Arc<str>>,
}

impl Default for Telemetry {
    /// Every trace is kept; a second is slow; no access log; nothing is sent.
    fn default() -> Self {
        Self { sampling: Ratio::ALL, slow: Duration::from_secs(1), access_log: AccessLog::Off, otlp: None }
    }
}

/// Which requests are written to the access log.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessLog {
    /// None.
    #[default]
    Off,
    /// Those that were refused, tried again, failed or given up by their callers.
    Errors,
    /// All.
    All,
}

/// A share of a whole, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ratio(u32);

impl Ratio {
    /// The whole.
    pub const ALL: Self = Self(1_000_000);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// A share of so many millionths; `None` if that is more than the whole.
    pub fn of_millionths(millionths: u32) -> Option<Self> {
        (millionths <= Self::ALL.0).then_some(Self(millionths))
    }

    /// How many millionths it is.
    pub fn millionths(self) -> u32 {
        self.0
    }
}
