use super::*;
use crate::explain::tests::{id, record};
use tenon_api::explain::Attempt;

fn entry(record: Record) -> Entry {
    Entry { request: id(7), record, path: "/quote".into() }
}

fn spans(record: Record) -> Vec<Span> {
    to_traces(&[entry(record)]).spans().map(|(_, span)| span.clone()).collect()
}

#[test]
fn a_hop_is_a_server_span_and_under_it_a_client_span() {
    let record = record(5, 200);
    let trace = record.trace;
    let [server, client]: [Span; 2] = spans(record).try_into().unwrap();
    assert_eq!((server.kind, client.kind), (SERVER, CLIENT));
    assert_eq!(server.trace_id, format!("{:032x}", trace.id));
    assert_eq!((server.trace_id, server.span_id), (client.trace_id, client.parent_span_id));
    assert_eq!(client.span_id, format!("{:016x}", trace.client));
    assert_eq!((server.start_time_unix_nano, server.status), (5_000, Status::default()));
}

#[test]
fn what_was_refused_was_sent_to_nobody() {
    let refused = Record {
        why: Why::Failed { code: tenon_core::Code::MeshServiceUnavailable, reason: "nobody is there".into() },
        served: None,
        ..record(5, 503)
    };
    let [server]: [Span; 1] = spans(refused).try_into().unwrap();
    assert_eq!(server.status, Status { code: 2, message: "nobody is there".into() });
    let error = server.attributes.iter().find(|it| it.key == "error.type").unwrap();
    assert_eq!(error.text(), "mesh.service-unavailable");
}

#[test]
fn attempts_are_events_of_the_client_span() {
    let attempt = |after: u64, status: Option<u16>| Attempt {
        instance: Some("payment-1".parse().unwrap()),
        choice: None,
        address: Some("127.0.0.1:80".parse().unwrap()),
        after: Duration::from_micros(after),
        duration: Duration::from_micros(10),
        status,
        outcome: "so".into(),
        decision: "then".into(),
    };
    let retried = Record { attempts: vec![attempt(1, None), attempt(20, Some(200))], ..record(5, 200) };
    let [_, client]: [Span; 2] = spans(retried).try_into().unwrap();
    assert_eq!(client.events.len(), 2);
    assert_eq!((client.start_time_unix_nano, client.end_time_unix_nano), (6_000, 35_000));
    let resent = client.attributes.iter().find(|it| it.key == "http.request.resend_count").unwrap();
    assert_eq!(resent.text(), "1");
}

#[test]
fn spans_are_found_by_trace_and_by_request() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    assert_eq!(
        Wanted::parse(&format!("trace={trace}")),
        u128::from_str_radix(trace, 16).ok().map(Wanted::Trace)
    );
    assert_eq!(Wanted::parse(&format!("request={}", id(7))), Some(Wanted::Request(id(7))));
    for malformed in ["", "trace", "trace=", "trace=12", "request=x", "span=1"] {
        assert_eq!(Wanted::parse(malformed), None, "{malformed}");
    }
}
