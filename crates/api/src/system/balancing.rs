//! How a service's requests are spread, besides the name of the strategy.

use super::within;
use crate::InvalidMessage;
use crate::invalid::{Checked, parsed};
use crate::text::millis::round_up;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tenon_core::balance::{Config, HashOn, Strategy, Subset};

/// How an instance is chosen, besides the name of the strategy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BalancingDoc {
    /// How many `least-requests` and `peak-ewma` draw.
    pub choices: u32,
    /// What decides for `ring-hash` and `maglev`.
    pub hash_on: HashOnDoc,
    /// Places on the ring for each unit of weight.
    pub virtual_nodes: u32,
    /// The most requests in flight of an instance on the ring, in percent of its share; no bound if null.
    pub max_load_percent: Option<u32>,
    /// How long an instance that has become healthy takes to get its whole share.
    pub slow_start_ms: u64,
    /// If fewer than this share of the instances can be used, all are.
    pub panic_percent: u32,
    /// Whether near instances are preferred.
    pub prefer_near: bool,
    /// The metadata of the instances that may be chosen.
    pub subset: BTreeMap<String, String>,
}

/// What of a request decides where hashing sends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HashOnDoc {
    /// The client's address.
    Client,
    /// The path.
    Path,
    /// A header, by its name.
    Header(String),
    /// A cookie.
    Cookie {
        /// Its name.
        name: String,
        /// How long the client is to keep it; as long as it runs if null.
        ttl_ms: Option<u64>,
    },
}

impl BalancingDoc {
    /// What differs from the defaults of the strategy; `None` if nothing does.
    pub(super) fn stated(config: &Config) -> Option<Self> {
        (*config != Config::of(config.strategy)).then(|| Self {
            choices: config.choices,
            hash_on: (&config.hash_on).into(),
            virtual_nodes: config.virtual_nodes,
            max_load_percent: config.max_load_percent,
            slow_start_ms: round_up(config.slow_start),
            panic_percent: config.panic_percent,
            prefer_near: config.prefer_near,
            subset: config.subset.pairs().clone(),
        })
    }
}

/// What a document says.
pub(super) fn config(strategy: Strategy, doc: Option<&BalancingDoc>) -> Checked<Config> {
    let Some(doc) = doc else { return Ok(Config::of(strategy)) };
    let stated = || {
        Ok(Config {
            strategy,
            choices: within("choices", doc.choices, Config::CHOICES)?,
            hash_on: (&doc.hash_on).try_into()?,
            virtual_nodes: within("virtual_nodes", doc.virtual_nodes, Config::VIRTUAL_NODES)?,
            max_load_percent: doc
                .max_load_percent
                .map(|percent| within("max_load_percent", percent, Config::MAX_LOAD_PERCENT))
                .transpose()?,
            slow_start: Duration::from_millis(doc.slow_start_ms),
            panic_percent: within("panic_percent", doc.panic_percent, 0..=100)?,
            prefer_near: doc.prefer_near,
            subset: subset(&doc.subset)?,
        })
    };
    stated().map_err(|error: InvalidMessage| error.within("balancing"))
}

/// The instances with this metadata.
pub(super) fn subset(pairs: &BTreeMap<String, String>) -> Checked<Subset> {
    Subset::new(pairs.clone()).map_err(|error| InvalidMessage::new("subset", error))
}

impl From<&HashOn> for HashOnDoc {
    fn from(hash_on: &HashOn) -> Self {
        match hash_on {
            HashOn::Client => Self::Client,
            HashOn::Path => Self::Path,
            HashOn::Header(name) => Self::Header(name.to_string()),
            HashOn::Cookie { name, ttl } => {
                Self::Cookie { name: name.to_string(), ttl_ms: ttl.map(round_up) }
            }
        }
    }
}

impl TryFrom<&HashOnDoc> for HashOn {
    type Error = InvalidMessage;
    fn try_from(doc: &HashOnDoc) -> Checked<Self> {
        Ok(match doc {
            HashOnDoc::Client => Self::Client,
            HashOnDoc::Path => Self::Path,
            HashOnDoc::Header(name) => Self::Header(parsed("hash_on.header", name)?),
            HashOnDoc::Cookie { name, ttl_ms } => Self::Cookie {
                name: parsed("hash_on.cookie.name", name)?,
                ttl: ttl_ms.map(Duration::from_millis),
            },
        })
    }
}
