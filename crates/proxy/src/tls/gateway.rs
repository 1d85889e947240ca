//! The gateway's certificates: files, chosen by the host that a client asks for, and read again when they change.
//!
//! A file that cannot be used leaves in use what was read before. Both is told: the failure, and that it is over.

use super::{HTTP1, HTTP2, provider, tickets};
use crate::pool::chain;
use crate::worker::Shared;
use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{fs, io};
use tenon_core::manifest::{Certificate, GatewayTls, TlsVersion};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What the gateway shows now.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    config: ArcSwapOption<ServerConfig>,
    shown: Arc<ByHost>,
    status: ArcSwap<Vec<CertificateStatus>>,
}

/// How a certificate of the gateway is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct CertificateStatus {
    file: String,
    /// Whether there is one in use.
    used: bool,
    /// Why what is in the files now is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Default)]
struct ByHost(ArcSwap<Choice>);

#[derive(Debug, Default)]
struct Choice {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what follows `*.`.
    below: HashMap<String, Arc<CertifiedKey>>,
    other: Option<Arc<CertifiedKey>>,
}

/// What is known of the files of a certificate.
#[derive(Debug, Default)]
struct Held {
    stamp: Option<Stamp>,
    key: Option<Arc<CertifiedKey>>,
    error: Option<String>,
}

/// Whether files have changed: both files' times and lengths.
type Stamp = [(SystemTime, u64); 2];

impl Certificates {
    /// How connections are taken; nothing until there is a certificate.
    pub(super) fn config(&self) -> Option<Arc<ServerConfig>> {
        self.config.load_full()
    }

    /// How they are doing.
    pub(crate) fn status(&self) -> Vec<CertificateStatus> {
        self.status.load().to_vec()
    }

    fn tell(&self, held: &BTreeMap<Certificate, Held>) {
        let status = |(certificate, held): (&Certificate, &Held)| CertificateStatus {
            file: certificate.cert.clone(),
            used: held.key.is_some(),
            error: held.error.clone(),
        };
        self.status.store(Arc::new(held.iter().map(status).collect()));
    }

    fn show(&self, tls: &GatewayTls, held: &BTreeMap<Certificate, Held>) {
        let mut choice = Choice::default();
        for certificate in &tls.certificates {
            let Some(key) = held.get(certificate).and_then(|held| held.key.clone()) else { continue };
            if certificate.hosts.is_empty() {
                choice.other.get_or_insert_with(|| Arc::clone(&key));
            }
            for host in &certificate.hosts {
                match host.wildcard_suffix() {
                    Some(suffix) => choice.below.entry(suffix.to_owned()),
                    None => choice.exact.entry(host.as_str().to_owned()),
                }
                .or_insert_with(|| Arc::clone(&key));
            }
        }
        self.shown.0.store(Arc::new(choice));
    }

    fn configure(&self, version: TlsVersion) -> Result<(), rustls::Error> {
        let versions: &[_] = if version == TlsVersion::Tls13 { &[&TLS13] } else { &[&TLS13, &TLS12] };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.shown) as _);
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        config.ticketer = tickets::new()?;
        config.send_tls13_tickets = 1;
        self.config.store(Some(Arc::new(config)));
        Ok(())
    }
}

impl Choice {
    fn of(&self, host: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let named = || {
            let host = host?;
            let mut parents = std::iter::successors(host.split_once('.'), |(_, rest)| rest.split_once('.'));
            self.exact.get(host).or_else(|| parents.find_map(|(_, parent)| self.below.get(parent)))
        };
        named().or(self.other.as_ref())
    }
}

impl ResolvesServerCert for ByHost {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name().map(str::to_ascii_lowercase);
        self.0.load().of(host.as_deref()).cloned()
    }
}

/// Keeps what is shown as the files and the configuration say. Does not end.
pub(crate) async fn keep(shared: &Shared) {
    let mut held = BTreeMap::new();
    let mut version = None;
    loop {
        // Before looking, so that no change is missed.
        let changed = shared.changed.notified();
        let view = shared.view.load_full();
        if let Some(tls) = view.gateway.as_ref().and_then(|gateway| gateway.tls.as_ref()) {
            refresh(&shared.certificates, tls, &mut held);
            if version != Some(tls.min_version) {
                match shared.certificates.configure(tls.min_version) {
                    Ok(()) => version = Some(tls.min_version),
                    Err(error) => tracing::error!(%error, "the gateway cannot speak TLS"),
                }
            }
        }
        let _ = tokio::time::timeout(EVERY, changed).await;
    }
}

/// Reads what has changed.
fn refresh(certificates: &Certificates, tls: &GatewayTls, held: &mut BTreeMap<Certificate, Held>) {
    let before = held.len();
    held.retain(|certificate, _| tls.certificates.contains(certificate));
    let mut changed = held.len() != before;
    for certificate in &tls.certificates {
        let is_new = !held.contains_key(certificate);
        let held = held.entry(certificate.clone()).or_default();
        let stamp = stamp(certificate).ok();
        if !is_new && stamp == held.stamp {
            continue;
        }
        held.stamp = stamp;
        match load(certificate) {
            Ok(key) => {
                tracing::info!(file = certificate.cert, "the gateway has a certificate");
                held.key = Some(Arc::new(key));
                held.error = None;
            }
            Err(error) => {
                let error = chain(&error);
                tracing::error!(
                    file = certificate.cert,
                    error,
                    "the gateway's certificate cannot be used; one that was read before stays in use"
                );
                held.error = Some(error);
            }
        }
        changed = true;
    }
    if changed {
        certificates.tell(held);
        certificates.show(tls, held);
    }
}

fn stamp(certificate: &Certificate) -> io::Result<Stamp> {
    let of = |file: &str| {
        let metadata = fs::metadata(file)?;
        Ok::<_, io::Error>((metadata.modified()?, metadata.len()))
    };
    Ok([of(&certificate.cert)?, of(&certificate.key)?])
}

fn load(certificate: &Certificate) -> io::Result<CertifiedKey> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&fs::read(&certificate.cert)?).collect();
    let chain = chain.map_err(io::Error::other)?;
    if chain.is_empty() {
        return Err(io::Error::other("the file holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(&fs::read(&certificate.key)?).map_err(io::Error::other)?;
    let signing = provider().key_provider.load_private_key(key).map_err(io::Error::other)?;
    let certified = CertifiedKey::new(chain, signing);
    certified.keys_match().map_err(io::Error::other)?;
    Ok(certified)
}
