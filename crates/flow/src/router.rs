//! Everything that is served, as one router. Whoever serves it guards it, and notes with each request who calls.

use crate::bus::Bus;
use crate::events::EventStore;
use crate::saga::Sagas;
use crate::{grpc, rest};
use axum::Router;
use tenon_api::eventstore::PATHS;
use tenon_api::{bus, saga};

impl EventStore {
    /// Serves the event store. Each request must carry a [`Caller`](tenon_api::caller::Caller) among its extensions;
    /// one that does not is refused.
    pub fn router(&self) -> Router {
        rest::router(self.clone()).route_service(&format!("{PATHS}{{*call}}"), grpc::service(self.clone()))
    }
}

impl Bus {
    /// Serves subscriptions, to callers as those of [`EventStore::router`].
    pub fn router(&self) -> Router {
        let service = grpc::bus::service(self.store().clone(), self.clone());
        let rest = rest::subscriptions::router(self.store().clone(), self.clone());
        rest.route_service(&format!("{}{{*call}}", bus::PATHS), service)
    }
}

/// Serves what subscriptions and sagas count, in the text format of Prometheus.
pub fn metrics(bus: &Bus, sagas: &Sagas) -> Router {
    rest::metrics::router(bus.clone(), sagas.clone())
}

impl Sagas {
    /// Serves sagas, to callers as those of [`EventStore::router`].
    pub fn router(&self) -> Router {
        let service = grpc::sagas::service(self.store().clone(), self.clone());
        let rest = rest::sagas::router(self.store().clone(), self.clone());
        rest.route_service(&format!("{}{{*call}}", saga::PATHS), service)
    }
}
