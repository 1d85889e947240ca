use super::super::messages::tests::method_of;
use super::*;
use serde_json::json;
use tenon_core::manifest::{HttpMethod, PathPattern};

pub(super) fn request(method: &str, path: &str, input: Value) -> Request {
    let call = Call::Http { method: HttpMethod::new(method).unwrap(), path: PathPattern::new(path).unwrap() };
    Request {
        saga: SagaId::from_bytes([1; 16]),
        name: SagaName::new("order").unwrap(),
        step: StepName::new("payment").unwrap(),
        direction: Direction::Undo,
        round: 2,
        attempt: 5,
        grpc: None,
        action: Action { service: "payment".parse().unwrap(), call },
        input: Some(input),
        priority: Priority::Critical,
        parent: Parent { trace: 1, span: 2, flags: 1 },
        within: Duration::from_secs(2),
    }
}

#[test]
fn a_path_takes_its_variables_from_the_input_and_the_rest_is_the_body() {
    let call =
        http_call(request("PUT", "/orders/{id}/state", json!({"id": "a/b", "state": "paid"}))).unwrap();
    assert_eq!(call.target, "/orders/a%2Fb/state");
    assert_eq!(&call.body[..], br#"{"state":"paid"}"#);
    let call = http_call(request("GET", "/orders/{id}", json!({"id": 7, "full": true}))).unwrap();
    assert_eq!((call.target.as_str(), call.body.len()), ("/orders/7?full=true", 0));
    let missing = http_call(request("GET", "/orders/{id}", json!({"id": null}))).unwrap_err();
    assert_eq!(missing, "its path needs `id`, a text or a number");
}

#[test]
fn a_participant_is_told_which_call_it_is() {
    let call = http_call(request("POST", "/refunds", json!(1))).unwrap();
    let header = |name: &str| call.headers.get(name).unwrap().to_str().unwrap();
    assert_eq!(header("idempotency-key"), "01010101-0101-0101-0101-010101010101/payment/undo/2");
    assert_eq!(header("tenon-saga-step"), "payment");
    assert_eq!(header("tenon-saga-direction"), "undo");
    assert_eq!(header("tenon-saga-round"), "2");
    assert_eq!(header("tenon-saga-attempt"), "5");
    assert_eq!(header("tenon-priority"), "critical");
    assert_eq!(header("tenon-timeout-ms"), "2000");
    assert!(header("traceparent").starts_with("00-00000000000000000000000000000001-"));
    assert_eq!(header("content-type"), "application/json");
}

#[test]
fn an_answer_that_is_json_is_an_output() {
    let answer = |status: u16, body: &str| {
        let body = Bytes::copy_from_slice(body.as_bytes());
        told(&HttpAnswer { status, headers: HeaderMap::new(), body }, Timestamp::ZERO)
    };
    assert_eq!(answer(200, "{\"id\": 1}"), Ok(Some(Data::new("{\"id\": 1}"))));
    assert_eq!(answer(204, ""), Ok(None));
    assert_eq!(answer(200, "done"), Ok(None));
    let outcome = |called: Called| called.unwrap_err().outcome;
    assert_eq!(outcome(answer(422, "{}")), Outcome::Refused);
    assert_eq!(outcome(answer(200, &"1".repeat(MAX_DATA + 1))), Outcome::Unknown);
}

#[test]
fn json_that_cannot_be_read_later_is_no_output_and_not_none() {
    let answer = |content_type: &'static str, body: &str| {
        let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))].into_iter().collect();
        let body = Bytes::copy_from_slice(body.as_bytes());
        told(&HttpAnswer { status: 200, headers, body }, Timestamp::ZERO)
    };
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for body in ["{\"name\": \"cut \\ud83d\"}", "{\"total\": 1e999}", &deep, "[1"] {
        for content_type in ["application/json", "application/hal+json; charset=utf-8"] {
            let failure = answer(content_type, body).unwrap_err();
            assert_eq!(failure.outcome, Outcome::Unknown, "{body}");
            assert!(failure.problem.unwrap().as_str().contains("its JSON cannot be read"));
        }
        let is_json = body != "[1";
        assert_eq!(answer("text/plain", body).is_err(), is_json, "{body}");
    }
    assert_eq!(answer("text/html", "<p>done</p>"), Ok(None));
    assert_eq!(answer("application/json", ""), Ok(None));
    assert_eq!(answer("application/json", " {\"id\": 1}\n"), Ok(Some(Data::new("{\"id\": 1}"))));
}

