use crate::manifest::tests::{SMALLEST, codes, only};
use crate::manifest::{Severity, read};

mod sagas;

/// A system of services that each have a command, one endpoint, and these dependencies.
fn services(calls: &[(&str, &[&str])]) -> String {
    let service = |(name, callees): &(&str, &[&str])| {
        format!(
            "  {name}:\n    command: [./{name}]\n    interfaces: [{{name: api, endpoints: [{{path: /{name}}}]}}]\n    depends_on: [{}]\n",
            callees.join(", ")
        )
    };
    format!("name: test\nservices:\n{}", calls.iter().map(service).collect::<String>())
}

fn gateway(routes: &[&str]) -> String {
    let routes: String = routes.iter().map(|route| format!("    - {route}\n")).collect();
    format!("gateway:\n  routes:\n{routes}")
}

/// The same without retries, so that only who calls whom can be a problem.
fn calm(calls: &[(&str, &[&str])]) -> String {
    services(calls) + "traffic: {\"*\": {retry: {max_retries: 0}}}\n"
}

const NONE: [&str; 0] = [];

#[test]
fn an_unknown_service_is_found_wherever_it_is_named() {
    let text = services(&[("order", &["paymnt"]), ("payment", &[])])
        + "traffic: {ordr: {}}\nconfig: {pay: {a: 1}}\nsubscriptions: {a: {push: {service: odrer, path: /}}, b: {push: {service: x.y, path: /}}}\n"
        + &gateway(&["{name: a, backends: [{service: orders}]}"]);
    let (_, report) = read(&text, "tenon.yaml");
    let found: Vec<_> =
        report.problems.iter().map(|it| (it.code(), it.path.as_str(), it.suggestion.as_deref())).collect();
    assert_eq!(
        found,
        [
            ("manifest.unknown-service", "services.order.depends_on[0]", Some("payment")),
            ("manifest.unknown-service", "traffic.ordr", Some("order")),
            ("manifest.unknown-service", "config.pay", None),
            ("manifest.unknown-service", "subscriptions.a.push.service", Some("order")),
            ("manifest.unknown-service", "gateway.routes[0].backends[0].service", Some("order")),
        ]
    );
}

#[test]
fn names_that_are_taken_are_reported_with_the_first_place() {
    let problem = only(
        &(services(&[("one", &[])])
            + &gateway(&[
                "{name: a, backends: [{service: one}], hostnames: [a.test]}",
                "{name: a, backends: [{service: one}]}",
            ])),
    );
    assert_eq!((problem.code(), problem.place.line), ("manifest.duplicate-name", 10));
    assert_eq!(problem.notes.first().map(|note| note.place.line), Some(9));
    assert_eq!(codes(&services(&[("one", &["two", "two"]), ("two", &[])])), ["manifest.duplicate-name"]);
}

#[test]
fn a_grpc_interface_has_grpc_methods() {
    let grpc = |endpoint: &str| {
        SMALLEST.replace("name: api", "name: api\n        protocol: grpc").replace("path: /", endpoint)
    };
    assert_eq!(codes(&grpc("path: /shop.v1.Orders/Get")), NONE);
    assert_eq!(codes(&grpc("path: /Orders/Get")), NONE);
    for bad in ["/orders", "/shop.v1.Orders/Get/1", "/shop..Orders/Get", "/1.Orders/Get", "/a.B/{m}"] {
        assert_eq!(codes(&grpc(&format!("path: \"{bad}\""))), ["manifest.interface-inconsistent"], "{bad}");
    }
    let problem = only(&grpc("{path: /a.B/C, method: GET}"));
    assert_eq!(
        (problem.code(), problem.suggestion.as_deref()),
        ("manifest.interface-inconsistent", Some("POST"))
    );
}

#[test]
fn an_endpoint_may_differ_from_another_by_its_method() {
    let twice = |second: &str| {
        SMALLEST.replace("path: /", &format!("{{path: /, method: GET}}\n          - {second}"))
    };
    assert_eq!(codes(&twice("{path: /, method: PUT}")), NONE);
    assert_eq!(codes(&twice("{path: /, method: GET}")), ["manifest.interface-inconsistent"]);
}

