//! What a manifest says of identities and TLS.

use crate::identity;
use crate::route::Hostname;
use std::net::SocketAddr;
use std::time::Duration;

/// Who may call a service, and how they show who they are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Security {
    /// Whether callers in other processes must show a certificate.
    pub mtls: Mtls,
    /// Which callers are let in.
    pub authorization: Authorization,
}

/// Whether callers in other processes must show a certificate.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mtls {
    /// They must.
    #[default]
    Strict,
    /// They may as well call in plain text, as nobody in particular.
    Permissive,
}

/// Which callers are let in.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Authorization {
    /// Everybody of the mesh.
    #[default]
    Open,
    /// Services whose `depends_on` names it, and the gateway.
    Declared,
}

/// What holds for the whole mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mesh {
    /// How long a workload's certificate holds.
    pub certificate_ttl: Duration,
}

impl Default for Mesh {
    /// An hour.
    fn default() -> Self {
        Self { certificate_ttl: identity::DEFAULT_TTL }
    }
}

/// How the gateway speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GatewayTls {
    /// What it shows, by the name that a client asks for. Never empty.
    pub certificates: Vec<Certificate>,
    /// The oldest version that it speaks.
    pub min_version: TlsVersion,
    /// The address beside it where it speaks no TLS, if there is one.
    pub plain: Option<PlainListener>,
}

/// A certificate in files, which are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Certificate {
    /// The hosts that it is for. If empty it is shown to whoever asks for a host that no other is for.
    pub hosts: Vec<Hostname>,
    /// The file with the certificate and what leads to its root (PEM).
    pub cert: String,
    /// The file with its key (PEM).
    pub key: String,
}

/// A version of TLS.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// 1.2 (RFC 5246).
    #[default]
    Tls12,
    /// 1.3 (RFC 8446).
    Tls13,
}

/// Where the gateway speaks no TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlainListener {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether it only tells clients to come by TLS, and serves nothing.
    pub redirect: bool,
}
