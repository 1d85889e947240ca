//! Tenon's data plane as it is shipped, and the least of a server that it follows.

use super::peers::{Proxy, folder, free};
use crate::shell::{Outcome, programs};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::Command;
use std::time::{Duration, Instant};
use tenon_api::proto::snapshot::v1;
use tenon_api::snapshot::{MAX_MESSAGE_BYTES, Part, SnapshotService, SnapshotServiceServer};
use tenon_core::manifest::{Egress, Gateway, Traffic, Version};
use tenon_core::route::{Backend, Match, PathMatch, Route, RoutePath, Rule};
use tenon_core::snapshot::{Endpoint, Endpoints, Routes, Sidecars};
use tenon_core::{Address, LogId, Namespace, Position, Revision, RouteName, ServiceName, ServiceRef};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

/// A data plane with the server that it follows.
#[derive(Debug)]
pub(super) struct Tenon {
    pub(super) proxy: Proxy,
    /// What it was told last, but for the gateway's routes.
    pub(super) routes: Routes,
    parts: broadcast::Sender<Part>,
    serving: tokio::task::JoinHandle<()>,
}

impl Tenon {
    /// A data plane of one worker whose gateway leads to these origins by these routes.
    pub(super) async fn start(profile: &str, origins: &[SocketAddr], routes: Vec<Route>) -> Outcome<Self> {
        let [gateway, admin, api] = free()?;
        let (parts, _) = broadcast::channel(16);
        let serving = tokio::spawn(serve(api, parts.clone()));
        let data = folder()?.join(format!("tenon-{}", gateway.port()));
        std::fs::create_dir_all(data.join("keys"))?;
        std::fs::write(data.join("keys").join("api-token"), "bench\n")?;
        let mut command = Command::new(programs(profile)?.join("tenon"));
        command.arg("proxy").args(["--workers", "1"]).arg("--data").arg(&data);
        command.args(["--admin-listen", &admin.to_string(), "--api", &format!("http://{api}")]);
        let routes = routes_of(gateway, routes)?;
        let told = [
            Part::Sidecars(Sidecars { revision: routes.revision, sidecars: BTreeMap::new() }),
            Part::Routes(routes.clone()),
            Part::Endpoints(endpoints(routes.revision, origins)?),
        ];
        let mut settings = routes;
        if let Some(gateway) = &mut settings.gateway {
            gateway.routes = Vec::new();
        }
        let proxy = Proxy::start("Tenon", [gateway; 2], &mut command)?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while parts.receiver_count() == 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for part in told {
            parts.send(part).map_err(|_| "the data plane does not follow its server")?;
        }
        proxy.is_there().await?;
        Ok(Self { proxy, routes: settings, parts, serving })
    }

    /// Tells the data plane.
    pub(super) fn tell(&self, part: Part) -> Outcome {
        self.parts.send(part).map(drop).map_err(|_| "the data plane has gone".into())
    }
}

impl Drop for Tenon {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Sends every watcher the same parts.
struct Server(broadcast::Sender<Part>);

#[tonic::async_trait]
impl SnapshotService for Server {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::SnapshotPart, Status>> + Send>>;

    async fn watch(&self, _: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let parts = BroadcastStream::new(self.0.subscribe());
        let parts = parts.filter_map(Result::ok).map(|part| Ok(v1::SnapshotPart::from(&part)));
        Ok(Response::new(Box::pin(parts)))
    }
}

async fn serve(at: SocketAddr, parts: broadcast::Sender<Part>) {
    let service = SnapshotServiceServer::new(Server(parts)).max_encoding_message_size(MAX_MESSAGE_BYTES);
    if let Err(error) = tonic::transport::Server::builder().add_service(service).serve(at).await {
        eprintln!("the bench's server ended: {error}");
    }
}

fn service() -> Outcome<ServiceRef> {
    Ok(ServiceRef { name: ServiceName::new("origin")?, namespace: Namespace::default() })
}

fn routes_of(listen: SocketAddr, routes: Vec<Route>) -> Outcome<Routes> {
    Ok(Routes {
        policies: Default::default(),
        planes: 1,
        revision: Revision { log: LogId::from_bytes([7; 16]), position: Position(1) },
        gateway: Some(Gateway { listen, proxy_protocol: false, routes, tls: None }),
        services: [(service()?, Traffic::default())].into(),
        resting: Default::default(),
        egress: Egress::Deny,
        telemetry: Default::default(),
    })
}

/// A route of this name for a path and what is below it.
pub(super) fn route(name: &str, path: &str) -> Outcome<Route> {
    let path = PathMatch::Prefix(RoutePath::new(path)?);
    let backends = vec![Backend { service: service()?, weight: 1, subset: Default::default() }];
    let rule = Rule { matches: vec![Match { path, ..Match::default() }], backends, timeout: None };
    Ok(Route { name: RouteName::new(name)?, hostnames: Vec::new(), rules: vec![rule] })
}

fn endpoints(revision: Revision, origins: &[SocketAddr]) -> Outcome<Endpoints> {
    let mut endpoints = Vec::new();
    for (number, origin) in origins.iter().enumerate() {
        endpoints.push(Endpoint {
            instance: format!("origin-{number}").parse()?,
            address: Address::from(*origin),
            version: Version::default(),
            weight: 1,
            healthy: true,
            since: Default::default(),
            metadata: Default::default(),
            inbound: None,
        });
    }
    Ok(Endpoints { revision, services: [(service()?, endpoints)].into() })
}
