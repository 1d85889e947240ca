//! Finding sagas.

use super::journal::unread;
use super::names::{event_type, id_of, ids_of, tag};
use super::{Shared, View, owner};
use std::collections::BTreeSet;
use tenon_api::saga::{ENDED, STARTED};
use tenon_core::saga::{SagaName, Status};
use tenon_core::{Code, Namespace, Position, Refusal, SagaId, Timestamp};
use tenon_store::log::END;
use tenon_store::{Direction, Query, QueryItem};

/// How many sagas are looked at for one page.
const LOOK_AT: usize = 1_000;

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
        let mut sagas = Vec::new();
        for id in ids_of(namespace, name, key) {
            look(shared, id, &filter, &mut sagas).await?;
        }
        return Ok(Page { sagas, next: None });
    }
    let has_ended =
        |state: &Status| matches!(state, Status::Completed | Status::Compensated | Status::Failed);
    let is_open = |state: &Status| !has_ended(state);
    if !filter.states.is_empty() && filter.states.iter().all(is_open) {
        let mut ids: BTreeSet<SagaId> = shared.running().keys().copied().collect();
        ids.extend(owner::running_elsewhere(shared).await?);
        // Of more than that, those that began last are found in the log.
        if ids.len() <= LOOK_AT {
            return of_running(shared, &filter, ids).await;
        }
    }
    let ended = !filter.states.is_empty() && filter.states.iter().all(has_ended);
    by_log(shared, &filter, if ended { ENDED } else { STARTED }).await
}

/// Those that run: here, and at other servers. The rest of a long list is found in the log.
async fn of_running(shared: &Shared, filter: &Filter, ids: BTreeSet<SagaId>) -> Result<Page, Refusal> {
    let mut sagas = Vec::new();
    for id in ids {
        look(shared, id, filter, &mut sagas).await?;
    }
    sagas.sort_by_key(|view: &View| std::cmp::Reverse(view.began));
    let has_more = sagas.len() > filter.limit;
    sagas.truncate(filter.limit);
    let next = sagas.last().map(|view| view.began).filter(|_| has_more);
    Ok(Page { sagas, next })
}

async fn by_log(shared: &Shared, filter: &Filter, of: &'static str) -> Result<Page, Refusal> {
    let tags = match (&filter.namespace, &filter.name) {
        (Some(namespace), Some(name)) => [tag(namespace, name)].into(),
        _ => BTreeSet::new(),
    };
    let item = QueryItem { types: [event_type(of)].into(), tags, ..QueryItem::default() };
    let query = Query::reserved().within(Namespace::default()).or(item);
    let mut from = filter.before.unwrap_or(END);
    let (mut sagas, mut looked_at) = (Vec::new(), 0);
    loop {
        let page = shared.store.log().read(query.clone(), from, Direction::Backward, filter.limit.max(1));
        let page = page.await.map_err(unread)?;
        for event in &page.events {
            looked_at += 1;
            if let Some(id) = id_of(&event.stream) {
                look(shared, id, filter, &mut sagas).await?;
            }
            let too_old = filter.since.is_some_and(|since| event.time < since);
            if too_old && of == STARTED {
                return Ok(Page { sagas, next: None });
            }
            if sagas.len() >= filter.limit || looked_at >= LOOK_AT {
                return Ok(Page { sagas, next: Some(event.position) });
            }
        }
        from = page.next;
        if page.at_end {
            return Ok(Page { sagas, next: None });
        }
    }
}

async fn look(shared: &Shared, id: SagaId, filter: &Filter, found: &mut Vec<View>) -> Result<(), Refusal> {
    match shared.view(id).await {
        Ok(view) if filter.fits(&view) && found.iter().all(|other| other.id != id) => found.push(view),
        Ok(_) => {}
        // Of one that never began there is nothing to tell.
        Err(refusal) if refusal.code == Code::SagaUnknown => {}
        Err(refusal) => return Err(refusal),
    }
    Ok(())
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
