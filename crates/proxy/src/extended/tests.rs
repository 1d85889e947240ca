use super::*;

fn asked(protocol: Option<&'static str>) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = Method::CONNECT;
    *request.version_mut() = Version::HTTP_2;
    if let Some(protocol) = protocol {
        request.extensions_mut().insert(Protocol::from_static(protocol));
    }
    request
}

#[test]
fn an_extended_connect_becomes_a_request_to_change_the_protocol() {
    let mut request = asked(Some("websocket"));
    assert!(begin(&mut request));
    assert_eq!((request.method(), request.version()), (&Method::GET, Version::HTTP_11));
    assert_eq!(request.headers()["upgrade"], "websocket");
    assert_eq!(request.headers()["connection"], "upgrade");
    assert_eq!(STANDARD.decode(&request.headers()[KEY]).unwrap().len(), 16);
}

#[test]
fn an_ordinary_connect_stays_what_it_is() {
    let mut request = asked(None);
    assert!(!begin(&mut request));
    assert_eq!(request.method(), Method::CONNECT);
}

#[test]
fn only_a_change_of_protocol_is_a_success() {
    let answer = |status: u16| {
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response.headers_mut().insert(ACCEPT, HeaderValue::from_static("x"));
        end(response)
    };
    let changed = answer(101);
    assert_eq!(changed.status(), 200);
    assert!(changed.headers().is_empty());
    assert_eq!(answer(200).status(), 502);
    assert_eq!(answer(404).status(), 404);
}
