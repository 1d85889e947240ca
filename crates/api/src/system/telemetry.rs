//! What is recorded of requests.

use crate::InvalidMessage;
use crate::invalid::Checked;
use crate::mirror::mirror;
use crate::text::millis::round_up;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tenon_core::manifest::{AccessLog, Ratio, Telemetry};

/// What is recorded of requests besides metrics and explanations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TelemetryDoc {
    /// How many of a million traces that begin here are kept.
    pub sampling_millionths: u32,
    /// From when on a request is slow.
    pub slow_ms: u64,
    /// Which requests are written to the access log.
    pub access_log: AccessLogDoc,
    /// Where spans are sent, if anywhere.
    #[serde(default)]
    pub otlp: Option<String>,
}

mirror! {
    /// Which requests are written to the access log.
    AccessLogDoc of AccessLog {
        /// None.
        Off,
        /// Those that did not go well at once.
        Errors,
        /// All.
        All,
    }
}

impl TelemetryDoc {
    /// Whether it says nothing that does not hold anyway.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for TelemetryDoc {
    fn default() -> Self {
        (&Telemetry::default()).into()
    }
}

impl From<&Telemetry> for TelemetryDoc {
    fn from(telemetry: &Telemetry) -> Self {
        Self {
            sampling_millionths: telemetry.sampling.millionths(),
            slow_ms: round_up(telemetry.slow),
            access_log: telemetry.access_log.into(),
            otlp: telemetry.otlp.as_deref().map(Into::into),
        }
    }
}

impl TryFrom<&TelemetryDoc> for Telemetry {
    type Error = InvalidMessage;
    fn try_from(doc: &TelemetryDoc) -> Checked<Self> {
        Ok(Self {
            sampling: ratio("sampling_millionths", doc.sampling_millionths)?,
            slow: Duration::from_millis(doc.slow_ms),
            access_log: doc.access_log.into(),
            otlp: doc.otlp.as_deref().map(Into::into),
        })
    }
}

/// A share that is stated in millionths.
pub(crate) fn ratio(field: &str, millionths: u32) -> Checked<Ratio> {
    Ratio::of_millionths(millionths)
        .ok_or_else(|| InvalidMessage::new(field, format_args!("{millionths} is more than a million")))
}
