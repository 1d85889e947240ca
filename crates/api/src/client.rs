//! A client of the HTTP API and of the data plane's admin address, for the command line and for tests.
//!
//! Life cycle: a [`Client`] is made once and cloned freely; it keeps connections alive between calls. Every call has
//! a time limit and a bound on the answer's size; streams ([`Events`]) live until either side ends them, are bounded
//! by the event, and fail when the server is silent for longer than [`Options::silence`]. Nothing is retried and
//! no stream comes back by itself: whoever calls decides, and resumes with the id of the last event.
//!
//! The environment's proxy settings are not used: inside a mesh they point at a sidecar.
//!
//! Left out on purpose: TLS, finding the token and the address (the command line's business).

mod dataplane;
mod error;
mod events;
mod sagas;
mod sse;
mod store;
mod subscriptions;
mod topics;
mod transport;

pub use dataplane::DataPlane;
pub use error::Error;
pub use events::{Event, Events};
pub use sagas::SagaQuery;
pub use store::EventsQuery;

use crate::http::{
    ApplyManifest, ApplyOutcome, Changed, ConfigChange, ConfigDiff, ConfigEntry, ConfigHistory, ConfigList,
    Heartbeat, Instance, InstanceChange, InstanceList, Liveness, LogLine, RegisterInstance, RollbackConfig,
    ScaleService, ServiceConfig, ServiceList, ServiceView, SetConfig, Status, SystemView,
};
use http::Method;
use std::time::Duration;
use tenon_core::manifest::ConfigKey;
use tenon_core::{Actor, InstanceId, Revision, ServiceRef};
use transport::{Call, Transport};

/// How a client calls.
#[derive(Clone)]
pub struct Options {
    /// Where the server is, for example `http://127.0.0.1:7420`.
    pub address: String,
    /// The token that every call carries.
    pub token: Option<String>,
    /// Who the changes are made by.
    pub actor: Option<Actor>,
    /// How long a call may take; streams only until they begin.
    pub timeout: Duration,
    /// How long a stream may be silent; the server speaks at least every [`KEEP_ALIVE`](crate::http::KEEP_ALIVE).
    pub silence: Duration,
}

impl Options {
    /// Calls to this address without a token, of at most 30 s, and streams with at most a minute of silence.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            token: None,
            actor: None,
            timeout: Duration::from_secs(30),
            silence: Duration::from_secs(60),
        }
    }
}

/// Shows everything but the token.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("address", &self.address)
            .field("actor", &self.actor)
            .field("timeout", &self.timeout)
            .field("silence", &self.silence)
            .finish_non_exhaustive()
    }
}

/// A client of the server's API. Each method is one endpoint of [`crate::openapi::API`], and fails as [`Error`] says.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
}

#[allow(missing_docs, clippy::missing_errors_doc, reason = "the endpoints are documented in `openapi::API`")]
impl Client {
    /// A client that calls with these options. No connection is made yet.
    ///
    /// # Errors
    /// [`Error::Address`] if the address is not an `http://` URL, or the token cannot stand in a header.
    pub fn new(options: &Options) -> Result<Self, Error> {
        Ok(Self { transport: Transport::new(options)? })
    }

    pub async fn health(&self) -> Result<Liveness, Error> {
        self.transport.json(Call::get("/health")).await
    }

    pub async fn status(&self) -> Result<Status, Error> {
        self.transport.json(Call::get("/v1/status")).await
    }

    pub async fn system(&self) -> Result<SystemView, Error> {
        self.transport.json(Call::get("/v1/system")).await
    }

    pub async fn apply_manifest(&self, manifest: &ApplyManifest) -> Result<ApplyOutcome, Error> {
        self.transport.json(Call::new(Method::PUT, "/v1/system").body(manifest)?).await
    }

    pub async fn services(&self) -> Result<ServiceList, Error> {
        self.transport.json(Call::get("/v1/services")).await
    }

    pub async fn service(&self, service: &ServiceRef) -> Result<ServiceView, Error> {
        self.transport.json(Call::get(format!("/v1/services/{service}"))).await
    }

    pub async fn instances(&self) -> Result<InstanceList, Error> {
        self.transport.json(Call::get("/v1/instances")).await
    }

    pub async fn service_instances(&self, service: &ServiceRef) -> Result<InstanceList, Error> {
        self.transport.json(Call::get(format!("/v1/services/{service}/instances"))).await
    }

    pub async fn register(
        &self,
        service: &ServiceRef,
        instance: &RegisterInstance,
    ) -> Result<Instance, Error> {
        let path = format!("/v1/services/{service}/instances");
        self.transport.json(Call::new(Method::POST, path).body(instance)?).await
    }

    pub async fn deregister(&self, service: &ServiceRef, instance: &InstanceId) -> Result<Changed, Error> {
        let path = format!("/v1/services/{service}/instances/{instance}");
        self.transport.json(Call::new(Method::DELETE, path)).await
    }

