//! How a service's requests are spread, besides the strategy, in both directions.

use super::encode::micros;
use crate::InvalidMessage;
use crate::invalid::{Checked, parsed, required};
use crate::proto::snapshot::v1;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;
use tenon_core::balance::{Config, HashOn, Strategy, Subset};

/// What differs from the defaults of the strategy; `None` if nothing does.
pub(super) fn stated(config: &Config) -> Option<v1::Balancing> {
    use v1::balancing::HashOn as Message;
    (*config != Config::of(config.strategy)).then(|| v1::Balancing {
        choices: config.choices,
        hash_on: Some(match &config.hash_on {
            HashOn::Client => Message::Client(v1::HashOnClient {}),
            HashOn::Path => Message::Path(v1::HashOnPath {}),
            HashOn::Header(name) => Message::Header(name.to_string()),
            HashOn::Cookie { name, ttl } => {
                Message::Cookie(v1::HashOnCookie { name: name.to_string(), ttl_micros: ttl.map(micros) })
            }
        }),
        virtual_nodes: config.virtual_nodes,
        max_load_percent: config.max_load_percent,
        slow_start_micros: micros(config.slow_start),
        panic_percent: config.panic_percent,
        prefer_near: config.prefer_near,
        subset: pairs(&config.subset),
    })
}

/// What a message says.
pub(super) fn config(strategy: Strategy, message: Option<v1::Balancing>) -> Checked<Config> {
    let Some(message) = message else { return Ok(Config::of(strategy)) };
    let stated = || {
        Ok(Config {
            strategy,
            choices: within("choices", message.choices, Config::CHOICES)?,
            hash_on: hash_on(required("hash_on", message.hash_on)?)?,
            virtual_nodes: within("virtual_nodes", message.virtual_nodes, Config::VIRTUAL_NODES)?,
            max_load_percent: message
                .max_load_percent
                .map(|percent| within("max_load_percent", percent, Config::MAX_LOAD_PERCENT))
                .transpose()?,
            slow_start: Duration::from_micros(message.slow_start_micros),
            panic_percent: within("panic_percent", message.panic_percent, 0..=100)?,
            prefer_near: message.prefer_near,
            subset: subset(message.subset)?,
        })
    };
    stated().map_err(|error: InvalidMessage| error.within("balancing"))
}

fn hash_on(message: v1::balancing::HashOn) -> Checked<HashOn> {
    use v1::balancing::HashOn as Message;
    Ok(match message {
        Message::Client(_) => HashOn::Client,
        Message::Path(_) => HashOn::Path,
        Message::Header(name) => HashOn::Header(parsed("header", &name)?),
        Message::Cookie(cookie) => HashOn::Cookie {
            name: parsed("cookie.name", &cookie.name)?,
            ttl: cookie.ttl_micros.map(Duration::from_micros),
        },
    })
}

/// The instances with this metadata.
pub(super) fn subset(pairs: HashMap<String, String>) -> Checked<Subset> {
    Subset::new(sorted(pairs)).map_err(|error| InvalidMessage::new("subset", error))
}

/// A subset's metadata.
pub(super) fn pairs(subset: &Subset) -> HashMap<String, String> {
    subset.pairs().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Pairs in the order of their keys.
pub(super) fn sorted(pairs: HashMap<String, String>) -> BTreeMap<String, String> {
    pairs.into_iter().collect()
}

fn within<N: PartialOrd + Display>(field: &str, number: N, range: RangeInclusive<N>) -> Checked<N> {
    if range.contains(&number) {
        return Ok(number);
    }
    let problem = format_args!("is {number}; expected {} to {}", range.start(), range.end());
    Err(InvalidMessage::new(field, problem))
}
