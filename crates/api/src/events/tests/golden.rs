//! Bytes that earlier versions wrote. A case in `tests/golden` is never changed or removed: logs hold such bytes.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use tenon_core::manifest::{
    ConfigEntry, DataStore, Direction, Egress, Endpoint, Gateway, Interface, Process, Protocol, Resources,
    SecretRef, Service, StoreKind, System, Traffic, TrafficRules, Version, Workload,
};
use tenon_core::retry::{Delay, Jitter};
use tenon_core::route::{Backend, HeaderMatch, Match, PathMatch, QueryMatch, Route, Rule};
use tenon_core::{balance, breaker, health, limit, outlier};

#[test]
fn committed_bytes_decode_to_what_they_meant_and_encode_the_same() {
    let mut known = BTreeSet::new();
    let mut missing = Vec::new();
    for (case, event) in cases() {
        let (event_type, payload) = encode(&event);
        let committed = committed(event_type.as_str());
        let Some(bytes) = committed.get(case) else {
            missing.push(format!("{event_type}.hex: {case} {}", hex(&payload)));
            continue;
        };
        assert_eq!(decode(&event_type, bytes).as_ref(), Ok(&event), "{event_type}: {case}");
        assert_eq!(hex(&payload), hex(bytes), "{event_type}: {case}");
        known.insert((event_type.to_string(), case.to_owned()));
    }
    assert!(missing.is_empty(), "if these cases are new, commit their lines:\n{}", missing.join("\n"));
    for event_type in TYPES {
        let cases = committed(event_type);
        assert!(!cases.is_empty(), "{event_type} has no committed bytes");
        for case in cases.into_keys() {
            assert!(
                known.contains(&((*event_type).to_owned(), case.clone())),
                "{event_type}: {case} is unchecked"
            );
        }
    }
}

#[test]
fn no_file_is_left_without_its_type() {
    for file in std::fs::read_dir(folder()).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let event_type = name.strip_suffix(".hex").unwrap();
        assert!(TYPES.contains(&event_type), "{name} belongs to no type");
    }
}

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden"].iter().collect()
}