    pub async fn heartbeat(&self, service: &ServiceRef, instance: &InstanceId) -> Result<Heartbeat, Error> {
        let path = format!("/v1/services/{service}/instances/{instance}/heartbeat");
        self.transport.json(Call::new(Method::PUT, path)).await
    }

    pub async fn lookup(&self, service: &ServiceRef) -> Result<InstanceList, Error> {
        self.transport.json(Call::get(format!("/v1/services/{service}/lookup"))).await
    }

    /// Every change to a service's instances, after their present state, or after a revision.
    pub async fn watch_instances(
        &self,
        service: &ServiceRef,
        after: Option<Revision>,
    ) -> Result<Events<InstanceChange>, Error> {
        self.transport.events(Call::get(format!("/v1/services/{service}/watch")).after(after)).await
    }

    pub async fn start(&self, service: &ServiceRef) -> Result<Changed, Error> {
        self.transport.json(Call::new(Method::POST, format!("/v1/services/{service}/start"))).await
    }

    pub async fn stop(&self, service: &ServiceRef) -> Result<Changed, Error> {
        self.transport.json(Call::new(Method::POST, format!("/v1/services/{service}/stop"))).await
    }

    /// Runs this many replicas; as many as the manifest says if `None`.
    pub async fn scale(&self, service: &ServiceRef, replicas: Option<u32>) -> Result<Changed, Error> {
        let call = Call::new(Method::PUT, format!("/v1/services/{service}/scale"));
        self.transport.json(call.body(&ScaleService { replicas })?).await
    }

    pub async fn config(&self) -> Result<ConfigList, Error> {
        self.transport.json(Call::get("/v1/config")).await
    }

    pub async fn service_config(&self, service: &ServiceRef) -> Result<ServiceConfig, Error> {
        self.transport.json(Call::get(format!("/v1/config/{service}"))).await
    }

    /// Every change to a service's configuration from now on, or after a revision.
    pub async fn watch_config(
        &self,
        service: &ServiceRef,
        after: Option<Revision>,
    ) -> Result<Events<ConfigChange>, Error> {
        let call = Call::get(format!("/v1/config/{service}")).query("watch", true);
        self.transport.events(call.after(after)).await
    }

    pub async fn config_entry(&self, service: &ServiceRef, key: &ConfigKey) -> Result<ConfigEntry, Error> {
        self.transport.json(Call::get(format!("/v1/config/{service}/{key}"))).await
    }

    /// Sets a value; only if the key's revision is still `expected`, if that is given.
    pub async fn set_config(
        &self,
        service: &ServiceRef,
        key: &ConfigKey,
        value: serde_json::Value,
        expected: Option<Revision>,
    ) -> Result<ConfigEntry, Error> {
        let call = Call::new(Method::PUT, format!("/v1/config/{service}/{key}"));
        self.transport.json(call.body(&SetConfig { value })?.only_if(expected)).await
    }

    /// Takes a value away; only if the key's revision is still `expected`, if that is given.
    pub async fn remove_config(
        &self,
        service: &ServiceRef,
        key: &ConfigKey,
        expected: Option<Revision>,
    ) -> Result<Changed, Error> {
        let call = Call::new(Method::DELETE, format!("/v1/config/{service}/{key}"));
        self.transport.json(call.only_if(expected)).await
    }

    /// The last `limit` changes to a service's configuration, or to one key of it.
    pub async fn config_history(
        &self,
        service: &ServiceRef,
        key: Option<&ConfigKey>,
        limit: Option<u32>,
    ) -> Result<ConfigHistory, Error> {
        let call = Call::get(format!("/v1/config/{service}/history"));
        self.transport.json(call.query_if("key", key).query_if("limit", limit)).await
    }

    /// What differs between two revisions; `to` is the present if not given.
    pub async fn config_diff(
        &self,
        service: &ServiceRef,
        from: Revision,
        to: Option<Revision>,
    ) -> Result<ConfigDiff, Error> {
        let call = Call::get(format!("/v1/config/{service}/diff"));
        self.transport.json(call.query("from", from).query_if("to", to)).await
    }

    pub async fn rollback_config(
        &self,
        service: &ServiceRef,
        revision: Revision,
    ) -> Result<ServiceConfig, Error> {
        let call = Call::new(Method::POST, format!("/v1/config/{service}/rollback"));
        self.transport.json(call.body(&RollbackConfig { revision })?).await
    }

    /// The last `tail` lines of a service's instances, and all that follow if `follow`.
    pub async fn logs(
        &self,
        service: &ServiceRef,
        tail: Option<u32>,
        follow: bool,
    ) -> Result<Events<LogLine>, Error> {
        let call = Call::get(format!("/v1/logs/{service}")).query_if("tail", tail);
        self.transport.events(call.query("follow", follow)).await
    }
}

#[cfg(test)]
mod tests;
