//! What customers do: requests at a steady rate, whether answers come or not.

use crate::http::{Answer, Http};
use crate::stats::Times;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// More than this in flight means that the system does not keep up; further requests count as errors.
const MOST_IN_FLIGHT: usize = 5_000;

/// What customers did and saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Requests by kind.
    pub(crate) requests: BTreeMap<&'static str, Times>,
    /// What went wrong.
    pub(crate) failures: Vec<Failure>,
}

/// A request whose customer saw an error.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: &'static str,
    pub(crate) at: Duration,
    pub(crate) answer: Answer,
}

/// Traffic that runs until it is stopped.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    driver: tokio::task::JoinHandle<()>,
    seen: Arc<Mutex<Seen>>,
}

impl Load {
    /// Sends `rate` requests each second to the gateway.
    pub(crate) fn start(gateway: &str, rate: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(Seen::default()));
        let customers = Customers {
            http: Http::new(),
            gateway: gateway.to_owned(),
            begun: Instant::now(),
            orders: AtomicU64::new(0),
            run: run_name(),
            seen: Arc::clone(&seen),
        };
        let driver = tokio::spawn(drive(Arc::new(customers), rate, Arc::clone(&stop)));
        Self { stop, driver, seen }
    }

    /// Stops, waits for the answers that are due, and tells what was seen.
    pub(crate) async fn finish(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.driver.await;
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Debug)]
struct Customers {
    http: Http,
    gateway: String,
    begun: Instant,
    orders: AtomicU64,
    run: String,
    seen: Arc<Mutex<Seen>>,
}

async fn drive(customers: Arc<Customers>, rate: u32, stop: Arc<AtomicBool>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let mut in_flight = JoinSet::new();
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        while in_flight.try_join_next().is_some() {}
        if in_flight.len() < MOST_IN_FLIGHT {
            let customers = Arc::clone(&customers);
            in_flight.spawn(async move { customers.visit(number).await });
        } else {
            customers.note("not sent", customers.begun.elapsed(), overloaded());
        }
        number += 1;
    }
    while in_flight.join_next().await.is_some() {}
}

impl Customers {
    /// Of 20 requests 12 ask for a quote, 3 for the stock, 2 for recommendations, 2 order and 1 lists the quotes again.
    async fn visit(&self, number: u64) {
        let at = self.begun.elapsed();
        let (kind, answer) = match number % 20 {
            1 | 11 => ("order", self.order().await),
            4 | 9 | 14 => ("stock", self.get("/stock").await),
            6 | 16 => ("recommendation", self.get("/recommendations?sku=saw").await),
            _ => ("quote", self.get("/quote?amount=100.00").await),
        };
        self.note(kind, at, answer);
    }

    async fn get(&self, path: &str) -> Answer {
        self.http.get(&format!("{}{path}", self.gateway)).await
    }

    /// Orders with a key, so that it is safe to try again.
    async fn order(&self) -> Answer {
        let key = format!("demo-{}-{}", self.run, self.orders.fetch_add(1, Ordering::Relaxed));
        let order = json!({
            "customer": "ada", "card": "card-ada",
            "items": [{"sku": "saw", "quantity": 1, "price": "12.50"}],
        });
        let url = format!("{}/orders", self.gateway);
        self.http.send("POST", &url, &[("idempotency-key", &key)], Some(&order)).await
    }

    fn note(&self, kind: &'static str, at: Duration, answer: Answer) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.requests.entry(kind).or_default().add(answer.took);
        if !answer.is_success() {
            seen.failures.push(Failure { kind, at, answer });
        }
    }
}

/// A name that no other run has: keys of orders outlive a run where the shop's data is kept.
pub(super) fn run_name() -> String {
    let since_epoch = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    format!("{}-{}", std::process::id(), since_epoch.as_millis())
}

fn overloaded() -> Answer {
    Answer { status: 0, body: "too many in flight".into(), request_id: None, took: Duration::ZERO }
}
