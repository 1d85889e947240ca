//! `tenon sidecar`: a data plane beside one process that Tenon does not run.
//!
//! It registers the process as an instance of its service, vouches for it by heartbeats for as long as it takes
//! connections, carries its calls, takes those of others by mutual TLS, and deregisters it at the end.

use super::roles::{DRAIN, node_name, told_to_end};
use crate::cli::{self, Global};
use crate::data_dir::DataDir;
use crate::failure::{Failure, Outcome, chain};
use crate::{logging, session};
use std::hash::{BuildHasher, RandomState};
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tenon_api::client::{Client, Error, Options};
use tenon_api::http::{RegisterInstance, SidecarListeners};
use tenon_core::{Address, Code, InstanceId, ServiceRef};
use tenon_proxy::{Plane, PlaneConfig, subscribe};
use tokio::net::TcpStream;

/// How long a heartbeat holds, and how often there is one.
const TTL: Duration = Duration::from_secs(10);
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long the process may take to take a connection.
const PROBE: Duration = Duration::from_secs(1);

/// Runs a sidecar until told to end.
pub(crate) fn sidecar(global: &Global, options: &cli::Sidecar) -> Outcome {
    logging::to_stderr("info");
    let server = find(global, options)?;
    let client = client(&server)?;
    let beside = Beside::new(options)?;
    let state = match &options.state {
        Some(folder) => folder.clone(),
        None => Path::new(".tenon-sidecar").join(beside.instance.as_str()),
    };
    let config = PlaneConfig {
        workers: options.workers.max(1),
        admin: options.admin_listen,
        identities: Some(state.join("identities")),
        limits: options.waits.limits(),
        ..PlaneConfig::default()
    };
    let plane = Arc::new(Plane::start(config).map_err(|error| Failure::new(Code::Internal, chain(&error)))?);
    let file = state.join("data-plane");
    subscribe::restore(&plane, &file);
    let server = subscribe::Server { instances: [beside.instance.clone()].into(), ..server };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let token = beside.register(&client).await?;
        let followed = subscribe::follow(Arc::clone(&plane), server, file);
        tokio::select! {
            () = followed => Ok(()),
            outcome = beside.announce_and_vouch(&client, &plane, token.as_deref()) => outcome,
            ended = told_to_end() => Ok(ended?),
        }
    })?;
    // Others stop to call it before it stops to answer.
    if let Err(error) = runtime.block_on(client.deregister(&beside.service, &beside.instance)) {
        tracing::warn!(error = chain(&error), "the instance could not be deregistered");
    }
    drop(runtime);
    if let Some(plane) = Arc::into_inner(plane) {
        plane.shutdown(DRAIN);
    }
    Ok(())
}

/// The server and the token for it.
fn find(global: &Global, options: &cli::Sidecar) -> Result<subscribe::Server, Failure> {
    let data = || DataDir::open(&session::find_data_folder(global)?).map_err(Failure::from);
    let address = match &global.api {
        Some(api) => api.clone(),
        None => session::endpoints(&data()?)?.api,
    };
    let token_file: PathBuf = match &options.token_file {
        Some(file) => file.clone(),
        None => data()?.token_file(),
    };
    Ok(subscribe::Server { address, token_file, node: node_name(), instances: Default::default() })
}

fn client(server: &subscribe::Server) -> Result<Client, Failure> {
    let token = std::fs::read_to_string(&server.token_file).map_err(|error| {
        let message = format!("cannot read the token {}: {error}", server.token_file.display());
        Failure::new(Code::AccessUnauthenticated, message)
    })?;
    let options = Options { token: Some(token.trim().to_owned()), ..Options::new(server.address.clone()) };
    Ok(Client::new(&options)?)
}

/// The process, and where its sidecar listens.
struct Beside {
    service: ServiceRef,
    instance: InstanceId,
    application: Address,
    listeners: SidecarListeners,
}

impl Beside {
    fn new(options: &cli::Sidecar) -> Result<Self, Failure> {
        let invalid = |error: tenon_core::InvalidName| Failure::new(Code::RequestInvalid, error.to_string());
        let service: ServiceRef = options.service.parse().map_err(invalid)?;
        let instance = match &options.instance {
            Some(text) => text.parse().map_err(invalid)?,
            None => random_id(&service).parse().map_err(invalid)?,
        };
        // Both are held until both are found, so that no port is found twice.
        let (inbound, outbound) = (claim(options.inbound)?, claim(options.outbound)?);
        let listeners = SidecarListeners { inbound: inbound.local_addr()?, outbound: outbound.local_addr()? };
        Ok(Self { service, instance, application: options.application.parse().map_err(invalid)?, listeners })
    }

    /// Makes the instance known. Its token, if the server tells it.
    async fn register(&self, client: &Client) -> Result<Option<String>, Error> {
        let instance = RegisterInstance {
            id: self.instance.clone(),
            address: self.application.clone(),
            version: Default::default(),
            weight: 1,
            metadata: Default::default(),
            ttl: Some(TTL),
            sidecar: Some(self.listeners),
        };
        Ok(client.register(&self.service, &instance).await?.token)
    }

    /// Says how the sidecar is used, once it can be, and vouches for the process from then on.
    async fn announce_and_vouch(&self, client: &Client, plane: &Plane, token: Option<&str>) -> Outcome {
        while plane.snapshot().sidecars.is_none_or(|part| part.sidecars.is_empty()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        plane.listening().await;
        let mut out = std::io::stdout();
        writeln!(out, "TENON_INSTANCE={}", self.instance)?;
        if let Some(token) = token {
            writeln!(out, "HTTP_PROXY=http://{}:{token}@{}", self.instance, self.listeners.outbound)?;
        }
        out.flush()?;
        let mut ticks = tokio::time::interval(HEARTBEAT);
        loop {
            ticks.tick().await;
            if !self.takes_connections().await {
                tracing::warn!(application = %self.application, "the process takes no connections");
                continue;
            }
            match client.heartbeat(&self.service, &self.instance).await {
                Ok(_) => {}
                Err(error) if error.code() == Some(Code::RegistryUnknownInstance) => {
                    tracing::warn!("the instance had been deregistered; registering it again");
                    if let Err(error) = self.register(client).await {
                        tracing::warn!(error = chain(&error), "the instance could not be registered");
                    }
                }
                Err(error) => tracing::warn!(error = chain(&error), "no heartbeat"),
            }
        }
    }

    async fn takes_connections(&self) -> bool {
        let connecting = TcpStream::connect((self.application.host(), self.application.port()));
        tokio::time::timeout(PROBE, connecting).await.is_ok_and(|it| it.is_ok())
    }
}

/// Finds out which port stands for 0, and that it is free.
fn claim(wanted: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(wanted)
        .map_err(|error| Failure::new(Code::ServerLocked, format!("cannot listen on {wanted}: {error}")))
}

/// A DNS label of at most 63 bytes that nobody else has.
fn random_id(service: &ServiceRef) -> String {
    let name: String = service.name.as_str().chars().take(40).collect();
    format!("{}-{:08x}", name.trim_end_matches('-'), RandomState::new().hash_one(service) as u32)
}