#[test]
fn what_a_service_says_when_it_refuses_is_kept_if_it_is_short_enough() {
    let said = |body: String| {
        let answer = HttpAnswer { status: 402, headers: HeaderMap::new(), body: body.into() };
        told(&answer, Timestamp::ZERO).unwrap_err().problem.unwrap().as_str().to_owned()
    };
    let own = json!({"code": "payment.insufficient-funds", "status": 402});
    assert_eq!(said(own.to_string()), own.to_string());
    assert_eq!(said("no".to_owned()), json!({"status": 402}).to_string());
    assert_eq!(
        said(json!({"long": "x".repeat(MAX_PROBLEM)}).to_string()),
        json!({"status": 402}).to_string()
    );
}

#[test]
fn a_service_says_how_long_it_wants_to_be_left_alone() {
    let waits = |status: u16, retry_after: &'static str| {
        let headers = [(header::RETRY_AFTER, HeaderValue::from_static(retry_after))].into_iter().collect();
        let failed = told(&HttpAnswer { status, headers, body: Bytes::new() }, Timestamp::from_millis(5_000));
        failed.map_err(|failure| (failure.outcome, failure.wait.as_secs()))
    };
    assert_eq!(waits(429, "7"), Err((Outcome::Unsent, 7)));
    assert_eq!(waits(503, "Thu, 01 Jan 1970 00:00:15 GMT"), Err((Outcome::Unsent, 10)));
    assert_eq!(waits(500, "2"), Err((Outcome::Unknown, 2)));
    assert_eq!(waits(503, "soon"), Err((Outcome::Unsent, 0)));
    assert_eq!(waits(200, "7"), Ok(None));
}

#[test]
fn what_could_never_be_sent_is_told_before_it_is_tried() {
    let http = |method: &str, path: &str, input: Value| {
        let Request { action, .. } = request(method, path, Value::Null);
        sendable(&action, None, &input)
    };
    let ok = Ok(());
    assert_eq!(http("POST", "/orders", json!("any")), ok);
    assert_eq!(http("POST", "/orders/{id}", json!({"id": 7, "items": [1]})), ok);
    assert_eq!(http("GET", "/orders/{id}", json!({"id": 7, "full": true, "note": null})), ok);
    assert_eq!(http("GET", "/orders", Value::Null), ok);
    let variable = Err("its path needs `id`, a text or a number".to_owned());
    for input in [json!({}), json!({"id": {}}), json!(7), Value::Null] {
        assert_eq!(http("DELETE", "/orders/{id}", input), variable);
    }
    let nested = http("GET", "/orders", json!({"items": [1]}));
    assert_eq!(nested, Err("GET has no body, and `items` is no value of a query".to_owned()));
    let text = http("HEAD", "/orders", json!("text"));
    assert_eq!(text, Err("HEAD has no body; give an object, whose fields are the query".to_owned()));

    let method = method_of(
        "syntax = \"proto3\"; package a; service A { rpc B(C) returns (C); } message C { int32 n = 1; }",
        "a.A/B",
    );
    let Request { mut action, .. } = request("POST", "/orders", Value::Null);
    action.call = Call::Grpc("a.A/B".into());
    assert_eq!(sendable(&action, Some(&method), &json!({"n": 1})), ok);
    let text = sendable(&action, Some(&method), &json!({"n": "one"})).unwrap_err();
    assert!(text.starts_with("its input is no a.C: "), "{text}");
    assert!(sendable(&action, None, &json!({"n": 1})).is_err());
}
