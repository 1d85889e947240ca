//! A pick among a thousand endpoints, a breaker's check, a route among 40,000, a retry budget, a look at a head.

use criterion::{Criterion, criterion_group, criterion_main};
use failsafe::CircuitBreaker as _;
use futures_util::FutureExt as _;
use std::hint::black_box;
use std::time::{Duration, Instant};
use tenon_core::balance::{Ask, Balancer, Candidate, Config, FULL, Key, Member, Strategy, Table};
use tenon_core::http1::{self, Scanner};
use tenon_core::retry::budget;
use tenon_core::route::{
    Backend, Headers, Match, PathMatch, RequestHead, Route, RoutePath, RouteTable, Rule,
};
use tenon_core::trace::Parent;
use tenon_core::{ServiceRef, Timestamp, breaker};
use tower::{Layer as _, Service as _};

const ENDPOINTS: usize = 1_000;
const ROUTES: usize = 40_000;

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_500));
    targets = picks, breakers, routes, budgets, heads
}
criterion_main!(benches);

/// An endpoint with nothing in flight but what its number says.
struct Endpoint(u64);

impl Candidate for Endpoint {
    fn weight(&self) -> u32 {
        1
    }

    fn load(&self, _: Timestamp) -> u64 {
        self.0
    }

    fn latency(&self, _: Timestamp) -> Option<u64> {
        Some(1_000 * self.0)
    }

    fn ramp(&self, _: Timestamp) -> u32 {
        FULL
    }
}

fn picks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick among 1,000");
    let endpoints: Vec<Endpoint> = (0..ENDPOINTS as u64).map(|number| Endpoint(number % 7 + 1)).collect();
    let names: Vec<String> = (0..ENDPOINTS).map(|number| format!("endpoint-{number}")).collect();
    for strategy in Strategy::ALL {
        let config = Config::of(strategy);
        let members = names.iter().enumerate().map(|(index, name)| Member { index, name, weight: 1 });
        let table = Table::new(&config, members);
        let (mut balancer, mut random) = (Balancer::new(), Random(1));
        group.bench_function(strategy.as_str(), |bench| {
            bench.iter(|| {
                let random = random.next();
                let key = Some(Key(random));
                let ask =
                    Ask { config: &config, now: Timestamp::ZERO, random, key, in_flight: 0, latency: None };
                balancer.pick(&table, black_box(&endpoints), |_| false, &ask)
            });
        });
    }
}

/// Leave for a call, and the report that it went well. The time of day is read each time, as the data plane does.
fn breakers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("breaker");
    let began = Instant::now();
    let now = || Timestamp::ZERO.after(began.elapsed());
    let (own, config) = (breaker::Shared::new(), breaker::Config::default());
    group.bench_function("check", |bench| {
        let at = now();
        bench.iter(|| own.admit(black_box(&config), black_box(at)));
    });
    group.bench_function("tenon", |bench| {
        bench.iter(|| {
            if let Ok((permit, _)) = own.admit(black_box(&config), now()) {
                black_box(own.record(permit, breaker::Outcome::SUCCESS, &config, now()));
            }
        });
    });
    let windows = [
        ("tenon, 100 calls", breaker::Window::Count { size: 100 }),
        ("tenon, 10 s", breaker::Window::Time { span: Duration::from_secs(10) }),
    ];
    for (name, window) in windows {
        let (own, config) =
            (breaker::Shared::with(window), breaker::Config { window, ..breaker::Config::default() });
        group.bench_function(name, |bench| {
            bench.iter(|| {
                if let Ok((permit, _)) = own.admit(black_box(&config), now()) {
                    black_box(own.record(permit, breaker::Outcome::SUCCESS, &config, now()));
                }
            });
        });
    }
    let other = failsafe::Config::new().build();
    group.bench_function("failsafe", |bench| bench.iter(|| other.call(|| Ok::<u8, ()>(black_box(1)))));
    let layer =
        tower_resilience_circuitbreaker::CircuitBreakerLayer::builder().build().expect("its own defaults");
    let mut service =
        layer.layer(tower::service_fn(|number: u8| std::future::ready(Ok::<u8, std::io::Error>(number))));
    group.bench_function("tower-resilience", |bench| {
        bench.iter(|| service.call(black_box(1)).now_or_never());
    });
}

/// No headers.
struct Nothing;

impl Headers for Nothing {
    fn first(&self, _: &str) -> Option<&[u8]> {
        None
    }
}

fn routes(criterion: &mut Criterion) {
    let path = |number: usize| format!("/teams/{}/services/{number}", number % 200);
    let table = RouteTable::new((0..ROUTES).map(|number| route(number, &path(number))));
    let paths: Vec<String> = (0..ROUTES).map(|number| path(number) + "/orders/17").collect();
    let mut random = Random(1);
    criterion.bench_function("route among 40,000", |bench| {
        bench.iter(|| {
            let path = &paths[random.next() as usize % ROUTES];
            let head =
                RequestHead { host: "shop.example.com", method: "GET", path, query: None, headers: &Nothing };
            table.lookup(black_box(&head)).map(|found| found.rule_index)
        });
    });
    let mut changed = table.clone();
    criterion.bench_function("one route of 40,000 changed", |bench| {
        bench.iter(|| {
            let number = random.next() as usize % ROUTES;
            let before = changed.clone();
            changed.set(route(number, &path(number)));
            before
        });
    });
}

fn route(number: usize, path: &str) -> Route {
    let service: ServiceRef = "shop".parse().expect("a service");
    let path = PathMatch::Prefix(RoutePath::new(path).expect("a path"));
    Route {
        name: format!("r{number}").parse().expect("a name"),
        hostnames: Vec::new(),
        rules: vec![Rule {
            matches: vec![Match { path, ..Match::default() }],
            backends: vec![Backend { service, weight: 1, subset: Default::default() }],
            ..Rule::default()
        }],
    }
}

fn budgets(criterion: &mut Criterion) {
    let (own, config, began) = (budget::Shared::default(), budget::Config::default(), Instant::now());
    criterion.bench_function("retry budget, deposit", |bench| {
        bench.iter(|| own.deposit(black_box(&config), Timestamp::ZERO.after(began.elapsed())));
    });
}

/// Numbers that look random (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

fn heads(criterion: &mut Criterion) {
    let small = "GET /pay HTTP/1.1\r\nhost: payment\r\nuser-agent: wrk\r\naccept: */*\r\n\r\n";
    let usual = "GET /orders/17?full=1 HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux \
         x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\nAccept: text/html,application/xhtml+xml,*/*;q=0.8\r\n\
         Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nCookie: session=0123456789abcdef\r\n\r\n";
    for (name, head) in [("strict head, 3 fields", small), ("strict head of a browser", usual)] {
        let mut scanner = Scanner::new(http1::Limits::default());
        criterion.bench_function(name, |bench| bench.iter(|| scanner.scan(black_box(head.as_bytes()))));
    }
    let text = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    criterion.bench_function("traceparent", |bench| bench.iter(|| Parent::parse(black_box(text))));
}
