//! Whom a connection of the gateway comes from, where a balancer in front of it says so (`tenon_core::proxy_protocol`).

use crate::connection::{Connection, Role};
use crate::worker::Worker;
use std::io;
use std::net::SocketAddr;
use tenon_core::proxy_protocol;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Reads what a balancer says, if this is a listener that believes it; the connection as it then is. `None` if it
/// does not begin as it must: there is no telling whom an answer would go to, so it is closed.
pub(crate) async fn arrive<I>(worker: &Worker, mut connection: Connection, io: &mut I) -> Option<Connection>
where
    I: AsyncRead + Unpin,
{
    let gateway = matches!(connection.role, Role::Gateway | Role::SecureGateway | Role::Redirect);
    if !gateway || !worker.view().gateway.as_ref().is_some_and(|gateway| gateway.proxy_protocol) {
        return Some(connection);
    }
    let patience = worker.shared.config.limits.head_timeout;
    let read = tokio::select! {
        () = connection.drain.is_over() => return None,
        read = tokio::time::timeout(patience, read(io)) => read,
    };
    match read {
        Ok(Ok(source)) => {
            if let Some(source) = source {
                connection.peer = source.ip();
            }
            Some(connection)
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "a connection of the gateway does not begin with the PROXY protocol");
            None
        }
        Err(_) => None,
    }
}

/// Reads the header and not a byte more.
async fn read<I: AsyncRead + Unpin>(io: &mut I) -> io::Result<Option<SocketAddr>> {
    let malformed = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut header = Vec::new();
    loop {
        if let Some(header) = proxy_protocol::parse(&header).map_err(malformed)? {
            return Ok(header.source);
        }
        let more = proxy_protocol::missing(&header) as u64;
        if (&mut *io).take(more).read_buf(&mut header).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
