//! Who calls whom: circles, time-outs that grow from hop to hop, retries that multiply.

use super::{at, dependency};
use crate::manifest::finding::Finding;
use crate::manifest::format::shortest;
use crate::manifest::problems::{Draft, Problems};
use crate::manifest::source::Span;
use crate::manifest::tree::Node;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tenon_core::ServiceName;
use tenon_core::manifest::System;

pub(super) fn check(system: &System, root: &Node, problems: &mut Problems<'_>) {
    let calls = Calls::of(system);
    let cycles = calls.cycles();
    for cycle in &cycles {
        problems.add(cycle_draft(cycle, root));
    }
    let mut checked = Checked { system, root, calls, problems };
    checked.timeouts();
    checked.route_timeouts();
    checked.tries(&cycles);
}

/// The calls of a system: an edge for each dependency.
struct Calls<'a> {
    edges: BTreeMap<&'a ServiceName, Vec<&'a ServiceName>>,
    /// Services that the gateway sends requests to.
    entries: BTreeSet<&'a ServiceName>,
}

/// Services of which each calls the next, and the last the first.
type Cycle<'a> = Vec<&'a ServiceName>;

impl<'a> Calls<'a> {
    fn of(system: &'a System) -> Self {
        let edges = system.services.iter().map(|(name, service)| (name, service.depends_on.iter().collect()));
        let routes = system.gateway.iter().flat_map(|gateway| &gateway.routes);
        let backends = routes.flat_map(|route| &route.rules).flat_map(|rule| &rule.backends);
        Self { edges: edges.collect(), entries: backends.map(|backend| &backend.service.name).collect() }
    }

    fn callees(&self, service: &ServiceName) -> &[&'a ServiceName] {
        self.edges.get(service).map(Vec::as_slice).unwrap_or_default()
    }

    /// Services that something calls through the mesh.
    fn called(&self) -> BTreeSet<&'a ServiceName> {
        self.edges.values().flatten().chain(&self.entries).copied().collect()
    }

    /// One cycle for each call that closes one, found in one walk: without these calls there would be none.
    fn cycles(&self) -> Vec<Cycle<'a>> {
        let mut walk = Walk { calls: self, done: BTreeSet::new(), path: Vec::new(), cycles: Vec::new() };
        for service in self.edges.keys() {
            walk.visit(service);
        }
        walk.cycles
    }
}

struct Walk<'a, 'b> {
    calls: &'b Calls<'a>,
    done: BTreeSet<&'a ServiceName>,
    path: Vec<&'a ServiceName>,
    cycles: Vec<Cycle<'a>>,
}

impl<'a> Walk<'a, '_> {
    /// Goes no deeper than there are services, of which there are at most a thousand.
    fn visit(&mut self, service: &'a ServiceName) {
        if let Some(start) = self.path.iter().position(|earlier| *earlier == service) {
            self.cycles.push(self.path.iter().skip(start).copied().collect());
            return;
        }
        if !self.done.insert(service) {
            return;
        }
        self.path.push(service);
        for callee in self.calls.callees(service) {
            self.visit(callee);
        }
        self.path.pop();
    }
}

fn cycle_draft(cycle: &Cycle<'_>, root: &Node) -> Draft {
    let (Some(first), Some(last)) = (cycle.first(), cycle.last()) else {
        return Draft::new(
            Finding::DependencyCycle,
            Span::default(),
            "services depend on each other".to_owned(),
        );
    };
    let (index, span) = dependency(root, last, first);
    let message = match cycle.len() {
        1 => format!("`{first}` depends on itself"),
        _ => format!("services depend on each other in a circle: {}", chain(cycle.iter().chain([first]))),
    };
    let draft = Draft::new(Finding::DependencyCycle, span, message);
    draft.path(format!("services.{last}.depends_on[{index}]")).label("this closes the circle")
}

/// At most 12 names with arrows between.
fn chain<'a>(services: impl Iterator<Item = &'a &'a ServiceName>) -> String {
    let names: Vec<String> = services.map(ToString::to_string).collect();
    match (names.get(..6), names.len().checked_sub(5).and_then(|from| names.get(from..))) {
        (Some(first), Some(last)) if names.len() > 12 => {
            format!("{} → … → {}", first.join(" → "), last.join(" → "))
        }
        _ => names.join(" → "),
    }
}

