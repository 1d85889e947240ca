//! Connections to workloads of other data planes.

use super::identities::{Identities, Own};
use super::peers::Side;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{CertificateError, HandshakeKind, OtherError};
use std::io;
use std::sync::Arc;
use tenon_core::identity::Workload;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Who calls whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Ends {
    pub(crate) from: Workload,
    pub(crate) to: Workload,
}

/// What a workload shows. Who shows nothing would be nobody for as long as the connection lives.
///
/// # Errors
/// There is no certificate that holds.
pub(crate) fn holder(identities: &Identities, workload: &Workload) -> io::Result<Arc<Own>> {
    identities.of(workload).filter(|own| own.has_certificate()).ok_or_else(|| {
        io::Error::other(format!("{workload} has no certificate that holds, to show who it is"))
    })
}

/// Secures a connection, on which this protocol is to be spoken: both sides show who they are.
///
/// # Errors
/// The other side is not whom it should be, or does not believe us.
pub(crate) async fn secure<I>(
    identities: &Identities,
    own: &Own,
    to: &Workload,
    protocol: &[u8],
    stream: I,
) -> io::Result<TlsStream<I>>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(to.dns_name()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(own.client.clone());
    let stream = connector.with_alpn(vec![protocol.to_vec()]).connect(name, stream).await;
    let stream = stream.map_err(reason)?;
    let connection = stream.get_ref().1;
    if connection.handshake_kind() == Some(HandshakeKind::Resumed) {
        // What was looked at then may have ended by now.
        let shown = connection.peer_certificates().unwrap_or_default();
        let (first, rest) =
            shown.split_first().ok_or_else(|| io::Error::other("it showed no certificate"))?;
        identities.peers().identify(first, rest, Side::Server, UnixTime::now()).map_err(io::Error::other)?;
    }
    Ok(stream)
}

/// What is wrong with the other side in our own words, where rustls would show the value.
fn reason(error: io::Error) -> io::Error {
    match error.get_ref().and_then(|cause| cause.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(reason)))) => {
            io::Error::other(reason.to_string())
        }
        _ => error,
    }
}
