//! Subscriptions as server-sent events: each has its revision as its id, so that a client that comes back says by
//! `Last-Event-ID` what it has seen.

use super::reply::{Failure, Reply};
use crate::events::EventStore;
use crate::events::error::Error;
use crate::events::feed::Feed;
use axum::response::IntoResponse;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use std::convert::Infallible;
use tenon_api::http::{CHECKPOINT_EVENT, KEEP_ALIVE, PROBLEM_EVENT, Told};
use tenon_core::{LogId, Position, Revision};
use tenon_store::{Event, Page, Query};

/// Tells everything that matches after a position, and all that comes, each event in a form of the caller's.
pub(super) fn open<T: Serialize + 'static>(
    store: &EventStore,
    query: Query,
    after: Position,
    form: fn(Event) -> T,
) -> Reply {
    let permit = store.stream_permit()?;
    let feed = Feed::new(store.clone(), query, Some(after), Some(permit));
    let log = store.log().id();
    let pages = stream::unfold(feed, |mut feed| async {
        let page = feed.next().await?;
        Some((page, feed))
    });
    let events = pages.flat_map(move |page| stream::iter(told(log, page, form)));
    let stopped = store.stopped().clone().cancelled_owned();
    let events = events.take_until(stopped).map(Ok::<_, Infallible>);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// A page as events. A page without any, or the last for now, ends with how far it goes.
fn told<T: Serialize>(log: LogId, page: Result<Page, Error>, form: fn(Event) -> T) -> Vec<Message> {
    let Page { events, next, at_end } = match page {
        Ok(page) => page,
        Err(error) => {
            let failure = Failure::from(error);
            return vec![json(Message::default().event(PROBLEM_EVENT), failure.problem())];
        }
    };
    let marked = at_end || events.is_empty();
    let identified = |position| Message::default().id(Revision { log, position }.to_string());
    let mut told: Vec<Message> =
        events.into_iter().map(|event| json(identified(event.position), &form(event))).collect();
    if marked {
        let revision = Revision { log, position: next };
        let checkpoint = Told::Checkpoint { revision, caught_up: at_end };
        told.push(json(identified(next).event(CHECKPOINT_EVENT), &checkpoint));
    }
    told
}

fn json(event: Message, document: &impl Serialize) -> Message {
    // The documents are texts, numbers and lists of them, which always serialise.
    event.json_data(document).unwrap_or_default()
}
