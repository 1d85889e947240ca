//! Between messages and the types of the log.

use crate::events::EventStore;
use crate::events::append::{Admitted, Expected, Version};
use crate::events::error::Error;
use crate::events::past::At;
use crate::events::reading::Wanted;
use crate::events::rights::Rights;
use std::collections::BTreeSet;
use std::str::FromStr;
use tenon_api::eventstore as api;
use tenon_api::eventstore::v1;
use tenon_core::{Code, InvalidName, Namespace, Position, Refusal, Subject, Timestamp};
use tenon_store::log::MAX_PAGE_STREAMS;
use tenon_store::{
    Appended, Condition, Direction, Event, Metadata, NewEvent, Query, QueryItem, Scope, StreamPage,
    StreamRef, StreamsQuery,
};

/// An append that the caller may make.
pub(super) fn admit(
    store: &EventStore,
    rights: &Rights,
    request: v1::AppendRequest,
) -> Result<Admitted, Error> {
    let v1::AppendRequest { events, expected: expectations, condition: conditional } = request;
    let events = events.into_iter().map(new_event).collect::<Result<_, _>>()?;
    let expected = expectations.iter().map(expected).collect::<Result<_, _>>()?;
    store.admit(rights, events, expected, conditional.map(condition).transpose()?)
}

/// What an append did.
pub(super) fn appended(appended: &Appended) -> v1::AppendResponse {
    let first = appended.positions.first().copied().unwrap_or_default();
    v1::AppendResponse { first: first.0, last: appended.last().0, duplicate: appended.duplicate }
}

/// An event as it is told.
pub(super) fn event(event: Event) -> api::Event {
    let Event { position, time, id, namespace, stream, event_type, tags, data, metadata } = event;
    let Metadata { actor, traceparent, causation, correlation, other } = metadata;
    api::Event {
        position,
        time,
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
        invalid: None,
    }
}

/// Which events are meant.
pub(super) fn query(query: &v1::Query) -> Result<Query, Error> {
    let scope = scope(query.scope());
    let items = query.items.iter().map(item).collect::<Result<_, _>>()?;
    let namespace = some(&query.namespace).map(|text| name("query.namespace", text)).transpose()?;
    Ok(Query { scope, namespace, items })
}

fn scope(scope: v1::Scope) -> Scope {
    match scope {
        v1::Scope::Unspecified => Scope::User,
        v1::Scope::Reserved => Scope::Reserved,
        v1::Scope::All => Scope::All,
    }
}

/// Which streams are to be listed, and how many.
pub(super) fn streams(request: &v1::ListStreamsRequest) -> Result<(StreamsQuery, usize), Error> {
    let behind = |after: &v1::StreamRef| -> Result<_, Error> {
        Ok(StreamRef {
            namespace: name("after.namespace", &after.namespace)?,
            stream: name("after.stream", &after.stream)?,
        })
    };
    let query = StreamsQuery {
        scope: scope(request.scope()),
        namespace: some(&request.namespace).map(|text| name("namespace", text)).transpose()?,
        prefix: some(&request.prefix).map(|text| name("prefix", text)).transpose()?,
        after: request.after.as_ref().map(behind).transpose()?,
    };
    let limit = Some(request.limit).filter(|limit| *limit > 0);
    Ok((query, limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(MAX_PAGE_STREAMS)))
}

/// A list as it is told.
pub(super) fn listed(page: StreamPage) -> v1::ListStreamsResponse {
    let named = |name: StreamRef| (name.namespace.to_string(), name.stream.to_string());
    let streams = page.streams.into_iter().map(|listed| {
        let (namespace, stream) = named(listed.name);
        v1::ListedStream { namespace, stream, last: listed.last.0 }
    });
    let next = page.next.map(named).map(|(namespace, stream)| v1::StreamRef { namespace, stream });
    v1::ListStreamsResponse { streams: streams.collect(), next }
}

