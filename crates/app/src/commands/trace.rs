//! `tenon trace`.

use super::connect::Connection;
use super::explain::data_plane;
use crate::cli::{self, Global};
use crate::failure::{Failure, Outcome};
use crate::render::{Screen, Tone};
use std::collections::BTreeSet;
use tenon_api::otlp::{SERVER, Span, TracesData};
use tenon_core::Code;

/// Shows the spans of a trace.
pub(crate) async fn trace(screen: Screen, global: &Global, options: &cli::Trace) -> Outcome {
    let plane = data_plane(global, options.admin.as_deref())?;
    let id = options.trace.as_str();
    let traces = match u128::from_str_radix(id, 16) {
        Ok(trace) if id.len() == 32 => {
            let of_sagas = sagas(screen, global, trace).await;
            match plane.spans_of_trace(trace).await {
                // The data plane may have forgotten it; the log has not.
                Err(_) if !of_sagas.resource_spans.is_empty() => of_sagas,
                found => with(found?, of_sagas),
            }
        }
        _ => {
            let message = format!("{id:?} is neither a trace id (32 hexadecimal digits) nor a request id");
            let request = id.parse().map_err(|_| Failure::new(Code::RequestInvalid, message))?;
            let found = plane.spans_of_request(request).await?;
            let trace =
                found.spans().next().and_then(|(_, span)| u128::from_str_radix(&span.trace_id, 16).ok());
            match trace {
                Some(trace) => with(found, sagas(screen, global, trace).await),
                None => found,
            }
        }
    };
    if screen.is_json() {
        return Ok(screen.json(&traces)?);
    }
    for line in tree(screen, &traces) {
        screen.line(&line)?;
    }
    Ok(())
}

/// The sagas of a trace. Without a server the rest is shown all the same.
async fn sagas(screen: Screen, global: &Global, trace: u128) -> TracesData {
    let Ok(connection) = Connection::find(global) else { return TracesData::default() };
    connection.client.saga_spans(trace).await.unwrap_or_else(|error| {
        screen.remark(&format!("sagas are left out: {error}"));
        TracesData::default()
    })
}

fn with(mut some: TracesData, more: TracesData) -> TracesData {
    some.resource_spans.extend(more.resource_spans);
    some
}

/// A line for each span, below the one that it is part of. Spans of others, between ours, are not known here.
fn tree(screen: Screen, traces: &TracesData) -> Vec<String> {
    let mut spans: Vec<(&str, &Span)> = traces.spans().collect();
    spans.sort_by_key(|(_, span)| (span.start_time_unix_nano, span.kind != SERVER));
    let known: BTreeSet<&str> = spans.iter().map(|(_, span)| span.span_id.as_str()).collect();
    let begun = spans.first().map_or(0, |(_, span)| span.start_time_unix_nano);
    let mut lines = Vec::new();
    let ids: BTreeSet<&str> = spans.iter().map(|(_, span)| span.trace_id.as_str()).collect();
    lines.extend(ids.iter().map(|id| format!("trace {id}")));
    let roots = spans.iter().filter(|(_, span)| !known.contains(span.parent_span_id.as_str()));
    for (service, span) in roots {
        add(screen, &spans, (service, span), 1, begun, &mut lines);
    }
    lines
}

fn add(
    screen: Screen,
    spans: &[(&str, &Span)],
    (service, span): (&str, &Span),
    depth: usize,
    begun: u64,
    lines: &mut Vec<String>,
) {
    let after = millis(span.start_time_unix_nano.saturating_sub(begun));
    let took = millis(span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano));
    let what = match span.kind {
        // A saga, or an attempt at a step of it.
        _ if !attribute(span, "tenon.saga.id").is_empty() => {
            let attempt = attribute(span, "tenon.saga.attempt");
            let attempt = if attempt.is_empty() { String::new() } else { format!(" #{attempt}") };
            format!("{}{attempt}", span.name)
        }
        SERVER => format!("{service}: {} {}", span.name, attribute(span, "url.path")),
        _ => format!("→ {} at {}", span.name, attribute(span, "tenon.instance")),
    };
    let status = match attribute(span, "tenon.saga.outcome") {
        "" => attribute(span, "http.response.status_code"),
        outcome => outcome,
    };
    let tone = if span.status.code == 2 { Tone::Bad } else { Tone::Good };
    let indent = "  ".repeat(depth);
    lines.push(format!("{indent}{what}  {}  {took}, {after} in", screen.tone_out(status, tone)));
    if span.status.code == 2 && span.status.message != status {
        lines.push(format!("{indent}  because {}", span.status.message));
    }
    // Nothing that came over the network is followed without end.
    if depth < 64 {
        let children = spans.iter().filter(|(_, child)| child.parent_span_id == span.span_id);
        children.for_each(|(service, child)| add(screen, spans, (service, child), depth + 1, begun, lines));
    }
}

fn attribute<'a>(span: &'a Span, key: &str) -> &'a str {
    span.attributes.iter().find(|it| it.key == key).map_or("", |it| it.text())
}

fn millis(nanos: u64) -> String {
    format!("{:.1} ms", nanos as f64 / 1e6)
}
