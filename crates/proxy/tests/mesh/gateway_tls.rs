//! TLS at the gateway: certificates by host, HTTP/2, reload, redirect.

use crate::support::*;
use http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tenon_core::manifest::{Certificate, GatewayTls, PlainListener, TlsVersion, Traffic};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Writes a certificate for a host into two files; itself, to believe.
fn write(folder: &Path, name: &str, host: &str) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![host.to_owned()]).unwrap();
    fs::write(folder.join(format!("{name}.key")), signing_key.serialize_pem()).unwrap();
    fs::write(folder.join(format!("{name}.pem")), cert.pem()).unwrap();
    cert.der().clone()
}

fn certificate(folder: &Path, name: &str, hosts: &[&str]) -> Certificate {
    let file = |end: &str| folder.join(format!("{name}.{end}")).to_str().unwrap().to_owned();
    let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    Certificate { hosts, cert: file("pem"), key: file("key") }
}

/// A mesh whose gateway has these certificates, and an application that tells how it was asked.
async fn mesh(certificates: Vec<Certificate>, plain: Option<PlainListener>) -> (Mesh, App) {
    let app = App::start(|request: Request<hyper::body::Incoming>| async move {
        let proto = request.headers().get("x-forwarded-proto").cloned().unwrap();
        http::Response::new(full(proto.to_str().unwrap().to_owned()))
    })
    .await;
    let mut mesh = Mesh::new().service("payment", Traffic::default(), &[&app]).gateway(vec![route(
        "all",
        "/",
        &[("payment", 1)],
    )]);
    mesh.routes.gateway.as_mut().unwrap().tls =
        Some(GatewayTls { certificates, min_version: TlsVersion::Tls12, plain });
    (mesh.applied().await, app)
}

async fn connect(
    to: SocketAddr,
    host: &'static str,
    believed: &CertificateDer<'static>,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(believed.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from(host).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(to).await?).await
}

/// Waits until the gateway shows this certificate.
async fn shows(to: SocketAddr, host: &'static str, expected: &CertificateDer<'static>) {
    until("the gateway shows the certificate", || async {
        connect(to, host, expected, b"http/1.1").await.is_ok()
    })
    .await;
}

fn plain_get(host: &str) -> Request<Body> {
    Request::get("/x?y=1").header("host", host).body(full("")).unwrap()
}

#[tokio::test]
async fn each_host_is_shown_its_own_certificate() {
    let folder = TempDir::new().unwrap();
    let shop = write(folder.path(), "shop", "shop.example");
    let below = write(folder.path(), "below", "a.b.shop.example");
    let certificates = vec![
        certificate(folder.path(), "shop", &["shop.example"]),
        certificate(folder.path(), "below", &["*.shop.example"]),
    ];
    let (mesh, _app) = mesh(certificates, None).await;
    let gateway = mesh.gateway.address;
    shows(gateway, "shop.example", &shop).await;
    shows(gateway, "a.b.shop.example", &below).await;
    assert!(connect(gateway, "other.example", &shop, b"http/1.1").await.is_err());
    let mut client = Client::over(connect(gateway, "shop.example", &shop, b"http/1.1").await.unwrap()).await;
    assert_eq!(client.send(plain_get("shop.example")).await.text(), "https");
}

#[tokio::test]
async fn http2_is_agreed_on() {
    let folder = TempDir::new().unwrap();
    let shop = write(folder.path(), "shop", "shop.example");
    let (mesh, _app) = mesh(vec![certificate(folder.path(), "shop", &[])], None).await;
    shows(mesh.gateway.address, "shop.example", &shop).await;
    let stream = connect(mesh.gateway.address, "shop.example", &shop, b"h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://shop.example/").body(full("")).unwrap();
    let reply = Reply::read(sender.send_request(request).await.unwrap()).await.unwrap();
    assert_eq!(reply.text(), "https");
}

#[tokio::test]
async fn new_files_are_used_broken_ones_are_not_and_connections_live_on() {
    let folder = TempDir::new().unwrap();
    let first = write(folder.path(), "shop", "shop.example");
    let (mesh, _app) = mesh(vec![certificate(folder.path(), "shop", &[])], None).await;
    let gateway = mesh.gateway.address;
    shows(gateway, "shop.example", &first).await;
    let mut before = Client::over(connect(gateway, "shop.example", &first, b"http/1.1").await.unwrap()).await;
    let second = write(folder.path(), "shop", "shop.example");
    shows(gateway, "shop.example", &second).await;
    assert_eq!(before.send(plain_get("shop.example")).await.text(), "https");
    // A certificate whose key is another's is not used.
    let other = TempDir::new().unwrap();
    let third = write(other.path(), "shop", "shop.example");
    fs::copy(other.path().join("shop.pem"), folder.path().join("shop.pem")).unwrap();
    until("the failure is told", || async {
        mesh.admin("/snapshot").await.json()["certificates"][0]["error"].is_string()
    })
    .await;
    assert!(connect(gateway, "shop.example", &second, b"http/1.1").await.is_ok());
    fs::copy(other.path().join("shop.key"), folder.path().join("shop.key")).unwrap();
    shows(gateway, "shop.example", &third).await;
    assert_eq!(before.send(plain_get("shop.example")).await.text(), "https");
}

#[tokio::test]
async fn beside_it_clients_are_told_to_come_by_tls_or_served() {
    for redirect in [true, false] {
        let folder = TempDir::new().unwrap();
        write(folder.path(), "shop", "shop.example");
        let beside = Reserved::new();
        let plain = Some(PlainListener { listen: beside.address, redirect });
        let (mesh, _app) = mesh(vec![certificate(folder.path(), "shop", &[])], plain).await;
        let reply = Client::connect(beside.address).await.send(plain_get("shop.example:80")).await;
        if redirect {
            let port = mesh.gateway.address.port();
            assert_eq!(reply.status, 308);
            assert_eq!(reply.header("location"), format!("https://shop.example:{port}/x?y=1"));
        } else {
            assert_eq!((reply.status.as_u16(), reply.text()), (200, "http"));
        }
    }
}