struct Checked<'a, 'b, 'c> {
    system: &'a System,
    root: &'a Node,
    calls: Calls<'a>,
    problems: &'b mut Problems<'c>,
}

impl<'a> Checked<'a, '_, '_> {
    fn timeout(&self, service: &ServiceName) -> Duration {
        self.system.traffic.of(service).timeout
    }

    /// Where a service's own time-out is stated.
    fn own_timeout(&self, service: &ServiceName) -> Option<&'a Node> {
        at(self.root, &["traffic", service.as_str(), "timeout"])
    }

    /// Every call whose callee may take longer than calls to the caller may.
    fn timeouts(&mut self) {
        for caller in self.calls.called() {
            for callee in self.calls.callees(caller).to_vec() {
                let (has, may) = (self.timeout(caller), self.timeout(callee));
                // If neither states its own, both have the same.
                let place = self.own_timeout(callee).or_else(|| self.own_timeout(caller));
                let Some(place) = place.filter(|_| may > has && caller != callee) else { continue };
                let mut draft = inversion(place.span, &format!("calls to `{caller}`"), has, callee, may);
                if let (Some(_), Some(other)) = (self.own_timeout(callee), self.own_timeout(caller)) {
                    draft = draft.note(other.span, format!("what `{caller}` has"));
                }
                let stated = if self.own_timeout(callee).is_some() { callee } else { caller };
                self.problems.add(draft.path(format!("traffic.{stated}.timeout")));
            }
        }
    }

    /// Every route that ends before what its backends call; what the backend's own time-out shows is not said
    /// again.
    fn route_timeouts(&mut self) {
        let routes = at(self.root, &["gateway", "routes"]).map(Node::items).unwrap_or_default();
        let system = self.system;
        for (index, route) in system.gateway.iter().flat_map(|gateway| &gateway.routes).enumerate() {
            for rule in &route.rules {
                let place = routes.get(index).and_then(|node| node.get("timeout"));
                let (Some(has), Some(place)) = (rule.timeout, place) else { continue };
                let reached = rule.backends.iter().flat_map(|backend| {
                    let callees = self.calls.callees(&backend.service.name).iter().copied();
                    callees.map(|callee| (&backend.service.name, callee))
                });
                let slow = reached.filter(|(backend, callee)| {
                    let may = self.timeout(callee);
                    may > has && may <= self.timeout(backend)
                });
                let slowest = slow.map(|(_, callee)| callee).max_by_key(|callee| self.timeout(callee));
                if let Some(callee) = slowest {
                    let caller = format!("requests of the route `{}`", route.name);
                    let draft = inversion(place.span, &caller, has, callee, self.timeout(callee));
                    self.problems.add(draft.path(format!("gateway.routes[{index}].timeout")));
                }
            }
        }
    }

    /// The worst chain of tries to each service that calls no other.
    fn tries(&mut self, cycles: &[Cycle<'a>]) {
        let closing: BTreeSet<_> =
            cycles.iter().filter_map(|cycle| Some((*cycle.last()?, *cycle.first()?))).collect();
        let mut callers: BTreeMap<&ServiceName, Vec<&ServiceName>> = BTreeMap::new();
        let mut ends: BTreeSet<&ServiceName> = self.calls.edges.keys().copied().collect();
        for (caller, callees) in &self.calls.edges {
            for callee in callees.iter().filter(|callee| !closing.contains(&(*caller, **callee))) {
                callers.entry(callee).or_default().push(caller);
                ends.remove(caller);
            }
        }
        let mut tries = Tries {
            system: self.system,
            entries: &self.calls.entries,
            callers: &callers,
            worst: BTreeMap::new(),
        };
        let chains: Vec<Chain<'_>> = ends.iter().map(|end| tries.chain_to(end)).collect();
        for chain in chains.iter().filter(|chain| chain.tries > MOST_TRIES) {
            let draft = amplification(chain, self.root);
            self.problems.add(draft);
        }
    }
}

