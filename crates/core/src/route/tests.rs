use super::*;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// The headers of a request in a test.
#[derive(Debug, Clone, Default)]
struct Pairs(Vec<(&'static str, &'static str)>);

impl Headers for Pairs {
    fn first(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_bytes())
    }
}

#[derive(Debug, Clone)]
struct Request {
    host: String,
    method: &'static str,
    path: String,
    query: Option<String>,
    headers: Pairs,
}

impl Request {
    fn get(host: &str, path: &str) -> Self {
        Self { host: host.into(), method: "GET", path: path.into(), query: None, headers: Pairs::default() }
    }

    fn head(&self) -> RequestHead<'_, Pairs> {
        let Self { host, method, path, query, headers } = self;
        RequestHead { host, method, path, query: query.as_deref(), headers }
    }
}

const HOSTS: [&str; 6] = ["a.com", "x.a.com", "y.x.a.com", "*.a.com", "*.x.a.com", "*.com"];
const HEADERS: [(&str, &str); 4] = [("h", "1"), ("h", "2"), ("i", "1"), ("j", "1")];
const QUERIES: [(&str, &str); 4] = [("q", "1"), ("q", "2"), ("r", "1"), ("s", "1")];

/// Mostly one path, so that many matches compete for it.
fn paths() -> impl Strategy<Value = String> {
    prop_oneof![2 => Just("/a".to_string()), 1 => any_path()]
}

fn any_path() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "ab"]);
    (prop::collection::vec(segment, 0..4), any::<bool>()).prop_map(|(segments, slash)| {
        let path = segments.iter().fold(String::new(), |path, segment| path + "/" + segment);
        if slash || path.is_empty() { path + "/" } else { path }
    })
}

fn some_of(
    pairs: [(&'static str, &'static str); 4],
) -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    prop::collection::vec(prop::sample::select(pairs.to_vec()), 0..3)
}

fn matches() -> impl Strategy<Value = Match> {
    let method = prop::option::of(prop::sample::select(vec!["GET", "POST"]));
    (any::<bool>(), paths(), method, some_of(HEADERS), some_of(QUERIES)).prop_map(
        |(exact, path, method, headers, query)| {
            let path = RoutePath::new(&path).expect("a path");
            Match {
                path: if exact { PathMatch::Exact(path) } else { PathMatch::Prefix(path) },
                method: method.map(|method| HttpMethod::new(method).expect("a method")),
                headers: headers.into_iter().map(|(name, value)| header(name, value)).collect(),
                query: query.into_iter().map(|(name, value)| parameter(name, value)).collect(),
            }
        },
    )
}

fn routes() -> impl Strategy<Value = Vec<Route>> {
    let rule = prop::collection::vec(matches(), 0..3).prop_map(|matches| Rule { matches, ..Rule::default() });
    let hostnames = prop::collection::vec(prop::sample::select(HOSTS.to_vec()), 0..3);
    let hostnames = prop_oneof![Just(Vec::new()), hostnames];
    let parts = (hostnames, prop::collection::vec(rule, 0..3));
    prop::collection::vec(parts, 0..8).prop_map(|routes| {
        let named = routes.into_iter().enumerate();
        named.map(|(number, (hostnames, rules))| route(number, &hostnames, rules)).collect()
    })
}

fn requests() -> impl Strategy<Value = Request> {
    let hosts =
        vec!["a.com", "A.com", "x.a.com", "z.a.com", "y.x.a.com", "z.y.x.a.com", "b.com", "org", "a.com."];
    let path = prop_oneof![6 => paths(), 1 => prop::sample::select(vec!["*", "", "/a//b", "/ab/a/b/a/b/c"]).prop_map(String::from)];
    let method = prop::sample::select(vec!["GET", "POST", "PUT"]);
    (prop::sample::select(hosts), path, method, some_of(HEADERS), some_of(QUERIES)).prop_map(
        |(host, path, method, headers, query)| {
            let query: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let query = (!query.is_empty()).then(|| query.join("&"));
            Request { host: host.into(), method, path, query, headers: Pairs(headers) }
        },
    )
}

