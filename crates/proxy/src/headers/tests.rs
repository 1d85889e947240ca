use super::*;
use http::{HeaderName, HeaderValue};
use std::net::IpAddr;

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect()
}

#[test]
fn what_belongs_to_the_connection_ends_here() {
    let mut given = headers(&[
        ("connection", "close, X-Secret-Hop"),
        ("x-secret-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic eA=="),
        ("transfer-encoding", "chunked"),
        ("te", "gzip, trailers;q=0.5"),
        ("upgrade", "h2c"),
        ("http2-settings", "AA"),
        ("expect", "100-continue"),
        ("host", "payment"),
        ("x-kept", "1"),
    ]);
    strip_request(&mut given);
    assert_eq!(given, headers(&[("te", "trailers"), ("host", "payment"), ("x-kept", "1")]));
}

#[test]
fn connection_cannot_take_out_what_frames_the_message() {
    let mut given =
        headers(&[("connection", "content-length, host"), ("content-length", "3"), ("host", "payment")]);
    strip_request(&mut given);
    assert_eq!(given, headers(&[("content-length", "3"), ("host", "payment")]));
}

#[test]
fn a_response_loses_what_belongs_to_the_connection() {
    let mut given =
        headers(&[("connection", "x-a"), ("x-a", "1"), ("proxy-authenticate", "Basic"), ("x-b", "2")]);
    strip_response(&mut given);
    assert_eq!(given, headers(&[("x-b", "2")]));
}

#[test]
fn an_upgrade_is_wanted_only_if_connection_says_so() {
    assert_eq!(wants_upgrade(&headers(&[("upgrade", "websocket")])), None);
    assert_eq!(wants_upgrade(&headers(&[("upgrade", "h2c"), ("connection", "upgrade")])), None);
    let asked = headers(&[("upgrade", "websocket"), ("connection", "keep-alive, Upgrade")]);
    assert_eq!(wants_upgrade(&asked), Some(HeaderValue::from_static("websocket")));
}

#[test]
fn cookies_in_several_fields_become_one() {
    let mut given = headers(&[("cookie", "a=1"), ("cookie", "b=2")]);
    join_cookies(&mut given);
    assert_eq!(given, headers(&[("cookie", "a=1; b=2")]));
}

#[test]
fn a_strangers_word_on_where_he_came_from_is_replaced() {
    let peer = IpAddr::from([10, 0, 0, 9]);
    let host = HeaderValue::from_static("shop.example");
    let said = headers(&[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https")]);

    let mut from_stranger = said.clone();
    set_forwarded(&mut from_stranger, peer, Some(&host), Trust::Stranger);
    let expected = headers(&[
        ("x-forwarded-for", "10.0.0.9"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop.example"),
    ]);
    assert_eq!(from_stranger, expected);

    let mut from_mesh = said;
    set_forwarded(&mut from_mesh, peer, Some(&host), Trust::Mesh);
    assert_eq!(from_mesh["x-forwarded-for"], "1.2.3.4");
    assert_eq!(from_mesh["x-forwarded-proto"], "https");
    assert_eq!(from_mesh["x-forwarded-host"], "shop.example");
}

#[test]
fn a_strangers_claims_are_taken_out_and_nothing_else() {
    let claims = [
        "x-forwarded-for",
        "x-forwarded-port",
        "x-forwarded-client-cert",
        "forwarded",
        "x-real-ip",
        "true-client-ip",
        "client-cert",
        "x-ssl-client-verify",
        "tenon-error",
        "tenon-anything",
    ];
    let others = ["tenon-timeout-ms", "x-custom", "x-request-id", "cookie", "from", "te", "content-type"];
    let mut given: HeaderMap = headers(&claims.map(|name| (name, "1")));
    given.extend(headers(&others.map(|name| (name, "1"))));
    set_forwarded(&mut given, IpAddr::from([10, 0, 0, 9]), None, Trust::Stranger);
    let expected = others.len() + ["x-forwarded-for", "x-forwarded-proto"].len();
    assert_eq!(given.len(), expected, "{given:?}");
    assert_eq!(given["x-forwarded-for"], "10.0.0.9");
}

#[test]
fn grpc_is_told_by_its_content_type() {
    for content_type in ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"] {
        assert!(is_grpc(&headers(&[("content-type", content_type)])), "{content_type}");
    }
    for content_type in ["application/grpc-web", "application/grpcx", "application/json"] {
        assert!(!is_grpc(&headers(&[("content-type", content_type)])), "{content_type}");
    }
}
