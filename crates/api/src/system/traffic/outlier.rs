//! When an instance is left out.

use crate::text::millis::round_up;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tenon_core::outlier::{Config, Latency, SuccessRate};

/// When an instance is left out because it does worse than the others, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutlierDoc {
    /// Failures in a row that eject it; 0 for none.
    pub consecutive_failures: u32,
    /// Attempts in a row that found no connection; 0 for none.
    pub consecutive_refusals: u32,
    /// How shares of successes are compared; not at all if null.
    pub success_rate: Option<SuccessRateDoc>,
    /// How latencies are compared; not at all if null.
    pub latency: Option<LatencyDoc>,
    /// How often instances are compared.
    pub interval_ms: u64,
    /// How long the first ejection lasts.
    pub base_ejection_ms: u64,
    /// How long one lasts at most.
    pub max_ejection_ms: u64,
    /// How many of each 100 instances may be out at once.
    pub max_ejected_percent: u32,
}

/// When an instance has too few successes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SuccessRateDoc {
    /// The fewest calls in an interval that say something.
    pub minimum_calls: u32,
    /// The fewest instances with so many calls that are compared.
    pub minimum_instances: u32,
    /// Standard deviations below the mean that are too far, in thousandths.
    pub deviations_thousandths: u32,
}

/// When an instance takes too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyDoc {
    /// The fewest calls in an interval that say something.
    pub minimum_calls: u32,
    /// Its mean against the median of the others', in hundredths.
    pub factor_percent: u32,
}

/// What holds where a document of before says nothing of it. Never to be changed, whatever the defaults become.
fn unstated() -> Config {
    Config {
        consecutive_failures: 5,
        consecutive_refusals: 2,
        success_rate: Some(SuccessRate {
            minimum_calls: 100,
            minimum_instances: 5,
            deviations_thousandths: 1_900,
        }),
        latency: None,
        interval: Duration::from_secs(10),
        base_ejection: Duration::from_secs(30),
        max_ejection: Duration::from_secs(300),
        max_ejected_percent: 50,
    }
}

/// The document of a configuration; none of the one that a missing document stands for.
pub(super) fn stated(config: &Config) -> Option<OutlierDoc> {
    (*config != unstated()).then(|| config.into())
}

/// The configuration of a document.
pub(super) fn meant(doc: Option<OutlierDoc>) -> Config {
    doc.map_or_else(unstated, Into::into)
}

impl From<&Config> for OutlierDoc {
    fn from(config: &Config) -> Self {
        Self {
            consecutive_failures: config.consecutive_failures,
            consecutive_refusals: config.consecutive_refusals,
            success_rate: config.success_rate.map(|rule| SuccessRateDoc {
                minimum_calls: rule.minimum_calls,
                minimum_instances: rule.minimum_instances,
                deviations_thousandths: rule.deviations_thousandths,
            }),
            latency: config.latency.map(|rule| LatencyDoc {
                minimum_calls: rule.minimum_calls,
                factor_percent: rule.factor_percent,
            }),
            interval_ms: round_up(config.interval),
            base_ejection_ms: round_up(config.base_ejection),
            max_ejection_ms: round_up(config.max_ejection),
            max_ejected_percent: config.max_ejected_percent,
        }
    }
}

impl From<OutlierDoc> for Config {
    fn from(doc: OutlierDoc) -> Self {
        Self {
            consecutive_failures: doc.consecutive_failures,
            consecutive_refusals: doc.consecutive_refusals,
            success_rate: doc.success_rate.map(|rule| SuccessRate {
                minimum_calls: rule.minimum_calls,
                minimum_instances: rule.minimum_instances,
                deviations_thousandths: rule.deviations_thousandths,
            }),
            latency: doc.latency.map(|rule| Latency {
                minimum_calls: rule.minimum_calls,
                factor_percent: rule.factor_percent,
            }),
            interval: Duration::from_millis(doc.interval_ms),
            base_ejection: Duration::from_millis(doc.base_ejection_ms),
            max_ejection: Duration::from_millis(doc.max_ejection_ms),
            max_ejected_percent: doc.max_ejected_percent,
        }
    }
}
