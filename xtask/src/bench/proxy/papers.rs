//! Certificates for a run in which everybody shows who it is: the load to the proxy, the proxy to both, the origins to the
//! proxy. All are given out by one root, and believed by nobody else.
//!
//! Load and origins offer one cipher only, TLS 1.3's AES-128-GCM, so every proxy does the same work on both sides.

use super::door::HOST;
use super::peers::folder;
use crate::shell::Outcome;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the origins' certificates say whose they are: to Tenon by the identity of the service, to the others by its name.
pub(super) const ORIGIN: &str = "origin.default";
const ORIGIN_ID: &str = "spiffe://bench/ns/default/sa/origin";
const PROXY_ID: &str = "spiffe://bench/gateway";

/// The certificates of a run. The proxies' is in files, for they are other programs.
#[derive(Debug)]
pub(super) struct Papers {
    folder: PathBuf,
    roots: Arc<RootCertStore>,
    load: Own,
    origin: Own,
}

#[derive(Debug)]
struct Own {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Papers {
    /// Makes all of them anew.
    pub(super) fn make() -> Outcome<Self> {
        let folder = folder()?.join("papers");
        fs::create_dir_all(folder.join("identities"))?;
        let root_key = KeyPair::generate()?;
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        root.distinguished_name.push(DnType::CommonName, "the bench's root");
        let own = root.self_signed(&root_key)?;
        let mut roots = RootCertStore::empty();
        roots.add(own.der().clone())?;
        let issuer = Issuer::new(root, root_key);
        let (certificate, key) = sign(&issuer, &[HOST], Some(PROXY_ID))?;
        let (certificate, key) = (certificate.pem(), key.serialize_pem());
        let both = format!("{certificate}{key}");
        for (name, text) in [
            ("root.pem", own.pem().as_str()),
            ("proxy.crt", &certificate),
            ("proxy.key", &key),
            ("proxy.pem", &both),
            // Where Tenon looks for them.
            ("identities/roots.pem", &own.pem()),
            ("identities/gateway.pem", &both),
        ] {
            fs::write(folder.join(name), text)?;
        }
        let own = |names: &[&str], id| {
            let (certificate, key) = sign(&issuer, names, id)?;
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
            Outcome::Ok(Own { certificate: certificate.der().clone(), key })
        };
        let (load, origin) = (own(&["load.test"], None)?, own(&[ORIGIN], Some(ORIGIN_ID))?);
        Ok(Self { folder, roots: Arc::new(roots), load, origin })
    }

    /// One of the files: `root.pem`, `proxy.crt`, `proxy.key`, `proxy.pem` (both of these).
    pub(super) fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Puts the proxy's identity where a data plane with this folder for its data finds it.
    pub(super) fn give_identity(&self, data: &Path) -> Outcome {
        let folder = data.join("snapshots").join("identities");
        fs::create_dir_all(&folder)?;
        for name in ["roots.pem", "gateway.pem"] {
            fs::copy(self.folder.join("identities").join(name), folder.join(name))?;
        }
        Ok(())
    }

    /// How the load gets at a proxy.
    pub(super) fn load(&self) -> Outcome<Arc<ClientConfig>> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_client_auth_cert(vec![self.load.certificate.clone()], self.load.key.clone_key())?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// How the origins take connections: from those only who show a certificate.
    pub(super) fn origin(&self) -> Outcome<Arc<ServerConfig>> {
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&self.roots), provider()).build()?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![self.origin.certificate.clone()], self.origin.key.clone_key())?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn sign(
    issuer: &Issuer<'_, KeyPair>,
    names: &[&str],
    id: Option<&str>,
) -> Outcome<(rcgen::Certificate, KeyPair)> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    if let Some(id) = id {
        params.subject_alt_names.push(SanType::URI(id.try_into()?));
    }
    // Another than the root's, or OpenSSL takes it for one that has signed itself.
    let name = names.first().copied().unwrap_or_default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok((params.signed_by(&key, issuer)?, key))
}

fn provider() -> Arc<CryptoProvider> {
    let cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
    Arc::new(CryptoProvider { cipher_suites, ..default_provider() })
}
