//! Calls between data planes: each side shows who it is.

use crate::support::*;
use http::Request;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tenon_core::Timestamp;
use tenon_core::manifest::{Authorization, Mtls, Security, Traffic};
use tenon_proxy::Identity;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Gives out certificates for a trust domain.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: Vec<u8>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = params.self_signed(&key).unwrap().der().to_vec();
        Self { issuer: Issuer::new(params, key), root }
    }

    fn identity(&self, id: &str, life: Duration) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let now = SystemTime::now();
        params.not_before = (now - Duration::from_secs(60)).into();
        params.not_after = (now + life).into();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            id: id.parse().unwrap(),
            certificates: vec![certificate.der().to_vec()],
            key: key.serialize_der(),
            roots: vec![self.root.clone()],
            until: Timestamp::ZERO.after((now + life).duration_since(UNIX_EPOCH).unwrap()),
        }
    }

    fn of(&self, service: &str) -> Identity {
        self.identity(&format!("spiffe://shop/ns/default/sa/{service}"), Duration::from_secs(3_600))
    }
}

/// Two data planes: `order` lives in the first and calls `payment`, whose sidecar is in the second.
struct Two {
    authority: Authority,
    here: Mesh,
    there: Mesh,
    app: App,
}

impl Two {
    /// With how `payment` treats its callers, and which services declare that they call it.
    async fn new(security: Security, callers: &[&str]) -> Self {
        let app = App::saying("paid").await;
        let traffic = Traffic { security, ..Traffic::default() };
        let mut here = Mesh::new().service("payment", traffic.clone(), &[&app]);
        let mut there = Mesh::new().service("payment", traffic, &[&app]);
        there.application = app.address;
        there.hosted = ("payment-1", "payment");
        there.callers = callers.iter().map(|name| service(name)).collect();
        here.depends_on = [service("payment")].into();
        let endpoints = here.endpoints.services.get_mut(&service("payment")).unwrap();
        endpoints[0].inbound = Some(there.inbound.address);
        let two = Self {
            authority: Authority::new(),
            here: here.applied().await,
            there: there.applied().await,
            app,
        };
        two.here.plane.apply_identity(&two.authority.of("order")).unwrap();
        two.there.plane.apply_identity(&two.authority.of("payment")).unwrap();
        two
    }

    async fn strict() -> Self {
        Self::new(Security::default(), &[]).await
    }

    /// A client's own TLS connection to the sidecar of `payment`.
    async fn connect(&self, identity: Option<&Identity>) -> std::io::Result<Client> {
        Ok(Client::over(self.open(&connector(identity)).await?).await)
    }

    async fn open(&self, connector: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.there.inbound.address).await?;
        connector.connect(ServerName::try_from("payment.default").unwrap(), stream).await
    }
}

/// Shows this identity, if any.
fn connector(identity: Option<&Identity>) -> TlsConnector {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = identity.certificates.iter().map(|it| CertificateDer::from(it.clone())).collect();
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.clone()));
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

/// Believes every server: these tests are about what servers believe.
#[derive(Debug)]
struct Anybody;

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

fn plain_get() -> Request<Body> {
    Request::get("/").header("host", "payment").body(full("")).unwrap()
}

#[tokio::test]
async fn a_call_crosses_to_another_data_plane_by_mutual_tls() {
    let two = Two::strict().await;
    let reply = two.here.get("http://payment/").await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, "paid"));
    let metrics = two.there.admin("/metrics").await;
    let inbound = metrics
        .text()
        .lines()
        .find(|line| line.starts_with("tenon_requests_total") && line.contains("component=\"inbound\""));
    assert!(inbound.unwrap().contains("source=\"order\""), "{inbound:?}");
}

#[tokio::test]
async fn bytes_in_a_tunnel_cross_too() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut two = Two::strict().await;
    let echo = RawApp::start(|mut stream| async move {
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
    })
    .await;
    two.there.application = echo.address;
    two.there.apply().await;
    let mut stream = TcpStream::connect(two.here.outbound.address).await.unwrap();
    let credentials = credentials("order-1", SECRET);
    let open = format!(
        "CONNECT payment:1 HTTP/1.1\r\nhost: payment:1\r\nproxy-authorization: {credentials}\r\n\r\n"
    );
    stream.write_all(open.as_bytes()).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200"));
    stream.write_all(b"\x00\x01hello").await.unwrap();
    let mut back = [0; 7];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"\x00\x01hello");
}

#[tokio::test]
async fn a_stranger_is_refused_with_a_reason() {
    let two = Two::strict().await;
    let plain = Client::connect(two.there.inbound.address).await.send(plain_get()).await;
    assert_eq!((plain.status.as_u16(), plain.code()), (403, "mesh.identity-required"));
    assert!(plain.json()["detail"].as_str().unwrap().contains("mutual TLS"));
    let unnamed = two.connect(None).await.unwrap().send(plain_get()).await;
    assert_eq!((unnamed.status.as_u16(), unnamed.code()), (403, "mesh.identity-required"));
    assert_eq!(two.app.hits(), 0);
}

