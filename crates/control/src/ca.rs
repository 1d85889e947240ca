//! The certificate authority of a system: it signs who a workload is, for a short time.
//!
//! Life cycle: made when the first certificate is asked for, in the folder of the keys, and then read from there. The trust
//! domain is the name that the system has at that moment, and stays, so that a system that is renamed goes on. Files:
//! `trust-domain`; `ca.pem`, the roots that are believed, the first of which signs; `ca.key` (mode 0600), which is written
//! last: without it there is no authority yet. To change the root, a new key and root are put first and the old root is left
//! in `ca.pem` for as long as certificates that it signed hold.
//!
//! Left out on purpose: who may ask for what (`identities`), revocation (certificates are short-lived instead).

use crate::keys::write_new;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};
use std::{fmt, fs};
use tenon_api::identity::Issued;
use tenon_core::identity::{SpiffeId, TrustDomain, Workload};
use tenon_core::{InvalidName, ServiceName, Timestamp};

const KEY_FILE: &str = "ca.key";
const ROOTS_FILE: &str = "ca.pem";
const TRUST_DOMAIN_FILE: &str = "trust-domain";

/// How long a root holds.
const ROOT_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// How long before now a certificate begins to hold, since clocks of machines differ.
const BACKDATED: Duration = Duration::from_secs(60);

/// Why no certificate is signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaError {
    /// A file cannot be read or made.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file that names the trust domain holds something else.
    #[error("the trust domain in the folder of the keys is not valid")]
    TrustDomain(#[from] InvalidName),
    /// Other users of the machine could read the key.
    #[error("{path} can be read by other users; run: chmod 600 {path}")]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// There is a key but no root that could be read.
    #[error("{path} holds no certificate")]
    NoRoot {
        /// The file.
        path: PathBuf,
    },
    /// What was asked with is no request, or is not signed by the key that it names.
    #[error("the signing request is not valid")]
    Request(#[source] rcgen::Error),
    /// The key cannot be made or used.
    #[error("cannot sign")]
    Sign(#[source] rcgen::Error),
}

/// Signs certificates. Clones are one authority.
#[derive(Clone)]
pub(crate) struct Ca {
    folder: Arc<Path>,
    authority: Arc<Mutex<Option<Arc<Authority>>>>,
}

struct Authority {
    trust_domain: TrustDomain,
    issuer: Issuer<'static, KeyPair>,
    /// DER.
    roots: Vec<Vec<u8>>,
}

/// Shows no key.
impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Ca {
    /// The authority whose files are, or will be, in this folder.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.into(), authority: Arc::default() }
    }

    /// Signs a certificate for a workload of `system` that holds for `ttl` from `now` on. Only the public key is taken over
    /// from the request.
    ///
    /// # Errors
    /// [`CaError`]. Files that are there stay as they are.
    pub(crate) fn issue(
        &self,
        system: &ServiceName,
        workload: Workload,
        request: &[u8],
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Issued, CaError> {
        let request = CertificateSigningRequestDer::from(request);
        let mut request = CertificateSigningRequestParams::from_der(&request).map_err(CaError::Request)?;
        let authority = self.authority(system, now)?;
        let id = SpiffeId { trust_domain: authority.trust_domain.clone(), workload };
        // A certificate has whole seconds; what is told must not be later.
        let until = Timestamp::from_millis(now.after(ttl).as_millis() / 1_000 * 1_000);
        request.params = leaf(&id, now, until).map_err(CaError::Sign)?;
        let signed = request.signed_by(&authority.issuer).map_err(CaError::Sign)?;
        Ok(Issued { certificates: vec![signed.der().to_vec()], roots: authority.roots.clone(), id, until })
    }

    fn authority(&self, system: &ServiceName, now: Timestamp) -> Result<Arc<Authority>, CaError> {
        let mut authority = self.authority.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*authority {
            return Ok(Arc::clone(known));
        }
        let folder = Folder(&self.folder);
        let found = if folder.path(KEY_FILE).exists() { folder.read()? } else { folder.make(system, now)? };
        Ok(Arc::clone(authority.insert(Arc::new(found))))
    }
}

struct Folder<'a>(&'a Path);

impl Folder<'_> {
    fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    fn read_text(&self, file: &str) -> Result<String, CaError> {
        let path = self.path(file);
        fs::read_to_string(&path).map_err(|source| CaError::File { path, source })
    }

    fn write(&self, file: &str, text: &str) -> Result<(), CaError> {
        let path = self.path(file);
        write_new(&path, text).map_err(|source| CaError::File { path, source })
    }

    fn read(&self) -> Result<Authority, CaError> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(KEY_FILE);
        let mode = fs::metadata(&path).map(|it| it.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o077 != 0) {
            return Err(CaError::Exposed { path });
        }
        let key = KeyPair::from_pem(&self.read_text(KEY_FILE)?).map_err(CaError::Sign)?;
        let trust_domain = TrustDomain::new(self.read_text(TRUST_DOMAIN_FILE)?.trim())?;
        let text = self.read_text(ROOTS_FILE)?;
        let certificates = CertificateDer::pem_slice_iter(text.as_bytes());
        let certificates: Vec<_> = certificates.filter_map(Result::ok).collect();
        let signer = certificates.first().ok_or_else(|| CaError::NoRoot { path: self.path(ROOTS_FILE) })?;
        let issuer = Issuer::from_ca_cert_der(signer, key).map_err(CaError::Sign)?;
        let roots = certificates.iter().map(|it| it.to_vec()).collect();
        Ok(Authority { trust_domain, issuer, roots })
    }

    fn make(&self, system: &ServiceName, now: Timestamp) -> Result<Authority, CaError> {
        let trust_domain = TrustDomain::from(system);
        let key = KeyPair::generate().map_err(CaError::Sign)?;
        let params = root(&trust_domain, now).map_err(CaError::Sign)?;
        let certificate = params.self_signed(&key).map_err(CaError::Sign)?;
        self.write(TRUST_DOMAIN_FILE, &format!("{trust_domain}\n"))?;
        self.write(ROOTS_FILE, &certificate.pem())?;
        self.write(KEY_FILE, &key.serialize_pem())?;
        tracing::info!(%trust_domain, "made a certificate authority");
        let roots = vec![certificate.der().to_vec()];
        Ok(Authority { trust_domain, issuer: Issuer::new(params, key), roots })
    }
}

