//! Finding sagas.

use super::journal::{may_pass, unread};
use super::names::{event_type, id_of, ids_of, tag};
use super::{Handle, OPEN, Shared, View, owner};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use tenon_api::saga::{ENDED, STARTED};
use tenon_core::saga::{SagaName, Status};
use tenon_core::{Namespace, Position, Refusal, SagaId, Timestamp};
use tenon_store::log::END;
use tenon_store::{Direction, Event, Query, QueryItem};

/// How many sagas are looked at at once: each may keep whoever looks waiting.
const AT_ONCE: usize = 128;
/// How many sagas are looked at for one page.
const LOOK_AT: usize = 1_000;

/// How many are passed over for one page, of which it is known that they have ended.
const PASS_OVER: usize = 100_000;
/// How many sagas of other servers, or that were put off, are looked at for those of a name that run.
const LOOK_AT_ELSEWHERE: usize = 10_000;

/// Which sagas are meant.
#[derive(Debug, Default, Clone)]
pub struct Filter {
    /// Of this namespace.
    pub namespace: Option<Namespace>,
    /// Of this name; with a namespace.
    pub name: Option<SagaName>,
    /// Begun with this key; with a name.
    pub key: Option<String>,
    /// In one of these states; any if there is none.
    pub states: BTreeSet<Status>,
    /// Begun at this time or later.
    pub since: Option<Timestamp>,
    /// Begun before this time.
    pub until: Option<Timestamp>,
    /// What lies further back than this position: the rest of a list.
    pub before: Option<Position>,
    /// At most so many.
    pub limit: usize,
}

/// Some sagas.
#[derive(Debug, Clone)]
pub struct Page {
    /// Those that were found.
    pub sagas: Vec<View>,
    /// Before which position to look for more, if there may be more.
    pub next: Option<Position>,
}

/// Sagas, the last to have begun, or to have ended, first.
pub(super) async fn list(shared: &Shared, filter: Filter) -> Result<Page, Refusal> {
    if let (Some(namespace), Some(name), Some(key)) = (&filter.namespace, &filter.name, &filter.key) {
        let sagas = look_at(shared, &filter, ids_of(namespace, name, key)).try_collect().await?;
        return Ok(Page { sagas, next: None });
    }
    let has_ended =
        |state: &Status| matches!(state, Status::Completed | Status::Compensated | Status::Failed);
    let is_open = |state: &Status| !has_ended(state);
    let mut only = None;
    if !filter.states.is_empty() && filter.states.iter().all(is_open) {
        let mut ids: BTreeSet<SagaId> = shared.open().into_iter().collect();
        ids.extend(owner::running_elsewhere(shared).await?);
        if ids.len() <= LOOK_AT {
            return of_running(shared, &filter, ids).await;
        }
        // Of more than that, those that began last are found in the log.
        only = Some(ids);
    }
    let ended = !filter.states.is_empty() && filter.states.iter().all(has_ended);
    by_log(shared, &filter, if ended { ENDED } else { STARTED }, only.as_ref()).await
}

/// What `of` makes of those of a name that run, on whichever server: of the `most` that began last; and whether there may be more.
pub(super) async fn running_of<T>(
    shared: &Shared,
    namespace: &Namespace,
    name: &SagaName,
    most: usize,
    of: impl Fn(&View) -> Option<T>,
) -> Result<(Vec<T>, bool), Refusal> {
    let filter = Filter {
        namespace: Some(namespace.clone()),
        name: Some(name.clone()),
        states: OPEN.into(),
        ..Filter::default()
    };
    let mut ids: BTreeSet<SagaId> = {
        let running = shared.running();
        let is_one = |handle: &Handle| handle.of.namespace == *namespace && handle.of.name == *name;
        running.iter().filter(|(_, handle)| is_one(handle)).map(|(id, _)| *id).collect()
    };
    let mut elsewhere = owner::running_elsewhere(shared).await?;
    elsewhere.extend(shared.later.open());
    let mut more = elsewhere.len() > LOOK_AT_ELSEWHERE;
    ids.extend(elsewhere.into_iter().take(LOOK_AT_ELSEWHERE));
    let mut found = BTreeMap::new();
    let mut seen = look_at(shared, &filter, ids);
    while let Some(view) = seen.try_next().await? {
        found.extend(of(&view).map(|it| (Reverse(view.began), it)));
        if found.len() > most {
            found.pop_last();
            more = true;
        }
    }
    Ok((found.into_values().collect(), more))
}

