//! Routes that no request reaches, that lead nowhere, or whose backends accept nothing of what they get.

use super::{MOST_COMPARISONS, at};
use crate::manifest::finding::Finding;
use crate::manifest::problems::{Draft, Problems};
use crate::manifest::source::Span;
use crate::manifest::tree::Node;
use tenon_core::ServiceName;
use tenon_core::manifest::{Direction, Endpoint, Gateway, Interface, Protocol, Service, System};
use tenon_core::route::{Match, MatchId, PathMatch, Route, Rule, shadowed};

pub(super) fn check(system: &System, root: &Node, problems: &mut Problems<'_>) {
    let Some(gateway) = &system.gateway else { return };
    let nodes = at(root, &["gateway", "routes"]).map(Node::items).unwrap_or_default();
    shadows(gateway, nodes, problems);
    let mut comparisons = MOST_COMPARISONS;
    for (index, (route, node)) in gateway.routes.iter().zip(nodes).enumerate() {
        for rule in &route.rules {
            if rule.backends.iter().all(|backend| backend.weight == 0) {
                problems.add(nowhere(route, node, index));
            }
            for (backend, matched) in unaccepted(system, rule, &mut comparisons) {
                problems.add(not_accepted(rule, node, (index, backend, matched)));
            }
        }
    }
}

fn shadows(gateway: &Gateway, nodes: &[Node], problems: &mut Problems<'_>) {
    let name =
        |id: MatchId| gateway.routes.get(id.route).map(|route| route.name.to_string()).unwrap_or_default();
    for found in shadowed(&gateway.routes) {
        let (matched, by) = (name(found.matched), name(found.by));
        let message = format!(
            "no request reaches this match of the route `{matched}`: the route `{by}` takes them all"
        );
        let draft = Draft::new(Finding::RouteShadowed, match_span(nodes, found.matched), message)
            .path(match_path(found.matched.route, found.matched.matched))
            .label("expected a match that demands something else")
            .note(match_span(nodes, found.by), "this one takes its requests");
        problems.add(draft);
    }
}

/// Where a match is stated; the route's name if it states none.
fn match_span(nodes: &[Node], id: MatchId) -> Span {
    let Some(node) = nodes.get(id.route) else { return Span::default() };
    let stated = node.get("matches").and_then(|matches| matches.items().get(id.matched));
    stated.or(node.get("name")).map(|node| node.span).unwrap_or_default()
}

fn match_path(route: usize, matched: usize) -> String {
    format!("gateway.routes[{route}].matches[{matched}]")
}

fn nowhere(route: &Route, node: &Node, index: usize) -> Draft {
    let span = node.entry("backends").map(|entry| entry.key_span).unwrap_or_default();
    let message = format!("all backends of the route `{}` have weight 0", route.name);
    let draft =
        Draft::new(Finding::RouteNowhere, span, message).path(format!("gateway.routes[{index}].backends"));
    draft.label("expected a backend with a weight above 0")
}

/// The backends of a rule, by number, with the matches of which they accept nothing.
fn unaccepted(system: &System, rule: &Rule, comparisons: &mut usize) -> Vec<(usize, usize)> {
    let everything = [Match::default()];
    let matches = if rule.matches.is_empty() { &everything } else { rule.matches.as_slice() };
    let mut found = Vec::new();
    for (backend, service) in rule.backends.iter().enumerate() {
        let Some(service) = system.services.get(&service.service.name) else { continue };
        let refused =
            matches.iter().enumerate().filter(|(_, matched)| !may_accept(service, matched, comparisons));
        found.extend(refused.map(|(matched, _)| (backend, matched)));
    }
    found
}

fn not_accepted(rule: &Rule, node: &Node, (route, backend, matched): (usize, usize, usize)) -> Draft {
    let service: Option<&ServiceName> = rule.backends.get(backend).map(|backend| &backend.service.name);
    let service = service.map(ToString::to_string).unwrap_or_default();
    let what = rule.matches.get(matched).map(described).unwrap_or_else(|| "requests".to_owned());
    let nodes = std::slice::from_ref(node);
    let span = match_span(nodes, MatchId { route: 0, rule: 0, matched });
    let message = format!("no endpoint of `{service}` accepts {what}");
    let draft = Draft::new(Finding::RouteNotAccepted, span, message).path(match_path(route, matched));
    let backend = at(node, &["backends"]).and_then(|backends| backends.items().get(backend)?.get("service"));
    let draft = match backend {
        Some(backend) => draft.note(backend.span, "requests go here"),
        None => draft,
    };
    draft.label(format!("expected a path and method that an input interface of `{service}` has"))
}

fn described(matched: &Match) -> String {
    let method = matched.method.as_ref().map(|method| format!("{} ", method.as_str())).unwrap_or_default();
    match &matched.path {
        PathMatch::Exact(path) => format!("{method}{path}"),
        PathMatch::Prefix(path) => format!("{method}{}/…", path.as_str().trim_end_matches('/')),
    }
}

/// Whether some request that a match holds for is accepted by some endpoint that can be called over HTTP.
fn may_accept(service: &Service, matched: &Match, comparisons: &mut usize) -> bool {
    let callable = |interface: &&Interface| {
        interface.direction == Direction::Input
            && matches!(interface.protocol, Protocol::Http | Protocol::Grpc)
    };
    let endpoints = service
        .interfaces
        .iter()
        .filter(callable)
        .flat_map(|interface| interface.endpoints.iter().map(|endpoint| (endpoint, interface.protocol)));
    for (endpoint, protocol) in endpoints {
        if *comparisons == 0 || overlaps(endpoint, protocol, matched) {
            return true;
        }
        *comparisons -= 1;
    }
    false
}

fn overlaps(endpoint: &Endpoint, protocol: Protocol, matched: &Match) -> bool {
    let method = match (&endpoint.method, protocol) {
        (Some(method), _) => Some(method.as_str()),
        (None, Protocol::Grpc) => Some("POST"),
        (None, _) => None,
    };
    let same_method = match (method, &matched.method) {
        (Some(own), Some(wanted)) => own == wanted.as_str(),
        _ => true,
    };
    same_method
        && match &matched.path {
            PathMatch::Exact(path) => endpoint.path.matches(path.as_str()),
            PathMatch::Prefix(prefix) => reaches(endpoint.path.as_str(), prefix.as_str()),
        }
}

/// Whether some path of a pattern begins with the segments of a prefix.
fn reaches(pattern: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    let mut segments = pattern.split('/');
    for wanted in prefix.split('/') {
        match segments.next() {
            Some(segment) if segment.starts_with('{') && segment.ends_with("...}") => return true,
            Some(segment) if segment.starts_with('{') && !wanted.is_empty() => {}
            Some(segment) if segment == wanted => {}
            _ => return false,
        }
    }
    true
}
