//! What the tests stand on: a system in a folder of its own on free ports, requests, steady load, signals.
//!
//! Every wait has an end, and says what it waited for. What a system printed is shown when its test fails.

mod folder;
mod http;
mod load;
mod manifest;
pub(crate) mod process;
mod system;
mod tenon;

pub(crate) use folder::Folder;
pub(crate) use http::{Answer, Http};
pub(crate) use load::{Load, one_at_a_time};
pub(crate) use manifest::{greeter, node, payment, program, python, quote_route, system_of, worker};
pub(crate) use system::{System, UP};
pub(crate) use tenon::{Said, Tenon};

use std::time::{Duration, Instant};

/// How long anything may take that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Asks again and again until there is an answer.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, probe: impl AsyncFnMut() -> Option<T>) -> impl Future<Output = T> {
    within(PATIENCE, what, probe)
}

/// The same with another limit.
pub(crate) async fn within<T>(limit: Duration, what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "after {limit:?} still not so: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