/// What is to be read.
pub(super) fn wanted(rights: &Rights, request: v1::ReadRequest) -> Result<Wanted, Error> {
    let v1::ReadRequest { query: of, from, backward, limit, at } = request;
    let at = match at {
        None => At::Now,
        Some(v1::read_request::At::AtPosition(position)) => At::Position(Position(position)),
        Some(v1::read_request::At::AtTimeMicros(micros)) => At::Time(Timestamp::from_micros(micros)),
    };
    Ok(Wanted {
        query: rights.narrow(query(&of.unwrap_or_default())?)?,
        from: from.map(Position),
        direction: if backward { Direction::Backward } else { Direction::Forward },
        limit: Some(limit).filter(|limit| *limit > 0),
        at,
    })
}

fn new_event(event: api::Event) -> Result<NewEvent, Error> {
    event.check().map_err(|error| invalid("event", error))?;
    let missing = |field| invalid(field, "is missing");
    let api::Event { id, namespace, stream, event_type, tags, data, .. } = event;
    let api::Event { actor, traceparent, causation, correlation, other, .. } = event;
    Ok(NewEvent {
        id: id.ok_or_else(|| missing("event.id"))?,
        namespace: namespace.unwrap_or_default(),
        stream: stream.ok_or_else(|| missing("event.stream"))?,
        event_type: event_type.ok_or_else(|| missing("event.event_type"))?,
        tags,
        data,
        metadata: Metadata { actor, traceparent, causation, correlation, other },
    })
}

/// Which stream is to be deleted, and in which version.
pub(super) fn deletion(request: v1::DeleteStreamRequest) -> Result<Expected, Error> {
    let of = request.stream.ok_or_else(|| invalid("stream", "is missing"))?;
    expected_or(&of, Some(Version::Exists))
}

/// Who is to be forgotten.
pub(super) fn subject(request: &v1::ForgetSubjectRequest) -> Result<(Namespace, Subject), Error> {
    let namespace = some(&request.namespace).map(|text| name("namespace", text)).transpose()?;
    Ok((namespace.unwrap_or_default(), name("subject", &request.subject)?))
}

fn expected(expected: &v1::Expected) -> Result<Expected, Error> {
    expected_or(expected, None)
}

/// What is expected of a stream; `unless_stated` if no version is.
fn expected_or(expected: &v1::Expected, unless_stated: Option<Version>) -> Result<Expected, Error> {
    use v1::expected::Version as Wire;
    let missing = || invalid("expected.version", "is missing; leave out what you expect nothing of");
    let version = match expected.version {
        Some(Wire::None(v1::Nothing {})) => Version::Unchanged(Position::START),
        Some(Wire::Exists(v1::Nothing {})) => Version::Exists,
        Some(Wire::Exact(position)) => Version::Unchanged(Position(position)),
        None => unless_stated.ok_or_else(missing)?,
    };
    let namespace = some(&expected.namespace).map(|text| name("expected.namespace", text)).transpose()?;
    Ok(Expected {
        namespace: namespace.unwrap_or_else(Namespace::default),
        stream: name("expected.stream", &expected.stream)?,
        version,
    })
}

fn condition(condition: v1::Condition) -> Result<Condition, Error> {
    let of = condition.query.ok_or_else(|| invalid("condition.query", "is missing"))?;
    Ok(Condition { query: query(&of)?, after: Position(condition.after) })
}

fn item(item: &v1::QueryItem) -> Result<QueryItem, Error> {
    Ok(QueryItem {
        streams: names("query.items.streams", &item.streams)?,
        prefix: some(&item.prefix).map(|text| name("query.items.prefix", text)).transpose()?,
        tags: names("query.items.tags", &item.tags)?,
        types: names("query.items.types", &item.types)?,
    })
}

fn names<T: Ord + FromStr<Err = InvalidName>>(field: &str, texts: &[String]) -> Result<BTreeSet<T>, Error> {
    texts.iter().map(|text| name(field, text)).collect()
}

fn name<T: FromStr<Err = InvalidName>>(field: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|error| invalid(field, error))
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

pub(super) fn invalid(field: &str, problem: impl std::fmt::Display) -> Error {
    Refusal::new(Code::LogInvalid, format!("{field}: {problem}")).into()
}
