//! How much may go on at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tenon_core::limit::Config;

/// How much may go on at once at a service, from one data plane, besides its requests in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LimitsDoc {
    /// Calls at one instance.
    pub connections: u32,
    /// Calls that wait for an instance.
    pub pending: u32,
}

/// What holds where a document of before says nothing of it. Never to be changed, whatever the defaults become.
const UNSTATED: Config = Config { connections: 10_000, pending: 10_000 };

/// The document of a configuration; none of the one that a missing document stands for.
pub(super) fn stated(config: Config) -> Option<LimitsDoc> {
    let Config { connections, pending } = config;
    (config != UNSTATED).then_some(LimitsDoc { connections, pending })
}

/// The configuration of a document.
pub(super) fn meant(doc: Option<LimitsDoc>) -> Config {
    doc.map_or(UNSTATED, |LimitsDoc { connections, pending }| Config { connections, pending })
}
