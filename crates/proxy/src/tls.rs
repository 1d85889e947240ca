//! TLS: between data planes, where each side shows who it is, and towards clients of the gateway.
//!
//! Life cycle: a workload's certificate is got ([`issue`]) or read from disk ([`keep`]) and kept by [`identities`], where
//! each handshake looks for it: connections that are open live on when it changes. [`peers`] judges what the other side
//! shows. [`accept`] is how a connection comes in, [`connect`] how one goes out. The gateway's certificates are files
//! ([`gateway`]).
//!
//! One provider of cryptography, aws-lc-rs, named wherever one is needed.

mod accept;
mod connect;
mod gateway;
mod identities;
pub(crate) mod issue;
pub(crate) mod keep;
mod peers;
mod tickets;

pub(crate) use accept::{Arrival, arrive};
pub(crate) use connect::{Ends, holder, secure};
pub(crate) use gateway::{CertificateStatus, Certificates, keep as keep_certificates};
pub(crate) use identities::{Identities, Own};
pub use identities::{Identity, IdentityError};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use std::sync::{Arc, LazyLock};

/// The protocols that are spoken inside (ALPN).
pub(crate) const HTTP1: &[u8] = b"http/1.1";
/// See [`HTTP1`].
pub(crate) const HTTP2: &[u8] = b"h2";

/// Bytes as they are, to the application.
pub(crate) const BYTES: &[u8] = b"tenon/bytes";

/// The one provider.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}

#[cfg(test)]
mod tests;
