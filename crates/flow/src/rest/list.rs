//! Which streams there are. No engine keeps a list of them, so the log is looked at backward, as far as one request may.

use super::form::{self, Asked};
use super::reply::{self, Reply};
use super::{LIMIT, MOST, query_of};
use crate::events::EventStore;
use crate::events::error::Error;
use axum::extract::State;
use serde::Deserialize;
use std::collections::HashSet;
use tenon_api::http::{StreamList, StreamSummary};
use tenon_core::{Namespace, Position, Revision, StreamName};
use tenon_store::log::{END, MAX_PAGE_EVENTS};
use tenon_store::{Direction, Event, QueryItem};

/// How many events one request looks at.
const MOST_LOOKED_AT: usize = 100_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    namespace: Option<String>,
    prefix: Option<String>,
    before: Option<String>,
    limit: Option<u64>,
}

pub(super) async fn streams(State(store): State<EventStore>, asked: Asked) -> Reply {
    let rights = asked.rights(&store)?;
    let list: ListQuery = asked.query()?;
    let log = store.log().id();
    let namespace = match list.namespace.as_deref() {
        None => Some(rights.namespace()),
        Some("*") => None,
        Some(text) => Some(form::name::<Namespace>("namespace", text)?),
    };
    let prefix = list.prefix.as_deref().map(|text| form::name::<StreamName>("prefix", text)).transpose()?;
    let items = prefix.map(|prefix| QueryItem { prefix: Some(prefix), ..QueryItem::default() });
    let query = rights.narrow(query_of(namespace, items.into_iter().collect()))?;
    let mut before = match list.before.as_deref() {
        Some(text) => form::position(log, "before", text)?,
        None => END,
    };
    let most = usize::try_from(list.limit.unwrap_or(LIMIT).clamp(1, MOST)).unwrap_or(usize::MAX);
    let (mut seen, mut streams) = (HashSet::new(), Vec::new());
    let (mut looked_at, mut at_end) = (0, false);
    while !at_end && streams.len() < most && looked_at < MOST_LOOKED_AT {
        let page = store.log().read(query.clone(), before, Direction::Backward, MAX_PAGE_EVENTS).await;
        let page = page.map_err(Error::from)?;
        looked_at += page.events.len();
        (before, at_end) = (page.next, page.at_end);
        for event in page.events {
            if seen.insert((event.namespace.clone(), event.stream.clone())) {
                if streams.len() == most && !event.is_deletion() {
                    // The next page begins with this one.
                    (before, at_end) = (Position(event.position.0.saturating_add(1)), false);
                    break;
                }
                if !event.is_deletion() {
                    streams.push(summary(log, &event));
                }
            }
        }
    }
    reply::json(&StreamList { revision: Revision { log, position: before }, streams, at_end })
}

fn summary(log: tenon_core::LogId, event: &Event) -> StreamSummary {
    StreamSummary {
        namespace: event.namespace.clone(),
        stream: event.stream.clone(),
        version: Revision { log, position: event.position },
        changed_at: event.time,
        last_type: event.event_type.clone(),
    }
}