#[test]
fn a_store_is_shared_by_its_name_or_by_its_connection() {
    let data = |one: &str, two: &str| {
        services(&[("one", &[]), ("two", &[])])
            .replace("    depends_on: []\n  two", &format!("    data: [{one}]\n  two"))
            + &format!("    data: [{two}]\n")
    };
    let first = "{name: a, type: redis, connection: {env: A_URL}}";
    let problem = only(&data(first, "{name: b, type: redis, connection: {env: A_URL}}"));
    assert_eq!((problem.code(), problem.severity), ("manifest.shared-store", Severity::Warning));
    assert!(problem.message.contains("`one` and `two`"), "{}", problem.message);
    assert_eq!(codes(&data(first, "{name: a, type: redis}")), ["manifest.shared-store"]);
    assert_eq!(codes(&data(first, "{name: b, type: redis, connection: {env: B_URL}}")), NONE);
}

#[test]
fn a_value_of_configuration_must_satisfy_a_schema_that_can_be_used() {
    let config = |value: &str, schema: &str| {
        format!("{SMALLEST}config: {{one: {{k: {{value: {value}, schema: {schema}}}}}}}\n")
    };
    assert_eq!(codes(&config("5", "{type: integer}")), NONE);
    let problem = only(&config("{a: {b: x}}", "{properties: {a: {properties: {b: {type: integer}}}}}"));
    assert!(problem.message.contains("/a/b"), "{}", problem.message);
    assert!(only(&config("5", "{type: whole}")).message.contains("cannot be used"));
    let remote = config("5", "{$ref: \"https://example.com/schema.json\"}");
    assert_eq!(codes(&remote), ["manifest.config-mismatch"]);
    let large = format!("{SMALLEST}config: {{one: {{k: \"{}\"}}}}\n", "x".repeat(256 << 10));
    assert_eq!(codes(&large), ["manifest.invalid-value"]);
}

#[test]
fn a_circle_of_dependencies_is_named() {
    let problem = only(&calm(&[("a", &["b"]), ("b", &["c"]), ("c", &["a", "d"]), ("d", &[])]));
    assert_eq!(problem.message, "services depend on each other in a circle: a → b → c → a");
    assert_eq!(problem.path, "services.c.depends_on[0]");
    assert_eq!(only(&calm(&[("a", &["a"])])).message, "`a` depends on itself");
    assert_eq!(codes(&calm(&[("a", &["b", "c"]), ("b", &["d"]), ("c", &["d"]), ("d", &[])])), NONE);
    let two = calm(&[("a", &["b"]), ("b", &["a"]), ("c", &["d"]), ("d", &["c"])]);
    assert_eq!(codes(&two), ["manifest.dependency-cycle"; 2]);
}

#[test]
fn a_long_circle_is_shortened() {
    let names: Vec<String> = (0..1_000).map(|number| format!("s{number:03}")).collect();
    let next: Vec<[&str; 1]> = (0..1_000).map(|number| [names[(number + 1) % 1_000].as_str()]).collect();
    let calls: Vec<(&str, &[&str])> =
        names.iter().zip(&next).map(|(name, next)| (name.as_str(), next.as_slice())).collect();
    let (_, report) = read(&services(&calls), "tenon.yaml");
    let cycle = report.problems.iter().find(|problem| problem.code() == "manifest.dependency-cycle").unwrap();
    assert!(cycle.message.len() < 200, "{}", cycle.message);
    assert!(cycle.message.ends_with("s999 → s000"), "{}", cycle.message);
}

#[test]
fn a_callee_that_may_take_longer_than_its_caller_is_found() {
    let calls = services(&[("order", &["payment"]), ("payment", &[])]);
    let entered = gateway(&["{name: a, backends: [{service: order}]}"]);
    let with = |traffic: &str| format!("{calls}{entered}traffic: {traffic}\n");
    let problem = only(&with("{order: {timeout: 5s}}"));
    assert_eq!(problem.path, "traffic.order.timeout");
    assert_eq!(problem.message, "calls to `order` end after 5s, but its calls to `payment` may take 30s");
    let problem = only(&with("{\"*\": {timeout: 5s}, payment: {timeout: 6s}}"));
    assert_eq!((problem.path.as_str(), problem.place.text.as_str()), ("traffic.payment.timeout", "6s"));
    assert_eq!(codes(&with("{order: {timeout: 5s}, payment: {timeout: 5s}}")), NONE);
    assert_eq!(codes(&with("{\"*\": {timeout: 1s}}")), NONE);
}

#[test]
fn a_service_that_nobody_calls_has_no_time_out_to_exceed() {
    let calls = services(&[("worker", &["payment"]), ("payment", &[])]);
    assert_eq!(codes(&format!("{calls}traffic: {{worker: {{timeout: 1s}}}}\n")), NONE);
}

