//! Who the other side of a connection is: its certificate must lead to one of the mesh's roots, hold now, and name exactly
//! one identity, of our trust domain. Its names and addresses are not asked.
//!
//! Whoever is called must be whom the caller meant: the name that a connection is opened with is the one that the
//! workload's identity gives ([`Workload::dns_name`]). Whoever calls may be anybody of the mesh, and may show nothing at
//! all: then it is nobody, and what it asks for is refused with a reason, which a broken handshake cannot give.

use super::provider;
use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use std::sync::Arc;
use tenon_core::identity::{SpiffeId, TrustDomain, Workload};
use webpki::{EndEntityCert, KeyUsage};

/// In whose word identities are believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    domain: Option<TrustDomain>,
    anchors: Vec<TrustAnchor<'static>>,
}

/// Judges the other side. Copies judge alike, by the present roots.
#[derive(Debug, Clone)]
pub(crate) struct Peers(Arc<ArcSwap<Trust>>);

/// Why the other side is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Disbelieved {
    #[error("its certificate does not name exactly one identity")]
    Unnamed,
    #[error("its identity is of the trust domain `{0}`, which is not ours")]
    Foreign(TrustDomain),
    #[error("the other side is `{found}`, not `{expected}`")]
    Other { found: Workload, expected: String },
    #[error("its certificate was not given out by this mesh: {0}")]
    Untrusted(String),
}

/// Which side of the connection is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Trust {
    /// # Errors
    /// One of the roots is no certificate.
    pub(super) fn new(domain: &TrustDomain, roots: &[Vec<u8>]) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(CertificateDer::from(root.as_slice()))?;
        }
        Ok(Self { domain: Some(domain.clone()), anchors: store.roots })
    }
}

impl Peers {
    pub(super) fn new(trust: Arc<ArcSwap<Trust>>) -> Self {
        Self(trust)
    }

    /// Who showed these certificates.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn identify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        side: Side,
        now: UnixTime,
    ) -> Result<SpiffeId, Error> {
        let trust = self.0.load();
        let certificate =
            EndEntityCert::try_from(end_entity).map_err(|_| Error::from(CertificateError::BadEncoding))?;
        let usage = if side == Side::Client { KeyUsage::client_auth() } else { KeyUsage::server_auth() };
        let algorithms = provider().signature_verification_algorithms.all;
        certificate
            .verify_for_usage(algorithms, &trust.anchors, intermediates, now, usage, None, None)
            .map_err(|error| judged(&error))?;
        let id = named(end_entity).ok_or_else(|| other(Disbelieved::Unnamed))?;
        if trust.domain.as_ref() == Some(&id.trust_domain) {
            Ok(id)
        } else {
            Err(other(Disbelieved::Foreign(id.trust_domain)))
        }
    }
}

/// Whom a certificate that has been verified names.
pub(crate) fn named(certificate: &CertificateDer<'_>) -> Option<SpiffeId> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let mut names = certificate.valid_uri_names();
    let name = names.next()?;
    if names.next().is_some() {
        return None;
    }
    name.parse().ok()
}

fn judged(error: &webpki::Error) -> Error {
    match error {
        webpki::Error::CertExpired { .. } => CertificateError::Expired.into(),
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet.into(),
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer.into(),
        webpki::Error::InvalidSignatureForPublicKey => CertificateError::BadSignature.into(),
        error => other(Disbelieved::Untrusted(error.to_string())),
    }
}

fn other(reason: Disbelieved) -> Error {
    CertificateError::Other(OtherError(Arc::new(reason))).into()
}

impl ServerCertVerifier for Peers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = self.identify(end_entity, intermediates, Side::Server, now)?.workload;
        let expected = server_name.to_str();
        if found.dns_name() == expected {
            return Ok(ServerCertVerified::assertion());
        }
        Err(other(Disbelieved::Other { found, expected: expected.into_owned() }))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Peers {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.identify(end_entity, intermediates, Side::Client, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
