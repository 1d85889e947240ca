//! Where a proxy is got at, and how: in plain text, or by TLS with a certificate of the client's.

use crate::shell::Outcome;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The host that every request asks for.
pub(super) const HOST: &str = "bench.test";

/// A way into a proxy.
#[derive(Debug, Clone)]
pub(super) struct Door {
    at: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

/// A connection, of either kind.
pub(super) type Stream = Box<dyn Io>;

/// What a connection does.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<I: AsyncRead + AsyncWrite + Unpin> Io for I {}

impl Door {
    /// One for plain text, or for TLS if that is said how.
    pub(super) fn new(at: SocketAddr, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { at, tls }
    }

    pub(super) async fn connect(&self) -> Outcome<Stream> {
        let stream = TcpStream::connect(self.at).await?;
        stream.set_nodelay(true)?;
        let Some(config) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(HOST)?;
        Ok(Box::new(TlsConnector::from(Arc::clone(config)).connect(name, stream).await?))
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.at)
    }
}
