//! Topics over HTTP: publishing CloudEvents and reading them.

use super::form::{self, Asked};
use super::reply::{self, Failure, Reply};
use super::{LIMIT, MOST, sse};
use crate::events::EventStore;
use crate::events::error::Error;
use crate::events::past::At;
use crate::events::reading::Wanted;
use crate::events::rights::Rights;
use crate::topics::Outcome;
use crate::topics::event::{self, Defaults};
use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use std::collections::HashMap;
use tenon_api::InvalidMessage;
use tenon_api::caller::Caller;
use tenon_api::cloudevents::{self, Attribute, CloudEvent, JSON_BATCH};
use tenon_api::http::{Published, PublishedEvent, TopicList, TopicSummary};
use tenon_core::{EventType, LogId, Namespace, Position, Refusal, Revision};
use tenon_store::log::{END, MAX_PAGE_EVENTS};
use tenon_store::{Direction, Event, Query, QueryItem, new_event_id};

/// How many events one list of topics looks at.
const MOST_LOOKED_AT: usize = 100_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishQuery {
    namespace: Option<String>,
    stream: Option<String>,
    key: Option<String>,
}

/// Publishes events of any types.
pub(super) async fn publish(State(store): State<EventStore>, asked: Asked, body: Body) -> Reply {
    let body = reply::bytes(body).await?;
    let events = cloudevents::http::read(asked.headers(), body)?;
    publish_all(&store, &asked, events).await
}

/// Publishes events of the type that the path names.
pub(super) async fn publish_to(State(store): State<EventStore>, asked: Asked, body: Body) -> Reply {
    let topic: EventType = asked.parameter("type")?;
    let body = reply::bytes(body).await?;
    let events = match is_plain(asked.headers()) {
        true => vec![plain(&asked, &topic, body)?],
        false => cloudevents::http::read(asked.headers(), body)?,
    };
    let other = events.iter().enumerate().find(|(_, event)| event.event_type != topic.as_str());
    if let Some((index, event)) = other {
        let problem = format!("is {:?}, and the path names {topic}", event.event_type);
        return Err(InvalidMessage { field: format!("[{index}].type"), problem }.into());
    }
    publish_all(&store, &asked, events).await
}

async fn publish_all(store: &EventStore, asked: &Asked, events: Vec<CloudEvent>) -> Reply {
    let rights = asked.rights(store)?;
    let query: PublishQuery = asked.query()?;
    let defaults = Defaults {
        namespace: namespace(query.namespace.as_deref(), &rights)?,
        stream: query.stream.as_deref().map(|text| form::name("stream", text)).transpose()?,
        key: query.key,
        traceparent: asked.traceparent(),
    };
    let at = |index: usize, error: InvalidMessage| InvalidMessage {
        field: format!("[{index}].{}", error.field),
        ..error
    };
    let to_append = |(index, event)| event::to_append(event, &defaults).map_err(|error| at(index, error));
    let events = events.into_iter().enumerate().map(to_append).collect::<Result<Vec<_>, _>>();
    let outcomes = store.publish(&rights, events?).await?;
    let last = outcomes.iter().map(|outcome| outcome.position).max();
    let position = last.unwrap_or_else(|| store.log().head());
    let event = |Outcome { position, duplicate }| PublishedEvent { position: position.0, duplicate };
    reply::json(&Published {
        revision: Revision { log: store.log().id(), position },
        events: outcomes.into_iter().map(event).collect(),
    })
}

/// Whether nothing says that the body is a CloudEvent.
fn is_plain(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    !content_type.starts_with(b"application/cloudevents")
        && !headers.keys().any(|name| name.as_str().starts_with("ce-"))
}

/// Plain data as an event of its caller's.
fn plain(asked: &Asked, topic: &EventType, data: Bytes) -> Result<CloudEvent, Failure> {
    let id = match asked.text(&HeaderName::from_static("idempotency-key"))? {
        Some(key) => key.to_owned(),
        None => new_event_id().to_string(),
    };
    let source = match asked.caller() {
        Some(Caller::Instance { service, .. }) => format!("/services/{service}"),
        Some(Caller::Admin(actor)) => {
            format!("/actors/{}", utf8_percent_encode(actor.as_str(), NON_ALPHANUMERIC))
        }
        None => "/".to_owned(),
    };
    let content_type = asked.text(&header::CONTENT_TYPE)?.unwrap_or("application/json");
    if cloudevents::is_json(content_type) && serde_json::from_slice::<serde::de::IgnoredAny>(&data).is_err() {
        let problem = format!("is not JSON, and content-type is {content_type}").to_owned();
        return Err(InvalidMessage { field: "body".to_owned(), problem }.into());
    }
    let attributes = [
        ("id", id.as_str()),
        ("source", &source),
        ("type", topic.as_str()),
        ("datacontenttype", content_type),
    ];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), Attribute::from(value)));
    Ok(CloudEvent::from_attributes(attributes, data)?)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadQuery {
    namespace: Option<String>,
    from: Option<String>,
    limit: Option<u64>,
    #[serde(default)]
    follow: bool,
}

