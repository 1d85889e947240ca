//! All routes, arranged so that the rule for a request is found without looking at the others.
//!
//! Two hash indexes: of hostnames, and of (hostname, path). A lookup walks over the host from its end and over
//! the path from its start, once, and looks up each suffix and prefix that a route could have stated. What
//! stands under one hostname and path (differing by method, headers or query only) is tried in order of
//! precedence. Nothing is allocated.

use super::index::{Hash, Index};
use super::pattern::MAX_HOSTNAME;
use super::{HeaderMatch, Hostname, Match, QueryMatch, Route, Rule};
use crate::manifest::HttpMethod;
use std::cmp::Reverse;

/// What routing looks at of a request.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a, H: ?Sized> {
    /// Its host, without a port, in any case.
    pub host: &'a str,
    /// Its method.
    pub method: &'a str,
    /// Its path, without the query.
    pub path: &'a str,
    /// Its query, without the `?`, as it was sent.
    pub query: Option<&'a str>,
    /// Its headers.
    pub headers: &'a H,
}

/// The headers of a request.
pub trait Headers {
    /// The first value of the header with this name, which is in lower case.
    fn first(&self, name: &str) -> Option<&[u8]>;
}

/// The rule that a request falls under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleMatch<'a> {
    /// The route.
    pub route: &'a Route,
    /// Its rule.
    pub rule: &'a Rule,
    /// Which rule of the route, from 0.
    pub rule_index: usize,
    /// Which match of the rule, from 0.
    pub match_index: usize,
}

/// All routes of a gateway.
#[derive(Debug, Clone)]
pub struct RouteTable {
    routes: Vec<Route>,
    hosts: Index<Host>,
    /// What holds for every host.
    any_host: Option<HostScope>,
    paths: Index<Path>,
}

/// A name and what routes say of it.
#[derive(Debug, Clone)]
struct Host {
    name: Box<str>,
    exactly: Option<HostScope>,
    below: Option<HostScope>,
}

/// The paths that are stated for one hostname.
#[derive(Debug, Clone, Copy)]
struct HostScope {
    number: u32,
    /// The longest key among them, in bytes.
    longest: usize,
}

/// What routes say of one path of one hostname, each in order of precedence.
#[derive(Debug, Clone)]
struct Path {
    scope: u32,
    key: Box<str>,
    exact: Vec<Candidate>,
    prefix: Vec<Candidate>,
}

#[derive(Debug, Clone)]
struct Candidate {
    conditions: Conditions,
    route: usize,
    rule: usize,
    matched: usize,
}

/// What a match demands besides host and path. Each name occurs once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Conditions {
    method: Option<HttpMethod>,
    headers: Vec<HeaderMatch>,
    query: Vec<QueryMatch>,
}

impl RouteTable {
    /// A table of these routes, the oldest first.
    pub fn new(routes: Vec<Route>) -> Self {
        let hosts = routes.iter().map(|route| route.hostnames.len()).sum();
        let mut table = Self {
            hosts: Index::with_room_for(hosts),
            any_host: None,
            paths: Index::with_room_for(routes.iter().map(path_count).sum()),
            routes: Vec::new(),
        };
        let mut scopes = 0;
        for (number, route) in routes.iter().enumerate() {
            table.add(number, route, &mut scopes);
        }
        for path in table.paths.entries_mut() {
            path.exact.sort_by_key(Candidate::precedence);
            path.prefix.sort_by_key(Candidate::precedence);
        }
        table.routes = routes;
        table
    }

