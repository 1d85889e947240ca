//! The event store and its topics over HTTP: the paths of `api::openapi::EVENTS` and `BUS`.
//!
//! A handler reads what was sent into types, asks the event store, and writes what came of it. Every error is
//! problem+json. A version is an ETag: the log's id and a position.

mod form;
mod list;
pub(crate) mod metrics;
mod reply;
pub(crate) mod sagas;
mod socket;
mod sse;
pub(crate) mod subscriptions;
mod topics;

use crate::events::EventStore;
use crate::events::append::{Expected, Version};
use crate::events::error::Error;
use crate::events::reading::Wanted;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{delete, get, post};
use form::{Asked, ReadQuery};
use reply::{Failure, Reply};
use tenon_api::http::{AppendEvents, AppendedEvents, Changed, EventPage, Told};
use tenon_core::{Code, Namespace, Position, Refusal, Revision, StreamName};
use tenon_store::{Direction, Query};

/// The most events of one answer, unless a request says otherwise, and at all.
pub(crate) const LIMIT: u64 = 100;
pub(crate) const MOST: u64 = 1_000;

/// The paths.
pub(crate) fn router(store: EventStore) -> Router {
    Router::new()
        .route("/v1/streams", get(list::streams))
        .route("/v1/streams/{stream}", delete(delete_stream))
        .route("/v1/streams/{stream}/events", get(read_stream).post(append_to_stream))
        .route("/v1/events", get(read_all).post(topics::publish))
        .route("/v1/events:append", post(append))
        .route("/v1/subjects/{subject}", delete(forget))
        .route("/v1/topics", get(topics::list))
        .route("/v1/topics/{type}/events", get(topics::read).post(topics::publish_to))
        .method_not_allowed_fallback(unknown)
        .with_state(store)
}

async fn unknown(method: http::Method, uri: http::Uri) -> Failure {
    let detail = format!("there is no {method} {}; GET /openapi.json lists what there is", uri.path());
    Refusal::new(Code::RequestUnknown, detail).into()
}

async fn read_stream(State(store): State<EventStore>, asked: Asked) -> Reply {
    let stream = asked.stream()?;
    read(&store, &asked, Some(stream)).await
}

async fn read_all(State(store): State<EventStore>, asked: Asked) -> Reply {
    read(&store, &asked, None).await
}

async fn read(store: &EventStore, asked: &Asked, stream: Option<StreamName>) -> Reply {
    let rights = asked.rights(store)?;
    let read: ReadQuery = asked.query()?;
    let log = store.log().id();
    let query = rights.narrow(read.events(rights.namespace(), stream.clone())?)?;
    let from = read.from.as_deref().map(|text| form::position(log, "from", text)).transpose()?;
    if read.follow {
        let after = asked.last_event_id(log)?.or(from).unwrap_or(Position::START);
        return sse::open(store, query, after, |event| Told::Event(Box::new(reply::stored(event))));
    }
    let direction = if read.backward { Direction::Backward } else { Direction::Forward };
    let limit = read.limit.unwrap_or(LIMIT).clamp(1, MOST);
    let at = form::at(log, read.at.as_deref())?;
    let wanted = Wanted { query, from, direction, limit: Some(limit), at };
    let revision = |position| Revision { log, position };
    let page = match store.read(wanted).await?.next().await {
        Some(page) => page.map_err(Error::from)?,
        None => return Err(Refusal::new(Code::LogClosed, "the server is ending").into()),
    };
    let document = EventPage {
        revision: revision(page.next),
        events: page.events.into_iter().map(reply::stored).collect(),
        at_end: page.at_end,
    };
    let response = reply::json(&document)?;
    let is_version =
        stream.is_some() && direction == Direction::Forward && document.at_end && read.is_present();
    Ok(if is_version { reply::tagged(response, document.revision) } else { response })
}