fn inversion(span: Span, caller: &str, has: Duration, callee: &ServiceName, may: Duration) -> Draft {
    let (has, may) = (shortest(has), shortest(may));
    let message = format!("{caller} end after {has}, but its calls to `{callee}` may take {may}");
    Draft::new(Finding::TimeoutInversion, span, message)
        .label(format!("expected calls to `{callee}` to have at most {has}"))
        .help(format!("shorten the time-out of `{callee}`, or lengthen the caller's"))
}

/// Two hops with the default of three retries; more is reported.
const MOST_TRIES: u64 = 16;

struct Tries<'a, 'b> {
    system: &'a System,
    entries: &'b BTreeSet<&'a ServiceName>,
    callers: &'b BTreeMap<&'a ServiceName, Vec<&'a ServiceName>>,
    /// The most tries of each service for one request from outside, and the caller that they come by.
    worst: BTreeMap<&'a ServiceName, (u64, Option<&'a ServiceName>)>,
}

struct Chain<'a> {
    tries: u64,
    services: Vec<(&'a ServiceName, u64)>,
    through_gateway: bool,
}

impl<'a> Tries<'a, '_> {
    /// Goes no deeper than there are services; the calls that close circles are left out.
    fn worst(&mut self, service: &'a ServiceName) -> (u64, Option<&'a ServiceName>) {
        if let Some(known) = self.worst.get(service) {
            return *known;
        }
        let callers = self.callers.get(service).cloned().unwrap_or_default();
        let through_callers = callers.into_iter().map(|caller| (self.worst(caller).0, Some(caller)));
        let worst_caller = through_callers.max_by_key(|(tries, _)| *tries);
        let entered = self.entries.contains(service).then_some((1, None));
        let worst = match worst_caller.or(entered) {
            Some((tries, caller)) => (tries.saturating_mul(self.tries_of(service)), caller),
            // Nobody calls it through the mesh.
            None => (1, None),
        };
        self.worst.insert(service, worst);
        worst
    }

    fn tries_of(&self, service: &ServiceName) -> u64 {
        u64::from(self.system.traffic.of(service).retry.max_retries) + 1
    }

    fn chain_to(&mut self, end: &'a ServiceName) -> Chain<'a> {
        let tries = self.worst(end).0;
        let mut services = vec![(end, self.tries_of(end))];
        let mut at = end;
        while let (_, Some(caller)) = self.worst(at) {
            services.push((caller, self.tries_of(caller)));
            at = caller;
        }
        services.reverse();
        Chain { tries, services, through_gateway: self.entries.contains(at) }
    }
}

fn amplification(chain: &Chain<'_>, root: &Node) -> Draft {
    let gateway = chain.through_gateway.then(|| "gateway".to_owned());
    let hops = chain.services.iter().enumerate().map(|(index, (service, tries))| {
        let called = index > 0 || chain.through_gateway;
        if called { format!("{service} ×{tries}") } else { service.to_string() }
    });
    let hops: Vec<String> = gateway.into_iter().chain(hops).collect();
    let end = chain.services.last().map(|(service, _)| service.to_string()).unwrap_or_default();
    let message = format!("one request can become {} tries of `{end}`: {}", chain.tries, hops.join(" → "));
    let (path, span) = last_call(chain, root);
    Draft::new(Finding::RetryAmplification, span, message)
        .path(path)
        .label(format!("expected at most {MOST_TRIES} tries along a chain"))
        .help(
            "lower `max_retries` for services along the chain, best to 0 for all but the last; the retry \
               budget bounds only what this does in the long run",
        )
}

/// Where the last call of a chain is declared; of a chain with no calls, the service.
fn last_call(chain: &Chain<'_>, root: &Node) -> (String, Span) {
    match chain.services.as_slice() {
        [.., (caller, _), (end, _)] => {
            let (index, span) = dependency(root, caller, end);
            (format!("services.{caller}.depends_on[{index}]"), span)
        }
        [(end, _)] => {
            let entry = at(root, &["services"]).and_then(|services| services.entry(end.as_str()));
            (format!("services.{end}"), entry.map(|entry| entry.key_span).unwrap_or_default())
        }
        [] => Default::default(),
    }
}
