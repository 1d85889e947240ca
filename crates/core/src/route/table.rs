//! All routes, arranged so that the rule for a request is found without looking at the others.
//!
//! Two hash indexes: of hostnames, and of (hostname, path). A lookup walks over the host from its end and over
//! the path from its start, once, and looks up each suffix and prefix that a route could have stated. What
//! stands under one hostname and path (differing by method, headers or query only) is tried in order of
//! precedence. Nothing is allocated.
//!
//! A change of one route touches the parts of the indexes that say something of it and no others; a clone shares all parts
//! until one of the two is changed. So tables of many thousand routes are cheap to change and to hand on.

use super::index::{Hash, Parts};
use super::pattern::MAX_HOSTNAME;
use super::{HeaderMatch, Hostname, Match, QueryMatch, Route, Rule};
use crate::id::RouteName;
use crate::manifest::HttpMethod;
use std::cmp::Reverse;
use std::sync::Arc;

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

/// All routes of a gateway. Clones share what has not changed.
#[derive(Debug, Clone)]
pub struct RouteTable {
    /// In their order, in groups of [`GROUP`]; a route that was taken out leaves its place empty.
    routes: Vec<Arc<Vec<Option<Arc<Route>>>>>,
    /// How often a route was taken out or put in since the table was built.
    changes: usize,
    names: Parts<Name>,
    hosts: Parts<Host>,
    /// What holds for every host.
    any_host: Option<HostScope>,
    scopes: u32,
    paths: Parts<Path>,
}

/// How many routes stand together in their order.
const GROUP: usize = 128;

/// Sets of keys that share an index with others; scopes count from 1.
const NAMES: u32 = u32::MAX;
const HOSTS: u32 = 0;

/// Where the route of a name stands in the order.
#[derive(Debug, Clone)]
struct Name {
    name: RouteName,
    place: usize,
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
    /// Of which lengths there are keys, a bit for each; the last stands for all from there on.
    lengths: u64,
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
    route: Arc<Route>,
    /// The route's place in the order.
    place: usize,
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

impl Default for RouteTable {
    /// A table of no routes.
    fn default() -> Self {
        Self::of(&[])
    }
}

impl RouteTable {
    /// A table of these routes, the oldest first.
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Self {
        Self::of(&routes.into_iter().map(Arc::new).collect::<Vec<_>>())
    }

    fn of(routes: &[Arc<Route>]) -> Self {
        let mut table = Self {
            routes: routes
                .chunks(GROUP)
                .map(|group| Arc::new(group.iter().cloned().map(Some).collect()))
                .collect(),
            changes: 0,
            names: Parts::for_about(routes.len()),
            hosts: Parts::for_about(routes.iter().map(|route| route.hostnames.len()).sum()),
            any_host: None,
            scopes: 0,
            paths: Parts::for_about(routes.iter().map(|route| path_count(route)).sum()),
        };
        for (place, route) in routes.iter().enumerate() {
            table.note(&route.name, place);
            table.add(place, route, Vec::push);
        }
        for path in table.paths.entries_mut() {
            path.exact.sort_by_key(Candidate::precedence);
            path.prefix.sort_by_key(Candidate::precedence);
        }
        table
    }

    /// The routes, in their order.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().flat_map(|group| group.iter().flatten()).map(AsRef::as_ref)
    }

    /// Puts a route in place of the one of its name, or at the end if there is none; the one that was there.
    pub fn set(&mut self, route: Route) -> Option<Arc<Route>> {
        let route = Arc::new(route);
        let known = self.place_of(&route.name);
        let replaced = known.and_then(|place| self.take_out(place));
        let place = known.unwrap_or(self.places());
        self.note(&route.name, place);
        self.put(place, Some(Arc::clone(&route)));
        self.add(place, &route, |candidates, candidate| {
            candidates.push(candidate);
            candidates.sort_by_key(Candidate::precedence);
        });
        self.changed();
        replaced
    }

    /// Takes out the route of this name, if there is one.
    pub fn remove(&mut self, name: &RouteName) -> Option<Arc<Route>> {
        let place = self.place_of(name)?;
        let removed = self.take_out(place);
        self.put(place, None);
        self.names.retain(name_hash(name), |it| it.name != *name);
        self.changed();
        removed
    }

