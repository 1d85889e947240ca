//! Room for one more call: the limit that is stated, the one that is found by itself, and who may use how much of them.

use super::outcome_of;
use crate::attempt::{Answer, Failure};
use crate::refusal::Refused;
use crate::view::Destination;
use crate::worker::Worker;
use std::time::Duration;
use tenon_core::limit::{Full, Held};
use tenon_core::manifest::Traffic;
use tenon_core::priority::Priority;
use tenon_core::retry::Outcome;
use tenon_core::{Code, Timestamp};

/// Takes a place among the service's requests in flight.
///
/// # Errors
/// The refusal, if there is none for this priority.
pub(super) fn take(worker: &Worker, destination: &Destination, priority: Priority) -> Result<Held, Refused> {
    let Traffic { max_in_flight, concurrency, priority: rules, .. } = &destination.traffic;
    let found = concurrency.as_ref().map(|config| destination.cells.concurrency.limit(config));
    let limit = found.map_or(*max_in_flight, |found| found.min(*max_in_flight));
    let share = rules.share(limit, priority);
    destination.cells.in_flight.admit(share).map_err(|full| {
        worker.metrics.shed(&destination.service, priority);
        let policy = if share < limit {
            "priority"
        } else if limit < *max_in_flight {
            "concurrency"
        } else {
            "max-in-flight"
        };
        overloaded(destination, &full, priority).by(policy)
    })
}

/// Tells the limit that is found by itself of a try that ended, if there is one. A connection that fails says nothing of
/// how busy the service is.
pub(super) fn measure(
    worker: &Worker,
    destination: &Destination,
    began: Timestamp,
    result: Result<&Answer, &Failure>,
) {
    let Some(config) = &destination.traffic.concurrency else { return };
    let overloaded = match outcome_of(result) {
        Outcome::NeverProcessed | Outcome::Reset => return,
        Outcome::TimedOut | Outcome::Status(429 | 503) | Outcome::GrpcStatus(8 | 14) => true,
        Outcome::Status(_) | Outcome::GrpcStatus(_) => false,
    };
    let now = worker.now();
    let in_flight = u32::try_from(destination.cells.in_flight.in_flight()).unwrap_or(u32::MAX);
    let seen = (now.since(began), overloaded);
    destination.cells.concurrency.record(config, seen, in_flight, now, fastrand::u64(..));
}

fn overloaded(destination: &Destination, full: &Full, priority: Priority) -> Refused {
    let service = &destination.service;
    let detail = match priority {
        Priority::Default => format!("`{service}` has as many requests in flight as it may: {full}"),
        _ => format!("`{service}` has as many requests in flight as it may for {priority} ones: {full}"),
    };
    Refused::new(Code::MeshOverloaded, detail).retry_after(Duration::from_secs(1))
}