/// Those that run: here, and at other servers, or that were put off. The rest of a long list is found in the log.
async fn of_running(shared: &Shared, filter: &Filter, ids: BTreeSet<SagaId>) -> Result<Page, Refusal> {
    let mut sagas: Vec<View> = look_at(shared, filter, ids).try_collect().await?;
    sagas.sort_by_key(|view: &View| Reverse(view.began));
    let has_more = sagas.len() > filter.limit;
    sagas.truncate(filter.limit);
    let next = sagas.last().map(|view| view.began).filter(|_| has_more);
    Ok(Page { sagas, next })
}

/// Those that the log has begun or ended; of these only, if so many are stated.
async fn by_log(
    shared: &Shared,
    filter: &Filter,
    of: &'static str,
    only: Option<&BTreeSet<SagaId>>,
) -> Result<Page, Refusal> {
    let tags = match (&filter.namespace, &filter.name) {
        (Some(namespace), Some(name)) => [tag(namespace, name)].into(),
        _ => BTreeSet::new(),
    };
    let item = QueryItem { types: [event_type(of)].into(), tags, ..QueryItem::default() };
    let query = Query::reserved().within(Namespace::default()).or(item);
    let mut from = filter.before.unwrap_or(END);
    let (mut sagas, mut looked_at, mut passed) = (Vec::new(), 0, 0);
    // Where most are passed over, many are read at once.
    let at_once = if only.is_some() { LOOK_AT } else { filter.limit.max(1) };
    loop {
        let page = shared.store.log().read(query.clone(), from, Direction::Backward, at_once);
        let page = page.await.map_err(unread)?;
        let meant =
            |event: &Event| id_of(&event.stream).filter(|id| only.is_none_or(|only| only.contains(id)));
        let ids: Vec<SagaId> = page.events.iter().filter_map(meant).collect();
        let mut views = stream::iter(ids).map(|id| look(shared, id, filter)).buffered(AT_ONCE);
        for event in &page.events {
            match meant(event) {
                Some(id) => {
                    looked_at += 1;
                    let view = views.try_next().await?.flatten();
                    sagas.extend(view.filter(|_| sagas.iter().all(|other: &View| other.id != id)));
                }
                None => passed += 1,
            }
            let too_old = filter.since.is_some_and(|since| event.time < since);
            if too_old && of == STARTED {
                return Ok(Page { sagas, next: None });
            }
            if sagas.len() >= filter.limit || looked_at >= LOOK_AT || passed >= PASS_OVER {
                return Ok(Page { sagas, next: Some(event.position) });
            }
        }
        from = page.next;
        if page.at_end {
            return Ok(Page { sagas, next: None });
        }
    }
}

/// Those of them that fit, in whatever order.
fn look_at(
    shared: &Shared,
    filter: &Filter,
    ids: impl IntoIterator<Item = SagaId>,
) -> impl Stream<Item = Result<View, Refusal>> {
    let looks = stream::iter(ids).map(|id| look(shared, id, filter));
    looks.buffer_unordered(AT_ONCE).try_filter_map(|view| std::future::ready(Ok(view)))
}

async fn look(shared: &Shared, id: SagaId, filter: &Filter) -> Result<Option<View>, Refusal> {
    match shared.view(id).await {
        Ok(view) => Ok(Some(view).filter(|view| filter.fits(view))),
        Err(refusal) if may_pass(&refusal) => Err(refusal),
        // Of one that never began, or cannot be read, there is nothing to tell.
        Err(_) => Ok(None),
    }
}

impl Filter {
    fn fits(&self, view: &View) -> bool {
        let (beginning, began) = (&view.beginning, view.instance.started_at());
        self.namespace.as_ref().is_none_or(|it| *it == beginning.namespace)
            && self.name.as_ref().is_none_or(|it| *it == beginning.name)
            && self.key.as_ref().is_none_or(|it| beginning.key.as_ref() == Some(it))
            && (self.states.is_empty() || self.states.contains(&view.instance.status()))
            && self.since.is_none_or(|since| began >= since)
            && self.until.is_none_or(|until| began < until)
            && self.before.is_none_or(|before| view.began < before)
    }
}
