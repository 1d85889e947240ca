//! Which streams there are, each with its last event.

use super::form::{self, Asked};
use super::reply::{self, Reply};
use super::{LIMIT, MOST};
use crate::events::EventStore;
use crate::events::error::Error;
use axum::extract::State;
use serde::Deserialize;
use tenon_api::http::{StreamList, StreamSummary};
use tenon_core::{Namespace, Revision, StreamName};
use tenon_store::log::{END, MAX_PAGE_STREAMS};
use tenon_store::{Direction, ListedStream, Query, ReadError, Scope, StreamRef, StreamsQuery};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    namespace: Option<String>,
    prefix: Option<String>,
    after: Option<String>,
    limit: Option<u64>,
}

pub(super) async fn streams(State(store): State<EventStore>, asked: Asked) -> Reply {
    let rights = asked.rights(&store)?;
    let list: ListQuery = asked.query()?;
    let namespace = match list.namespace.as_deref() {
        None => Some(rights.namespace()),
        Some("*") => None,
        Some(text) => Some(form::name::<Namespace>("namespace", text)?),
    };
    let prefix = list.prefix.as_deref().map(|text| form::name::<StreamName>("prefix", text)).transpose()?;
    let after = list.after.as_deref().map(behind).transpose()?;
    let mut query = rights.narrow_streams(StreamsQuery { scope: Scope::User, namespace, prefix, after })?;
    let most = usize::try_from(list.limit.unwrap_or(LIMIT).clamp(1, MOST)).unwrap_or(usize::MAX);
    let mut streams = Vec::new();
    loop {
        let page = store.log().streams(query.clone(), (most - streams.len()).min(MAX_PAGE_STREAMS)).await;
        let page = page.map_err(Error::from)?;
        for listed in page.streams {
            streams.extend(summary(&store, listed).await.map_err(Error::from)?);
        }
        query.after = page.next;
        if query.after.is_none() || streams.len() >= most {
            break;
        }
    }
    let next = query.after.map(|StreamRef { namespace, stream }| format!("{namespace}/{stream}"));
    reply::json(&StreamList { streams, next })
}

/// Where the page before ended: a namespace, which has no slash, and a stream.
fn behind(text: &str) -> Result<StreamRef, reply::Failure> {
    let (namespace, stream) =
        text.split_once('/').ok_or_else(|| reply::invalid("`after` is not what `next` of a page said"))?;
    Ok(StreamRef { namespace: form::name("after", namespace)?, stream: form::name("after", stream)? })
}

/// A stream with its last event; none if it was deleted meanwhile.
async fn summary(store: &EventStore, listed: ListedStream) -> Result<Option<StreamSummary>, ReadError> {
    let log = store.log();
    let StreamRef { namespace, stream } = listed.name;
    let page = log.read(Query::stream(namespace, stream), END, Direction::Backward, 1).await?;
    let last = page.events.into_iter().next().filter(|event| !event.is_deletion());
    Ok(last.map(|event| StreamSummary {
        version: Revision { log: log.id(), position: event.position },
        namespace: event.namespace,
        stream: event.stream,
        changed_at: event.time,
        last_type: event.event_type,
    }))
}
