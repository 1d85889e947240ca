//! The least of a server that a data plane follows, in a process of its own, so that nothing of it is in the way of origins
//! and load while they are measured: everything that it sends is made ready before.
//!
//! It tells every data plane that asks the same; then one route after the other changes, each when a line comes by
//! standard input. It ends when that does.

use crate::shell::Outcome;
use clap::Args;
use std::io::Write as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use tenon_api::proto::snapshot::v1;
use tenon_api::snapshot::{MAX_MESSAGE_BYTES, Part, RouteChanges, SnapshotService, SnapshotServiceServer};
use tenon_core::manifest::{Certificate, Egress, Gateway, GatewayTls, TlsVersion, Traffic, Version};
use tenon_core::route::{Backend, Match, PathMatch, Route, RoutePath, Rule};
use tenon_core::snapshot::{Endpoint, Endpoints, Routes, Sidecars};
use tenon_core::{Address, LogId, Namespace, Position, Revision, RouteName, ServiceName, ServiceRef};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

#[derive(Debug, Args)]
pub(in crate::bench) struct Options {
    /// Where it listens
    #[arg(long)]
    pub(super) api: SocketAddr,
    /// Where the data plane's gateway is to listen
    #[arg(long)]
    pub(super) gateway: SocketAddr,
    /// An origin; repeated
    #[arg(long)]
    pub(super) origin: Vec<SocketAddr>,
    /// How many routes lead to them; one is for everything
    #[arg(long)]
    pub(super) routes: usize,
    /// How many of them can be changed
    #[arg(long, default_value_t = 0)]
    pub(super) changes: usize,
    /// The certificate and key of the gateway, which then speaks TLS, and its origins are another data plane's
    #[arg(long, num_args = 2)]
    pub(super) tls: Vec<String>,
}

/// The server as the bench knows it. Dropped, it ends.
#[derive(Debug)]
pub(super) struct Server {
    process: Child,
    input: ChildStdin,
}

