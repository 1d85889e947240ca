//! Matches that no request can reach.
//!
//! Under the Gateway API's precedence a match that demands more comes before one that demands less, so only
//! a match that demands exactly the same, and stands before it, takes everything from another.

use super::table::{Conditions, distinct_hostnames};
use super::{Hostname, Match, Route};
use std::collections::BTreeMap;

/// Which match: numbers from 0. A rule that states no match has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MatchId {
    /// The route among the routes.
    pub route: usize,
    /// The rule in the route.
    pub rule: usize,
    /// The match in the rule.
    pub matched: usize,
}

/// A match that is never reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shadowed {
    /// The match.
    pub matched: MatchId,
    /// The match that takes its requests; if several do, for one hostname each, the first.
    pub by: MatchId,
}

/// Every match that is never reached because, for each of its hostnames, an earlier one demands the same;
/// in their order. Whatever is not listed is reached by some request.
pub fn shadowed(routes: &[Route]) -> Vec<Shadowed> {
    let mut first: BTreeMap<Demand<'_>, MatchId> = BTreeMap::new();
    let mut shadowed = Vec::new();
    for (matched, route, stated) in all_matches(routes) {
        let mut takers = Vec::new();
        for hostname in distinct_hostnames(route) {
            takers.push(*first.entry(Demand::of(hostname, &stated)).or_insert(matched));
        }
        if let (Some(by), false) = (takers.first(), takers.contains(&matched)) {
            shadowed.push(Shadowed { matched, by: *by });
        }
    }
    shadowed
}

fn all_matches(routes: &[Route]) -> impl Iterator<Item = (MatchId, &Route, Match)> {
    routes.iter().enumerate().flat_map(|(route_index, route)| {
        route.rules.iter().enumerate().flat_map(move |(rule, stated)| {
            let number = move |matched| MatchId { route: route_index, rule, matched };
            stated.stated_matches().enumerate().map(move |(index, it)| (number(index), route, it))
        })
    })
}

/// Everything that a match demands for one hostname, in a form that is equal when the demands are.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Demand<'a> {
    hostname: Option<&'a Hostname>,
    exact: bool,
    path: Box<str>,
    conditions: Conditions,
}

impl<'a> Demand<'a> {
    fn of(hostname: Option<&'a Hostname>, stated: &Match) -> Self {
        Self {
            hostname,
            exact: stated.path.is_exact(),
            path: stated.path.key().into(),
            conditions: Conditions::of(stated),
        }
    }
}
