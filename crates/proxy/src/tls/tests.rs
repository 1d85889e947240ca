use super::*;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls::HandshakeKind;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::time::{Duration, SystemTime};
use tenon_core::Timestamp;
use tenon_core::identity::{SpiffeId, Workload};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: Vec<u8>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let root = params.self_signed(&key).unwrap().der().to_vec();
        Self { issuer: Issuer::new(params, key), root }
    }

    /// A certificate with these URIs, that `tamper` may make another.
    fn sign(&self, uris: &[&str], tamper: impl FnOnce(&mut CertificateParams)) -> (Vec<u8>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        tamper(&mut params);
        (params.signed_by(&key, &self.issuer).unwrap().der().to_vec(), key)
    }

    fn identity(&self, id: &str) -> Identity {
        let (certificate, key) = self.sign(&[id], |_| ());
        Identity {
            id: id.parse().unwrap(),
            certificates: vec![certificate],
            key: key.serialize_der(),
            roots: vec![self.root.clone()],
            until: Timestamp::from_micros(u64::MAX),
        }
    }
}

const PAYMENT: &str = "spiffe://shop/ns/default/sa/payment";
const ORDER: &str = "spiffe://shop/ns/default/sa/order";

fn judge(authority: &Authority, certificate: Vec<u8>) -> Result<Workload, rustls::Error> {
    let identities = Identities::new();
    identities.put(&authority.identity(PAYMENT)).unwrap();
    let certificate = CertificateDer::from(certificate);
    let found = identities.peers().identify(&certificate, &[], peers::Side::Client, UnixTime::now());
    found.map(|id| id.workload)
}

#[test]
fn a_certificate_of_the_mesh_is_whom_it_names() {
    let authority = Authority::new();
    let (certificate, _) = authority.sign(&[ORDER], |_| ());
    assert_eq!(judge(&authority, certificate).unwrap(), Workload::Service("order".parse().unwrap()));
}

#[test]
fn others_are_nobody() {
    let authority = Authority::new();
    let ended = |params: &mut CertificateParams| {
        params.not_after = (SystemTime::now() - Duration::from_secs(1)).into();
    };
    let to_come = |params: &mut CertificateParams| {
        params.not_before = (SystemTime::now() + Duration::from_secs(60)).into();
    };
    let for_servers = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    for (certificate, why) in [
        (authority.sign(&[ORDER], ended).0, "Expired"),
        (authority.sign(&[ORDER], to_come).0, "NotValidYet"),
        (authority.sign(&[ORDER], for_servers).0, "Untrusted"),
        (authority.sign(&[], |_| ()).0, "Unnamed"),
        (authority.sign(&[ORDER, PAYMENT], |_| ()).0, "Unnamed"),
        (authority.sign(&["https://shop/order"], |_| ()).0, "Unnamed"),
        (authority.sign(&["spiffe://other/gateway"], |_| ()).0, "Foreign"),
        (Authority::new().sign(&[ORDER], |_| ()).0, "BadSignature"),
        (vec![1, 2, 3], "BadEncoding"),
    ] {
        let error = judge(&authority, certificate).unwrap_err();
        let said = format!("{error:?}");
        assert!(said.contains(why), "{why}: {said}");
    }
}

#[test]
fn what_is_kept_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let identity = Identity { until: Timestamp::from_micros(7), ..authority.identity(PAYMENT) };
    keep::save(folder.path(), &identity);
    keep::save(folder.path(), &authority.identity("spiffe://shop/gateway"));
    std::fs::write(folder.path().join("broken.pem"), "nothing").unwrap();
    let identities = Identities::new();
    keep::restore(&identities, folder.path());
    let ends = identities.ends();
    assert_eq!(ends.get(&identity.id.workload), Some(&Timestamp::from_micros(7)));
    assert_eq!(ends.len(), 2);
    identities.keep_only(|workload| *workload == Workload::Gateway);
    assert!(identities.of(&identity.id.workload).is_none());
    assert!(identities.of(&Workload::Gateway).is_some());
}

/// One calls the other on a new connection: which handshake that took.
async fn call(order: &Identities, payment: &Identities) -> HandshakeKind {
    let [from, to] = [ORDER, PAYMENT].map(|id| id.parse::<SpiffeId>().unwrap().workload);
    let (caller, called) = tokio::io::duplex(1 << 16);
    let own = payment.of(&to).unwrap();
    let answering = async {
        let mut stream =
            tokio_rustls::TlsAcceptor::from(Arc::clone(&own.server)).accept(called).await.unwrap();
        // With which the ticket comes.
        stream.write_all(b"!").await.unwrap();
    };
    let calling = async {
        let own = holder(order, &from).unwrap();
        let mut stream = secure(order, &own, &to, HTTP1, caller).await.unwrap();
        stream.read_u8().await.unwrap();
        stream.get_ref().1.handshake_kind().unwrap()
    };
    tokio::join!(answering, calling).1
}

#[tokio::test]
async fn a_session_ends_with_the_certificates_that_it_remembers() {
    let authority = Authority::new();
    let (order, payment) = (Identities::new(), Identities::new());
    order.put(&authority.identity(ORDER)).unwrap();
    payment.put(&authority.identity(PAYMENT)).unwrap();
    assert_eq!(call(&order, &payment).await, HandshakeKind::Full);
    assert_eq!(call(&order, &payment).await, HandshakeKind::Resumed);
    payment.put(&authority.identity(PAYMENT)).unwrap();
    assert_eq!(call(&order, &payment).await, HandshakeKind::Full, "whoever is called has a new certificate");
    assert_eq!(call(&order, &payment).await, HandshakeKind::Resumed);
    order.put(&authority.identity(ORDER)).unwrap();
    assert_eq!(call(&order, &payment).await, HandshakeKind::Full, "whoever calls has a new certificate");
    assert_eq!(call(&order, &payment).await, HandshakeKind::Resumed);
}