/// The cases of a type: lines of a name and hexadecimal digits.
fn committed(event_type: &str) -> BTreeMap<String, Vec<u8>> {
    let text = std::fs::read_to_string(folder().join(format!("{event_type}.hex"))).unwrap_or_default();
    let case = |line: &str| line.split_once(' ').map(|(case, hex)| (case.to_owned(), bytes(hex)));
    text.lines().map(|line| case(line).unwrap()).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().map(|it| u8::try_from(it.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn service() -> ServiceRef {
    "payment.bank".parse().unwrap()
}

fn instance() -> InstanceId {
    "payment-1-7f3a09c1".parse().unwrap()
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn cases() -> Vec<(&'static str, Event)> {
    let manifest = Applied { system: system().into(), text: "name: shop\n".into() };
    let mut cases = vec![("shop", Event::Catalog(catalog::Event::ManifestApplied(manifest)))];
    cases.extend(config_cases().into_iter().map(|(case, event)| (case, Event::Config(event))));
    cases.extend(duty_cases().into_iter().map(|(case, event)| (case, Event::Duty(event))));
    cases.extend(registry_cases().into_iter().map(|(case, event)| (case, Event::Registry(event))));
    cases.extend(runtime_cases().into_iter().map(|(case, event)| (case, Event::Runtime(event))));
    cases
}

fn duty_cases() -> Vec<(&'static str, duty::Event)> {
    use duty::{Duty, Epoch, Event};
    let server = ServerId::from_bytes(std::array::from_fn(|index| index as u8 + 1));
    let taken = |duty, epoch| Event::DutyTaken { duty, server, epoch: Epoch(epoch) };
    vec![("health", taken(Duty::Health, 1)), ("runtime", taken(Duty::Runtime, 1_000_000))]
}

fn config_cases() -> Vec<(&'static str, config::Event)> {
    use config::{Event, Origin, Value};
    let key: tenon_core::manifest::ConfigKey = "limits.daily".parse().unwrap();
    let value = Value::from_canonical(r#"{"currency":"EUR","most":1000.5}"#);
    let set = |origin| Event::ValueSet { service: service(), key: key.clone(), value: value.clone(), origin };
    let removed = |origin| Event::ValueRemoved { service: service(), key: key.clone(), origin };
    vec![
        ("manifest", set(Origin::Manifest)),
        ("hand", set(Origin::Hand)),
        ("manifest", removed(Origin::Manifest)),
        ("hand", removed(Origin::Hand)),
    ]
}

fn labels() -> Labels {
    let pairs = [("rack".to_owned(), "b2".to_owned()), ("zone".to_owned(), "north".to_owned())];
    Labels { version: "2.1.0".parse().unwrap(), weight: 3, metadata: Metadata::new(pairs.into()).unwrap() }
}

fn registered(origin: registry::Origin, sidecar: Option<Sidecar>) -> registry::Event {
    registry::Event::InstanceRegistered(Registration {
        id: instance(),
        service: service(),
        address: "127.0.0.1:20001".parse().unwrap(),
        labels: labels(),
        origin,
        sidecar,
    })
}

fn registry_cases() -> Vec<(&'static str, registry::Event)> {
    use registry::{Event, Origin};
    let sidecar = Sidecar { inbound: local(20_002), outbound: local(20_003) };
    let deregistered =
        |reason| Event::InstanceDeregistered { service: service(), instance: instance(), reason };
    let health_changed = |from, to| Event::InstanceHealthChanged {
        service: service(),
        instance: instance(),
        from,
        to,
        evidence: Evidence::new("GET /health", "status 503", Duration::from_micros(12_345)),
    };
    vec![
        ("managed", registered(Origin::Managed { slot: 1 }, Some(sidecar))),
        ("external", registered(Origin::External, None)),
        ("registered", registered(Origin::Registered { ttl: None }, None)),
        ("registered-ttl", registered(Origin::Registered { ttl: Some(Duration::from_secs(10)) }, None)),
        ("labels", Event::InstanceUpdated { service: service(), instance: instance(), labels: labels() }),
        ("requested", deregistered(DeregisterReason::Requested)),
        ("ended", deregistered(DeregisterReason::Ended)),
        ("unhealthy", deregistered(DeregisterReason::Unhealthy)),
        ("removed", deregistered(DeregisterReason::Removed)),
        ("unknown-healthy", health_changed(Status::Unknown, Status::Healthy)),
        ("healthy-unhealthy", health_changed(Status::Healthy, Status::Unhealthy)),
        ("draining", Event::InstanceDraining { service: service(), instance: instance() }),
    ]
}

fn runtime_cases() -> Vec<(&'static str, runtime::Event)> {
    use runtime::Event;
    let stopping = |reason| Event::InstanceStopping { instance: instance(), service: service(), reason };
    let exited = |exit| Event::InstanceExited { instance: instance(), service: service(), exit };
    let starting = Event::InstanceStarting {
        instance: instance(),
        service: service(),
        slot: 1,
        spec: SpecHash(0x0123_4567_89ab_cdef),
        ports: Ports { application: 20_001, inbound: 20_002, outbound: 20_003 },
    };
    let started = Event::InstanceStarted {
        instance: instance(),
        service: service(),
        pid: 4_711,
        started_at: Timestamp::from_micros(1_772_366_400_000_250),
    };
    vec![
        ("started", Event::ServiceStarted { service: service() }),
        ("stopped", Event::ServiceStopped { service: service() }),
        ("scaled", Event::ServiceScaled { service: service(), replicas: Some(3) }),
        ("to-none", Event::ServiceScaled { service: service(), replicas: Some(0) }),
        ("unscaled", Event::ServiceScaled { service: service(), replicas: None }),
        ("starting", starting),
        ("started", started),
        ("service-stopped", stopping(StopReason::ServiceStopped)),
        ("scaled-down", stopping(StopReason::ScaledDown)),
        ("service-removed", stopping(StopReason::ServiceRemoved)),
        ("replaced", stopping(StopReason::Replaced)),
        ("unhealthy", stopping(StopReason::Unhealthy)),
        ("code", exited(Exit::Exited(0))),
        ("negative-code", exited(Exit::Exited(-1))),
        ("signal", exited(Exit::Signalled(9))),
        ("lost", exited(Exit::Lost)),
        ("start-failed", exited(Exit::StartFailed("no such file".into()))),
    ]
}

/// A system that uses every field.
fn system() -> System {
    let services = [managed(), external()];
    System {
        subscriptions: Default::default(),
        sagas: Default::default(),
        name: "shop".parse().unwrap(),
        namespace: "bank".parse().unwrap(),
        services: services.into_iter().map(|it| (it.name.clone(), it)).collect(),
        traffic: TrafficRules {
            default: traffic(),
            services: [("payment".parse().unwrap(), special_traffic())].into(),
        },
        policies: Default::default(),
        gateway: Some(gateway()),
        egress: Egress::Allow,
        telemetry: Default::default(),
        mesh: Default::default(),
        config: [("payment".parse().unwrap(), [("limit".parse().unwrap(), entry())].into())].into(),
    }
}

fn entry() -> ConfigEntry {
    let value = |text| config::Value::from_canonical(text);
    ConfigEntry { value: value("100"), schema: Some(value(r#"{"minimum":0,"type":"integer"}"#)) }
}

fn managed() -> Service {
    let endpoint = |path: &str, method: Option<&str>| Endpoint {
        path: path.parse().unwrap(),
        method: method.map(|it| it.parse().unwrap()),
        schema: method.map(|_| "schemas/charge.json".to_owned()),
    };
    let interface = |name: &str, direction, protocol, endpoints| Interface {
        name: name.to_owned(),
        direction,
        protocol,
        endpoints,
    };
    Service {
        name: "payment".parse().unwrap(),
        version: "2.1.0".parse().unwrap(),
        workload: Workload::Process(Process {
            command: vec!["./payment".into(), "--fast".into()],
            working_directory: Some("services/payment".into()),
            env: [("LOG".to_owned(), "info".to_owned())].into(),
            replicas: 2,
        }),
        context: Some("billing".into()),
        team: Some("money".into()),
        interfaces: vec![
            interface("api", Direction::Input, Protocol::Http, vec![endpoint("/charges/{id}", Some("POST"))]),
            interface("rpc", Direction::Input, Protocol::Grpc, vec![endpoint("/bank.Payment/Charge", None)]),
            interface("jobs", Direction::Output, Protocol::MessageQueue, vec![endpoint("/jobs", None)]),
            interface("facts", Direction::Output, Protocol::EventStream, vec![endpoint("/paid", None)]),
        ],
        depends_on: ["ledger".parse().unwrap()].into(),
        data: vec![DataStore {
            name: "charges".into(),
            kind: StoreKind::PostgreSql,
            connection: Some(SecretRef("PAYMENT_DB".into())),
            entities: vec!["charge".into()],
        }],
        resources: Resources { cpu_millis: 250, memory_bytes: 64 << 20 },
        health: health::Config {
            check: health::Check::Grpc { service: "bank.Payment".into() },
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            unhealthy_threshold: 3,
            healthy_threshold: 2,
            deregister_after: Some(Duration::from_secs(60)),
            damping: Duration::from_secs(60),
        },
    }
}

fn external() -> Service {
    Service {
        name: "ledger".parse().unwrap(),
        version: Version::default(),
        workload: Workload::External(vec![
            "ledger.example:9000".parse().unwrap(),
            "[::1]:9000".parse().unwrap(),
        ]),
        context: None,
        team: None,
        depends_on: BTreeSet::new(),
        data: Vec::new(),
        resources: Resources { cpu_millis: 100, memory_bytes: 128 << 20 },
        health: health::Config {
            check: health::Check::Ttl { ttl: Duration::from_secs(15) },
            deregister_after: None,
            ..managed().health
        },
        ..managed()
    }
}

fn traffic() -> Traffic {
    Traffic {
        balance: balance::Config::of(balance::Strategy::RoundRobin),
        timeout: Duration::from_secs(30),
        retry: tenon_core::retry::Policy {
            max_retries: 3,
            delay: Delay::Exponential { base: Duration::from_millis(25), factor: 2 },
            jitter: Jitter::Full,
            max_delay: Duration::from_secs(1),
            per_try_timeout: None,
            retry_on: tenon_core::retry::RetryOn {
                connect_failure: true,
                reset: true,
                per_try_timeout: true,
                statuses: vec![502, 503, 504],
                grpc_statuses: vec![14],
            },
            non_idempotent: false,
            retry_after: true,
        },
        budget: tenon_core::retry::budget::Config { percent: 20, per_second: 10, burst: 500 },
        breaker: breaker::Config {
            failure_threshold: 5,
            open_timeout: Duration::from_secs(60),
            permitted_half_open_calls: 3,
            half_open_max_wait: Duration::from_secs(60),
            ..breaker::Config::default()
        },
        outlier: outlier::Config::default(),
        max_in_flight: 10_000,
        hedge: None,
        concurrency: None,
        priority: tenon_core::priority::Rules::default(),
        limits: limit::Config::default(),
        security: Default::default(),
    }
}

fn special_traffic() -> Traffic {
    let usual = traffic();
    Traffic {
        balance: balance::Config::of(balance::Strategy::LeastConnections),
        retry: tenon_core::retry::Policy {
            delay: Delay::Linear { base: Duration::from_millis(10), increment: Duration::from_millis(5) },
            jitter: Jitter::None,
            per_try_timeout: Some(Duration::from_millis(500)),
            non_idempotent: true,
            ..usual.retry
        },
        ..usual
    }
}

fn gateway() -> Gateway {
    let matches = vec![
        Match {
            path: PathMatch::Exact("/pay".parse().unwrap()),
            method: Some("POST".parse().unwrap()),
            headers: vec![HeaderMatch { name: "x-tenant".parse().unwrap(), value: "a".into() }],
            query: vec![QueryMatch { name: "dry".into(), value: "1".into() }],
        },
        Match { path: PathMatch::Prefix("/payments".parse().unwrap()), ..Match::default() },
    ];
    let backends = vec![Backend { service: service(), weight: 90, subset: Default::default() }];
    Gateway {
        listen: local(8_080),
        proxy_protocol: false,
        routes: vec![Route {
            name: "pay".parse().unwrap(),
            hostnames: vec!["*.shop.example".parse().unwrap()],
            rules: vec![Rule { matches, backends, timeout: Some(Duration::from_secs(5)) }],
        }],
        tls: None,
    }
}
