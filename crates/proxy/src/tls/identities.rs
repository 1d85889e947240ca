//! The certificates of the workloads that live here.

use super::peers::{Peers, Trust};
use super::{BYTES, HTTP1, HTTP2, provider, tickets};
use arc_swap::ArcSwap;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig, SignatureScheme};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tenon_core::Timestamp;
use tenon_core::identity::{SpiffeId, Workload};

/// Who a workload is, and what proves it.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who it is.
    pub id: SpiffeId,
    /// DER, its own first.
    pub certificates: Vec<Vec<u8>>,
    /// PKCS #8, DER.
    pub key: Vec<u8>,
    /// What others are checked by, DER.
    pub roots: Vec<Vec<u8>>,
    /// When the certificate ceases to hold (UTC).
    pub until: Timestamp,
}

/// Shows no key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("id", &self.id).field("until", &self.until).finish_non_exhaustive()
    }
}

/// Why an identity cannot be used. The one before, if there was one, still is.
#[derive(Debug, thiserror::Error)]
#[error("the certificate of {workload} cannot be used")]
pub struct IdentityError {
    workload: Workload,
    #[source]
    cause: rustls::Error,
}

/// All of them. Handshakes read; who changes something waits for others that do.
#[derive(Debug)]
pub(crate) struct Identities {
    trust: Arc<ArcSwap<Trust>>,
    own: ArcSwap<BTreeMap<Workload, Arc<Own>>>,
    changing: Mutex<()>,
}

/// One workload's: how it takes connections and makes them while it has one certificate. The next one's sessions are its own:
/// a session remembers what both sides showed, and would be of no use once that has ended.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
    shown: Arc<Shown>,
}

/// What it shows.
#[derive(Debug)]
struct Shown {
    key: Arc<CertifiedKey>,
    until: Timestamp,
}

impl Identities {
    pub(crate) fn new() -> Self {
        Self { trust: Arc::default(), own: ArcSwap::default(), changing: Mutex::default() }
    }

    /// A workload's, if it has a certificate.
    pub(crate) fn of(&self, workload: &Workload) -> Option<Arc<Own>> {
        self.own.load().get(workload).cloned()
    }

    /// Who others are.
    pub(crate) fn peers(&self) -> Peers {
        Peers::new(Arc::clone(&self.trust))
    }

    /// When each certificate ceases to hold.
    pub(crate) fn ends(&self) -> BTreeMap<Workload, Timestamp> {
        let own = self.own.load();
        own.iter().map(|(workload, own)| (workload.clone(), own.shown.until)).collect()
    }

    /// Shows this from now on.
    ///
    /// # Errors
    /// [`IdentityError`]; nothing has changed then.
    pub(crate) fn put(&self, identity: &Identity) -> Result<(), IdentityError> {
        let workload = &identity.id.workload;
        let failed = |cause| IdentityError { workload: workload.clone(), cause };
        let trust = Trust::new(&identity.id.trust_domain, &identity.roots).map_err(failed)?;
        let shown = Shown { key: Arc::new(certified(identity).map_err(failed)?), until: identity.until };
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if **self.trust.load() != trust {
            self.trust.store(Arc::new(trust));
        }
        let own = Own::new(self.peers(), shown).map_err(failed)?;
        let mut all = BTreeMap::clone(&self.own.load());
        all.insert(workload.clone(), Arc::new(own));
        self.own.store(Arc::new(all));
        Ok(())
    }

    /// Forgets those that do not live here any more.
    pub(crate) fn keep_only(&self, lives: impl Fn(&Workload) -> bool) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let present = self.own.load();
        if !present.keys().all(&lives) {
            let mut all = BTreeMap::clone(&present);
            all.retain(|workload, _| lives(workload));
            self.own.store(Arc::new(all));
        }
    }
}

impl Own {
    fn new(peers: Peers, shown: Shown) -> Result<Self, rustls::Error> {
        let (shown, peers) = (Arc::new(shown), Arc::new(peers));
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::clone(&peers) as _)
            .with_cert_resolver(Arc::clone(&shown) as _);
        server.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec(), BYTES.to_vec()];
        // Of its own, so that what one workload's listener gave out another's does not take.
        server.ticketer = tickets::new()?;
        server.send_tls13_tickets = 1;
        let client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(peers)
            .with_client_cert_resolver(Arc::clone(&shown) as _);
        Ok(Self { server: Arc::new(server), client: Arc::new(client), shown })
    }
}

impl Own {
    /// Whether there is something to show that has not ended.
    pub(crate) fn has_certificate(&self) -> bool {
        self.shown.key().is_some()
    }
}

impl Shown {
    /// Nothing, once it has ended.
    fn key(&self) -> Option<Arc<CertifiedKey>> {
        (super::issue::wall_clock() < self.until).then(|| Arc::clone(&self.key))
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.key()
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.key()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn certified(identity: &Identity) -> Result<CertifiedKey, rustls::Error> {
    let chain = identity.certificates.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.clone()));
    let signing = provider().key_provider.load_private_key(key)?;
    let certified = CertifiedKey::new(chain, signing);
    certified.keys_match()?;
    Ok(certified)
}