fn route(number: usize, hostnames: &[&str], rules: Vec<Rule>) -> Route {
    Route {
        name: RouteName::new(&format!("r{number}")).expect("a name"),
        hostnames: hostnames.iter().map(|it| Hostname::new(it).expect("a hostname")).collect(),
        rules,
    }
}

fn header(name: &str, value: &str) -> HeaderMatch {
    HeaderMatch { name: HeaderName::new(name).expect("a header"), value: value.into() }
}

fn parameter(name: &str, value: &str) -> QueryMatch {
    QueryMatch { name: name.into(), value: value.into() }
}

fn rule(matches: &[Match]) -> Rule {
    Rule { matches: matches.to_vec(), ..Rule::default() }
}

fn exact(path: &str) -> Match {
    Match { path: PathMatch::Exact(RoutePath::new(path).expect("a path")), ..Match::default() }
}

fn prefix(path: &str) -> Match {
    Match { path: PathMatch::Prefix(RoutePath::new(path).expect("a path")), ..Match::default() }
}

/// The match that a request falls under.
fn find(table: &RouteTable, request: &Request) -> Option<MatchId> {
    let found = table.lookup(&request.head())?;
    let route = table.routes().position(|route| std::ptr::eq(route, found.route)).expect("of the table");
    assert_eq!(found.rule, &found.route.rules[found.rule_index]);
    Some(MatchId { route, rule: found.rule_index, matched: found.match_index })
}

/// The same by the letter of the Gateway API: of all matches that hold, the first by precedence.
fn find_naively(routes: &[Route], request: &Request) -> Option<MatchId> {
    let mut holding = Vec::new();
    for (route_index, route) in routes.iter().enumerate() {
        let Some(host_rank) = host_rank(route, &request.host) else { continue };
        for (rule, stated) in route.rules.iter().enumerate() {
            for (matched, it) in stated.stated_matches().enumerate().filter(|(_, it)| holds(it, request)) {
                let (exact, length) = match &it.path {
                    PathMatch::Exact(path) => (true, path.as_str().len()),
                    PathMatch::Prefix(path) => (false, path.as_str().trim_end_matches('/').len()),
                };
                let headers = it.headers.iter().map(|header| &header.name).collect::<BTreeSet<_>>().len();
                let query = it.query.iter().map(|parameter| &parameter.name).collect::<BTreeSet<_>>().len();
                let rank = (host_rank, exact, length, it.method.is_some(), headers, query);
                holding.push((Reverse(rank), MatchId { route: route_index, rule, matched }));
            }
        }
    }
    holding.into_iter().min().map(|(_, id)| id)
}

/// How specific a route's best hostname for a host is: exact before wildcard, then by length.
fn host_rank(route: &Route, host: &str) -> Option<(bool, usize)> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let rank = |own: &Hostname| {
        let own = own.as_str();
        match own.strip_prefix('*') {
            Some(suffix) => {
                (host.ends_with(suffix) && host.len() > suffix.len()).then_some((false, own.len()))
            }
            None => (own == host).then_some((true, own.len())),
        }
    };
    if route.hostnames.is_empty() { Some((false, 0)) } else { route.hostnames.iter().filter_map(rank).max() }
}

fn holds(stated: &Match, request: &Request) -> bool {
    let first = |pairs: &[(String, String)], name: &str| {
        pairs.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
    };
    let segments = |path: &str| path.trim_end_matches('/').split('/').map(String::from).collect::<Vec<_>>();
    let path = match &stated.path {
        PathMatch::Exact(path) => path.as_str() == request.path,
        PathMatch::Prefix(path) => {
            let own = segments(path.as_str());
            let whole: Vec<_> = request.path.split('/').collect();
            whole.len() >= own.len() && own.iter().zip(&whole).all(|(own, given)| own == given)
        }
    };
    let owned = |(name, value): (&str, &str)| (name.to_string(), value.to_string());
    let headers: Vec<_> = request.headers.0.iter().copied().map(owned).collect();
    let query: Vec<_> = request
        .query
        .iter()
        .flat_map(|query| query.split('&'))
        .filter_map(|pair| pair.split_once('='))
        .map(owned)
        .collect();
    let mut names = BTreeSet::new();
    let mut headers_wanted = stated.headers.iter().filter(|it| names.insert(it.name.as_str().to_string()));
    let mut names = BTreeSet::new();
    let mut query_wanted = stated.query.iter().filter(|it| names.insert(it.name.clone()));
    path && stated.method.as_ref().is_none_or(|method| method.as_str() == request.method)
        && headers_wanted.all(|it| first(&headers, it.name.as_str()).as_deref() == Some(&*it.value))
        && query_wanted.all(|it| first(&query, &it.name).as_deref() == Some(&*it.value))
}