#[test]
fn a_route_that_ends_before_what_its_backend_calls_is_found() {
    let calls = services(&[("order", &["payment"]), ("payment", &[])]);
    let entered = |timeout: &str| {
        gateway(&[&format!("{{name: a, backends: [{{service: order}}], timeout: {timeout}}}")])
    };
    let problem = only(&(calls.clone() + &entered("10s")));
    assert_eq!(
        (problem.code(), problem.path.as_str()),
        ("manifest.timeout-inversion", "gateway.routes[0].timeout")
    );
    assert_eq!(codes(&(calls + &entered("30s"))), NONE);
}

#[test]
fn tries_multiply_along_the_worst_chain() {
    let calls = services(&[("a", &["b", "d"]), ("b", &["c"]), ("c", &[]), ("d", &["c"])]);
    let entered = gateway(&["{name: a, backends: [{service: a}]}"]);
    let problem = only(&format!("{calls}{entered}"));
    assert_eq!(problem.code(), "manifest.retry-amplification");
    assert!(problem.message.contains("64 tries of `c`: gateway → a ×4 → "), "{}", problem.message);
    let with = |traffic: &str| codes(&format!("{calls}{entered}traffic: {traffic}\n"));
    assert_eq!(with("{a: {retry: {max_retries: 0}}}"), NONE);
    assert_eq!(with("{b: {retry: {max_retries: 0}}}"), ["manifest.retry-amplification"]);
    assert_eq!(with("{b: {retry: {max_retries: 0}}, d: {retry: {max_retries: 0}}}"), NONE);
    // Without the gateway nobody calls `a`, and the chain is a hop shorter.
    assert_eq!(codes(&calls), NONE);
}