    /// The rule that a request falls under, by precedence; `None` if no match holds for it.
    pub fn lookup<H: Headers + ?Sized>(&self, head: &RequestHead<'_, H>) -> Option<RuleMatch<'_>> {
        let found =
            self.by_name(head).or_else(|| self.any_host.and_then(|scope| self.by_path(scope, head)))?;
        let rule = found.route.rules.get(found.rule)?;
        Some(RuleMatch { route: &found.route, rule, rule_index: found.rule, match_index: found.matched })
    }

    /// Built anew after as many changes as there are routes, so that empty places and names of old hosts stay few.
    fn changed(&mut self) {
        self.changes += 1;
        if self.changes > self.places().max(1_024) {
            let routes: Vec<_> =
                self.routes.iter().flat_map(|group| group.iter().flatten().cloned()).collect();
            *self = Self::of(&routes);
        }
    }

    /// How many places there are, empty ones included.
    fn places(&self) -> usize {
        self.routes.last().map_or(0, |last| (self.routes.len() - 1) * GROUP + last.len())
    }

    fn place_of(&self, name: &RouteName) -> Option<usize> {
        self.names.find(name_hash(name), |it| it.name == *name).map(|it| it.place)
    }

    fn note(&mut self, name: &RouteName, place: usize) {
        self.names.find_or_insert(
            name_hash(name),
            |it| it.name == *name,
            || Name { name: name.clone(), place },
        );
    }

    /// Fills a place, or the one after the last.
    fn put(&mut self, place: usize, route: Option<Arc<Route>>) {
        if place / GROUP == self.routes.len() {
            self.routes.push(Arc::default());
        }
        let Some(group) = self.routes.get_mut(place / GROUP).map(Arc::make_mut) else { return };
        match group.get_mut(place % GROUP) {
            Some(own) => *own = route,
            None => group.push(route),
        }
    }

    /// Takes out of the indexes what the route at a place says; that route.
    fn take_out(&mut self, place: usize) -> Option<Arc<Route>> {
        let route = self.routes.get(place / GROUP)?.get(place % GROUP)?.clone()?;
        for hostname in distinct_hostnames(&route) {
            for stated in route.rules.iter().flat_map(Rule::stated_matches) {
                let key = stated.path.key();
                let scope = self.scope(hostname, key.len());
                let hash = path_hash(scope, key);
                let path = self.paths.find_or_insert(hash, |it| it.is(scope, key), || Path::of(scope, key));
                path.exact.retain(|it| it.place != place);
                path.prefix.retain(|it| it.place != place);
                if path.exact.is_empty() && path.prefix.is_empty() {
                    self.paths.retain(hash, |it| !it.is(scope, key));
                }
            }
        }
        Some(route)
    }

    fn add(&mut self, place: usize, route: &Arc<Route>, insert: impl Fn(&mut Vec<Candidate>, Candidate)) {
        for hostname in distinct_hostnames(route) {
            for (rule_index, rule) in route.rules.iter().enumerate() {
                for (matched, stated) in rule.stated_matches().enumerate() {
                    let key = stated.path.key();
                    let scope = self.scope(hostname, key.len());
                    let conditions = Conditions::of(&stated);
                    let route = Arc::clone(route);
                    let candidate = Candidate { conditions, route, place, rule: rule_index, matched };
                    let hash = path_hash(scope, key);
                    let path =
                        self.paths.find_or_insert(hash, |it| it.is(scope, key), || Path::of(scope, key));
                    insert(
                        if stated.path.is_exact() { &mut path.exact } else { &mut path.prefix },
                        candidate,
                    );
                }
            }
        }
    }

    /// The number of a hostname's scope, made if there is none, with room for a key of this length.
    fn scope(&mut self, hostname: Option<&Hostname>, length: usize) -> u32 {
        let next = self.scopes + 1;
        let place = match hostname {
            None => &mut self.any_host,
            Some(hostname) => host_scope(&mut self.hosts, hostname),
        };
        let scope = place.get_or_insert(HostScope { number: next, longest: 0, lengths: 0 });
        self.scopes = self.scopes.max(scope.number);
        scope.longest = scope.longest.max(length);
        scope.lengths |= HostScope::bit(length);
        scope.number
    }

    /// What the routes that state a hostname say of a request. Walks from the host's end, so from the least
    /// specific name to the most; the last that holds counts.
    fn by_name<H: Headers + ?Sized>(&self, head: &RequestHead<'_, H>) -> Option<&Candidate> {
        let host = head.host.strip_suffix('.').unwrap_or(head.host).as_bytes();
        if self.hosts.is_empty() || host.len() > MAX_HOSTNAME {
            return None;
        }
        let mut best = None;
        let mut hash = Hash::new(HOSTS);
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
        let key = key.filter(|key| scope.lengths & HostScope::bit(key.len()) != 0)?;
        self.paths.find(hash, |path| path.scope == scope.number && path.key.as_bytes() == key)
    }
}

impl HostScope {
    const fn bit(length: usize) -> u64 {
        1 << if length < 63 { length } else { 63 }
    }
}

impl Path {
    fn of(scope: u32, key: &str) -> Self {
        Self { scope, key: key.into(), exact: Vec::new(), prefix: Vec::new() }
    }

    fn is(&self, scope: u32, key: &str) -> bool {
        self.scope == scope && *self.key == *key
    }
}

impl Candidate {
    /// What comes first among candidates for one hostname and path.
    fn precedence(&self) -> impl Ord + use<> {
        let Conditions { method, headers, query } = &self.conditions;
        let specific = (method.is_some(), headers.len(), query.len());
        (Reverse(specific), self.place, self.rule, self.matched)
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

/// What routes say of a hostname.
fn host_scope<'a>(hosts: &'a mut Parts<Host>, hostname: &Hostname) -> &'a mut Option<HostScope> {
    let suffix = hostname.wildcard_suffix();
    let name = suffix.unwrap_or(hostname.as_str());
    let host = hosts.find_or_insert(
        host_hash(name),
        |host| *host.name == *name,
        || Host { name: name.into(), exactly: None, below: None },
    );
    if suffix.is_some() { &mut host.below } else { &mut host.exactly }
}

/// From the end to the start, as a lookup walks.
fn host_hash(name: &str) -> Hash {
    name.bytes().rev().fold(Hash::new(HOSTS), Hash::then)
}

fn path_hash(scope: u32, key: &str) -> Hash {
    key.bytes().fold(Hash::new(scope), Hash::then)
}

fn name_hash(name: &RouteName) -> Hash {
    name.as_str().bytes().fold(Hash::new(NAMES), Hash::then)
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