    /// The routes, as they were given.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The rule that a request falls under, by precedence; `None` if no match holds for it.
    pub fn lookup<H: Headers + ?Sized>(&self, head: &RequestHead<'_, H>) -> Option<RuleMatch<'_>> {
        let found =
            self.by_name(head).or_else(|| self.any_host.and_then(|scope| self.by_path(scope, head)))?;
        let route = self.routes.get(found.route)?;
        let rule = route.rules.get(found.rule)?;
        Some(RuleMatch { route, rule, rule_index: found.rule, match_index: found.matched })
    }

    fn add(&mut self, number: usize, route: &Route, scopes: &mut u32) {
        for hostname in distinct_hostnames(route) {
            for (rule_index, rule) in route.rules.iter().enumerate() {
                for (matched, stated) in rule.stated_matches().enumerate() {
                    let scope = self.scope(hostname, stated.path.key().len(), scopes);
                    let conditions = Conditions::of(&stated);
                    let candidate = Candidate { conditions, route: number, rule: rule_index, matched };
                    self.insert(scope, &stated, candidate);
                }
            }
        }
    }

    /// The number of a hostname's scope, made if there is none, with room for a key of this length.
    fn scope(&mut self, hostname: Option<&Hostname>, length: usize, scopes: &mut u32) -> u32 {
        let place = match hostname {
            None => &mut self.any_host,
            Some(hostname) => self.host_scope(hostname),
        };
        let scope = place.get_or_insert_with(|| {
            *scopes += 1;
            HostScope { number: *scopes, longest: 0 }
        });
        scope.longest = scope.longest.max(length);
        scope.number
    }

    fn host_scope(&mut self, hostname: &Hostname) -> &mut Option<HostScope> {
        let suffix = hostname.wildcard_suffix();
        let name = suffix.unwrap_or(hostname.as_str());
        let host = self.hosts.find_or_insert(
            host_hash(name),
            |host| *host.name == *name,
            || Host { name: name.into(), exactly: None, below: None },
        );
        if suffix.is_some() { &mut host.below } else { &mut host.exactly }
    }

    fn insert(&mut self, scope: u32, stated: &Match, candidate: Candidate) {
        let key = stated.path.key();
        let path = self.paths.find_or_insert(
            key.bytes().fold(Hash::new(scope), Hash::then),
            |path| path.scope == scope && *path.key == *key,
            || Path { scope, key: key.into(), exact: Vec::new(), prefix: Vec::new() },
        );
        if stated.path.is_exact() { path.exact.push(candidate) } else { path.prefix.push(candidate) }
    }

    /// What the routes that state a hostname say of a request. Walks from the host's end, so from the least
    /// specific name to the most; the last that holds counts.
    fn by_name<H: Headers + ?Sized>(&self, head: &RequestHead<'_, H>) -> Option<&Candidate> {
        let host = head.host.strip_suffix('.').unwrap_or(head.host).as_bytes();
        if self.hosts.is_empty() || host.len() > MAX_HOSTNAME {
            return None;
        }
        let mut best = None;
        let mut hash = Hash::new(0);
        for (index, byte) in host.iter().enumerate().rev() {
            if *byte == b'.' && index > 0 {
                let below = self.host(hash, host.get(index + 1..)).and_then(|host| host.below);
                best = below.and_then(|scope| self.by_path(scope, head)).or(best);
            }
            hash = hash.then(byte.to_ascii_lowercase());
        }
        let exactly = self.host(hash, Some(host)).and_then(|host| host.exactly);
        exactly.and_then(|scope| self.by_path(scope, head)).or(best)
    }

    fn host(&self, hash: Hash, name: Option<&[u8]>) -> Option<&Host> {
        let name = name?;
        self.hosts.find(hash, |host| host.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// What one hostname's routes say of a request. Walks from the path's start, so from the shortest prefix
    /// to the longest; the last that holds counts, and an exact path before all.
    fn by_path<H: Headers + ?Sized>(
        &self,
        scope: HostScope,
        head: &RequestHead<'_, H>,
    ) -> Option<&Candidate> {
        let path = head.path.as_bytes();
        let mut best = None;
        let mut hash = Hash::new(scope.number);
        for (index, byte) in path.iter().enumerate() {
            if index > scope.longest {
                return best;
            }
            if *byte == b'/' {
                best = self
                    .under(scope, hash, path.get(..index))
                    .and_then(|it| holding(&it.prefix, head))
                    .or(best);
            }
            hash = hash.then(*byte);
        }
        let Some(whole) = self.under(scope, hash, Some(path)) else { return best };
        holding(&whole.exact, head).or_else(|| holding(&whole.prefix, head)).or(best)
    }

    fn under(&self, scope: HostScope, hash: Hash, key: Option<&[u8]>) -> Option<&Path> {
        let key = key?;
        self.paths.find(hash, |path| path.scope == scope.number && path.key.as_bytes() == key)
    }
}

impl Candidate {
    /// What comes first among candidates for one hostname and path.
    fn precedence(&self) -> impl Ord + use<> {
        let Conditions { method, headers, query } = &self.conditions;
        let specific = (method.is_some(), headers.len(), query.len());
        (Reverse(specific), self.route, self.rule, self.matched)
    }
}

impl Conditions {
    pub(super) fn of(stated: &Match) -> Self {
        Self {
            method: stated.method.clone(),
            headers: first_of_each(&stated.headers, |header| &header.name),
            query: first_of_each(&stated.query, |parameter| &parameter.name),
        }
    }

    fn hold<H: Headers + ?Sized>(&self, head: &RequestHead<'_, H>) -> bool {
        self.method.as_ref().is_none_or(|method| method.as_str() == head.method)
            && self.headers.iter().all(|it| head.headers.first(it.name.as_str()) == Some(it.value.as_bytes()))
            && self.query.iter().all(|it| head.query.is_some_and(|query| it.matches(query)))
    }
}

/// The hostnames of a route, each once; `None` stands for every host.
pub(super) fn distinct_hostnames(route: &Route) -> Vec<Option<&Hostname>> {
    let mut hostnames: Vec<_> = route.hostnames.iter().map(Some).collect();
    hostnames.sort_unstable();
    hostnames.dedup();
    if hostnames.is_empty() {
        hostnames.push(None);
    }
    hostnames
}

fn path_count(route: &Route) -> usize {
    let matches: usize = route.rules.iter().map(|rule| rule.matches.len().max(1)).sum();
    matches * route.hostnames.len().max(1)
}

/// From the end to the start, as a lookup walks.
fn host_hash(name: &str) -> Hash {
    name.bytes().rev().fold(Hash::new(0), Hash::then)
}

fn holding<'a, H: Headers + ?Sized>(
    candidates: &'a [Candidate],
    head: &RequestHead<'_, H>,
) -> Option<&'a Candidate> {
    candidates.iter().find(|candidate| candidate.conditions.hold(head))
}

/// The first item of each name, in order of the names.
fn first_of_each<T: Clone, N: Ord>(items: &[T], name: impl Fn(&T) -> &N) -> Vec<T> {
    let mut items = items.to_vec();
    items.sort_by(|a, b| name(a).cmp(name(b)));
    items.dedup_by(|later, earlier| name(later) == name(earlier));
    items
}
