use crate::manifest::format::{Presence, Record, Rule, Shape, records};
use crate::manifest::reference::value_of;
use crate::manifest::tests::{SMALLEST, corpus};
use crate::manifest::{Finding, read};
use serde_json::{Value as Json, json};
use std::net::SocketAddr;
use std::time::Duration;
use tenon_core::manifest::{Direction, Egress, HttpMethod, Protocol, SecretRef, StoreKind, System, Workload};
use tenon_core::route::PathMatch;
use tenon_core::{ServiceName, balance, breaker, health, hedge, outlier, priority, retry};

fn system(text: &str) -> System {
    let (system, report) = read(text, "tenon.yaml");
    system.unwrap_or_else(|| panic!("{:#?}", report.problems))
}

fn every_key() -> System {
    let (_, text) = corpus("good").into_iter().find(|(name, _)| name == "every-key").unwrap();
    system(&text)
}

fn name(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

/// Everything that a record says holds if it is not stated, written out.
fn defaults(record: &Record) -> Json {
    let alternative = |key: &str| {
        record
            .rules
            .iter()
            .any(|rule| matches!(rule, Rule::ExactlyOne(keys) | Rule::AtMostOne(keys) if keys.contains(&key)))
    };
    let stated = record.fields.iter().filter_map(|field| match (field.presence, &field.shape) {
        (Presence::Default(default), _) => Some((field.key.to_owned(), value_of(default))),
        (Presence::Optional, Shape::Record(inner)) if !alternative(field.key) && inner.can_be_empty() => {
            Some((field.key.to_owned(), defaults(inner)))
        }
        _ => None,
    });
    Json::Object(stated.collect())
}

fn with(mut defaults: Json, more: Json) -> Json {
    let (Json::Object(all), Json::Object(more)) = (&mut defaults, more) else { panic!() };
    all.extend(more);
    defaults
}

#[test]
fn the_documented_defaults_are_the_ones_that_hold() {
    let of = |anchor: &str| defaults(records().into_iter().find(|record| record.anchor == anchor).unwrap());
    let endpoints = json!({"name": "api", "endpoints": [with(of("endpoint"), json!({"path": "/"}))]});
    let service = json!({"command": ["./one"], "interfaces": [with(of("interface"), endpoints)]});
    let route = json!({
        "name": "all",
        "backends": [with(of("gateway-backend"), json!({"service": "one"}))],
        "matches": [{"path": with(of("gateway-path"), json!({"value": "/"}))}],
    });
    let written_out = with(
        of("system"),
        json!({
            "name": "small",
            "services": {"one": with(of("service"), service)},
            "traffic": {"*": of("traffic"), "one": of("traffic")},
            "gateway": with(of("gateway"), json!({"routes": [route]})),
        }),
    );
    let short = format!(
        "{SMALLEST}traffic: {{one: {{}}}}\ngateway: {{routes: [{{name: all, backends: [{{service: one}}], matches: [{{}}]}}]}}\n"
    );
    assert_eq!(system(&written_out.to_string()), system(&short));
    assert!(written_out.to_string().contains("permitted_half_open_calls"));
}

#[test]
fn the_checks_of_health_have_their_documented_defaults() {
    let check = |health: &str| {
        let system = system(&format!("{SMALLEST}    health: {health}\n"));
        system.services.get("one").unwrap().health.check.clone()
    };
    assert_eq!(check("{}"), health::Check::Http { path: "/health".into() });
    assert_eq!(check("{http: {}}"), check("{}"));
    assert_eq!(check("{grpc: {}}"), check("{grpc: {service: \"\"}}"));
    assert_eq!(check("{tcp: {}}"), health::Check::Tcp);
    assert_eq!(check("{heartbeat: {ttl: 15s}}"), health::Check::Ttl { ttl: Duration::from_secs(15) });
}

#[test]
fn a_service_is_built_of_what_it_states() {
    let system = every_key();
    let one = system.services.get("one").unwrap();
    assert_eq!(
        (one.version.as_str(), one.replicas(), one.context.as_deref()),
        ("1.10", 0, Some("Ordering and more"))
    );
    let Workload::Process(process) = &one.workload else { panic!("{one:?}") };
    assert_eq!(process.command, ["python3", "-m", "one"]);
    assert_eq!(process.working_directory.as_deref(), Some("one/"));
    let env: Vec<_> = process.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(env, ["FAST=true", "LEVEL=info", "RATIO=0.5", "SIZE=5"]);
    let faces: Vec<_> =
        one.interfaces.iter().map(|it| (it.name.as_str(), it.direction, it.protocol)).collect();
    assert_eq!(
        faces,
        [
            ("api", Direction::Input, Protocol::Grpc),
            ("events", Direction::Output, Protocol::EventStream),
            ("jobs", Direction::Input, Protocol::MessageQueue),
        ]
    );
    assert!(one.accepts("POST", "/shop.v1.Orders/Get"));
    assert_eq!(one.depends_on.iter().collect::<Vec<_>>(), [&name("two")]);
    let [orders, blobs] = one.data.as_slice() else { panic!("{:?}", one.data) };
    assert_eq!(
        (&orders.kind, &orders.connection),
        (&StoreKind::PostgreSql, &Some(SecretRef("ORDERS_URL".into())))
    );
    assert_eq!(blobs.kind, StoreKind::Other("object-store".into()));
    assert_eq!((one.resources.cpu_millis, one.resources.memory_bytes), (250, 3 << 29));
    assert_eq!(one.health.check, health::Check::Grpc { service: "shop.v1.Orders".into() });
    assert_eq!(one.health.deregister_after, Some(Duration::from_secs(600)));
    let Workload::External(addresses) = &system.services.get("two").unwrap().workload else { panic!() };
    assert_eq!(
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.1:80", "two.example.com:8080", "[::1]:9000"]
    );
}

#[test]
fn an_entry_of_traffic_overrides_the_one_for_all_key_by_key() {
    let traffic = every_key().traffic;
    let (all, two) = (&traffic.default, traffic.of(&name("two")));
    assert_eq!(all.balance, balance::Config::of(balance::Strategy::WeightedRoundRobin));
    assert_eq!(two.balance, balance::Config::of(balance::Strategy::Random));
    assert_eq!(two.timeout, Duration::from_secs(10));
    assert_eq!((two.retry.max_retries, two.retry.delay), (1, retry::Delay::Fixed(Duration::ZERO)));
    assert_eq!(two.retry.per_try_timeout, Some(Duration::from_secs(2)));
    assert_eq!(two.breaker, all.breaker);
    assert_eq!(two.budget.percent, 10);
    assert_eq!(all.retry.retry_on.statuses, [429, 503]);
    assert_eq!(all.retry.retry_on.grpc_statuses, [1, 2, 4, 8, 10, 13, 14]);
    assert_eq!(traffic.of(&name("four")), all);
    assert_eq!((all.retry.retry_after, two.retry.jitter), (false, retry::Jitter::Decorrelated));
    let fixed = hedge::Policy { after: hedge::After::Fixed(Duration::from_millis(50)), max: 2 };
    let percentile = hedge::Policy { after: hedge::After::Percentile(95), max: 1 };
    assert_eq!((all.hedge, two.hedge), (Some(fixed), Some(percentile)));
    let concurrency = all.concurrency.unwrap();
    assert_eq!((concurrency.min, concurrency.max, concurrency.tolerance), (5, 80, 140));
    assert_eq!(concurrency.window, Duration::from_millis(200));
    assert_eq!(two.concurrency, all.concurrency);
    assert_eq!((two.priority.calls, two.priority.sheddable), (priority::Priority::Sheddable, 50));
}

#[test]
fn the_gateway_is_built_with_one_rule_for_each_route() {
    let gateway = every_key().gateway.unwrap();
    assert_eq!(gateway.listen, "[::1]:8080".parse::<SocketAddr>().unwrap());
    let things = gateway.routes.first().unwrap();
    let [rule] = things.rules.as_slice() else { panic!("{things:?}") };
    assert_eq!(rule.timeout, Some(Duration::from_secs(8)));
    assert_eq!(
        rule.backends.iter().map(|it| (it.service.to_string(), it.weight)).collect::<Vec<_>>(),
        [("two.tenant-1".to_owned(), 9), ("two.tenant-1".to_owned(), 0)]
    );
    let [first, second] = rule.matches.as_slice() else { panic!("{rule:?}") };
    assert!(matches!(&first.path, PathMatch::Prefix(path) if path.as_str() == "/things"));
    assert_eq!(first.method, Some(HttpMethod::new("GET").unwrap()));
    assert_eq!(
        first.headers.first().map(|it| (it.name.as_str(), it.value.as_str())),
        Some(("x-tenant", "blue sky"))
    );
    assert_eq!(first.query.first().map(|it| (it.name.as_str(), it.value.as_str())), Some(("preview", "1")));
    assert!(matches!(&second.path, PathMatch::Exact(path) if path.as_str() == "/things/7"));
}

#[test]
fn configuration_is_kept_as_canonical_json() {
    let system = every_key();
    let one = system.config.get("one").unwrap();
    let values: Vec<_> = one.iter().map(|(key, entry)| format!("{key}={}", entry.value)).collect();
    assert_eq!(
        values,
        [
            "flag=true",
            "limits={\"max\":5}",
            "list=[1,{\"a\":\"b\"}]",
            "nothing=null",
            "ratio=0.5",
            "text=\"hello\""
        ]
    );
    let schema = one.get("limits").and_then(|entry| entry.schema.as_ref()).unwrap();
    assert_eq!(schema.as_json(), r#"{"properties":{"max":{"type":"integer"}},"type":"object"}"#);
    assert_eq!((system.namespace.as_str(), system.egress), ("tenant-1", Egress::Allow));
}

#[test]
fn a_mistake_in_one_place_does_not_hide_those_in_others() {
    let text = SMALLEST.replace("name: small", "name: Small") + "    depends_on: [nobody]\n";
    let (_, report) = read(&text, "tenon.yaml");
    let findings: Vec<_> = report.problems.iter().map(|problem| problem.finding).collect();
    assert_eq!(findings, [Finding::InvalidValue, Finding::UnknownService]);
}

#[test]
fn a_rule_for_outliers_is_switched_on_or_off_or_filled_in_key_by_key() {
    let text = "{'*': {outlier: {latency: true, base_ejection: 1s}}, \
                one: {outlier: {success_rate: false, latency: {factor_percent: 500}}}}";
    let traffic = system(&format!("{SMALLEST}traffic: {text}\n")).traffic;
    let (all, one) = (&traffic.default.outlier, &traffic.of(&name("one")).outlier);
    assert_eq!(all.latency, Some(outlier::Latency::default()));
    assert_eq!(all.success_rate, Some(outlier::SuccessRate::default()));
    assert_eq!(one.latency, Some(outlier::Latency { factor_percent: 500, ..outlier::Latency::default() }));
    assert_eq!((one.success_rate, one.base_ejection), (None, Duration::from_secs(1)));
}

#[test]
fn a_breaker_is_built_of_its_window_and_the_words_for_outcomes() {
    let breaker = every_key().traffic.default.breaker;
    assert_eq!(breaker.window, breaker::Window::Time { span: Duration::from_secs(20) });
    assert_eq!(breaker.slow_call.map(|rule| rule.rate_percent), Some(80));
    assert!(breaker.failures.network && breaker.failures.timeout && !breaker.ignored.network);
    assert_eq!(breaker.failures.statuses().collect::<Vec<_>>(), [429]);
    assert_eq!(breaker.failures.grpc_statuses().collect::<Vec<_>>(), [14]);
    assert_eq!(breaker.ignored.statuses().count(), 99);
}

#[test]
fn telemetry_takes_what_is_stated_over_the_defaults() {
    let system_with = |more: &str| {
        system(&format!(
            "{SMALLEST}{more}
"
        ))
    };
    let system =
        system_with("telemetry: {sampling: 0.25, access_log: errors, otlp: \"http://collector:4318/\"}");
    let telemetry = &system.telemetry;
    assert_eq!(telemetry.sampling.millionths(), 250_000);
    assert_eq!(telemetry.slow, Duration::from_secs(1));
    assert_eq!(telemetry.access_log, tenon_core::manifest::AccessLog::Errors);
    assert_eq!(telemetry.otlp.as_deref(), Some("http://collector:4318"));
    assert_eq!(system_with("").telemetry, tenon_core::manifest::Telemetry::default());
    assert_eq!(system_with("telemetry: {sampling: 0}").telemetry.sampling, tenon_core::manifest::Ratio::NONE);
}

#[test]
fn balancing_is_stated_key_by_key_over_what_holds_for_all() {
    let system = system(
        &(SMALLEST.replace(
            "services:\n",
            "services:\n  two: {addresses: [\"10.0.0.1:80\"], interfaces: [{name: a, endpoints: [{path: /}]}]}\n",
        ) + "traffic:
  \"*\": {balance: {strategy: ring-hash, hash_on: {cookie: {name: s, ttl: 1h}}, panic_threshold: 40}}
  one: {balance: {virtual_nodes: 200, subset: {version: \"2.0.0\"}, prefer_near: false}}
  two: {balance: random}
"),
    );
    let hash_on = balance::HashOn::Cookie {
        name: balance::CookieName::new("s").unwrap(),
        ttl: Some(Duration::from_secs(3_600)),
    };
    let all =
        balance::Config { hash_on, panic_percent: 40, ..balance::Config::of(balance::Strategy::RingHash) };
    let pairs = [("version".to_owned(), "2.0.0".to_owned())].into();
    let one = balance::Config {
        virtual_nodes: 200,
        subset: balance::Subset::new(pairs).unwrap(),
        prefer_near: false,
        ..all.clone()
    };
    let two = balance::Config { strategy: balance::Strategy::Random, ..all.clone() };
    let of = |of: &str| system.traffic.of(&name(of)).balance.clone();
    assert_eq!((system.traffic.default.balance.clone(), of("one"), of("two")), (all, one, two));
}

#[test]
fn identities_and_tls_are_as_stated() {
    use tenon_core::manifest::{Authorization, Mtls, PlainListener, Security, TlsVersion};
    let system = every_key();
    assert_eq!(system.mesh.certificate_ttl, Duration::from_secs(900));
    let security = Security { mtls: Mtls::Permissive, authorization: Authorization::Open };
    assert_eq!(system.traffic.default.security, security);
    let tls = system.gateway.unwrap().tls.unwrap();
    let hosts: Vec<&str> =
        tls.certificates[0].hosts.iter().map(tenon_core::route::Hostname::as_str).collect();
    assert_eq!(hosts, ["shop.example.com", "*.example.org"]);
    assert_eq!((tls.certificates[1].cert.as_str(), tls.certificates[1].hosts.len()), ("certs/other.pem", 0));
    assert_eq!(tls.min_version, TlsVersion::Tls13);
    let listen = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 8_081));
    assert_eq!(tls.plain, Some(PlainListener { listen, redirect: false }));
}

#[test]
fn subscriptions_are_built_over_their_defaults_and_are_the_manifests() {
    use tenon_core::group::{Config, Definition, Delivered, Form, Ordering, ParkedKey, Start, WhenFull};
    let system = every_key();
    let of = |name: &str| system.subscriptions.get(name).unwrap();
    let plain = Definition::of_types(system.namespace.clone(), "all-by-default".parse().unwrap(), [].into());
    assert_eq!(*of("all-by-default"), Definition { declared: true, ..plain });
    let two = of("to-two");
    assert_eq!((two.filter.types.len(), two.filter.tags.len()), (2, 1));
    assert_eq!(two.start, Start::Time(tenon_core::Timestamp::from_millis(1_772_366_400_000)));
    assert_eq!(two.ordering, Ordering::Tag("order:".to_owned()));
    let service = "two.tenant-1".parse().unwrap();
    assert_eq!(
        two.delivered,
        Delivered::Push { service, path: "/events".to_owned(), form: Form::Structured }
    );
    let Config { ack_deadline, in_flight, deliveries, backoff, dedup, capacity, .. } = two.config.clone();
    assert_eq!((ack_deadline, in_flight, deliveries), (Duration::from_secs(5), 16, 3));
    assert_eq!(
        (backoff.delay, backoff.jitter),
        (retry::Delay::Fixed(Duration::from_secs(2)), retry::Jitter::None)
    );
    assert_eq!((backoff.max_delay, dedup, capacity), (Duration::from_secs(10), 100, 500));
    assert_eq!((two.config.when_full, two.config.parked_key), (WhenFull::DropOldest, ParkedKey::Continue));
    assert_eq!(two.config.most_parked, 50);
    assert!(system.subscriptions.values().all(|it| it.check().is_ok()));
}
