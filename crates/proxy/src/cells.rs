//! What a process knows of services and instances besides its configuration: breakers, retry budgets, requests in
//! flight. One of each for the whole process, so that thresholds mean what they say, in atomics that all workers
//! share. They survive changes of the configuration for as long as it names the service or instance.

use std::collections::BTreeMap;
use std::sync::Arc;
use tenon_core::breaker;
use tenon_core::limit;
use tenon_core::retry::budget;
use tenon_core::{InstanceId, ServiceRef};

/// Of one service.
#[derive(Debug, Default)]
pub(crate) struct ServiceCells {
    /// Fed with the final outcomes of calls.
    pub(crate) breaker: Arc<breaker::Shared>,
    /// What all calls may spend on retries.
    pub(crate) budget: budget::Shared,
    /// Calls in flight.
    pub(crate) in_flight: Arc<limit::Shared>,
}

/// Of one instance.
#[derive(Debug, Default)]
pub(crate) struct InstanceCells {
    /// Fed with the outcome of each attempt.
    pub(crate) breaker: Arc<breaker::Shared>,
    /// Attempts in flight.
    pub(crate) in_flight: Arc<limit::Shared>,
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