#[test]
fn tries_are_counted_without_the_call_that_closes_a_circle() {
    let calls = services(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"])]);
    let entered = gateway(&["{name: a, backends: [{service: a}]}"]);
    let mut found = codes(&(calls + &entered));
    found.sort_unstable();
    assert_eq!(found, ["manifest.dependency-cycle", "manifest.retry-amplification"]);
}

#[test]
fn rules_of_traffic_that_defeat_themselves_are_found_where_they_are_stated() {
    let with = |traffic: &str| format!("{SMALLEST}traffic: {traffic}\n");
    assert_eq!(
        codes(&with("{\"*\": {timeout: 1s, retry: {per_try_timeout: 2s}}, one: {balance: random}}")),
        ["manifest.retry-without-effect"]
    );
    assert_eq!(
        codes(&with("{\"*\": {retry: {per_try_timeout: 2s}}, one: {timeout: 1s}}")),
        ["manifest.retry-without-effect"]
    );
    assert_eq!(codes(&with("{one: {timeout: 1s, retry: {per_try_timeout: 2s, max_retries: 0}}}")), NONE);
    assert_eq!(codes(&with("{one: {breaker: {failure_threshold: 100}}}")), NONE);
    assert_eq!(
        codes(&with("{one: {balance: {strategy: maglev, choices: 3, slow_start: 5s, hash_on: path}}}")),
        ["manifest.balance-without-effect"; 2]
    );
    assert_eq!(codes(&with("{one: {timeout: 1m}}")), NONE);
    assert_eq!(codes(&with("{one: {timeout: 2m, breaker: {half_open_max_wait: 2m}}}")), NONE);
    assert_eq!(
        codes(&with("{one: {breaker: {half_open_max_wait: 1s}}}")),
        ["manifest.breaker-wait-too-short"]
    );
}

#[test]
fn a_route_is_compared_with_what_its_backends_accept() {
    let accepting = |endpoints: &str, matched: &str| {
        let text = SMALLEST.replace("path: /", endpoints);
        codes(
            &(text
                + &gateway(&[&format!("{{name: a, matches: [{matched}], backends: [{{service: one}}]}}")])),
        )
    };
    let prefix = |path: &str| format!("{{path: {{value: {path}}}}}");
    let exact = |path: &str| format!("{{path: {{type: Exact, value: {path}}}}}");
    let refused = ["manifest.route-not-accepted"];
    assert_eq!(accepting("path: \"/orders/{id}\"", &prefix("/orders")), NONE);
    assert_eq!(accepting("path: \"/orders/{id}\"", &prefix("/orders/")), NONE);
    assert_eq!(accepting("path: \"/orders/{id}\"", &prefix("/")), NONE);
    assert_eq!(accepting("path: \"/orders/{id}\"", &prefix("/orders/7")), NONE);
    assert_eq!(accepting("path: \"/orders/{id}\"", &prefix("/orders/7/items")), refused);
    assert_eq!(accepting("path: \"/orders/{id}\"", &exact("/orders/7")), NONE);
    assert_eq!(accepting("path: \"/orders/{id}\"", &exact("/orders")), refused);
    assert_eq!(accepting("path: \"/files/{rest...}\"", &prefix("/files/a/b")), NONE);
    assert_eq!(accepting("path: /orders", &prefix("/order")), refused);
    assert_eq!(accepting("{path: /, method: GET}", "{method: POST}"), refused);
    assert_eq!(accepting("{path: /, method: GET}", "{method: GET}"), NONE);
    assert_eq!(accepting("path: /a\n        protocol: message-queue", &exact("/a")), refused);
}

#[test]
fn what_is_pushed_is_compared_with_what_the_service_accepts() {
    let pushing = |endpoint: &str, push: &str| {
        let subscriptions = format!("subscriptions:\n  a:\n    push: {{service: one{push}}}\n");
        codes(&(SMALLEST.replace("path: /", endpoint) + &subscriptions))
    };
    let refused = ["manifest.push-not-accepted"];
    assert_eq!(pushing("path: /events", ", path: /events"), NONE);
    assert_eq!(pushing("path: \"/events/{type}\"", ", path: /events/paid"), NONE);
    assert_eq!(pushing("path: /events", ", path: /event"), refused);
    assert_eq!(pushing("{path: /events, method: GET}", ", path: /events"), refused);
    let deliver = "path: /tenon.bus.v1.ConsumerService/Deliver\n        protocol: grpc";
    assert_eq!(pushing(deliver, ", mode: grpc"), NONE);
    assert_eq!(pushing(deliver, ", mode: grpc, path: /shop.Orders/Take"), refused);
    assert_eq!(pushing(deliver, ", path: /tenon.bus.v1.ConsumerService/Deliver"), refused);
    assert_eq!(pushing("path: /events", ", mode: grpc"), refused);
    assert_eq!(pushing("path: /events", ", mode: grpc, path: /events"), ["manifest.invalid-value"]);
    assert_eq!(pushing("path: /events", ""), ["manifest.missing-key"]);
}

#[test]
fn a_match_that_another_takes_everything_from_is_found_with_both_places() {
    let problem = only(
        &(SMALLEST.to_owned()
            + &gateway(&[
                "{name: first, matches: [{path: {value: /}}], backends: [{service: one}]}",
                "{name: second, matches: [{path: {value: /}}], backends: [{service: one}]}",
            ])),
    );
    assert_eq!((problem.code(), problem.place.line), ("manifest.route-shadowed", 12));
    assert!(problem.message.contains("`second`") && problem.message.contains("`first`"));
    assert_eq!(problem.notes.first().map(|note| note.place.line), Some(11));
}

#[test]
fn ports_that_are_wanted_twice_are_found() {
    let with = |listen: &str, address: &str| {
        let text = SMALLEST.replace("command: [./one]", &format!("addresses: [\"{address}\"]"));
        let routes = gateway(&["{name: a, backends: [{service: one}]}"]);
        codes(&(text + &routes.replace("gateway:\n", &format!("gateway:\n  listen: \"{listen}\"\n"))))
    };
    let clash = ["manifest.port-clash"];
    assert_eq!(with("127.0.0.1:8080", "127.0.0.1:8081"), NONE);
    assert_eq!(with("127.0.0.1:8080", "127.0.0.1:8080"), clash);
    assert_eq!(with("0.0.0.0:8080", "localhost:8080"), clash);
    assert_eq!(with("0.0.0.0:8080", "10.0.0.9:8080"), NONE);
    assert_eq!(with("127.0.0.1:8080", "db.example.com:8080"), NONE);
    assert_eq!(with("127.0.0.1:8080", "127.0.0.1:7421"), clash);
    assert_eq!(with("0.0.0.0:7420", "10.0.0.9:7420"), clash);
    assert_eq!(with("127.0.0.1:0", "10.0.0.9:7420"), NONE);
    assert_eq!(with("127.0.0.1:8080", "127.0.0.1:29999"), ["manifest.port-range"]);
}

#[test]
fn a_check_may_not_take_longer_than_the_interval() {
    let with = |health: &str| codes(&format!("{SMALLEST}    health: {health}\n"));
    assert_eq!(with("{interval: 5s}"), NONE);
    assert_eq!(with("{interval: 4s}"), ["manifest.health-overlap"]);
    assert_eq!(with("{timeout: 31s}"), ["manifest.health-overlap"]);
    assert_eq!(with("{heartbeat: {ttl: 9s}, interval: 1s}"), NONE);
}

#[test]
fn a_type_of_store_that_looks_like_a_known_one_is_questioned() {
    let with = |kind: &str| format!("{SMALLEST}    data: [{{name: a, type: {kind}}}]\n");
    assert_eq!(only(&with("mongo")).suggestion.as_deref(), Some("mongodb"));
    assert_eq!(only(&with("elasticsaerch")).suggestion.as_deref(), Some("elasticsearch"));
    assert_eq!(codes(&with("cassandra")), NONE);
}

#[test]
fn variables_that_tenon_sets_are_reserved() {
    let with = |name: &str| codes(&format!("{SMALLEST}    env: {{{name}: x}}\n"));
    for name in ["PORT", "TENON_TOKEN", "http_proxy", "NO_PROXY"] {
        assert_eq!(with(name), ["manifest.reserved-variable"], "{name}");
    }
    assert_eq!(with("MY_PORT"), NONE);
}

fn policed(policies: &str, attached: &str) -> String {
    services(&[("order", &[]), ("payment", &[])])
        + &format!("policies: {{{policies}}}\ntraffic: {{payment: {{policies: [{attached}]}}}}\n")
}

#[test]
fn a_policy_that_is_attached_must_be_there() {
    let problem = only(&policed("only-order: {action: deny}", "only-orders, only-order"));
    assert_eq!(
        (problem.code(), problem.path.as_str(), problem.suggestion.as_deref()),
        ("manifest.unknown-policy", "traffic.payment.policies[0]", Some("only-order"))
    );
}

#[test]
fn the_words_of_a_condition_must_fit_together() {
    let code = |condition: &str| codes(&policed(&format!("a: {{rules: [{condition}], action: deny}}"), "a"));
    for good in [
        "{field: path, operator: prefix, value: /a}",
        "{field: path, operator: matches, value: '/a/{id}'}",
        "{field: client, operator: in-cidr, value: [10.0.0.0/8, '::1']}",
        "{field: header, name: x-a, operator: exists}",
        "{field: source, value: [order, '@gateway', other.shop]}",
    ] {
        assert_eq!(code(good), NONE, "{good}");
    }
    for bad in [
        "{field: path, operator: in-cidr, value: 10.0.0.0/8}",
        "{field: header, value: a}",
        "{field: method, name: x, value: GET}",
        "{field: path}",
        "{field: path, operator: exists, value: /}",
        "{field: client, operator: prefix, value: '10.'}",
        "{field: client, value: here}",
    ] {
        assert_eq!(code(bad), ["manifest.policy-contradiction"], "{bad}");
    }
    assert_eq!(code("{field: source, value: ordr}"), ["manifest.unknown-service"]);
}

#[test]
fn a_policy_without_effect_is_pointed_out() {
    let all = "none: {action: deny}, some: {rules: [{field: method, value: GET}], action: allow}";
    assert_eq!(codes(&policed(all, "none, some")), ["manifest.policy-without-effect"]);
    let unattached = only(&policed(all, "none"));
    assert_eq!(
        (unattached.code(), unattached.path.as_str()),
        ("manifest.policy-without-effect", "policies.some")
    );
}

#[test]
fn each_host_has_one_certificate_and_each_listener_one_address() {
    let tls = |tls: &str| {
        services(&[("one", &[])])
            + &gateway(&["{name: a, backends: [{service: one}]}"])
            + &format!("  listen: 127.0.0.1:8443\n  tls: {{{tls}}}\n")
    };
    let file = "cert: a.pem, key: a.key";
    let pair = |hosts: &str| format!("certificates: [{{{hosts}{file}}}, {{{hosts}{file}}}]");
    assert_eq!(codes(&tls(&pair("hosts: [a.test], "))), ["manifest.duplicate-name"]);
    assert_eq!(codes(&tls(&pair(""))), ["manifest.duplicate-name"]);
    let plain = format!("certificates: [{{{file}}}], plain: {{listen: \"127.0.0.1:8443\"}}");
    assert_eq!(codes(&tls(&plain)), ["manifest.port-clash"]);
    let fine = format!("certificates: [{{{file}}}], plain: {{listen: \"127.0.0.1:8444\"}}");
    assert_eq!(codes(&tls(&fine)), NONE);
}

#[test]
fn a_namespace_of_tenons_own_is_refused() {
    let within = |namespace: &str| codes(&format!("namespace: {namespace}\n{SMALLEST}"));
    assert_eq!(within("tenon"), ["manifest.invalid-value"]);
    assert_eq!(within("tenon-x"), ["manifest.invalid-value"]);
    assert_eq!(within("tenonic"), NONE);
}
