//! When calls are refused and instances left out, in both directions.

use super::encode::micros;
use crate::InvalidMessage;
use crate::invalid::{Checked, each, narrowed, stated};
use crate::proto::snapshot::v1;
use std::time::Duration;
use tenon_core::breaker::{Mode, Outcomes, SlowCall, Window};
use tenon_core::{breaker, limit, outlier};

impl From<&breaker::Config> for v1::Breaker {
    fn from(config: &breaker::Config) -> Self {
        use v1::breaker::Window as Message;
        Self {
            failure_threshold: config.failure_threshold,
            open_timeout_micros: micros(config.open_timeout),
            permitted_half_open_calls: config.permitted_half_open_calls,
            half_open_max_wait_micros: micros(config.half_open_max_wait),
            mode: v1::BreakerMode::from(config.mode).into(),
            window: match config.window {
                Window::Consecutive => None,
                Window::Count { size } => Some(Message::Count(size)),
                Window::Time { span } => Some(Message::TimeMicros(micros(span))),
            },
            minimum_calls: config.minimum_calls,
            failure_rate_percent: config.failure_rate_percent,
            slow_call: config.slow_call.map(|rule| v1::breaker::SlowCall {
                longer_than_micros: micros(rule.longer_than),
                rate_percent: rule.rate_percent,
            }),
            failures: Some((&config.failures).into()),
            ignored: Some((&config.ignored).into()),
        }
    }
}

impl TryFrom<v1::Breaker> for breaker::Config {
    type Error = InvalidMessage;
    fn try_from(message: v1::Breaker) -> Checked<Self> {
        use v1::breaker::Window as Message;
        Ok(Self {
            failure_threshold: message.failure_threshold,
            open_timeout: Duration::from_micros(message.open_timeout_micros),
            permitted_half_open_calls: message.permitted_half_open_calls,
            half_open_max_wait: Duration::from_micros(message.half_open_max_wait_micros),
            mode: stated("mode", message.mode, v1::BreakerMode::known)?,
            window: match message.window {
                None => Window::Consecutive,
                Some(Message::Count(size)) => Window::Count { size },
                Some(Message::TimeMicros(span)) => Window::Time { span: Duration::from_micros(span) },
            },
            minimum_calls: message.minimum_calls,
            failure_rate_percent: message.failure_rate_percent,
            slow_call: message.slow_call.map(|rule| SlowCall {
                longer_than: Duration::from_micros(rule.longer_than_micros),
                rate_percent: rule.rate_percent,
            }),
            failures: message.failures.map_or_else(|| Ok(Outcomes::failures()), Outcomes::try_from)?,
            ignored: message.ignored.map_or_else(|| Ok(Outcomes::default()), Outcomes::try_from)?,
        })
    }
}

impl From<Mode> for v1::BreakerMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Automatic => Self::Automatic,
            Mode::Disabled => Self::Disabled,
            Mode::MetricsOnly => Self::MetricsOnly,
            Mode::ForcedOpen => Self::ForcedOpen,
        }
    }
}

impl v1::BreakerMode {
    // Before there were modes a breaker was automatic.
    const fn known(self) -> Option<Mode> {
        Some(match self {
            Self::Unspecified | Self::Automatic => Mode::Automatic,
            Self::Disabled => Mode::Disabled,
            Self::MetricsOnly => Mode::MetricsOnly,
            Self::ForcedOpen => Mode::ForcedOpen,
        })
    }
}

impl From<&Outcomes> for v1::breaker::Outcomes {
    fn from(outcomes: &Outcomes) -> Self {
        Self {
            network: outcomes.network,
            timeout: outcomes.timeout,
            statuses: outcomes.statuses().map(u32::from).collect(),
            grpc_statuses: outcomes.grpc_statuses().map(u32::from).collect(),
        }
    }
}

impl TryFrom<v1::breaker::Outcomes> for Outcomes {
    type Error = InvalidMessage;
    fn try_from(message: v1::breaker::Outcomes) -> Checked<Self> {
        let statuses: Vec<u16> = each("statuses", message.statuses, |status| narrowed("", status))?;
        let grpc: Vec<u8> = each("grpc_statuses", message.grpc_statuses, |status| narrowed("", status))?;
        Ok(Self::of(statuses, grpc).and(message.network, message.timeout))
    }
}

impl From<limit::Config> for v1::Limits {
    fn from(config: limit::Config) -> Self {
        Self { connections: config.connections, pending: config.pending }
    }
}

impl From<v1::Limits> for limit::Config {
    fn from(message: v1::Limits) -> Self {
        Self { connections: message.connections, pending: message.pending }
    }
}

impl From<&outlier::Config> for v1::Outlier {
    fn from(config: &outlier::Config) -> Self {
        Self {
            consecutive_failures: config.consecutive_failures,
            consecutive_refusals: config.consecutive_refusals,
            success_rate: config.success_rate.map(|rule| v1::outlier::SuccessRate {
                minimum_calls: rule.minimum_calls,
                minimum_instances: rule.minimum_instances,
                deviations_thousandths: rule.deviations_thousandths,
            }),
            latency: config.latency.map(|rule| v1::outlier::Latency {
                minimum_calls: rule.minimum_calls,
                factor_percent: rule.factor_percent,
            }),
            interval_micros: micros(config.interval),
            base_ejection_micros: micros(config.base_ejection),
            max_ejection_micros: micros(config.max_ejection),
            max_ejected_percent: config.max_ejected_percent,
        }
    }
}

impl From<v1::Outlier> for outlier::Config {
    fn from(message: v1::Outlier) -> Self {
        Self {
            consecutive_failures: message.consecutive_failures,
            consecutive_refusals: message.consecutive_refusals,
            success_rate: message.success_rate.map(|rule| outlier::SuccessRate {
                minimum_calls: rule.minimum_calls,
                minimum_instances: rule.minimum_instances,
                deviations_thousandths: rule.deviations_thousandths,
            }),
            latency: message.latency.map(|rule| outlier::Latency {
                minimum_calls: rule.minimum_calls,
                factor_percent: rule.factor_percent,
            }),
            interval: Duration::from_micros(message.interval_micros),
            base_ejection: Duration::from_micros(message.base_ejection_micros),
            max_ejection: Duration::from_micros(message.max_ejection_micros),
            max_ejected_percent: message.max_ejected_percent,
        }
    }
}
