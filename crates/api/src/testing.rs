//! Arbitrary values of the types of `core`, for round trips. Spans are whole milliseconds, the coarsest that any
//! form keeps.

mod sagas;
mod subscriptions;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tenon_core::config::Value;
use tenon_core::manifest::*;
use tenon_core::policy::{
    Action, Condition, Edits, Fault, Field, HeaderEdits, Mirror, Policies, Policy as PolicyOfCalls, Test,
};
use tenon_core::retry::{Delay, Jitter, Policy, RetryOn, budget};
use tenon_core::route::{Backend, HeaderMatch, Match, PathMatch, QueryMatch, Route, Rule};
use tenon_core::snapshot::{Endpoints, Routes, Sidecar, Sidecars};
use tenon_core::{
    Address, InstanceId, LogId, PolicyName, Position, Revision, ServiceName, ServiceRef, Timestamp, balance,
    breaker, concurrency, health, hedge, limit, outlier, priority, rate, snapshot,
};

pub(crate) fn name<T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug>() -> impl Strategy<Value = T>
{
    "[a-z]([a-z0-9-]{0,6}[a-z0-9])?".prop_map(|text| text.parse().unwrap())
}

pub(crate) fn service_ref() -> impl Strategy<Value = ServiceRef> {
    (name(), name()).prop_map(|(name, namespace)| ServiceRef { name, namespace })
}

pub(crate) fn revision() -> impl Strategy<Value = Revision> {
    (any::<[u8; 16]>(), any::<u64>())
        .prop_map(|(log, position)| Revision { log: LogId::from_bytes(log), position: Position(position) })
}

pub(crate) fn span() -> impl Strategy<Value = Duration> {
    (0..1_000_000_000_u64).prop_map(Duration::from_millis)
}

pub(crate) fn socket() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

pub(crate) fn address() -> impl Strategy<Value = Address> {
    let host = prop_oneof![any::<IpAddr>().prop_map(|ip| ip.to_string()), "[a-z]{1,8}(\\.[a-z]{1,8})?"];
    (host, 1..=u16::MAX).prop_map(|(host, port)| Address::new(&host, port).unwrap())
}

pub(crate) fn version() -> impl Strategy<Value = Version> {
    "[0-9]\\.[0-9]\\.[0-9](-[a-z]{1,4})?".prop_map(|text| text.parse().unwrap())
}

pub(crate) fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let scalar = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_filter("JSON has no others", |it| it.is_finite()).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    scalar.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Into::into),
            btree_map(any::<String>(), inner, 0..4).prop_map(|it| it.into_iter().collect()),
        ]
    })
}

pub(crate) fn value() -> impl Strategy<Value = Value> {
    json_value().prop_map(|json| crate::value::to_core(&json).unwrap())
}

pub(crate) fn key() -> impl Strategy<Value = ConfigKey> {
    "[a-zA-Z0-9._-]{1,12}".prop_map(|text| text.parse().unwrap())
}

fn method() -> impl Strategy<Value = HttpMethod> {
    "[A-Z]{3,7}".prop_map(|text| text.parse().unwrap())
}

fn delay() -> impl Strategy<Value = Delay> {
    prop_oneof![
        span().prop_map(Delay::Fixed),
        (span(), span()).prop_map(|(base, increment)| Delay::Linear { base, increment }),
        (span(), any::<u32>()).prop_map(|(base, factor)| Delay::Exponential { base, factor }),
    ]
}

