//! The gateway's addresses.

use crate::support::{Folder, System, one_at_a_time, payment, quote_route, system_of};
use serde_json::Value;
use std::fs;

const TLS: &str = "
  tls:
    certificates: [{cert: own.pem, key: own.key}]
    plain: {listen: 127.0.0.1:80, redirect: false}";

#[tokio::test]
async fn a_gateway_that_speaks_tls_is_asked_in_plain_text_where_it_is_told() {
    let _turn = one_at_a_time().await;
    let folder = Folder::with(&system_of(&[payment(1)], &format!("{}{TLS}", quote_route(&[]))));
    let own = rcgen::generate_simple_self_signed(vec!["shop.test".to_owned()]).unwrap();
    fs::write(folder.path().join("own.pem"), own.cert.pem()).unwrap();
    fs::write(folder.path().join("own.key"), own.signing_key.serialize_pem()).unwrap();
    let system = System::begin(folder, &["--gateway-plain", "127.0.0.1:0"]).await;
    system.is_healthy().await;

    let endpoints = fs::read(system.folder.data().join("run/endpoints.json")).unwrap();
    let endpoints: Value = serde_json::from_slice(&endpoints).unwrap();
    let plain = endpoints["gateway_plain"].as_str().unwrap();
    assert!(system.printed().contains(&format!(", in plain text {plain}")), "{}", system.printed());
    assert!(system.urls.gateway.starts_with("https://") && plain.starts_with("http://"), "{endpoints}");
    assert_eq!(system.http.get(&format!("{plain}/quote?amount=1.00")).await.status, 200);
    // In plain text it does not answer where it speaks TLS.
    let there = system.urls.gateway.replace("https", "http");
    assert_eq!(system.http.get(&format!("{there}/quote?amount=1.00")).await.status, 0);
}
