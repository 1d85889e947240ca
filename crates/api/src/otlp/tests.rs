use super::*;
use serde_json::json;

/// Spans that use every member.
pub(crate) fn traces() -> TracesData {
    let event = Event {
        time_unix_nano: 1_772_366_400_000_500_000,
        name: "attempt".into(),
        attributes: vec![Attribute::new("tenon.outcome", "connection refused")],
    };
    let span = Span {
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".into(),
        span_id: "00f067aa0ba902b7".into(),
        parent_span_id: "b9c7c989f97918e1".into(),
        name: "GET pay".into(),
        kind: SERVER,
        start_time_unix_nano: 1_772_366_400_000_250_000,
        end_time_unix_nano: 1_772_366_400_001_250_000,
        attributes: vec![Attribute::number("http.response.status_code", 502)],
        events: vec![event],
        status: Status { code: 2, message: "nobody answered".into() },
    };
    let scope = Scope { name: "tenon".into(), version: "0.1.0".into() };
    let resource = Resource { attributes: vec![Attribute::new("service.name", "order")] };
    let scope_spans = vec![ScopeSpans { scope, spans: vec![span] }];
    TracesData { resource_spans: vec![ResourceSpans { resource, scope_spans }] }
}

#[test]
fn spans_survive_the_wire() {
    let text = serde_json::to_string(&traces()).unwrap();
    assert_eq!(serde_json::from_str::<TracesData>(&text).unwrap(), traces());
}

#[test]
fn numbers_of_64_bits_are_text_as_protobufs_json_has_them() {
    let json = serde_json::to_value(traces()).unwrap();
    let span = &json["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    assert_eq!(span["startTimeUnixNano"], "1772366400000250000");
    assert_eq!(
        span["attributes"][0],
        json!({"key": "http.response.status_code", "value": {"intValue": "502"}})
    );
    assert_eq!((&span["kind"], &span["status"]["code"]), (&json!(2), &json!(2)));
}

#[test]
fn spans_come_with_their_recorders_name() {
    let traces = traces();
    let names: Vec<_> = traces.spans().map(|(name, span)| (name, span.name.as_str())).collect();
    assert_eq!(names, [("order", "GET pay")]);
}
