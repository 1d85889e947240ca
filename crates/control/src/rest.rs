//! The HTTP API: every path of `api::openapi::API`, and the gRPC services for data planes, on one port. What else is
//! served there (the event store) is handed in, and guarded like all the rest.
//!
//! A handler reads what was sent into types, asks the writer or reads the state, and writes what came of it;
//! rules are elsewhere. Every error is problem+json (a gRPC status for gRPC callers).
//!
//! Bounded: the size of a request ([`reply::MAX_BODY_BYTES`]), how long it may take until its answer begins
//! ([`REQUEST_TIMEOUT`]), and how many requests ([`MOST_REQUESTS`]) and streams ([`MOST_STREAMS`]) there are at
//! once; what is beyond that is refused with `server.overloaded`.

mod config;
mod describe;
mod guard;
mod listen;
mod logs;
mod reply;
mod services;
mod system;
mod watch;

pub(crate) use listen::serve;

use crate::access::Access;
use crate::checks::Heartbeats;
use crate::clock::Clock;
use crate::identities::Identities;
use crate::past::PastConfig;
use crate::runtime::Supervised;
use crate::schema::Schemas;
use crate::server::{Concerned, ReadManifest};
use crate::snapshots::Snapshots;
use crate::writer::Handle;
use axum::Router;
use axum::routing::{delete, get, post, put};
use reply::Failure;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tenon_api::identity::IdentityServiceServer;
use tenon_api::snapshot::SnapshotServiceServer;
use tenon_core::{Code, Refusal, ServerId, Timestamp};
use tenon_store::Log;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// How long a request may take until its answer begins. A change waits for the log no longer than this.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Requests whose answer has not begun.
const MOST_REQUESTS: usize = 512;

/// Streams at once: watches, and output that is followed.
const MOST_STREAMS: usize = 512;

/// What handlers work with.
pub(crate) struct App {
    pub(crate) writer: Handle,
    pub(crate) log: Arc<dyn Log>,
    /// Who this server is among those on the log.
    pub(crate) server: ServerId,
    pub(crate) clock: Clock,
    pub(crate) access: Access,
    pub(crate) heartbeats: Heartbeats,
    pub(crate) schemas: Arc<Schemas>,
    pub(crate) past: PastConfig,
    pub(crate) read_manifest: ReadManifest,
    pub(crate) concerned: Concerned,
    /// Where the output of services is kept.
    pub(crate) output: PathBuf,
    pub(crate) snapshots: Snapshots,
    pub(crate) identities: Identities,
    pub(crate) supervised: Supervised,
    pub(crate) started_at: Timestamp,
    /// Ends all streams.
    pub(crate) stop: CancellationToken,
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
}

impl App {
    /// Room for as many requests as there may be.
    pub(crate) fn request_permits() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(MOST_REQUESTS))
    }

    /// Room for as many streams as there may be.
    pub(crate) fn stream_permits() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(MOST_STREAMS))
    }

    /// The right to hold a stream open.
    fn stream_permit(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let full = || format!("{MOST_STREAMS} streams are open, which is the most; close some");
        Arc::clone(&self.streams)
            .try_acquire_owned()
            .map_err(|_| Refusal::new(Code::ServerOverloaded, full()).into())
    }
}

/// Everything that is served: `more` besides what is the control plane's.
pub(crate) fn router(app: Arc<App>, more: Router) -> Router {
    let snapshots = SnapshotServiceServer::new(app.snapshots.clone());
    let identities = IdentityServiceServer::new(app.identities.clone());
    let grpc = Routes::new(snapshots).add_service(identities).into_axum_router();
    let api = paths().method_not_allowed_fallback(unknown).with_state(Arc::clone(&app));
    // Around everything, so that what matches no path is guarded too.
    grpc.merge(api)
        .merge(more)
        .fallback(unknown)
        .layer(axum::middleware::from_fn_with_state(app, guard::guard))
}

fn paths() -> Router<Arc<App>> {
    Router::new()
        .route("/health", get(system::health))
        .route("/openapi.json", get(system::openapi))
        .route("/v1/status", get(system::status))
        .route("/v1/system", get(system::show).put(system::apply))
        .route("/v1/instances", get(services::all_instances))
        .route("/v1/services", get(services::list))
        .route("/v1/services/{service}", get(services::show))
        .route("/v1/services/{service}/instances", get(services::instances).post(services::register))
        .route("/v1/services/{service}/instances/{id}", delete(services::deregister))
        .route("/v1/services/{service}/instances/{id}/heartbeat", put(services::heartbeat))
        .route("/v1/services/{service}/lookup", get(services::lookup))
        .route("/v1/services/{service}/watch", get(watch::instances))
        .route("/v1/services/{service}/start", post(services::start))
        .route("/v1/services/{service}/stop", post(services::stop))
        .route("/v1/services/{service}/scale", put(services::scale))
        .route("/v1/config", get(config::list))
        .route("/v1/config/{service}", get(config::of_service))
        .route("/v1/config/{service}/history", get(config::history))
        .route("/v1/config/{service}/diff", get(config::diff))
        .route("/v1/config/{service}/rollback", post(config::rollback))
        .route("/v1/config/{service}/{key}", get(config::show).put(config::set).delete(config::remove))
        .route("/v1/logs/{service}", get(logs::read))
}

/// What there is no path or method for.
async fn unknown(method: http::Method, uri: http::Uri) -> Failure {
    let detail = format!("there is no {method} {}; GET /openapi.json lists what there is", uri.path());
    Refusal::new(Code::RequestUnknown, detail).into()
}

#[cfg(test)]
mod tests;
