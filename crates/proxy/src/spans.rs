//! Spans: what is remembered of requests, as OpenTelemetry has it. A hop's record is its span already, so recording one
//! costs a request its ids and nothing else.
//!
//! Each hop is a server span, and under it a client span if the request was sent on; the attempts are the client span's
//! events. What is handed on in `traceparent` is the client span.

use crate::explain::{Entry, Record, Ring, Why};
use crate::metrics::component_name;
use std::fmt::Display;
use std::time::Duration;
use tenon_api::explain::{Attempt, Hop};
use tenon_api::otlp::{
    Attribute, CLIENT, Event, Resource, ResourceSpans, SERVER, Scope, ScopeSpans, Span, Status, TracesData,
};
use tenon_core::{RequestId, Timestamp};

/// Whose spans somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Trace(u128),
    Request(RequestId),
}

impl Wanted {
    /// Reads `trace=…` or `request=…`.
    pub(crate) fn parse(query: &str) -> Option<Self> {
        match query.split_once('=')? {
            ("trace", id) if id.len() == 32 => u128::from_str_radix(id, 16).ok().map(Self::Trace),
            ("request", id) => id.parse().ok().map(Self::Request),
            _ => None,
        }
    }

    fn is(self, entry: &Entry) -> bool {
        match self {
            Self::Trace(trace) => entry.record.trace.id == trace,
            Self::Request(request) => entry.request == request,
        }
    }
}

/// The spans that the rings remember, by time. Those of traces that are not kept are there if the hop failed or was slow.
pub(crate) fn find<'a>(rings: impl Iterator<Item = &'a Ring>, wanted: Wanted) -> TracesData {
    let kept = |entry: &Entry| wanted.is(entry) && entry.record.is_kept();
    let mut entries: Vec<Entry> = rings.flat_map(|ring| ring.entries(kept)).collect();
    entries.sort_by_key(|entry| entry.record.at);
    to_traces(&entries)
}

/// These hops as spans.
pub(crate) fn to_traces(entries: &[Entry]) -> TracesData {
    TracesData { resource_spans: entries.iter().map(of_entry).collect() }
}

fn of_entry(entry: &Entry) -> ResourceSpans {
    let hop = entry.record.to_hop(&entry.path);
    let mut spans = vec![server(entry, &hop)];
    spans.extend(client(entry, &hop));
    let scope = Scope { name: "tenon".into(), version: env!("CARGO_PKG_VERSION").into() };
    ResourceSpans { resource: resource(&entry.record, &hop), scope_spans: vec![ScopeSpans { scope, spans }] }
}

fn resource(record: &Record, hop: &Hop) -> Resource {
    let component = component_name(record.labels.component);
    // A sidecar speaks for its service, the gateway for itself.
    let service = match component {
        "outbound" => hop.source.as_ref(),
        "inbound" => hop.destination.as_ref(),
        _ => None,
    };
    let name = service.map_or(component.to_owned(), ToString::to_string);
    let mut attributes =
        vec![Attribute::new("service.name", name), Attribute::new("tenon.component", component)];
    attributes.extend(some("service.instance.id", hop.sidecar.as_ref()));
    Resource { attributes }
}

fn server(entry: &Entry, hop: &Hop) -> Span {
    let trace = &entry.record.trace;
    let mut attributes = vec![
        Attribute::new("http.request.method", hop.method.as_str()),
        Attribute::new("url.path", hop.path.as_str()),
        Attribute::new("tenon.request.id", entry.request.to_string()),
    ];
    if hop.status > 0 {
        attributes.push(Attribute::number("http.response.status_code", hop.status.into()));
        attributes.push(Attribute::number("http.response.body.size", entry.record.bytes));
    }
    attributes.extend(some("http.route", hop.route.as_ref()));
    attributes.extend(some("error.type", hop.code));
    attributes.extend(some("tenon.source", hop.source.as_ref()));
    attributes.extend(some("tenon.destination", hop.destination.as_ref()));
    attributes.extend(some("tenon.policy", hop.policy.as_ref()));
    attributes.extend(some("tenon.revision", hop.revision.as_ref()));
    Span {
        trace_id: format!("{:032x}", trace.id),
        span_id: format!("{:016x}", trace.server),
        parent_span_id: trace.parent.map(|parent| format!("{parent:016x}")).unwrap_or_default(),
        name: name(hop),
        kind: SERVER,
        start_time_unix_nano: nanos(hop.at),
        end_time_unix_nano: nanos(hop.at.after(hop.duration)),
        attributes,
        events: Vec::new(),
        status: status(entry, hop),
    }
}

/// The span of what was sent on, from the first attempt to the end of the last.
fn client(entry: &Entry, hop: &Hop) -> Option<Span> {
    let sent = || hop.attempts.iter().filter(|attempt| attempt.address.is_some());
    let (first, last) = (sent().next()?, sent().next_back()?);
    let trace = &entry.record.trace;
    let mut attributes = vec![Attribute::new("http.request.method", hop.method.as_str())];
    attributes.extend(last.address.as_ref().map(|it| Attribute::new("server.address", it.host())));
    attributes.extend(last.address.as_ref().map(|it| Attribute::number("server.port", it.port().into())));
    attributes.extend(some("tenon.instance", last.instance.as_ref()));
    attributes
        .extend(last.status.map(|status| Attribute::number("http.response.status_code", status.into())));
    let resent = sent().count() as u64 - 1;
    if resent > 0 {
        attributes.push(Attribute::number("http.request.resend_count", resent));
    }
    Some(Span {
        trace_id: format!("{:032x}", trace.id),
        span_id: format!("{:016x}", trace.client),
        parent_span_id: format!("{:016x}", trace.server),
        name: hop.destination.as_ref().map_or_else(|| name(hop), |to| format!("{} {to}", hop.method)),
        kind: CLIENT,
        start_time_unix_nano: nanos(hop.at.after(first.after)),
        end_time_unix_nano: nanos(hop.at.after(last.after + last.duration)),
        attributes,
        events: hop.attempts.iter().filter(|_| hop.attempts.len() > 1).map(|it| event(hop.at, it)).collect(),
        status: if last.status.is_none() { failed(&last.outcome) } else { Status::default() },
    })
}

fn event(at: Timestamp, attempt: &Attempt) -> Event {
    let mut attributes = vec![
        Attribute::new("tenon.outcome", attempt.outcome.as_str()),
        Attribute::new("tenon.decision", attempt.decision.as_str()),
        Attribute::number("tenon.duration_us", micros(attempt.duration)),
    ];
    attributes.extend(some("tenon.instance", attempt.instance.as_ref()));
    Event { time_unix_nano: nanos(at.after(attempt.after)), name: "attempt".into(), attributes }
}

/// A server's span fails with what is the server's fault (OpenTelemetry's conventions for HTTP).
fn status(entry: &Entry, hop: &Hop) -> Status {
    match entry.record.why {
        Why::Answered { .. } if hop.status < 500 => Status::default(),
        Why::Failed { .. } if hop.status < 500 => Status::default(),
        _ => failed(&hop.reason),
    }
}

fn failed(why: &str) -> Status {
    Status { code: 2, message: why.to_owned() }
}

fn name(hop: &Hop) -> String {
    match &hop.route {
        Some(route) => format!("{} {route}", hop.method),
        None => hop.method.clone(),
    }
}

fn some(key: &str, value: Option<impl Display>) -> Option<Attribute> {
    value.map(|value| Attribute::new(key, value.to_string()))
}

fn nanos(at: Timestamp) -> u64 {
    at.as_micros().saturating_mul(1_000)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
