//! A database that is reached by TLS.

use super::*;
use crate::testing::PrivateServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

type Root = CertifiedIssuer<'static, KeyPair>;

fn root() -> Root {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server with a certificate for this name.
fn server(root: &Root, name: &str) -> PrivateServer {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, root).unwrap();
    PrivateServer::start_with_tls(&certificate.pem(), &key.serialize_pem()).unwrap()
}

#[tokio::test]
async fn the_database_shows_who_it_is_and_only_the_one_that_is_meant_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (root(), root());
    let file = |name: &str, root: &Root| {
        let path = folder.path().join(name);
        std::fs::write(&path, root.pem()).unwrap();
        path
    };
    let (trusted, unknown) = (file("ours.pem", &ours), file("other.pem", &other));
    let server = server(&ours, "localhost");
    server.sql("postgres", "CREATE DATABASE shop");
    let url = |host: &str, root: &std::path::Path| {
        let port = server.port();
        format!("postgres://tenon@{host}:{port}/shop?sslmode=verify-full&sslrootcert={}", root.display())
    };

    let log = open(&url("localhost", &trusted)).await;
    log.append(vec![event("a")], None).await.unwrap();
    assert_eq!(positions(&read_all(&log).await), [1]);
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE datname = 'shop' AND application_name = 'tenon' AND NOT ssl";
    assert_eq!(server.sql("postgres", encrypted), "0", "every connection is encrypted");

    for (host, root, why) in
        [("localhost", &unknown, "another root"), ("127.0.0.1", &trusted, "another name")]
    {
        let refused = PostgresLog::open(&url(host, root), PostgresOptions::default()).await.unwrap_err();
        assert!(matches!(refused, ConnectError::Unreachable { .. }), "{why}: {refused:?}");
    }
    assert_eq!(read_all(&log).await.len(), 1);
}