/// A request that a match holds for under one hostname, and nothing that demands more does.
fn witness(hostname: Option<&Hostname>, stated: &Match) -> Request {
    let host = match hostname {
        None => "nobody.org".to_string(),
        Some(hostname) => hostname
            .wildcard_suffix()
            .map_or_else(|| hostname.as_str().to_string(), |suffix| format!("nobody.{suffix}")),
    };
    let path = match &stated.path {
        PathMatch::Exact(path) => path.as_str().to_string(),
        PathMatch::Prefix(path) => format!("{}/nobody", path.as_str().trim_end_matches('/')),
    };
    let method = match stated.method.as_ref().map(HttpMethod::as_str) {
        Some("GET") => "GET",
        Some("POST") => "POST",
        _ => "PURGE",
    };
    let known = |pairs: [(&'static str, &'static str); 4], name: &str, value: &str| {
        pairs.into_iter().find(|pair| *pair == (name, value)).expect("made of these")
    };
    let headers = stated.headers.iter().map(|it| known(HEADERS, it.name.as_str(), &it.value)).collect();
    let query: Vec<_> = stated.query.iter().map(|it| format!("{}={}", it.name, it.value)).collect();
    let query = (!query.is_empty()).then(|| query.join("&"));
    Request { host, method, path, query, headers: Pairs(headers) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_lookup_finds_what_the_rules_of_precedence_say(
        routes in routes(), requests in prop::collection::vec(requests(), 1..20),
    ) {
        let table = RouteTable::new(routes.clone());
        for request in requests {
            prop_assert_eq!(find(&table, &request), find_naively(&routes, &request), "{:?}", request);
        }
    }

    /// Whatever was changed one by one, and in whichever order, is as if it had been so from the start; and nothing that was
    /// cloned before changes with it.
    #[test]
    fn a_table_that_was_changed_is_as_one_built_anew(
        before in routes(),
        changes in prop::collection::vec((0..10usize, prop::option::weighted(0.7, routes())), 0..12),
        asked in prop::collection::vec(requests(), 1..6),
    ) {
        let mut routes = before.clone();
        let mut table = RouteTable::new(before.clone());
        let kept = table.clone();
        for (number, new) in changes {
            let new = new.map(|mut it| it.pop().map_or_else(Vec::new, |it| it.rules));
            let name = route(number, &[], Vec::new()).name;
            let place = routes.iter().position(|it| it.name == name);
            match (new, place) {
                (Some(rules), _) => {
                    let changed = route(number, HOSTS.get(number..).unwrap_or_default(), rules);
                    table.set(changed.clone());
                    match place {
                        Some(place) => routes[place] = changed,
                        None => routes.push(changed),
                    }
                }
                (None, place) => {
                    prop_assert_eq!(table.remove(&name).is_some(), place.is_some());
                    place.into_iter().for_each(|place| drop(routes.remove(place)));
                }
            }
        }
        prop_assert!(table.routes().eq(&routes));
        for request in &asked {
            prop_assert_eq!(find(&table, request), find_naively(&routes, request));
            prop_assert_eq!(find(&kept, request), find_naively(&before, request));
        }
    }

    #[test]
    fn a_shadowed_match_is_never_reached_and_any_other_is(
        routes in routes(), requests in prop::collection::vec(requests(), 1..20),
    ) {
        let table = RouteTable::new(routes.clone());
        let shadowed = shadowed(&routes);
        let unreachable: BTreeSet<_> = shadowed.iter().map(|it| it.matched).collect();
        for request in requests {
            prop_assert!(find(&table, &request).is_none_or(|id| !unreachable.contains(&id)));
        }
        for (route_index, route) in routes.iter().enumerate() {
            for (rule, stated) in route.rules.iter().enumerate() {
                for (matched, it) in stated.stated_matches().enumerate() {
                    let id = MatchId { route: route_index, rule, matched };
                    let hostnames = table::distinct_hostnames(route);
                    let reached = hostnames.iter().any(|name| find(&table, &witness(*name, &it)) == Some(id));
                    prop_assert_eq!(reached, !unreachable.contains(&id), "{:?}", id);
                }
            }
        }
        for it in shadowed {
            prop_assert!(it.by < it.matched);
        }
    }

    #[test]
    fn each_backend_gets_exactly_its_share_of_all_numbers(weights in prop::collection::vec(0..6u32, 0..6)) {
        let backends: Vec<_> = weights
            .iter()
            .enumerate()
            .map(|(index, weight)| Backend { service: format!("s{index}").parse().expect("a service"), weight: *weight, subset: Subset::default() })
            .collect();
        let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        let rule = Rule { backends, ..Rule::default() };
        prop_assert_eq!(rule.backend(7).is_none(), total == 0);
        let mut start = 0u128;
        for backend in &rule.backends {
            let end = start + u128::from(backend.weight);
            if end > start {
                // The first and the last number of this backend's part.
                let first = (start << 64).div_ceil(total) as u64;
                let last = ((end << 64).div_ceil(total) - 1) as u64;
                prop_assert_eq!(rule.backend(first), Some(backend));
                prop_assert_eq!(rule.backend(last), Some(backend));
            }
            start = end;
        }
    }

    #[test]
    fn a_path_is_matched_alike_alone_and_in_a_table(stated in matches(), path in paths()) {
        let only = Match { path: stated.path, ..Match::default() };
        let table = RouteTable::new(vec![route(0, &[], vec![rule(std::slice::from_ref(&only))])]);
        prop_assert_eq!(only.path.matches(&path), find(&table, &Request::get("a.com", &path)).is_some());
    }

    #[test]
    fn any_request_is_looked_up_without_a_panic(host in "\\PC{0,20}", path in "\\PC{0,40}", query in "\\PC{0,40}") {
        let mut stated = prefix("/a");
        stated.query.push(parameter("é", "%"));
        let routes = vec![route(0, &["*.a.com"], vec![rule(&[stated])]), route(1, &[], vec![rule(&[exact("/")])])];
        let table = RouteTable::new(routes);
        let request = Request { query: Some(query), ..Request::get(&host, &path) };
        prop_assert_eq!(table.lookup(&request.head()).is_some(), path == "/");
    }
}

#[test]
fn forty_thousand_routes_each_find_their_own() {
    let routes: Vec<_> = (0..40_000)
        .map(|number| match number % 4 {
            0 => route(number, &[], vec![rule(&[exact(&format!("/exact/{number}"))])]),
            1 => route(number, &[], vec![rule(&[prefix(&format!("/prefix/{number}"))])]),
            2 => route(number, &[&format!("h{number}.example.com")], vec![Rule::default()]),
            _ => route(number, &[&format!("*.h{number}.example.com")], vec![Rule::default()]),
        })
        .collect();
    let table = RouteTable::new(routes);
    for number in 0..40_000 {
        let request = match number % 4 {
            0 => Request::get("example.org", &format!("/exact/{number}")),
            1 => Request::get("example.org", &format!("/prefix/{number}/and/more")),
            2 => Request::get(&format!("h{number}.example.com"), "/anything"),
            _ => Request::get(&format!("a.b.h{number}.example.com"), "/anything"),
        };
        let found = table.lookup(&request.head()).expect("a route");
        assert_eq!(found.route.name.as_str(), format!("r{number}"));
    }
    assert_eq!(find(&table, &Request::get("example.org", "/prefix/40001")), None);
}

#[test]
fn what_demands_more_comes_first_in_the_order_of_the_gateway_api() {
    // Each takes the request from all before it.
    let method = |it: Match| Match { method: HttpMethod::new("GET").ok(), ..it };
    let queried = |it: Match| Match { query: vec![parameter("q", "1"), parameter("r", "1")], ..it };
    let headed = |it: Match| Match { headers: vec![header("h", "1")], ..it };
    let stated: [(&[&str], Match); 10] = [
        (&[], prefix("/")),
        (&[], prefix("/a")),
        (&[], queried(prefix("/a"))),
        (&[], headed(prefix("/a"))),
        (&[], headed(queried(prefix("/a")))),
        (&[], method(prefix("/a"))),
        (&[], prefix("/a/b")),
        (&[], exact("/a/b")),
        (&["*.a.com"], prefix("/")),
        (&["x.a.com"], prefix("/")),
    ];
    let query = Some("r=1&q=1".to_string());
    let request = Request { query, headers: Pairs(vec![("h", "1")]), ..Request::get("x.a.com", "/a/b") };
    for count in 1..=stated.len() {
        let routes = stated.iter().take(count).enumerate();
        let routes =
            routes.map(|(number, (hosts, it))| route(number, hosts, vec![rule(std::slice::from_ref(it))]));
        let found = find(&RouteTable::new(routes), &request);
        assert_eq!(found, Some(MatchId { route: count - 1, rule: 0, matched: 0 }));
    }
}

#[test]
fn a_prefix_ends_at_a_segment() {
    let table = RouteTable::new(vec![route(0, &[], vec![rule(&[prefix("/a/b/")])])]);
    for path in ["/a/b", "/a/b/", "/a/b/c", "/a/b//"] {
        assert!(find(&table, &Request::get("h", path)).is_some(), "{path}");
    }
    for path in ["/a/bc", "/a", "/", "/A/b", "a/b"] {
        assert!(find(&table, &Request::get("h", path)).is_none(), "{path}");
    }
}

#[test]
fn a_query_is_compared_decoded() {
    let wanted = parameter("full name", "Ada & Co");
    assert!(wanted.matches("x=1&full+name=Ada+%26%20Co"));
    assert!(wanted.matches("full%20name=Ada %26 Co"));
    assert!(!wanted.matches("full+name=other&full+name=Ada+%26+Co"), "only the first of a name counts");
    assert!(!wanted.matches("full+name=Ada+&+Co"));
    assert!(parameter("flag", "").matches("a=b&flag"));
    assert!(parameter("p", "100%").matches("p=100%"));
}

#[test]
fn a_later_equal_match_is_shadowed_by_the_first() {
    let twice = |first: Match, second: Match| {
        shadowed(&[route(0, &[], vec![rule(&[first])]), route(1, &[], vec![rule(&[second])])])
    };
    let by = MatchId { route: 0, rule: 0, matched: 0 };
    let matched = MatchId { route: 1, rule: 0, matched: 0 };
    assert_eq!(twice(prefix("/a"), prefix("/a/")), [Shadowed { matched, by }]);
    assert_eq!(twice(prefix("/a"), prefix("/a/b")), []);
    assert_eq!(twice(prefix("/a"), exact("/a")), []);
    assert_eq!(twice(Match::default(), prefix("/")), [Shadowed { matched, by }]);
}

#[test]
fn texts_of_the_wrong_form_are_refused() {
    for text in ["", "a", "//", "/a//b", "/a/../b", "/..", "/a/.", "/a?b", "/a#b", "/a b", "/a%2Fb"] {
        assert!(RoutePath::new(text).is_err(), "{text}");
    }
    for text in ["/", "/a", "/a/", "/a.b/..c", "/%20"] {
        assert!(RoutePath::new(text).is_ok(), "{text}");
    }
    for text in ["", "*", "*.", "a..b", "-a", "a_b", "*.*.a", "a.*"] {
        assert!(Hostname::new(text).is_err(), "{text}");
    }
    assert_eq!(Hostname::new("*.Example.COM").expect("well-formed").as_str(), "*.example.com");
    assert!(HeaderName::new("x tenant").is_err());
}