impl Server {
    pub(super) fn start(options: &Options) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "server", "--api", &options.api.to_string()]);
        command.args(["--gateway", &options.gateway.to_string()]);
        command.args(["--routes", &options.routes.to_string(), "--changes", &options.changes.to_string()]);
        for origin in &options.origin {
            command.args(["--origin", &origin.to_string()]);
        }
        if !options.tls.is_empty() {
            command.arg("--tls").args(&options.tls);
        }
        let mut process = command.stdin(Stdio::piped()).spawn()?;
        let input = process.stdin.take().ok_or("the bench's server has no standard input")?;
        Ok(Self { process, input })
    }

    /// Changes the next route.
    pub(super) fn change(&mut self) -> Outcome {
        Ok(self.input.write_all(b"\n")?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The path of a route before any change.
pub(super) fn path(number: usize, routes: usize) -> String {
    if routes == 1 { "/".to_owned() } else { format!("/teams/{}/services/{number}", number % 200) }
}

/// Which route a change is of, counted from 0, and its path from then on.
pub(super) fn changed(change: usize, routes: usize) -> (usize, String) {
    let number = routes / 2 + change;
    (number, format!("/changed/{number}"))
}

/// Serves until standard input ends.
pub(in crate::bench) async fn serve(options: &Options) -> Outcome {
    let routes = (0..options.routes).map(|number| route(number, &path(number, options.routes)));
    let routes = routes_of(options, routes.collect::<Outcome<_>>()?)?;
    let mut settings = routes.clone();
    settings.gateway.iter_mut().for_each(|gateway| gateway.routes = Vec::new());
    let whole = [
        Part::Sidecars(Sidecars { revision: routes.revision, sidecars: Default::default() }),
        Part::Endpoints(endpoints(routes.revision, options)?),
        Part::Routes(routes),
    ];
    let mut changes = Vec::new();
    for change in 0..options.changes {
        let from = settings.revision;
        settings.revision.position = Position(from.position.0 + 1);
        let (number, path) = changed(change, options.routes);
        let set = vec![route(number, &path)?];
        let part = RouteChanges { from, settings: settings.clone(), removed: Vec::new(), set };
        changes.push(v1::SnapshotPart::from(&Part::from(part)));
    }
    let (changed, _) = broadcast::channel(16);
    let told = Told { whole: whole.iter().map(Into::into).collect(), changed: changed.clone() };
    let service = SnapshotServiceServer::new(told).max_encoding_message_size(MAX_MESSAGE_BYTES);
    let serving = tonic::transport::Server::builder().add_service(service).serve(options.api);
    let reading = tokio::task::spawn_blocking(move || obey(changes, &changed));
    tokio::select! {
        ended = serving => Ok(ended?),
        ended = reading => ended?,
    }
}

/// Sends the next change whenever a line comes.
fn obey(changes: Vec<v1::SnapshotPart>, changed: &broadcast::Sender<v1::SnapshotPart>) -> Outcome {
    let mut changes = changes.into_iter();
    for line in std::io::stdin().lines() {
        line?;
        let next = changes.next().ok_or("no change is left")?;
        changed.send(next).map_err(|_| "the data plane has gone")?;
    }
    Ok(())
}

/// What every watcher is told.
struct Told {
    whole: Arc<[v1::SnapshotPart]>,
    changed: broadcast::Sender<v1::SnapshotPart>,
}

#[tonic::async_trait]
impl SnapshotService for Told {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::SnapshotPart, Status>> + Send>>;

    async fn watch(&self, _: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let changes = BroadcastStream::new(self.changed.subscribe()).filter_map(Result::ok);
        let whole = tokio_stream::iter(self.whole.to_vec());
        Ok(Response::new(Box::pin(whole.chain(changes).map(Ok))))
    }
}

fn service() -> Outcome<ServiceRef> {
    Ok(ServiceRef { name: ServiceName::new("origin")?, namespace: Namespace::default() })
}

fn routes_of(options: &Options, routes: Vec<Route>) -> Outcome<Routes> {
    let tls = match options.tls.as_slice() {
        [cert, key] => Some(GatewayTls {
            certificates: vec![Certificate { hosts: Vec::new(), cert: cert.clone(), key: key.clone() }],
            min_version: TlsVersion::Tls13,
            plain: None,
        }),
        _ => None,
    };
    Ok(Routes {
        policies: Default::default(),
        planes: 1,
        revision: Revision { log: LogId::from_bytes([7; 16]), position: Position(1) },
        gateway: Some(Gateway { listen: options.gateway, proxy_protocol: false, routes, tls }),
        services: [(service()?, Traffic::default())].into(),
        resting: Default::default(),
        egress: Egress::Deny,
        telemetry: Default::default(),
    })
}

/// A route for a path and what is below it.
fn route(number: usize, path: &str) -> Outcome<Route> {
    let path = PathMatch::Prefix(RoutePath::new(path)?);
    let backends = vec![Backend { service: service()?, weight: 1, subset: Default::default() }];
    let rule = Rule { matches: vec![Match { path, ..Match::default() }], backends, timeout: None };
    Ok(Route { name: RouteName::new(&format!("r{number}"))?, hostnames: Vec::new(), rules: vec![rule] })
}

fn endpoints(revision: Revision, options: &Options) -> Outcome<Endpoints> {
    let mut endpoints = Vec::new();
    for (number, origin) in options.origin.iter().enumerate() {
        endpoints.push(Endpoint {
            instance: format!("origin-{number}").parse()?,
            address: Address::from(*origin),
            version: Version::default(),
            weight: 1,
            healthy: true,
            since: Default::default(),
            metadata: Default::default(),
            inbound: (!options.tls.is_empty()).then_some(*origin),
        });
    }
    Ok(Endpoints { revision, services: [(service()?, endpoints)].into() })
}
