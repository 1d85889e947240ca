//! How a service is kept from more than it can bear: hedging, adaptive concurrency, priorities.

use crate::mirror::mirror;
use crate::text::millis::round_up;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tenon_core::concurrency;
use tenon_core::hedge::{After, Policy};
use tenon_core::priority::{Priority, Rules};

/// When another try goes out beside a slow one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HedgeDoc {
    /// How long the tries so far may take before; null if `percentile` says it.
    pub after_ms: Option<u64>,
    /// Likewise, as long as this share of the tries takes at most, in percent.
    pub percentile: Option<u32>,
    /// The most tries beside the first.
    pub max: u32,
}

/// How a limit on requests in flight is found by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConcurrencyDoc {
    /// It is never below.
    pub min: u32,
    /// It is never above.
    pub max: u32,
    /// How much longer than at rest answers may take, in percent.
    pub tolerance: u32,
    /// How long is watched before it changes.
    pub window_ms: u64,
    /// How often the time that answers take at rest is measured again.
    pub measure_every_ms: u64,
}

/// Which calls are refused first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PriorityRulesDoc {
    /// What calls are that don't say what they are.
    pub calls: PriorityDoc,
    /// The share of the limit that sheddable calls may fill, in percent.
    pub sheddable: u32,
    /// The share that default calls may fill, in percent.
    pub default: u32,
}

mirror! {
    /// How much a call matters.
    PriorityDoc of Priority {
        /// It can be left out.
        Sheddable,
        /// As most calls.
        Default,
        /// It is refused last.
        Critical,
    }
}

impl From<&Policy> for HedgeDoc {
    fn from(policy: &Policy) -> Self {
        let (after_ms, percentile) = match policy.after {
            After::Fixed(after) => (Some(round_up(after)), None),
            After::Percentile(percent) => (None, Some(percent)),
        };
        Self { after_ms, percentile, max: policy.max }
    }
}

impl From<&HedgeDoc> for Policy {
    fn from(doc: &HedgeDoc) -> Self {
        let after = match (doc.percentile, doc.after_ms) {
            (Some(percent), _) => After::Percentile(percent),
            (None, after) => After::Fixed(Duration::from_millis(after.unwrap_or_default())),
        };
        Self { after, max: doc.max }
    }
}

impl From<&concurrency::Config> for ConcurrencyDoc {
    fn from(config: &concurrency::Config) -> Self {
        Self {
            min: config.min,
            max: config.max,
            tolerance: config.tolerance,
            window_ms: round_up(config.window),
            measure_every_ms: round_up(config.measure_every),
        }
    }
}

impl From<&ConcurrencyDoc> for concurrency::Config {
    fn from(doc: &ConcurrencyDoc) -> Self {
        Self {
            min: doc.min,
            max: doc.max,
            tolerance: doc.tolerance,
            window: Duration::from_millis(doc.window_ms),
            measure_every: Duration::from_millis(doc.measure_every_ms),
        }
    }
}

impl Default for PriorityRulesDoc {
    fn default() -> Self {
        (&Rules::default()).into()
    }
}

impl From<&Rules> for PriorityRulesDoc {
    fn from(rules: &Rules) -> Self {
        Self { calls: rules.calls.into(), sheddable: rules.sheddable, default: rules.default }
    }
}

impl From<&PriorityRulesDoc> for Rules {
    fn from(doc: &PriorityRulesDoc) -> Self {
        Self { calls: doc.calls.into(), sheddable: doc.sheddable, default: doc.default }
    }
}
