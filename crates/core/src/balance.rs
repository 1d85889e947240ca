//! Load balancing: which of a service's endpoints gets the next request.
//!
//! Life cycle: a [`Table`] is built of a service's endpoints whenever they change, away from any request, and is
//! immutable and shared from then on. A [`Balancer`] belongs to one table's user (a thread); it remembers no more than
//! whose turn it is, so it goes on with the next table where it was with the last. Load and latency are looked at with
//! each pick ([`Candidate`]), because they change underneath.
//!
//! Under every strategy an endpoint that is skipped (unavailable, or tried already) or has weight 0 is not chosen, and
//! somebody is if there is anybody. A pick looks at a few endpoints, whatever their number, and allocates nothing;
//! only [`Strategy::LeastConnections`], and the search for the last one that may be chosen, look at all.
//!
//! Left out on purpose: which endpoints a table is made of (module [`availability`](crate::availability)).

pub(crate) mod hash;
mod load;
mod maglev;
mod pick;
mod ring;
mod schedule;
mod table;

pub use hash::{Key, key};
pub use load::{FAILURE_LATENCY, Load, Measured, Shared, step};
pub use pick::{Ask, Balancer};
pub use table::{Member, Table};

use crate::id::InvalidName;
use crate::route::HeaderName;
use crate::time::Timestamp;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How an endpoint is chosen.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strategy {
    /// Each in turn. Weights other than 0 are ignored.
    #[default]
    RoundRobin,
    /// In proportion to weights, spread evenly rather than in bursts: at any time each endpoint is within one request of
    /// its share.
    WeightedRoundRobin,
    /// Of two (or [`Config::choices`]) drawn by weight, the one with the fewest requests in flight for its weight.
    /// Recent failures count as requests in flight, so that whoever fails fast attracts no load.
    LeastRequests,
    /// Of all, the one with the fewest requests in flight for its weight; ties take turns. Failures count as above.
    LeastConnections,
    /// Of two (or [`Config::choices`]) drawn by weight, the one with the least latency times requests in flight. A
    /// latency above what was known counts at once, one below gradually; a failure counts as a long one.
    PeakEwma,
    /// Any, with equal chances. Weights other than 0 are ignored.
    Random,
    /// The same for the same key, on a ring with virtual nodes: whoever comes or goes moves its own keys only.
    RingHash,
    /// The same for the same key, by Maglev's table: spread more evenly than on a ring and found at once, but a few keys
    /// of others move too when somebody comes or goes.
    Maglev,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Self; 8] = [
        Self::RoundRobin,
        Self::WeightedRoundRobin,
        Self::LeastRequests,
        Self::LeastConnections,
        Self::PeakEwma,
        Self::Random,
        Self::RingHash,
        Self::Maglev,
    ];

    /// Its name in a manifest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::WeightedRoundRobin => "weighted-round-robin",
            Self::LeastRequests => "least-requests",
            Self::LeastConnections => "least-connections",
            Self::PeakEwma => "peak-ewma",
            Self::Random => "random",
            Self::RingHash => "ring-hash",
            Self::Maglev => "maglev",
        }
    }

    /// The strategy of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strategy| strategy.as_str() == text)
    }

    /// Whether the same key leads to the same endpoint.
    pub const fn is_hashing(self) -> bool {
        matches!(self, Self::RingHash | Self::Maglev)
    }

    /// Whether it looks at what endpoints have to do.
    pub const fn looks_at_load(self) -> bool {
        matches!(self, Self::LeastRequests | Self::LeastConnections | Self::PeakEwma)
    }

    /// Whether it draws some and takes the best of them.
    pub const fn compares_choices(self) -> bool {
        matches!(self, Self::LeastRequests | Self::PeakEwma)
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a service's requests are spread over its endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Config {
    /// How one is chosen.
    pub strategy: Strategy,
    /// How many [`Strategy::LeastRequests`] and [`Strategy::PeakEwma`] draw.
    pub choices: u32,
    /// What decides for [`Strategy::RingHash`] and [`Strategy::Maglev`].
    pub hash_on: HashOn,
    /// How many places on the ring an endpoint has for each unit of its weight.
    pub virtual_nodes: u32,
    /// On the ring, the most requests in flight that an endpoint may have, in percent of its share of all; the next
    /// endpoint on the ring takes the others. No bound if `None`.
    pub max_load_percent: Option<u32>,
    /// How long an endpoint that has become healthy takes to get its whole share; at once if zero. Hashing knows no slow
    /// start: a key stays where it is.
    pub slow_start: Duration,
    /// If fewer than this share of a service's endpoints can be used, all of them are, because it is then likelier that
    /// health is told wrongly than that so few can carry it all. Never if 0.
    pub panic_percent: u32,
    /// Whether endpoints of the caller's zone, then of its region, are preferred.
    pub prefer_near: bool,
    /// The endpoints that may be chosen; all unless stated.
    pub subset: Subset,
}