#[tokio::test]
async fn a_certificate_of_another_authority_or_trust_domain_opens_nothing() {
    let two = Two::strict().await;
    let forged = Authority::new().of("order");
    let foreign = two.authority.identity("spiffe://other/ns/default/sa/order", Duration::from_secs(60));
    for identity in [forged, foreign] {
        // The refusal of a client's certificate comes after its side of the handshake (RFC 8446, 4.4.2).
        if let Ok(mut client) = two.connect(Some(&identity)).await {
            assert!(client.begin(plain_get()).await.is_err());
        }
    }
    assert_eq!(two.app.hits(), 0);
    let known = two.connect(Some(&two.authority.of("order"))).await.unwrap().send(plain_get()).await;
    assert_eq!(known.text(), "paid");
}

#[tokio::test]
async fn who_answers_as_somebody_else_is_not_spoken_to() {
    let two = Two::strict().await;
    // The sidecar's certificate is that of another service.
    let impostor = Mesh::new();
    let mut impostor = impostor.service("inventory", Traffic::default(), &[&two.app]);
    impostor.hosted = ("inventory-1", "inventory");
    impostor.application = two.app.address;
    let impostor = impostor.applied().await;
    impostor.plane.apply_identity(&two.authority.of("inventory")).unwrap();
    let mut here = two.here;
    here.endpoints.services.get_mut(&service("payment")).unwrap()[0].inbound = Some(impostor.inbound.address);
    here.apply().await;
    let reply = here.get("http://payment/").await;
    assert_eq!((reply.status.as_u16(), reply.code()), (502, "mesh.unreachable"));
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("the other side is `inventory`, not `payment.default`"), "{detail}");
    assert_eq!(two.app.hits(), 0);
}

#[tokio::test]
async fn plain_text_is_taken_where_the_manifest_allows_it() {
    let security = Security { mtls: Mtls::Permissive, ..Security::default() };
    let two = Two::new(security, &[]).await;
    let plain = Client::connect(two.there.inbound.address).await.send(plain_get()).await;
    assert_eq!((plain.status.as_u16(), plain.text()), (200, "paid"));
    assert_eq!(two.here.get("http://payment/").await.text(), "paid");
}

#[tokio::test]
async fn only_who_declares_a_service_calls_it_if_it_says_so() {
    let security = Security { authorization: Authorization::Declared, ..Security::default() };
    let mut two = Two::new(security, &["order"]).await;
    assert_eq!(two.here.get("http://payment/").await.text(), "paid");
    let stranger = two.authority.of("inventory");
    let refused = two.connect(Some(&stranger)).await.unwrap().send(plain_get()).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (403, "mesh.identity-denied"));
    // The caller's own sidecar knows too, wherever the service lives.
    two.here.depends_on.clear();
    two.here.apply().await;
    let refused = two.here.get("http://payment/").await;
    assert_eq!((refused.status.as_u16(), refused.code()), (403, "mesh.identity-denied"));
    assert_eq!(refused.json()["component"], "outbound");
}

#[tokio::test]
async fn who_has_no_certificate_that_holds_cannot_call_and_says_so() {
    let two = Two::strict().await;
    let ended = two.authority.identity("spiffe://shop/ns/default/sa/order", Duration::ZERO);
    two.here.plane.apply_identity(&ended).unwrap();
    let refused = two.here.get("http://payment/").await;
    assert_eq!((refused.status.as_u16(), refused.code()), (503, "mesh.not-ready"));
    assert!(refused.text().contains("order has no certificate that holds"), "{}", refused.text());
    two.here.plane.apply_identity(&two.authority.of("order")).unwrap();
    until("the call is let in", || async { two.here.get("http://payment/").await.status == 200 }).await;
}

#[tokio::test]
async fn certificates_change_under_load_and_nothing_fails() {
    let two = Two::strict().await;
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (mut client, stop, served) = (two.here.client().await, Arc::clone(&stop), Arc::clone(&served));
        clients.spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let reply = client.send(request("POST", "http://payment/", "x")).await;
                assert_eq!((reply.status.as_u16(), reply.text()), (200, "paid"));
                served.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    let mut crossing = two.connect(Some(&two.authority.of("order"))).await.unwrap();
    for _ in 0..20 {
        two.here.plane.apply_identity(&two.authority.of("order")).unwrap();
        two.there.plane.apply_identity(&two.authority.of("payment")).unwrap();
        let goal = served.load(Ordering::SeqCst) + 20;
        until("requests are served", || async { served.load(Ordering::SeqCst) >= goal }).await;
        // The same connection all along.
        assert_eq!(crossing.send(plain_get()).await.text(), "paid");
    }
    stop.store(true, Ordering::SeqCst);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}

#[tokio::test]
async fn an_identity_whose_key_is_another_is_refused_and_the_one_before_stays() {
    let two = Two::strict().await;
    let mut wrong = two.authority.of("order");
    wrong.key = KeyPair::generate().unwrap().serialize_der();
    assert!(two.here.plane.apply_identity(&wrong).is_err());
    assert_eq!(two.here.get("http://payment/").await.text(), "paid");
}

#[tokio::test]
async fn who_comes_again_is_spared_most_of_the_handshake_and_known_all_the_same() {
    let security = Security { authorization: Authorization::Declared, ..Security::default() };
    let two = Two::new(security, &["order"]).await;
    let connector = connector(Some(&two.authority.of("order")));
    let first = two.open(&connector).await.unwrap();
    assert_eq!(first.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    // What makes the second possible comes before the answer.
    assert_eq!(Client::over(first).await.send(plain_get()).await.text(), "paid");
    let second = two.open(&connector).await.unwrap();
    assert_eq!(second.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    assert_eq!(Client::over(second).await.send(plain_get()).await.text(), "paid");
}