/// The root's: it names the trust domain, as SPIFFE wants of who signs (X509-SVID, 3.2).
fn root(trust_domain: &TrustDomain, now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = params(&format!("spiffe://{trust_domain}"), now, now.after(ROOT_LIFE))?;
    params.distinguished_name.push(DnType::CommonName, format!("{trust_domain} root"));
    params.distinguished_name.push(DnType::OrganizationName, "Tenon");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// A workload's, as an X.509-SVID has to be: one URI, no authority of its own, for signatures only.
fn leaf(id: &SpiffeId, now: Timestamp, until: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = params(&id.to_string(), now, until)?;
    params.distinguished_name.push(DnType::CommonName, id.workload.dns_name());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn params(uri: &str, now: Timestamp, until: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let at = |time: Timestamp| (UNIX_EPOCH + time.since(Timestamp::ZERO)).into();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
    params.not_before = at(Timestamp::ZERO.after(now.since(Timestamp::ZERO).saturating_sub(BACKDATED)));
    params.not_after = at(until);
    params.serial_number = Some(serial()?);
    Ok(params)
}

/// Random, positive, and of at most 20 bytes (RFC 5280, 4.1.2.2).
fn serial() -> Result<SerialNumber, rcgen::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| rcgen::Error::RingUnspecified)?;
    bytes[0] &= 0x7f;
    bytes[0] |= 0x01;
    Ok(SerialNumber::from_slice(&bytes))
}

#[cfg(test)]
mod tests;