async fn append_to_stream(State(store): State<EventStore>, asked: Asked, body: Body) -> Reply {
    let stream = asked.stream()?;
    let namespace = asked.namespace(&store)?;
    let mut document: AppendEvents = reply::read(body).await?;
    for event in &mut document.events {
        if let Some(other) = event.stream.replace(stream.clone()).filter(|other| *other != stream) {
            return Err(
                reply::invalid(format!("an event names stream {other}, and the path {stream}")).into()
            );
        }
    }
    let version = asked.expected_version(store.log().id())?;
    let expected = version.map(|version| Expected { namespace: namespace.clone(), stream, version });
    append_document(&store, &asked, document, &namespace, expected).await
}

async fn append(State(store): State<EventStore>, asked: Asked, body: Body) -> Reply {
    let namespace = asked.namespace(&store)?;
    let document: AppendEvents = reply::read(body).await?;
    append_document(&store, &asked, document, &namespace, None).await
}

async fn append_document(
    store: &EventStore,
    asked: &Asked,
    document: AppendEvents,
    namespace: &Namespace,
    of_path: Option<Expected>,
) -> Reply {
    let AppendEvents { events, expected, condition } = document;
    let log = store.log().id();
    let traceparent = asked.traceparent();
    let event = |event| form::new_event(event, namespace, traceparent.as_deref());
    let events = events.into_iter().map(event).collect::<Result<Vec<_>, Failure>>()?;
    let mut expectations = of_path.into_iter().collect::<Vec<_>>();
    for expected in expected {
        expectations.push(form::expected(log, expected, namespace)?);
    }
    let condition = condition.map(|condition| form::condition(log, condition, namespace)).transpose()?;
    let admitted = store.admit(&asked.rights(store)?, events, expectations, condition)?;
    let appended = store.append(admitted).await?;
    let revision = Revision { log, position: appended.last() };
    let positions = appended.positions.iter().map(|position| position.0).collect();
    let document = AppendedEvents { revision, positions, duplicate: appended.duplicate };
    let response: Response = reply::json(&document)?;
    Ok(reply::tagged(response, revision))
}

/// Deletes a stream: one that exists, unless a version is expected.
async fn delete_stream(State(store): State<EventStore>, asked: Asked) -> Reply {
    let log = store.log().id();
    let version = asked.expected_version(log)?.unwrap_or(Version::Exists);
    let expected = Expected { namespace: asked.namespace(&store)?, stream: asked.stream()?, version };
    let deleted = store.delete(&asked.rights(&store)?, expected).await?;
    let revision = Revision { log, position: deleted.last() };
    Ok(reply::tagged(reply::json(&Changed { revision })?, revision))
}

/// Destroys the key of a subject, for good.
async fn forget(State(store): State<EventStore>, asked: Asked) -> Reply {
    asked.rights(&store)?.check_operator("forgetting a subject")?;
    let (namespace, subject) = (asked.namespace(&store)?, asked.subject()?);
    let position = store.vault()?.forget(namespace, subject, asked.actor()).await.map_err(Error::from)?;
    reply::json(&Changed { revision: Revision { log: store.log().id(), position } })
}

/// What `If-Match` and `If-None-Match` expect of a stream.
fn version_of(
    if_match: Option<&str>,
    if_none_match: Option<&str>,
    log: tenon_core::LogId,
) -> Result<Option<Version>, Failure> {
    match (if_match, if_none_match) {
        (None, None) => Ok(None),
        (Some("*"), None) => Ok(Some(Version::Exists)),
        (Some(tag), None) => {
            let text = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(tag);
            Ok(Some(Version::Unchanged(form::revision(log, "if-match", text)?)))
        }
        (None, Some("*")) => Ok(Some(Version::Unchanged(Position::START))),
        (None, Some(_)) => Err(reply::invalid("if-none-match: only `*` is understood").into()),
        (Some(_), Some(_)) => Err(reply::invalid("send if-match or if-none-match, not both").into()),
    }
}

/// A query for a stream or for several.
fn query_of(namespace: Option<Namespace>, items: Vec<tenon_store::QueryItem>) -> Query {
    Query { namespace, items, ..Query::user() }
}

#[cfg(test)]
mod tests;
