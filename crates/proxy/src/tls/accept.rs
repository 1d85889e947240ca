//! Connections from clients: what is plain and what is TLS, and who calls.

use super::peers::{Side, named};
use crate::connection::{Connection, Role};
use crate::worker::Worker;
use rustls::pki_types::UnixTime;
use rustls::{HandshakeKind, ServerConfig};
use std::io;
use std::sync::Arc;
use tenon_core::identity::Workload;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The first byte of a handshake (RFC 8446, 5.1); no request begins with it.
const HANDSHAKE: u8 = 22;

/// A connection that is ready for its first request.
pub(crate) enum Arrival {
    /// As it came.
    Plain(TcpStream),
    /// Inside TLS, with who the client has shown to be, if it has.
    Secure(Box<TlsStream<TcpStream>>, Option<Workload>),
    /// The client went away.
    Gone,
}

/// Finds out what a connection is, and does its handshake.
///
/// # Errors
/// The handshake failed, took too long, or is not possible here.
pub(crate) async fn arrive(
    worker: &Worker,
    connection: &Connection,
    stream: TcpStream,
) -> io::Result<Arrival> {
    let shared = &worker.shared;
    match &connection.role {
        Role::Outbound(_) | Role::Gateway | Role::Redirect => Ok(Arrival::Plain(stream)),
        Role::SecureGateway => {
            let config = shared.certificates.config().ok_or_else(|| missing(&"the gateway"))?;
            let stream = handshake(worker, config, stream).await?;
            Ok(Arrival::Secure(Box::new(stream), None))
        }
        Role::Inbound(instance) => {
            let limits = &shared.config.limits;
            let mut first = [0];
            let count = tokio::select! {
                biased;
                () = connection.drain.is_over() => return Ok(Arrival::Gone),
                count = tokio::time::timeout(limits.head_timeout, stream.peek(&mut first)) => count??,
            };
            if count == 0 {
                return Ok(Arrival::Gone);
            }
            if first != [HANDSHAKE] {
                return Ok(Arrival::Plain(stream));
            }
            let view = worker.view();
            let sidecar = view.sidecar(instance).ok_or_else(|| missing(instance))?;
            let workload = Workload::Service(sidecar.service.clone());
            let own = shared.identities.of(&workload).ok_or_else(|| missing(&workload))?;
            let stream = handshake(worker, Arc::clone(&own.server), stream).await?;
            let caller = caller(worker, &stream)?;
            Ok(Arrival::Secure(Box::new(stream), caller))
        }
    }
}

async fn handshake(
    worker: &Worker,
    config: Arc<ServerConfig>,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let shaking = async {
        // Bounded, since handshakes are what costs a stranger little and us much.
        let _place = worker.handshakes.acquire().await.map_err(io::Error::other)?;
        TlsAcceptor::from(config).accept(stream).await
    };
    tokio::time::timeout(worker.shared.config.limits.handshake_timeout, shaking).await?
}

/// Who has called, if it has shown anything.
fn caller(worker: &Worker, stream: &TlsStream<TcpStream>) -> io::Result<Option<Workload>> {
    let connection = stream.get_ref().1;
    let Some((first, rest)) = connection.peer_certificates().and_then(<[_]>::split_first) else {
        return Ok(None);
    };
    if connection.handshake_kind() == Some(HandshakeKind::Resumed) {
        // What was looked at then may have ended by now.
        let peers = worker.shared.identities.peers();
        let id = peers.identify(first, rest, Side::Client, UnixTime::now()).map_err(io::Error::other)?;
        return Ok(Some(id.workload));
    }
    Ok(named(first).map(|id| id.workload))
}

fn missing(whose: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("there is no certificate for {whose} yet"))
}
