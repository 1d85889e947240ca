//! Everything that is served, as one router. Whoever serves it guards it, and notes with each request who calls.

use crate::events::EventStore;
use crate::{grpc, rest};
use axum::Router;
use tenon_api::eventstore::PATHS;

impl EventStore {
    /// Serves the event store. Each request must carry a [`Caller`](tenon_api::caller::Caller) among its extensions;
    /// one that does not is refused.
    pub fn router(&self) -> Router {
        rest::router(self.clone()).route_service(&format!("{PATHS}{{*call}}"), grpc::service(self.clone()))
    }
}
