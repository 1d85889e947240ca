//! Between the types of the log and messages.

use std::io;
use std::sync::Arc;
use tenon_api::eventstore as api;
use tenon_api::eventstore::v1;
use tenon_core::{Namespace, Position, StreamName};
use tenon_store::{
    Appended, Condition, Event, ListedStream, Metadata, NewEvent, Page, Query, QueryItem, ReadError, Scope,
    StreamPage, StreamRef, StreamsQuery,
};

/// An append as it is asked for.
pub(super) fn append(events: Vec<NewEvent>, condition: Option<Condition>) -> v1::AppendRequest {
    v1::AppendRequest {
        events: events.into_iter().map(new_event).collect(),
        expected: Vec::new(),
        condition: condition
            .map(|Condition { query: of, after }| v1::Condition { query: Some(query(&of)), after: after.0 }),
    }
}

/// What an append did.
pub(super) fn appended(appended: &v1::AppendResponse) -> Appended {
    let positions = (appended.first..=appended.last).map(Position).collect();
    Appended { positions, duplicate: appended.duplicate }
}

/// Which events are meant.
pub(super) fn query(query: &Query) -> v1::Query {
    v1::Query {
        namespace: query.namespace.as_ref().map(ToString::to_string).unwrap_or_default(),
        items: query.items.iter().map(item).collect(),
        scope: scope(query.scope).into(),
    }
}

fn scope(scope: Scope) -> v1::Scope {
    match scope {
        Scope::User => v1::Scope::Unspecified,
        Scope::Reserved => v1::Scope::Reserved,
        Scope::All => v1::Scope::All,
    }
}

/// Which streams are to be listed.
pub(super) fn streams(query: &StreamsQuery, limit: usize) -> v1::ListStreamsRequest {
    let behind = |after: &StreamRef| v1::StreamRef {
        namespace: after.namespace.to_string(),
        stream: after.stream.to_string(),
    };
    v1::ListStreamsRequest {
        scope: scope(query.scope).into(),
        namespace: query.namespace.as_ref().map(ToString::to_string).unwrap_or_default(),
        prefix: query.prefix.as_ref().map(ToString::to_string).unwrap_or_default(),
        after: query.after.as_ref().map(behind),
        limit: limit as u64,
    }
}

/// A list as it came.
pub(super) fn listed(page: v1::ListStreamsResponse) -> Result<StreamPage, ReadError> {
    let named = |namespace: &str, stream: &str| {
        Some(StreamRef { namespace: Namespace::new(namespace).ok()?, stream: StreamName::new(stream).ok()? })
    };
    let listed = |it: &v1::ListedStream| {
        Some(ListedStream { name: named(&it.namespace, &it.stream)?, last: Position(it.last) })
    };
    let streams = page.streams.iter().map(listed).collect::<Option<_>>();
    let next = page.next.map(|next| named(&next.namespace, &next.stream).ok_or(())).transpose();
    match (streams, next) {
        (Some(streams), Ok(next)) => Ok(StreamPage { streams, next }),
        _ => Err(unreadable("the server sent a name that is none")),
    }
}

fn unreadable(problem: &str) -> ReadError {
    ReadError::Io(Arc::new(io::Error::new(io::ErrorKind::InvalidData, problem)))
}

/// A page as it came.
pub(super) fn page(page: v1::ReadResponse) -> Result<Page, ReadError> {
    let v1::ReadResponse { events, next, at_end } = page;
    let events = events
        .into_iter()
        .map(event)
        .collect::<Option<Vec<Event>>>()
        .ok_or_else(|| unreadable("the server sent an event that is none"))?;
    Ok(Page { events, next: Position(next), at_end })
}

fn item(item: &QueryItem) -> v1::QueryItem {
    v1::QueryItem {
        streams: item.streams.iter().map(ToString::to_string).collect(),
        prefix: item.prefix.as_ref().map(ToString::to_string).unwrap_or_default(),
        tags: item.tags.iter().map(ToString::to_string).collect(),
        types: item.types.iter().map(ToString::to_string).collect(),
    }
}

fn new_event(event: NewEvent) -> api::Event {
    let NewEvent { id, namespace, stream, event_type, tags, data, metadata } = event;
    let Metadata { actor, traceparent, causation, correlation, other } = metadata;
    api::Event {
        id: Some(id),
        namespace: Some(namespace),
        stream: Some(stream),
        event_type: Some(event_type),
        tags,
        data,
        actor,
        traceparent,
        causation,
        correlation,
        other,
        ..api::Event::default()
    }
}

/// An event as it came, if it is one.
pub(crate) fn event(event: api::Event) -> Option<Event> {
    event.check().ok()?;
    let api::Event { actor, traceparent, causation, correlation, other, .. } = event;
    Some(Event {
        position: event.position,
        time: event.time,
        id: event.id?,
        namespace: event.namespace.unwrap_or_default(),
        stream: event.stream?,
        event_type: event.event_type?,
        tags: event.tags,
        data: event.data,
        metadata: Metadata { actor, traceparent, causation, correlation, other },
    })
}
