//! How a data plane is kept up to date: it watches a server's snapshots by gRPC and keeps the last on disk.
//!
//! Life cycle: [`restore`] first, so that there is something to serve by at once; then [`follow`], for as long as the data
//! plane lives. When the server goes away the data plane carries on with what it has, asks again with back-off, and
//! is told what changed meanwhile. A message that cannot be read changes nothing.

use crate::plane::Plane;
use crate::pool::chain;
use crate::store;
use crate::tls::{IdentityError, issue};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tenon_api::InvalidMessage;
use tenon_api::proto::snapshot::v1;
use tenon_api::snapshot::{MAX_MESSAGE_BYTES, Part, SnapshotServiceClient, Stored, Watch};
use tenon_core::InstanceId;
use tokio::sync::Notify;
use tonic::Streaming;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

/// Whom to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its address, for example `http://127.0.0.1:7420`.
    pub address: String,
    /// The file that holds the token to show. Read anew for each connection, since the server may make it later.
    pub token_file: PathBuf,
    /// What this data plane calls itself, for people.
    pub node: String,
    /// The instances whose sidecars it hosts, if it hosts those only and no gateway.
    pub instances: BTreeSet<InstanceId>,
}

/// How long a connection may take, and how often and how long a silent server is asked whether it lives.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait between attempts to reach the server: from this, doubling, up to that.
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LAST_DELAY: Duration = Duration::from_secs(2);
/// How long changes are gathered before they are written to disk.
const SAVE_DELAY: Duration = Duration::from_millis(100);

/// Applies the snapshot in `file`, if there is one. One that cannot be used is reported and left alone.
pub fn restore(plane: &Plane, file: &std::path::Path) {
    match store::load(file) {
        Ok(None) => {}
        Ok(Some(stored)) => apply_stored(plane, stored),
        Err(error) => {
            tracing::warn!(file = %file.display(), error = chain(&error), "starting with no snapshot");
        }
    }
}

/// Applies a snapshot that was kept, or handed over.
pub fn apply_stored(plane: &Plane, stored: Stored) {
    let Stored { routes, endpoints, sidecars } = stored;
    // Who is called before who may call.
    routes.into_iter().for_each(|part| plane.apply_routes(part));
    endpoints.into_iter().for_each(|part| plane.apply_endpoints(part));
    sidecars.into_iter().for_each(|part| plane.apply_sidecars(part));
}

/// Watches the server and applies what it says, and keeps it in `file`. Does not end; dropped, it stops watching, and the
/// data plane carries on with what it has.
pub async fn follow(plane: Arc<Plane>, server: Server, file: PathBuf) {
    let changed = Notify::new();
    tokio::join!(
        watch(&plane, &server, &changed),
        save(&plane, file, &changed),
        issue::follow(&plane, &server)
    );
}

/// Why a watch ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error("the token cannot be read from {}", .0.display())]
    Token(PathBuf, #[source] std::io::Error),
    #[error("the token is not one that fits a header")]
    TokenForm,
    #[error("the server's address is not valid, or it does not answer")]
    Connect(#[from] tonic::transport::Error),
    #[error("the server refused or broke off")]
    Status(#[from] tonic::Status),
    #[error("the server's message is not understood")]
    Message(#[from] InvalidMessage),
    #[error("no key or signing request can be made")]
    Key(#[from] rcgen::Error),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("the server ended the watch")]
    Closed,
    #[error("the server's change does not follow from what is here; asking for the whole")]
    Gap,
}

async fn watch(plane: &Plane, server: &Server, changed: &Notify) {
    let mut delay = FIRST_DELAY;
    let mut whole = false;
    loop {
        let mut heard = false;
        let ended = match connect(plane, server, whole).await {
            Ok(mut parts) => listen(plane, &mut parts, changed, &mut heard).await,
            Err(error) => error,
        };
        whole = matches!(ended, Ended::Gap);
        if heard {
            delay = FIRST_DELAY;
        }
        tracing::debug!(error = chain(&ended), retry_in = ?delay, "not connected to the server");
        // Spread, so that data planes that lost one server don't return together.
        tokio::time::sleep(delay.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        delay = (delay * 2).min(LAST_DELAY);
    }
}

async fn connect(plane: &Plane, server: &Server, whole: bool) -> Result<Streaming<v1::SnapshotPart>, Ended> {
    let token = token(server)?;
    let mut client =
        SnapshotServiceClient::new(channel(server).await?).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let known = plane.parts();
    let watch = Watch {
        node: server.node.clone(),
        routes: known.routes.as_ref().map(|part| part.revision).filter(|_| !whole),
        endpoints: known.endpoints.as_ref().map(|part| part.revision).filter(|_| !whole),
        sidecars: known.sidecars.as_ref().map(|part| part.revision),
        instances: server.instances.clone(),
    };
    let mut request = tonic::Request::new(v1::WatchRequest::from(&watch));
    request.metadata_mut().insert("authorization", token);
    let parts = client.watch(request).await?.into_inner();
    tracing::info!(server = server.address, "watching the server's snapshots");
    Ok(parts)
}

/// A connection to the server.
pub(crate) async fn channel(server: &Server) -> Result<Channel, Ended> {
    let endpoint = Endpoint::from_shared(server.address.clone())?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true);
    Ok(endpoint.connect().await?)
}

async fn listen(
    plane: &Plane,
    parts: &mut Streaming<v1::SnapshotPart>,
    changed: &Notify,
    heard: &mut bool,
) -> Ended {
    loop {
        match parts.message().await {
            Ok(Some(message)) => {
                if let Err(ended) = apply(plane, message) {
                    return ended;
                }
                *heard = true;
                changed.notify_one();
            }
            Ok(None) => return Ended::Closed,
            Err(status) => return status.into(),
        }
    }
}

fn apply(plane: &Plane, message: v1::SnapshotPart) -> Result<(), Ended> {
    match Part::try_from(message)? {
        Part::Routes(part) => plane.apply_routes(part),
        Part::RouteChanges(changes) => {
            if !plane.apply_route_changes(*changes) {
                return Err(Ended::Gap);
            }
        }
        Part::Endpoints(part) => plane.apply_endpoints(part),
        Part::Sidecars(part) => plane.apply_sidecars(part),
        Part::ServiceEndpoints(change) => {
            if !plane.apply_service_endpoints(change) {
                return Err(Ended::Gap);
            }
        }
    }
    Ok(())
}

/// Saves what the plane was told, some time after each change.
async fn save(plane: &Plane, file: PathBuf, changed: &Notify) {
    loop {
        changed.notified().await;
        tokio::time::sleep(SAVE_DELAY).await;
        plane.forget_replaced();
        let (parts, path) = (plane.parts(), file.clone());
        let saved = tokio::task::spawn_blocking(move || store::save(&path, parts.to_pieces())).await;
        if let Ok(Err(error)) = saved {
            tracing::warn!(file = %file.display(), %error, "the snapshot could not be kept");
        }
    }
}

/// What is shown to the server.
pub(crate) fn token(server: &Server) -> Result<MetadataValue<Ascii>, Ended> {
    let text = std::fs::read_to_string(&server.token_file)
        .map_err(|error| Ended::Token(server.token_file.clone(), error))?;
    format!("Bearer {}", text.trim()).parse().map_err(|_| Ended::TokenForm)
}
