//! Hedging, adaptive concurrency and priorities, in both directions.

use super::encode::micros;
use crate::InvalidMessage;
use crate::invalid::{Checked, required, stated};
use crate::proto::snapshot::v1;
use std::time::Duration;
use tenon_core::concurrency::Config;
use tenon_core::hedge::{After, Policy};
use tenon_core::priority::{Priority, Rules};

impl From<Policy> for v1::Hedge {
    fn from(policy: Policy) -> Self {
        let after = match policy.after {
            After::Fixed(after) => v1::hedge::After::AfterMicros(micros(after)),
            After::Percentile(percent) => v1::hedge::After::Percentile(percent),
        };
        Self { after: Some(after), max: policy.max }
    }
}

impl TryFrom<v1::Hedge> for Policy {
    type Error = InvalidMessage;
    fn try_from(message: v1::Hedge) -> Checked<Self> {
        let after = match required("after", message.after)? {
            v1::hedge::After::AfterMicros(after) => After::Fixed(Duration::from_micros(after)),
            v1::hedge::After::Percentile(percent) => After::Percentile(percent),
        };
        Ok(Self { after, max: message.max })
    }
}

impl From<Config> for v1::Concurrency {
    fn from(config: Config) -> Self {
        Self {
            min: config.min,
            max: config.max,
            tolerance_percent: config.tolerance,
            window_micros: micros(config.window),
            measure_every_micros: micros(config.measure_every),
        }
    }
}

impl From<v1::Concurrency> for Config {
    fn from(message: v1::Concurrency) -> Self {
        Self {
            min: message.min,
            max: message.max,
            tolerance: message.tolerance_percent,
            window: Duration::from_micros(message.window_micros),
            measure_every: Duration::from_micros(message.measure_every_micros),
        }
    }
}

impl From<Rules> for v1::PriorityRules {
    fn from(rules: Rules) -> Self {
        Self {
            calls: v1::Priority::from(rules.calls).into(),
            sheddable_percent: rules.sheddable,
            default_percent: rules.default,
        }
    }
}

impl TryFrom<v1::PriorityRules> for Rules {
    type Error = InvalidMessage;
    fn try_from(message: v1::PriorityRules) -> Checked<Self> {
        Ok(Self {
            calls: stated("calls", message.calls, v1::Priority::known)?,
            sheddable: message.sheddable_percent,
            default: message.default_percent,
        })
    }
}

impl From<Priority> for v1::Priority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Sheddable => Self::Sheddable,
            Priority::Default => Self::Default,
            Priority::Critical => Self::Critical,
        }
    }
}

impl v1::Priority {
    fn known(self) -> Option<Priority> {
        match self {
            Self::Unspecified => None,
            Self::Sheddable => Some(Priority::Sheddable),
            Self::Default => Some(Priority::Default),
            Self::Critical => Some(Priority::Critical),
        }
    }
}