fn retry_on() -> impl Strategy<Value = RetryOn> {
    let switches = (any::<bool>(), any::<bool>(), any::<bool>());
    (switches, vec(any::<u16>(), 0..4), vec(any::<u8>(), 0..4)).prop_map(
        |(switches, statuses, grpc_statuses)| {
            let (connect_failure, reset, per_try_timeout) = switches;
            RetryOn { connect_failure, reset, per_try_timeout, statuses, grpc_statuses }
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    let jitter = prop_oneof![Just(Jitter::None), Just(Jitter::Full), Just(Jitter::Decorrelated)];
    let spans = (span(), option::of(span()));
    let switches = any::<(bool, bool)>();
    (any::<u32>(), delay(), jitter, spans, retry_on(), switches).prop_map(
        |(max_retries, delay, jitter, (max_delay, per_try_timeout), retry_on, switches)| Policy {
            max_retries,
            delay,
            jitter,
            max_delay,
            per_try_timeout,
            retry_on,
            non_idempotent: switches.0,
            retry_after: switches.1,
        },
    )
}

fn budget() -> impl Strategy<Value = budget::Config> {
    any::<(u32, u32, u32)>().prop_map(|(percent, per_second, burst)| budget::Config {
        percent,
        per_second,
        burst,
    })
}

fn breaker() -> impl Strategy<Value = breaker::Config> {
    let window = prop_oneof![
        Just(breaker::Window::Consecutive),
        any::<u32>().prop_map(|size| breaker::Window::Count { size }),
        span().prop_map(|span| breaker::Window::Time { span }),
    ];
    let slow_call = (span(), any::<u32>())
        .prop_map(|(longer_than, rate_percent)| breaker::SlowCall { longer_than, rate_percent });
    let rates = (window, any::<u32>(), any::<u32>(), option::of(slow_call));
    let mode = proptest::sample::select(&breaker::Mode::ALL[..]);
    let fixed = (any::<u32>(), span(), any::<u32>(), span());
    (fixed, mode, rates, outcomes(), outcomes()).prop_map(
        |((failures, open_timeout, calls, wait), mode, rates, failed, ignored)| breaker::Config {
            mode,
            window: rates.0,
            failure_threshold: failures,
            minimum_calls: rates.1,
            failure_rate_percent: rates.2,
            slow_call: rates.3,
            open_timeout,
            permitted_half_open_calls: calls,
            half_open_max_wait: wait,
            failures: failed,
            ignored,
        },
    )
}

fn outcomes() -> impl Strategy<Value = breaker::Outcomes> {
    (vec(400..600u16, 0..5), vec(0..32u8, 0..5), any::<(bool, bool)>()).prop_map(
        |(statuses, grpc, (network, timeout))| breaker::Outcomes::of(statuses, grpc).and(network, timeout),
    )
}

fn outlier() -> impl Strategy<Value = outlier::Config> {
    let success_rate =
        any::<(u32, u32, u32)>().prop_map(|(calls, instances, deviations)| outlier::SuccessRate {
            minimum_calls: calls,
            minimum_instances: instances,
            deviations_thousandths: deviations,
        });
    let latency = any::<(u32, u32)>()
        .prop_map(|(minimum_calls, factor_percent)| outlier::Latency { minimum_calls, factor_percent });
    let spans = (span(), span(), span());
    (any::<(u32, u32, u32)>(), option::of(success_rate), option::of(latency), spans).prop_map(
        |((failures, refusals, percent), success_rate, latency, (interval, base, most))| outlier::Config {
            consecutive_failures: failures,
            consecutive_refusals: refusals,
            success_rate,
            latency,
            interval,
            base_ejection: base,
            max_ejection: most,
            max_ejected_percent: percent,
        },
    )
}

fn load() -> impl Strategy<Value = (Option<hedge::Policy>, Option<concurrency::Config>, priority::Rules)> {
    let after =
        prop_oneof![span().prop_map(hedge::After::Fixed), any::<u32>().prop_map(hedge::After::Percentile),];
    let hedge = (after, any::<u32>()).prop_map(|(after, max)| hedge::Policy { after, max });
    let concurrency = (any::<(u32, u32, u32)>(), span(), span()).prop_map(
        |((min, max, tolerance), window, measure_every)| concurrency::Config {
            min,
            max,
            tolerance,
            window,
            measure_every,
        },
    );
    let calls = proptest::sample::select(&priority::Priority::ALL[..]);
    let rules = (calls, any::<u32>(), any::<u32>()).prop_map(|(calls, sheddable, default)| priority::Rules {
        calls,
        sheddable,
        default,
    });
    (option::of(hedge), option::of(concurrency), rules)
}

fn pairs() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("[a-z]{1,8}", ".{0,8}", 0..3)
}

fn subset() -> impl Strategy<Value = balance::Subset> {
    pairs().prop_map(|pairs| balance::Subset::new(pairs).unwrap())
}

fn hash_on() -> impl Strategy<Value = balance::HashOn> {
    use balance::HashOn;
    prop_oneof![
        Just(HashOn::Client),
        Just(HashOn::Path),
        "[a-z][a-z-]{0,6}".prop_map(|name| HashOn::Header(name.parse().unwrap())),
        ("[a-z]{1,6}", option::of(span()))
            .prop_map(|(name, ttl)| HashOn::Cookie { name: name.parse().unwrap(), ttl }),
    ]
}

fn balance() -> impl Strategy<Value = balance::Config> {
    let numbers = (2..=10_u32, 1..=1_000_u32, option::of(101..=1_000_u32), 0..=100_u32);
    let strategy = proptest::sample::select(&balance::Strategy::ALL[..]);
    let plain = strategy.clone().prop_map(balance::Config::of);
    let stated = (strategy, numbers, hash_on(), span(), any::<bool>(), subset()).prop_map(
        |(
            strategy,
            (choices, virtual_nodes, max_load_percent, panic_percent),
            hash_on,
            slow_start,
            near,
            subset,
        )| {
            balance::Config {
                strategy,
                choices,
                hash_on,
                virtual_nodes,
                max_load_percent,
                slow_start,
                panic_percent,
                prefer_near: near,
                subset,
            }
        },
    );
    prop_oneof![plain, stated]
}

fn security() -> impl Strategy<Value = Security> {
    (any::<bool>(), any::<bool>()).prop_map(|(permissive, declared)| Security {
        mtls: if permissive { Mtls::Permissive } else { Mtls::Strict },
        authorization: if declared { Authorization::Declared } else { Authorization::Open },
    })
}

fn gateway_tls() -> impl Strategy<Value = GatewayTls> {
    let host = "(\\*\\.)?[a-z]{1,6}\\.[a-z]{2,3}".prop_map(|text| text.parse().unwrap());
    let certificate =
        (vec(host, 0..3), ".{1,8}", ".{1,8}").prop_map(|(hosts, cert, key)| Certificate { hosts, cert, key });
    let plain = (socket(), any::<bool>()).prop_map(|(listen, redirect)| PlainListener { listen, redirect });
    (vec(certificate, 0..3), any::<bool>(), option::of(plain)).prop_map(|(certificates, only_13, plain)| {
        let min_version = if only_13 { TlsVersion::Tls13 } else { TlsVersion::Tls12 };
        GatewayTls { certificates, min_version, plain }
    })
}

pub(crate) fn traffic() -> impl Strategy<Value = Traffic> {
    let limits =
        any::<(u32, u32)>().prop_map(|(connections, pending)| limit::Config { connections, pending });
    (balance(), span(), policy(), budget(), breaker(), outlier(), any::<u32>(), limits, (load(), security()))
        .prop_map(
            |(balance, timeout, retry, budget, breaker, outlier, max_in_flight, limits, (load, security))| {
                Traffic {
                    balance,
                    timeout,
                    retry,
                    budget,
                    breaker,
                    outlier,
                    max_in_flight,
                    hedge: load.0,
                    concurrency: load.1,
                    priority: load.2,
                    limits,
                    security,
                }
            },
        )
}

fn route_match() -> impl Strategy<Value = Match> {
    let path = "(/[a-z]{1,4}){1,3}/?".prop_map(|text| text.parse().unwrap());
    let path = (path, any::<bool>())
        .prop_map(|(path, exact)| if exact { PathMatch::Exact(path) } else { PathMatch::Prefix(path) });
    let header = ("[a-z][a-z-]{0,6}", any::<String>())
        .prop_map(|(name, value)| HeaderMatch { name: name.parse().unwrap(), value });
    let query = any::<(String, String)>().prop_map(|(name, value)| QueryMatch { name, value });
    (path, option::of(method()), vec(header, 0..3), vec(query, 0..3))
        .prop_map(|(path, method, headers, query)| Match { path, method, headers, query })
}

fn rule() -> impl Strategy<Value = Rule> {
    let backend = (service_ref(), any::<u32>(), subset()).prop_map(|(service, weight, subset)| Backend {
        service,
        weight,
        subset,
    });
    (vec(route_match(), 0..3), vec(backend, 0..3), option::of(span()))
        .prop_map(|(matches, backends, timeout)| Rule { matches, backends, timeout })
}

pub(crate) fn gateway() -> impl Strategy<Value = Gateway> {
    let hostname = "(\\*\\.)?[a-z]{1,6}\\.[a-z]{2,3}".prop_map(|text| text.parse().unwrap());
    let route = (name(), vec(hostname, 0..3), vec(rule(), 0..3)).prop_map(|(name, hostnames, rules)| Route {
        name,
        hostnames,
        rules,
    });
    (socket(), any::<bool>(), vec(route, 0..3), option::of(gateway_tls()))
        .prop_map(|(listen, proxy_protocol, routes, tls)| Gateway { listen, proxy_protocol, routes, tls })
}

fn egress() -> impl Strategy<Value = Egress> {
    prop_oneof![Just(Egress::Deny), Just(Egress::Allow)]
}

/// Spans of whole milliseconds, as a system's document has them.
fn telemetry() -> impl Strategy<Value = Telemetry> {
    let access_log = prop_oneof![Just(AccessLog::Off), Just(AccessLog::Errors), Just(AccessLog::All)];
    (0..=1_000_000_u32, 1..100_000_u64, access_log, option::of("http://[a-z]{1,8}:[1-9]")).prop_map(
        |(sampling, slow, access_log, otlp)| Telemetry {
            sampling: Ratio::of_millionths(sampling).unwrap(),
            slow: Duration::from_millis(slow),
            access_log,
            otlp: otlp.map(Into::into),
        },
    )
}

fn condition() -> impl Strategy<Value = Condition> {
    let field = prop_oneof![
        proptest::sample::select(vec![Field::Method, Field::Path, Field::Host, Field::Source]),
        "[a-z][a-z-]{0,6}".prop_map(|name| Field::Header(name.parse().unwrap())),
        any::<String>().prop_map(Field::Query),
    ];
    let values = || vec(any::<String>(), 1..3);
    let test = prop_oneof![
        values().prop_map(Test::Equals),
        values().prop_map(Test::NotEquals),
        values().prop_map(Test::Prefix),
        values().prop_map(Test::Suffix),
        values().prop_map(Test::Contains),
        Just(Test::Exists),
        Just(Test::Absent),
    ];
    let special = prop_oneof![
        Just(Condition { field: Field::Client, test: Test::InCidr(vec!["10.0.0.0/8".parse().unwrap()]) }),
        Just(Condition { field: Field::Path, test: Test::Matches(vec!["/a/{b}".parse().unwrap()]) }),
    ];
    prop_oneof![(field, test).prop_map(|(field, test)| Condition { field, test }), special]
}

fn header_edits() -> impl Strategy<Value = HeaderEdits> {
    let name = || "x-[a-z]{1,6}".prop_map(|name| name.parse().unwrap());
    let pairs = || vec((name(), "[a-z]{1,6}"), 0..3);
    (vec(name(), 0..3), pairs(), pairs()).prop_map(|(remove, set, add)| HeaderEdits { remove, set, add })
}

fn policy_action() -> impl Strategy<Value = Action> {
    let by = prop_oneof![
        proptest::sample::select(vec![rate::By::All, rate::By::Source, rate::By::Client]),
        "[a-z][a-z-]{0,6}".prop_map(|name| rate::By::Header(name.parse().unwrap())),
    ];
    let per = (1..1_000_000_u64).prop_map(Duration::from_millis);
    let limit = (1..=u32::MAX, per, 1..=u32::MAX, by, any::<bool>());
    prop_oneof![
        Just(Action::Allow),
        Just(Action::Deny),
        limit.prop_map(|(requests, per, burst, by, shared)| Action::RateLimit(rate::Limit {
            requests,
            per,
            burst,
            by,
            shared
        })),
        (1..=u32::MAX).prop_map(|max_attempts| Action::Retry { max_attempts }),
        span().prop_map(Action::Timeout),
        (service_ref(), 0..=100_u8)
            .prop_map(|(service, percent)| Action::Mirror(Mirror { service, percent })),
        (option::of(span()), option::of(200..600_u16), 0..=100_u8)
            .prop_map(|(delay, abort, percent)| Action::Fault(Fault { delay, abort, percent })),
        (header_edits(), header_edits())
            .prop_map(|(request, response)| Action::Headers(Edits { request, response })),
    ]
}

/// Policies, each of them attached to something.
pub(crate) fn policies() -> impl Strategy<Value = Policies> {
    let policy = (vec(condition(), 0..3), vec(condition(), 0..3), policy_action())
        .prop_map(|(rules, unless, action)| Arc::new(PolicyOfCalls { rules, unless, action }));
    (btree_map(name(), policy, 0..4), name(), service_ref()).prop_map(|(named, route, service)| {
        let all: BTreeSet<PolicyName> = named.keys().cloned().collect();
        Policies {
            services: BTreeMap::from([(service, all.clone())]),
            routes: BTreeMap::from([(route, all.clone())]),
            named,
            all,
        }
    })
}

pub(crate) fn routes() -> impl Strategy<Value = Routes> {
    let resting = btree_set(service_ref(), 0..3);
    let services = btree_map(service_ref(), traffic(), 0..4);
    let policies = (policies(), 1..=u32::MAX);
    (revision(), option::of(gateway()), services, resting, egress(), telemetry(), policies).prop_map(
        |(revision, gateway, services, resting, egress, telemetry, (policies, planes))| Routes {
            policies,
            planes,
            revision,
            gateway,
            services,
            resting,
            egress,
            telemetry,
        },
    )
}

pub(crate) fn endpoint() -> impl Strategy<Value = snapshot::Endpoint> {
    let known =
        (any::<bool>(), any::<u64>().prop_map(Timestamp::from_micros), (pairs(), option::of(socket())));
    (name(), address(), version(), any::<u32>(), known).prop_map(
        |(instance, address, version, weight, (healthy, since, (metadata, inbound)))| snapshot::Endpoint {
            instance,
            address,
            version,
            weight,
            healthy,
            since,
            metadata,
            inbound,
        },
    )
}

pub(crate) fn endpoints() -> impl Strategy<Value = Endpoints> {
    (revision(), btree_map(service_ref(), vec(endpoint(), 1..4), 0..4))
        .prop_map(|(revision, services)| Endpoints { revision, services })
}

pub(crate) fn sidecars() -> impl Strategy<Value = Sidecars> {
    let listeners = (socket(), socket(), address());
    let others = || btree_set(service_ref(), 0..3);
    let sidecar = (service_ref(), listeners, any::<[u8; 32]>(), others(), others()).prop_map(
        |(service, (outbound, inbound, application), credential_sha256, depends_on, callers)| Sidecar {
            service,
            outbound,
            inbound,
            application,
            credential_sha256,
            depends_on,
            callers,
        },
    );
    (revision(), btree_map(name::<InstanceId>(), sidecar, 0..4))
        .prop_map(|(revision, sidecars)| Sidecars { revision, sidecars })
}

fn interface() -> impl Strategy<Value = Interface> {
    let path = "(/[a-z]{1,4}|/\\{[a-z]{1,4}\\}){1,3}".prop_map(|text| text.parse().unwrap());
    let endpoint = (path, option::of(method()), option::of(any::<String>()))
        .prop_map(|(path, method, schema)| Endpoint { path, method, schema });
    let direction = prop_oneof![Just(Direction::Input), Just(Direction::Output)];
    let protocols = [Protocol::Http, Protocol::Grpc, Protocol::MessageQueue, Protocol::EventStream];
    (any::<String>(), direction, proptest::sample::select(protocols.to_vec()), vec(endpoint, 1..4))
        .prop_map(|(name, direction, protocol, endpoints)| Interface { name, direction, protocol, endpoints })
}

fn workload() -> impl Strategy<Value = Workload> {
    let process = (
        vec(any::<String>(), 1..4),
        option::of(any::<String>()),
        btree_map(any::<String>(), any::<String>(), 0..4),
        0..=MAX_REPLICAS,
    )
        .prop_map(|(command, working_directory, env, replicas)| Process {
            command,
            working_directory,
            env,
            replicas,
        });
    prop_oneof![process.prop_map(Workload::Process), vec(address(), 1..4).prop_map(Workload::External),]
}

fn data_store() -> impl Strategy<Value = DataStore> {
    let kind = prop_oneof![
        Just(StoreKind::PostgreSql),
        Just(StoreKind::MongoDb),
        Just(StoreKind::Redis),
        Just(StoreKind::Elasticsearch),
        Just(StoreKind::Sqlite),
        Just(StoreKind::File),
        "other-[a-z]{1,6}".prop_map(StoreKind::Other),
    ];
    (any::<String>(), kind, option::of("[A-Z]{1,6}".prop_map(SecretRef)), vec(any::<String>(), 0..3))
        .prop_map(|(name, kind, connection, entities)| DataStore { name, kind, connection, entities })
}

pub(crate) fn health() -> impl Strategy<Value = health::Config> {
    let check = prop_oneof![
        any::<String>().prop_map(|path| health::Check::Http { path }),
        any::<String>().prop_map(|service| health::Check::Grpc { service }),
        Just(health::Check::Tcp),
        span().prop_map(|ttl| health::Check::Ttl { ttl }),
    ];
    (check, span(), span(), any::<(u32, u32)>(), option::of(span()), span()).prop_map(
        |(check, interval, timeout, (unhealthy_threshold, healthy_threshold), deregister_after, damping)| {
            health::Config {
                check,
                interval,
                timeout,
                unhealthy_threshold,
                healthy_threshold,
                deregister_after,
                damping,
            }
        },
    )
}

fn service(name: ServiceName) -> impl Strategy<Value = Service> {
    let owner = option::of(any::<String>());
    let resources = (1..=u32::MAX, 1..=u64::MAX)
        .prop_map(|(cpu_millis, memory_bytes)| Resources { cpu_millis, memory_bytes });
    let data = (vec(data_store(), 0..3), resources, health());
    let calls = btree_set(self::name(), 0..3);
    (version(), workload(), (owner.clone(), owner), vec(interface(), 1..3), calls, data).prop_map(
        move |(version, workload, (context, team), interfaces, depends_on, (data, resources, health))| {
            Service {
                name: name.clone(),
                version,
                workload,
                context,
                team,
                interfaces,
                depends_on,
                data,
                resources,
                health,
            }
        },
    )
}

fn config_entry() -> impl Strategy<Value = ConfigEntry> {
    let schema = any::<bool>().prop_map(|it| crate::value::to_core(&it.into()).unwrap());
    (value(), option::of(schema)).prop_map(|(value, schema)| ConfigEntry { value, schema })
}

pub(crate) fn system() -> impl Strategy<Value = System> {
    let services = vec(name::<ServiceName>().prop_flat_map(service), 0..4)
        .prop_map(|services| services.into_iter().map(|it| (it.name.clone(), it)).collect());
    let rules = (traffic(), btree_map(name(), traffic(), 0..3))
        .prop_map(|(default, services)| TrafficRules { default, services });
    let config = btree_map(name(), btree_map(key(), config_entry(), 0..3), 0..3);
    let mesh = span().prop_map(|certificate_ttl| Mesh { certificate_ttl });
    let rest = (telemetry(), policies());
    (name(), name(), services, rules, option::of(gateway()), (egress(), mesh), rest, config).prop_map(
        |(name, namespace, services, traffic, gateway, (egress, mesh), (telemetry, policies), config)| {
            System {
                policies,
                name,
                subscriptions: subscriptions::two(&namespace),
                sagas: sagas::two(&namespace),
                namespace,
                services,
                traffic,
                gateway,
                egress,
                telemetry,
                mesh,
                config,
            }
        },
    )
}
