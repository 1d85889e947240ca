//! What is recorded of requests, in both directions.

use super::encode::micros;
use crate::InvalidMessage;
use crate::invalid::{Checked, stated};
use crate::proto::snapshot::v1;
use crate::system::telemetry::ratio;
use std::time::Duration;
use tenon_core::manifest::{AccessLog, Telemetry};

impl From<AccessLog> for v1::AccessLog {
    fn from(log: AccessLog) -> Self {
        match log {
            AccessLog::Off => Self::Off,
            AccessLog::Errors => Self::Errors,
            AccessLog::All => Self::All,
        }
    }
}

impl v1::AccessLog {
    fn known(self) -> Option<AccessLog> {
        match self {
            Self::Unspecified => None,
            Self::Off => Some(AccessLog::Off),
            Self::Errors => Some(AccessLog::Errors),
            Self::All => Some(AccessLog::All),
        }
    }
}

impl From<&Telemetry> for v1::Telemetry {
    fn from(telemetry: &Telemetry) -> Self {
        Self {
            sampling_millionths: telemetry.sampling.millionths(),
            slow_micros: micros(telemetry.slow),
            access_log: v1::AccessLog::from(telemetry.access_log).into(),
            otlp: telemetry.otlp.as_deref().unwrap_or_default().to_owned(),
        }
    }
}

impl TryFrom<v1::Telemetry> for Telemetry {
    type Error = InvalidMessage;
    fn try_from(message: v1::Telemetry) -> Checked<Self> {
        Ok(Self {
            sampling: ratio("sampling_millionths", message.sampling_millionths)?,
            slow: Duration::from_micros(message.slow_micros),
            access_log: stated("access_log", message.access_log, v1::AccessLog::known)?,
            otlp: Some(message.otlp.into()).filter(|address: &std::sync::Arc<str>| !address.is_empty()),
        })
    }
}
