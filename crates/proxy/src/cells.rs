//! What a process knows of services and instances besides its configuration: breakers, retry budgets, requests in
//! flight. One of each for the whole process, so that thresholds mean what they say, in atomics that all workers
//! share. They survive changes of the configuration for as long as it names the service or instance.

use crate::admission::Leave;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tenon_core::breaker::{self, State};
use tenon_core::retry::budget;
use tenon_core::{InstanceId, ServiceRef};
use tenon_core::{concurrency, limit, quantile};

/// Of one service.
#[derive(Debug, Default)]
pub(crate) struct ServiceCells {
    /// Fed with the final outcomes of calls.
    pub(crate) breaker: Arc<breaker::Shared>,
    /// What all calls may spend on retries.
    pub(crate) budget: budget::Shared,
    /// Calls in flight.
    pub(crate) in_flight: Arc<limit::Shared>,
    /// How many of them there may be, where that is found by itself.
    pub(crate) concurrency: concurrency::Shared,
    /// How long tries take, where that decides when another goes out beside them.
    pub(crate) latency: quantile::Shared,
}

/// Of one instance.
#[derive(Debug, Default)]
pub(crate) struct InstanceCells {
    /// Fed with the outcome of each attempt.
    pub(crate) breaker: Arc<breaker::Shared>,
    /// Attempts in flight.
    pub(crate) in_flight: Arc<limit::Shared>,
    /// How the last attempt found it, as far as that says something.
    contact: AtomicU8,
}

/// How an attempt found an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Contact {
    /// It answered, or has not been asked.
    Answers = 0,
    /// The connection broke.
    Broke = 1,
    /// There was no connection.
    Refuses = 2,
}

impl InstanceCells {
    pub(crate) fn contact(&self) -> Contact {
        match self.contact.load(Ordering::Relaxed) {
            0 => Contact::Answers,
            1 => Contact::Broke,
            _ => Contact::Refuses,
        }
    }

    /// It has answered. An answer that was on its way when the breaker opened says nothing any more.
    pub(crate) fn answered(&self) {
        if self.contact() != Contact::Answers && !matches!(self.breaker.state(), State::Open { .. }) {
            self.contact.store(Contact::Answers as u8, Ordering::Relaxed);
        }
    }

    /// An attempt that `leave` was given for has failed; what that says of the instance, if anything.
    pub(crate) fn failed(&self, contact: Option<Contact>, leave: Leave) {
        let remember = || contact.into_iter().for_each(|it| self.contact.store(it as u8, Ordering::Relaxed));
        // Before, so that nobody sees an open breaker without its reason; and after, for an answer in between.
        remember();
        leave.record(false);
        remember();
    }
}

/// All cells of a process; used when the configuration changes only.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    services: BTreeMap<ServiceRef, Arc<ServiceCells>>,
    instances: BTreeMap<(ServiceRef, InstanceId), Arc<InstanceCells>>,
}

impl Cells {
    /// The cells of a service, made if there are none.
    pub(crate) fn service(&mut self, service: &ServiceRef) -> Arc<ServiceCells> {
        Arc::clone(self.services.entry(service.clone()).or_default())
    }

    /// The cells of an instance, made if there are none.
    pub(crate) fn instance(&mut self, service: &ServiceRef, instance: &InstanceId) -> Arc<InstanceCells> {
        Arc::clone(self.instances.entry((service.clone(), instance.clone())).or_default())
    }

    /// Forgets what nobody else refers to any more.
    pub(crate) fn forget_unused(&mut self) {
        self.services.retain(|_, cells| Arc::strong_count(cells) > 1);
        self.instances.retain(|_, cells| Arc::strong_count(cells) > 1);
    }
}
