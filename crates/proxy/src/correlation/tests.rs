use super::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn id() -> RequestId {
    "01980000-0000-7000-8000-000000000001".parse().unwrap()
}

fn written(traceparent: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("tracestate", HeaderValue::from_static("vendor=1"));
    if let Some(value) = traceparent {
        headers.insert(TRACEPARENT, HeaderValue::from_str(value).unwrap());
    }
    go_on(&mut headers);
    headers
}

fn go_on(headers: &mut HeaderMap) {
    let trace = Trace::of(headers, Ratio::ALL);
    write(headers, id(), &trace);
}

#[test]
fn a_trace_is_continued_with_a_new_parent() {
    let headers = written(Some(&format!("00-{TRACE}-00f067aa0ba902b7-00")));
    let value = headers[TRACEPARENT].to_str().unwrap();
    assert!(value.starts_with(&format!("00-{TRACE}-")) && value.ends_with("-00"), "{value}");
    assert!(!value.contains("00f067aa0ba902b7"), "{value}");
    assert_eq!(headers["tracestate"], "vendor=1");
    assert_eq!(headers[REQUEST_ID], id().to_string());
}

#[test]
fn a_missing_or_malformed_trace_is_begun_anew_and_sampled() {
    let zero = "0".repeat(32);
    let malformed = [
        String::new(),
        "00".into(),
        format!("ff-{TRACE}-00f067aa0ba902b7-01"),
        format!("00-{zero}-00f067aa0ba902b7-01"),
        format!("00-{TRACE}-0000000000000000-01"),
        format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
        format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
        format!("00-+{}-00f067aa0ba902b7-01", &TRACE[1..]),
    ];
    for given in malformed.iter().map(|text| Some(text.as_str())).chain([None]) {
        let headers = written(given);
        let value = headers[TRACEPARENT].to_str().unwrap();
        assert!(value.len() == 55 && value.ends_with("-01") && !value.contains(TRACE), "{given:?}: {value}");
        assert!(Parent::parse(value.as_bytes()).is_some(), "{value}");
        assert!(!headers.contains_key("tracestate"));
    }
}

#[test]
fn two_parents_are_none() {
    let mut headers = written(Some(&format!("00-{TRACE}-00f067aa0ba902b7-00")));
    headers.append(TRACEPARENT, HeaderValue::from_str(&format!("00-{TRACE}-00f067aa0ba902b8-00")).unwrap());
    headers.insert("tracestate", HeaderValue::from_static("vendor=1"));
    go_on(&mut headers);
    assert_eq!(headers.get_all(TRACEPARENT).iter().count(), 1);
    assert!(!headers[TRACEPARENT].to_str().unwrap().contains(TRACE));
    assert!(!headers.contains_key("tracestate"));
}

#[test]
fn a_malformed_state_goes_and_the_trace_stays() {
    let mut headers = written(Some(&format!("00-{TRACE}-00f067aa0ba902b7-01")));
    headers.append("tracestate", HeaderValue::from_static("other=2,third=3"));
    go_on(&mut headers);
    let states: Vec<_> = headers.get_all("tracestate").iter().collect();
    assert_eq!(states, ["vendor=1", "other=2,third=3"]);
    headers.append("tracestate", HeaderValue::from_static("NOT A KEY=2"));
    go_on(&mut headers);
    assert!(!headers.contains_key("tracestate"));
    assert!(headers[TRACEPARENT].to_str().unwrap().contains(TRACE));
}

#[test]
fn a_strangers_request_id_is_not_believed() {
    let mut headers = HeaderMap::new();
    assert_eq!(request_id(&headers, Trust::Mesh), None);
    headers.insert(REQUEST_ID, HeaderValue::from_str(&id().to_string()).unwrap());
    assert_eq!(request_id(&headers, Trust::Mesh), Some(id()));
    assert_eq!(request_id(&headers, Trust::Stranger), None);
    headers.insert(REQUEST_ID, HeaderValue::from_static("anything"));
    assert_eq!(request_id(&headers, Trust::Mesh), None);
}

#[test]
fn ids_are_kept_out_of_the_tables_of_http2() {
    let mut headers = HeaderMap::new();
    go_on(&mut headers);
    assert!(headers[TRACEPARENT].is_sensitive() && headers[REQUEST_ID].is_sensitive());
}
