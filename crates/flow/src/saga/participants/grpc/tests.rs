use super::*;
use crate::saga::messages;
use http::{HeaderName, HeaderValue};
use serde_json::json;

const PROTO: &str = r#"
syntax = "proto3";
package pay.v1;
service Payments { rpc Take(Payment) returns (Paid); }
message Payment { string order = 1; int64 amount = 2; }
message Paid { string receipt = 1; }
"#;

fn method() -> Method {
    messages::tests::method_of(PROTO, "pay.v1.Payments/Take")
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(pair).collect()
}

/// An answer with this body and these trailers.
fn answer(body: &[u8], trailers: &[(&'static str, &str)]) -> Called {
    let trailers = Some(headers(trailers));
    let (headers, body) = (HeaderMap::new(), Bytes::copy_from_slice(body));
    told(GrpcAnswer { status: 200, headers, body, trailers }, &method())
}

fn failed(trailers: &[(&'static str, &str)]) -> (Outcome, Value) {
    let failure = answer(b"", trailers).unwrap_err();
    (failure.outcome, serde_json::from_str(failure.problem.unwrap().as_str()).unwrap())
}

#[test]
fn a_call_is_one_message_with_what_a_participant_must_know() {
    let mut request = super::super::tests::request("POST", "/", json!({"order": "o1", "amount": 300}));
    request.grpc = Some(std::sync::Arc::new(method()));
    let call = call(request, &method()).unwrap();
    assert_eq!((call.method.as_str(), call.target.as_str()), ("POST", "/pay.v1.Payments/Take"));
    assert_eq!(&call.body[..], b"\0\0\0\0\x07\x0a\x02o1\x10\xac\x02");
    let header = |name: &str| call.headers[name].to_str().unwrap();
    assert_eq!((header("content-type"), header("te")), ("application/grpc+proto", "trailers"));
    assert_eq!((header("grpc-timeout"), header("tenon-timeout-ms")), ("2000m", "2000"));
    assert_eq!(header("idempotency-key"), "01010101-0101-0101-0101-010101010101/payment/undo/2");
    assert_eq!((header("tenon-saga-direction"), header("tenon-saga-round")), ("undo", "2"));
    assert!(call.headers.contains_key("traceparent"));
}

#[test]
fn one_message_with_a_good_status_is_an_output() {
    let paid = b"\0\0\0\0\x04\x0a\x02r1";
    let ok = &[("grpc-status", "0")];
    assert_eq!(answer(paid, ok), Ok(Some(Data::new(r#"{"receipt":"r1"}"#))));
    assert_eq!(answer(b"\0\0\0\0\0", ok), Ok(Some(Data::new(r#"{"receipt":""}"#))));
    for (body, problem) in [
        (&b""[..], "no message"),
        (b"\0\0", "cut off"),
        (b"\0\0\0\0\x09\x0a\x02r1", "cut off"),
        (b"\x01\0\0\0\x04\x0a\x02r1", "compressed"),
        (b"\0\0\0\0\0\0\0\0\0\0", "more than one"),
        (b"\0\0\0\0\x01\xff", "no pay.v1.Paid"),
    ] {
        let failure = answer(body, ok).unwrap_err();
        assert_eq!(failure.outcome, Outcome::Unknown);
        assert!(failure.problem.unwrap().as_str().contains(problem), "{problem}");
    }
    // Cut off before the trailers, or not gRPC at all.
    let of = |status: u16| {
        let (headers, body) = (HeaderMap::new(), Bytes::from_static(paid));
        told(GrpcAnswer { status, headers, body, trailers: None }, &method()).unwrap_err()
    };
    assert_eq!(of(200).outcome, Outcome::Unknown);
    assert!(of(404).problem.unwrap().as_str().contains("HTTP status 404"));
}

#[test]
fn a_refusal_is_kept_with_its_status_and_words() {
    let no = [("grpc-status", "9"), ("grpc-message", "the card is empty%3A%20%E2%82%AC")];
    let (outcome, problem) = failed(&no);
    assert_eq!(outcome, Outcome::Refused);
    assert_eq!(problem, json!({"code": "FAILED_PRECONDITION", "detail": "the card is empty: €"}));
    let own = r#"{"code":"payment.card","detail":"no"}"#;
    let (_, problem) = failed(&[("grpc-status", "9"), ("grpc-message", own)]);
    assert_eq!(problem, json!({"code": "payment.card", "detail": "no"}));
    let long = "x".repeat(MAX_PROBLEM);
    let (_, problem) = failed(&[("grpc-status", "9"), ("grpc-message", &long)]);
    assert_eq!(problem["code"], "FAILED_PRECONDITION");
    assert!(problem.to_string().len() <= MAX_PROBLEM);
    assert_eq!(failed(&[("grpc-status", "99")]).1["code"], "99");
    assert_eq!(failed(&[("grpc-status", "x")]).0, Outcome::Unknown);
}

#[test]
fn details_are_read() {
    let packed =
        |name: &str, value: Vec<u8>| Packed { type_url: format!("type.googleapis.com/{name}"), value };
    let details = |details: Vec<Packed>| {
        base64::prelude::BASE64_STANDARD_NO_PAD.encode(Status { details }.encode_to_vec())
    };
    let info = ErrorInfo {
        reason: "CARD".to_owned(),
        domain: "pay".to_owned(),
        metadata: BTreeMap::from([("card".to_owned(), "c1".to_owned())]),
    };
    let details_of_card = details(vec![packed("google.rpc.ErrorInfo", info.encode_to_vec())]);
    let (_, problem) = failed(&[("grpc-status", "9"), ("grpc-status-details-bin", &details_of_card)]);
    let expected = json!({
        "code": "FAILED_PRECONDITION", "detail": "", "reason": "CARD", "domain": "pay", "metadata": {"card": "c1"}
    });
    assert_eq!(problem, expected);
    let retry = details(vec![packed("google.rpc.RetryInfo", Vec::new())]);
    let outcome = |pairs: &[(&'static str, &str)]| failed(pairs).0;
    assert_eq!(outcome(&[("grpc-status", "14")]), Outcome::Unknown);
    assert_eq!(outcome(&[("grpc-status", "14"), ("grpc-status-details-bin", &retry)]), Outcome::Unsent);
    assert_eq!(outcome(&[("grpc-status", "8"), ("grpc-retry-pushback-ms", "10")]), Outcome::Unsent);
    assert_eq!(outcome(&[("grpc-status", "8"), ("grpc-retry-pushback-ms", "-1")]), Outcome::Unknown);
    let info = RetryInfo { retry_delay: Some(Span { seconds: 1, nanos: 500_000_000 }) };
    let later = details(vec![packed("google.rpc.RetryInfo", info.encode_to_vec())]);
    let wait = |pairs: &[(&'static str, &str)]| answer(b"", pairs).unwrap_err().wait.as_millis();
    assert_eq!(wait(&[("grpc-status", "14"), ("grpc-status-details-bin", &later)]), 1_500);
    assert_eq!(wait(&[("grpc-status", "8"), ("grpc-retry-pushback-ms", "10")]), 10);
}

#[test]
fn what_the_mesh_says_is_its_own() {
    let head = headers(&[
        ("grpc-status", "14"),
        ("grpc-message", "mesh.circuit-open: payment rests"),
        ("tenon-error", "mesh.circuit-open"),
    ]);
    let answer = GrpcAnswer { status: 200, headers: head, body: Bytes::new(), trailers: None };
    let failure = told(answer, &method()).unwrap_err();
    assert_eq!(failure.outcome, Outcome::Unsent);
    let problem = json!({"code": "mesh.circuit-open", "detail": "mesh.circuit-open: payment rests"});
    assert_eq!(failure.problem.unwrap().as_str(), problem.to_string());
}
