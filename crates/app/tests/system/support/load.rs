//! Requests at a steady rate, whether answers come or not.

use super::http::{Answer, Http};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// More than this in flight means that the system does not keep up.
const MOST_IN_FLIGHT: usize = 5_000;

/// Tests with load go one after the other, so that they do not starve each other.
pub(crate) async fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// `GET` requests on a thread of their own, until it is stopped.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Load {
    /// Sends `rate` requests each second on connections that are kept.
    pub(crate) fn start(url: &str, rate: u32) -> Self {
        Self::begin(url, rate, Http::new, "")
    }

    /// Sends `rate` requests each second, each on a connection of its own.
    pub(crate) fn start_on_fresh_connections(url: &str, rate: u32) -> Self {
        Self::begin(url, rate, Http::on_fresh_connections, "")
    }

    /// Sends `rate` requests each second; an answer without this text is a failure too.
    pub(crate) fn start_expecting(url: &str, rate: u32, text: &'static str) -> Self {
        Self::begin(url, rate, Http::new, text)
    }

    fn begin(url: &str, rate: u32, http: fn() -> Http, expected: &'static str) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let customers = Customers { url: url.to_owned(), expected, answered: Arc::clone(&answered) };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(drive(http(), customers, rate, &stopped))
        });
        Self { stop, answered, thread: Some(thread) }
    }

    /// Waits until this many more requests have been answered well.
    pub(crate) async fn goes_on_for(&self, requests: u64) {
        let wanted = self.answered.load(Ordering::Relaxed) + requests;
        let enough = async || (self.answered.load(Ordering::Relaxed) >= wanted).then_some(());
        super::eventually("requests are answered", enough).await;
    }

    /// How many requests have been answered well.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Stops, waits for the answers that are due, and fails if one of the requests did.
    #[track_caller]
    pub(crate) fn had_no_failure(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.thread.take().unwrap().join().unwrap();
        let answered = self.answered.load(Ordering::Relaxed);
        assert!(
            failures.is_empty(),
            "{} requests failed, {answered} did not; the first:\n{}",
            failures.len(),
            failures[..failures.len().min(10)].join("\n")
        );
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone)]
struct Customers {
    url: String,
    /// What a good answer contains.
    expected: &'static str,
    answered: Arc<AtomicU64>,
}

async fn drive(http: Http, customers: Customers, rate: u32, stop: &AtomicBool) -> Vec<String> {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut in_flight = JoinSet::new();
    let mut failures = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        while let Some(ended) = in_flight.try_join_next() {
            failures.extend(ended.unwrap());
        }
        if in_flight.len() >= MOST_IN_FLIGHT {
            failures.push(format!("{MOST_IN_FLIGHT} requests are in flight: the system does not keep up"));
            break;
        }
        in_flight.spawn(visit(http.clone(), customers.clone(), begun));
    }
    failures.extend(in_flight.join_all().await.into_iter().flatten());
    failures
}

/// One request; what it answers is why it failed.
async fn visit(http: Http, customers: Customers, begun: Instant) -> Option<String> {
    let at = begun.elapsed();
    let Answer { status, headers, text } = http.get(&customers.url).await;
    if status == 200 && text.contains(customers.expected) {
        customers.answered.fetch_add(1, Ordering::Relaxed);
        return None;
    }
    let id = headers.get("x-request-id");
    Some(format!("after {at:?} and {:?}: {status} {text} ({id:?})", begun.elapsed().saturating_sub(at)))
}
