//! Routing: which rule of which route a request falls under, in the words of the Gateway API
//! (`gateway.networking.k8s.io/v1` `HTTPRoute`).
//!
//! Life cycle: [`Route`]s are plain data from a manifest. A [`RouteTable`] is built of all of them when they
//! change and is immutable from then on; [`RouteTable::lookup`] finds the rule for each request, and
//! [`Rule::backend`] draws one of its backends by weight. [`shadowed`] tells before anything runs which
//! matches can never be reached.
//!
//! Precedence, as the Gateway API has it: the most specific hostname; an exact path; the longest prefix; a
//! method; the most headers; the most query parameters; then the route that stands first, and its rule and
//! match that stand first.
//!
//! Left out on purpose: filters, regular expressions, and normalising paths (whoever received the request
//! does that, once, before anything looks at it).

mod index;
mod pattern;
mod shadow;
mod table;

pub(crate) use pattern::decode_first;
pub use pattern::{HeaderMatch, HeaderName, Hostname, PathMatch, QueryMatch, RoutePath};
pub use shadow::{MatchId, Shadowed, shadowed};
pub use table::{Headers, RequestHead, RouteTable, RuleMatch};

use crate::balance::Subset;
use crate::id::{RouteName, ServiceRef};
use crate::manifest::HttpMethod;
use std::time::Duration;

/// Rules for requests to some hostnames.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    /// Its name, unique in a gateway.
    pub name: RouteName,
    /// Which hosts it is for; every host if empty.
    pub hostnames: Vec<Hostname>,
    /// What is done with which request.
    pub rules: Vec<Rule>,
}

/// Where requests go that one of the matches holds for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Which requests; every one if empty.
    pub matches: Vec<Match>,
    /// Where they go, in proportion to the weights. If none has a weight above 0, nowhere.
    pub backends: Vec<Backend>,
    /// How long a request may take in all; what holds for its service if not stated.
    pub timeout: Option<Duration>,
}

/// A condition on a request: all its parts must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match {
    /// Its path.
    pub path: PathMatch,
    /// Its method; any if not stated.
    pub method: Option<HttpMethod>,
    /// Headers that it must have. Of several with one name only the first counts.
    pub headers: Vec<HeaderMatch>,
    /// Query parameters that it must have. Of several with one name only the first counts.
    pub query: Vec<QueryMatch>,
}

/// A service that requests go to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Backend {
    /// The service.
    pub service: ServiceRef,
    /// Its share of the requests against the others'; 1 unless stated, 0 for none.
    pub weight: u32,
    /// Which of its instances; what its traffic says if this says nothing.
    pub subset: Subset,
}

impl Rule {
    /// The backend for one request, drawn by a random number: of all numbers, each backend gets exactly its
    /// share. `None` if no backend has a weight above 0.
    pub fn backend(&self, random: u64) -> Option<&Backend> {
        let total: u64 = self.backends.iter().map(|backend| u64::from(backend.weight)).sum();
        // `random * total / 2^64` is below `total`, and fits.
        let mut rest = ((u128::from(random) * u128::from(total)) >> 64) as u64;
        self.backends.iter().find(|backend| {
            let weight = u64::from(backend.weight);
            let chosen = rest < weight;
            rest = rest.saturating_sub(weight);
            chosen
        })
    }

    /// Its matches; one that holds for every request if none is stated.
    fn stated_matches(&self) -> impl Iterator<Item = Match> + '_ {
        let everything = self.matches.is_empty().then(Match::default);
        self.matches.iter().cloned().chain(everything)
    }
}

#[cfg(test)]
mod tests;