impl Config {
    /// The choices that may be stated.
    pub const CHOICES: RangeInclusive<u32> = 2..=10;
    /// The virtual nodes that may be stated.
    pub const VIRTUAL_NODES: RangeInclusive<u32> = 1..=1_000;
    /// The bounds of load that may be stated.
    pub const MAX_LOAD_PERCENT: RangeInclusive<u32> = 101..=1_000;

    /// The defaults with this strategy.
    pub fn of(strategy: Strategy) -> Self {
        Self { strategy, ..Self::default() }
    }
}

impl Default for Config {
    /// Round robin, everything at once, panic below one half.
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            choices: 2,
            hash_on: HashOn::default(),
            virtual_nodes: 100,
            max_load_percent: None,
            slow_start: Duration::ZERO,
            panic_percent: 50,
            prefer_near: true,
            subset: Subset::default(),
        }
    }
}

/// What of a request decides where hashing sends it. A request that lacks it goes anywhere.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashOn {
    /// The address of the client, as far as it is known.
    #[default]
    Client,
    /// The path, without its query.
    Path,
    /// A header's first value.
    Header(HeaderName),
    /// A cookie's value. A request without is given one with its response.
    Cookie {
        /// Its name.
        name: CookieName,
        /// How long the client is to keep it; as long as it runs if `None`.
        ttl: Option<Duration>,
    },
}

/// A cookie's name: 1 to 64 characters of `A-Z a-z 0-9 . _ -`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CookieName(std::sync::Arc<str>);

impl CookieName {
    /// Reads and checks a name.
    ///
    /// # Errors
    /// [`InvalidName`] says what form is expected.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
            let problem = "must have 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'";
            return Err(InvalidName::new("cookie name", text, problem));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for CookieName {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl fmt::Display for CookieName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Some of a service's endpoints: those whose metadata has all of these pairs. `version` is the endpoint's version.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subset(std::collections::BTreeMap<String, String>);

impl Subset {
    /// The most pairs.
    pub const MAX_PAIRS: usize = 8;

    /// Checks the bounds, which are those of [`Metadata`](crate::registry::Metadata), and [`Subset::MAX_PAIRS`].
    ///
    /// # Errors
    /// [`InvalidName`] names the key at fault and the bound.
    pub fn new(pairs: std::collections::BTreeMap<String, String>) -> Result<Self, InvalidName> {
        if pairs.len() > Self::MAX_PAIRS {
            return Err(InvalidName::new("subset", "", "must have at most 8 pairs"));
        }
        crate::registry::Metadata::new(pairs.clone())?;
        Ok(Self(pairs))
    }

    /// The pairs.
    pub fn pairs(&self) -> &std::collections::BTreeMap<String, String> {
        &self.0
    }

    /// Whether this is everybody.
    pub fn is_everybody(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an endpoint of this version and metadata belongs to it.
    pub fn holds(&self, version: &str, metadata: &std::collections::BTreeMap<String, String>) -> bool {
        self.0.iter().all(|(key, value)| match key.as_str() {
            "version" => value == version,
            key => metadata.get(key) == Some(value),
        })
    }

    /// What belongs to both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut pairs = self.0.clone();
        pairs.extend(other.0.iter().map(|(key, value)| (key.clone(), value.clone())));
        Self(pairs)
    }
}

/// The pairs, for example `version=2.0.0, track=canary`.
impl fmt::Display for Subset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.0.iter().enumerate() {
            write!(f, "{}{key}={value}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// A whole share, as [`Candidate::ramp`] and [`ramp`] have it.
pub const FULL: u32 = 1 << 16;

/// How much of its share an endpoint gets that has been healthy `since` then, out of [`FULL`]: a tenth at first, from
/// there on as much as has passed of the window.
pub fn ramp(since: Timestamp, window: Duration, now: Timestamp) -> u32 {
    let window = window.as_micros();
    let passed = now.since(since).as_micros();
    // A time that is yet to come is another clock's.
    if passed >= window || since > now {
        return FULL;
    }
    let part = (passed * u128::from(FULL) / window) as u32;
    part.max(FULL / 10)
}

/// What a pick looks at.
pub trait Candidate {
    /// Its share of the traffic against the others'; 0 for none.
    fn weight(&self) -> u32;
    /// Its requests in flight, and what its recent failures count for.
    fn load(&self, now: Timestamp) -> u64;
    /// How long it takes to answer, in microseconds; `None` if that is not known.
    fn latency(&self, now: Timestamp) -> Option<u64>;
    /// How much of its share it is to get now, out of [`FULL`].
    fn ramp(&self, now: Timestamp) -> u32;
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
