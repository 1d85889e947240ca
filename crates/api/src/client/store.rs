//! The event store's part of the client.

use super::transport::Call;
use super::{Client, Error, Events};
use crate::http::{AppendEvents, AppendedEvents, Changed, EventPage, StreamList, Told};
use http::Method;
use std::fmt::Write as _;
use tenon_core::{Revision, StreamName, Subject};

/// Which events are meant; what is left out does not restrict.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct EventsQuery {
    /// The namespace; `*` for all.
    pub namespace: Option<String>,
    /// Only streams that begin so.
    pub prefix: Option<String>,
    /// Only events of these types.
    pub types: Vec<String>,
    /// Only events with all of these tags.
    pub tags: Vec<String>,
    /// Begin after this position or revision, or before it when reading backward.
    pub from: Option<String>,
    /// The newest first.
    pub backward: bool,
    /// The most events.
    pub limit: Option<u64>,
    /// A position, a revision or a time.
    pub at: Option<String>,
}

#[allow(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "the endpoints are documented in `openapi::EVENTS`"
)]
impl Client {
    pub async fn append_to_stream(
        &self,
        stream: &StreamName,
        namespace: Option<&str>,
        events: &AppendEvents,
    ) -> Result<AppendedEvents, Error> {
        let call = Call::new(Method::POST, path(Some(stream))).query_if("namespace", namespace);
        self.transport.json(call.body(events)?).await
    }

    pub async fn append_events(&self, events: &AppendEvents) -> Result<AppendedEvents, Error> {
        self.transport.json(Call::new(Method::POST, "/v1/events:append").body(events)?).await
    }

    /// Some events of a stream, or of all streams.
    pub async fn read_events(
        &self,
        stream: Option<&StreamName>,
        query: &EventsQuery,
    ) -> Result<EventPage, Error> {
        self.transport.json(asked(Call::get(path(stream)), query)).await
    }

    /// Events as they come, after `from`, or after a revision.
    pub async fn watch_events(
        &self,
        stream: Option<&StreamName>,
        query: &EventsQuery,
        after: Option<Revision>,
    ) -> Result<Events<Told>, Error> {
        let call = asked(Call::get(path(stream)), query).query("follow", true);
        self.transport.events(call.after(after)).await
    }

    /// Deletes a stream, if this is still its revision.
    pub async fn delete_stream(
        &self,
        stream: &StreamName,
        namespace: Option<&str>,
        revision: Option<Revision>,
    ) -> Result<Changed, Error> {
        let path = format!("/v1/streams/{}", segment(stream.as_str()));
        let call = Call::new(Method::DELETE, path).query_if("namespace", namespace);
        self.transport.json(call.only_if(revision)).await
    }

    /// Destroys the key of a subject.
    pub async fn forget(&self, subject: &Subject, namespace: Option<&str>) -> Result<Changed, Error> {
        let call = Call::new(Method::DELETE, subject_path(subject)).query_if("namespace", namespace);
        self.transport.json(call).await
    }

    /// The streams, in the order of namespaces and names; `after` is `next` of the page before.
    pub async fn streams(&self, query: &EventsQuery, after: Option<&str>) -> Result<StreamList, Error> {
        let call = asked(Call::get("/v1/streams"), query).query_if("after", after);
        self.transport.json(call).await
    }
}

fn subject_path(subject: &Subject) -> String {
    format!("/v1/subjects/{}", segment(subject.as_str()))
}

fn asked(call: Call, query: &EventsQuery) -> Call {
    let list = |names: &[String]| (!names.is_empty()).then(|| names.join(","));
    let call = call
        .query_if("namespace", query.namespace.as_deref())
        .query_if("prefix", query.prefix.as_deref())
        .query_if("type", list(&query.types))
        .query_if("tag", list(&query.tags))
        .query_if("from", query.from.as_deref())
        .query_if("limit", query.limit)
        .query_if("at", query.at.as_deref());
    if query.backward { call.query("backward", true) } else { call }
}

fn path(stream: Option<&StreamName>) -> String {
    match stream {
        Some(stream) => format!("/v1/streams/{}/events", segment(stream.as_str())),
        None => "/v1/events".to_owned(),
    }
}

/// A text as a segment of a path (RFC 3986, 2.3).
pub(super) fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            segment.push(char::from(byte));
        } else {
            // Writing to a text never fails.
            let _ = write!(segment, "%{byte:02X}");
        }
    }
    segment
}