/// The events of a topic.
pub(super) async fn read(State(store): State<EventStore>, asked: Asked) -> Reply {
    let topic: EventType = asked.parameter("type")?;
    let rights = asked.rights(&store)?;
    let read: ReadQuery = asked.query()?;
    let log = store.log().id();
    let item = QueryItem { types: [topic].into(), ..QueryItem::default() };
    let query = Query { items: vec![item], ..Query::user() };
    let query = rights.narrow(query.within(namespace(read.namespace.as_deref(), &rights)?))?;
    let from = read.from.as_deref().map(|text| form::position(log, "from", text)).transpose()?;
    if read.follow {
        let after = asked.last_event_id(log)?.or(from).unwrap_or(Position::START);
        return sse::open(&store, query, after, |event| event::told(event).to_json());
    }
    let limit = Some(read.limit.unwrap_or(LIMIT).clamp(1, MOST));
    let wanted = Wanted { query, from, direction: Direction::Forward, limit, at: At::Now };
    let page = match store.read(wanted).await?.next().await {
        Some(page) => page.map_err(Error::from)?,
        None => return Err(Refusal::new(tenon_core::Code::LogClosed, "the server is ending").into()),
    };
    let events: Vec<CloudEvent> = page.events.into_iter().map(event::told).collect();
    let revision = Revision { log, position: page.next };
    let headers = [
        (header::CONTENT_TYPE, JSON_BATCH.to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (HeaderName::from_static(tenon_api::headers::REVISION), revision.to_string()),
    ];
    Ok((headers, cloudevents::http::batch(&events)).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    namespace: Option<String>,
    prefix: Option<String>,
    before: Option<String>,
}

/// Which topics there are. No engine keeps a list of them, so the log is looked at backward, as far as one request may.
pub(super) async fn list(State(store): State<EventStore>, asked: Asked) -> Reply {
    let rights = asked.rights(&store)?;
    let list: ListQuery = asked.query()?;
    let log = store.log().id();
    let query = rights.narrow(Query::user().within(namespace(list.namespace.as_deref(), &rights)?))?;
    let mut before = match list.before.as_deref() {
        Some(text) => form::position(log, "before", text)?,
        None => END,
    };
    let prefix = list.prefix.unwrap_or_default();
    let mut found = Found { log, places: HashMap::new(), topics: Vec::new() };
    let (mut looked_at, mut at_end) = (0, false);
    while !at_end && looked_at < MOST_LOOKED_AT {
        let page = store.log().read(query.clone(), before, Direction::Backward, MAX_PAGE_EVENTS).await;
        let page = page.map_err(Error::from)?;
        looked_at += page.events.len();
        (before, at_end) = (page.next, page.at_end);
        let wanted = page.events.iter().filter(|event| event.event_type.as_str().starts_with(&prefix));
        wanted.for_each(|event| found.count(event));
    }
    reply::json(&TopicList { revision: Revision { log, position: before }, topics: found.topics, at_end })
}

/// The topics found so far.
struct Found {
    log: LogId,
    places: HashMap<EventType, usize>,
    topics: Vec<TopicSummary>,
}

impl Found {
    fn count(&mut self, event: &Event) {
        let place = self.places.get(&event.event_type).copied();
        if let Some(topic) = place.and_then(|place| self.topics.get_mut(place)) {
            topic.events += 1;
            return;
        }
        self.places.insert(event.event_type.clone(), self.topics.len());
        self.topics.push(TopicSummary {
            event_type: event.event_type.clone(),
            events: 1,
            last: Revision { log: self.log, position: event.position },
            published_at: event.time,
        });
    }
}

fn namespace(text: Option<&str>, rights: &Rights) -> Result<Namespace, Failure> {
    text.map_or_else(|| Ok(rights.namespace()), |text| form::name("namespace", text))
}
