//! What subscriptions there are, folded from the stream `$tenon/subscriptions`. Every server folds the same events; a
//! change is appended only if no other came in between.

use super::ledger::new_event;
use super::{Defined, MAX_SUBSCRIPTIONS, Subscription, unknown};
use crate::EventStore;
use crate::events::error::Error;
use crate::events::feed::Feed;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tenon_api::bus::Record;
use tenon_core::group::{Definition, GroupName};
use tenon_core::{Actor, Code, Namespace, Position, Refusal, StreamName};
use tenon_store::log::Changed;
use tenon_store::{AppendError, Condition, Direction, Event, Query, ReadError, new_event_id};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often a change is decided anew because another server was faster.
const MOST_ATTEMPTS: usize = 16;

/// How long to wait before a read that failed is repeated.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What subscriptions there are. Clones share it.
#[derive(Clone)]
pub(super) struct Registry {
    store: EventStore,
    state: Arc<Mutex<State>>,
    folded: Arc<watch::Sender<Position>>,
}

#[derive(Default)]
struct State {
    subscriptions: BTreeMap<GroupName, Subscription>,
    /// Where the last event about them is.
    at: Position,
}

impl Registry {
    /// Reads what there is, and follows it until `stop`.
    pub(super) async fn start(store: EventStore, stop: CancellationToken) -> Result<Self, Refusal> {
        let folded = Arc::new(watch::Sender::new(Position::START));
        let registry = Self { store, state: Arc::default(), folded };
        let mut from = Position::START;
        loop {
            let log = registry.store.log();
            let page = log.read(query(), from, Direction::Forward, usize::MAX).await.map_err(Error::from)?;
            page.events.iter().try_for_each(|event| registry.fold(event))?;
            from = page.next;
            if page.at_end {
                break;
            }
        }
        let following = registry.clone().follow(from);
        tokio::spawn(async move { stop.run_until_cancelled(following).await });
        Ok(registry)
    }

    pub(super) fn get(&self, name: &GroupName) -> Option<Subscription> {
        self.lock().subscriptions.get(name).cloned()
    }

    pub(super) fn list(&self, namespace: Option<&Namespace>) -> Vec<Subscription> {
        let state = self.lock();
        let wanted = |name: &GroupName| namespace.is_none_or(|namespace| *namespace == name.namespace);
        state.subscriptions.iter().filter(|(name, _)| wanted(name)).map(|(_, it)| it.clone()).collect()
    }

    /// Whether a subscription is there, just so.
    pub(super) fn has(&self, name: &GroupName, subscription: &Subscription) -> bool {
        self.lock().subscriptions.get(name) == Some(subscription)
    }

    /// Those but some.
    pub(super) fn others(&self, but: impl Fn(&GroupName) -> bool) -> Vec<Subscription> {
        let state = self.lock();
        state.subscriptions.iter().filter(|(name, _)| !but(name)).map(|(_, it)| it.clone()).collect()
    }

    /// Changes whenever something was folded.
    pub(super) fn changes(&self) -> watch::Receiver<Position> {
        self.folded.subscribe()
    }

    /// Makes or changes a subscription.
    pub(super) async fn define(
        &self,
        definition: Definition,
        from: Position,
        actor: Option<Actor>,
    ) -> Result<Defined, Refusal> {
        let name = definition.group();
        self.change(actor, |state| {
            let (from, id) = match state.subscriptions.get(&name) {
                Some(there) if there.definition == definition => return Ok(None),
                Some(there) => (there.from, there.id),
                None if state.subscriptions.len() >= MAX_SUBSCRIPTIONS => return Err(too_many()),
                None => (from, new_event_id()),
            };
            Ok(Some(Record::Defined { definition: Box::new(definition.clone()), from, id }))
        })
        .await
        .map(|changed| {
            let from = self.get(&name).map_or(from, |it| it.from);
            Defined { changed, from }
        })
    }

    /// Deletes a subscription.
    pub(super) async fn delete(&self, name: &GroupName, actor: Option<Actor>) -> Result<(), Refusal> {
        self.change(actor, |state| {
            if !state.subscriptions.contains_key(name) {
                return Err(unknown(name));
            }
            Ok(Some(Record::Deleted { namespace: name.namespace.clone(), name: name.name.clone() }))
        })
        .await
        .map(|_| ())
    }

    /// Appends what is decided on what has been folded, and waits until it is folded itself. Whether there was anything
    /// to change.
    async fn change(
        &self,
        actor: Option<Actor>,
        decide: impl Fn(&State) -> Result<Option<Record>, Refusal>,
    ) -> Result<bool, Refusal> {
        let mut changed = false;
        for _ in 0..MOST_ATTEMPTS {
            let (record, at) = {
                let state = self.lock();
                match decide(&state)? {
                    Some(record) => (record, state.at),
                    None => return Ok(changed),
                }
            };
            let (event_type, data) = record.encode();
            let mut event = new_event(&stream(), event_type, data);
            event.metadata.actor.clone_from(&actor);
            let condition = Condition::stream_unchanged(Namespace::default(), stream(), at);
            match self.store.log().append(vec![event], Some(condition)).await {
                Ok(appended) => {
                    self.wait_for(appended.last()).await?;
                    return Ok(true);
                }
                Err(AppendError::Conflict { at }) => self.wait_for(at).await?,
                // If it was written, there is nothing to change the next time.
                Err(error) if error.changed() == Changed::Unknown => changed = true,
                Err(error) => return Err(Error::from(error).into()),
            }
        }
        let detail = "others change subscriptions all the time; ask again";
        Err(Refusal::new(Code::ServerTimeout, detail))
    }

    async fn wait_for(&self, position: Position) -> Result<(), Refusal> {
        let ended = |_| Refusal::new(Code::LogClosed, "the server is ending");
        self.folded.subscribe().wait_for(|at| *at >= position).await.map(|_| ()).map_err(ended)
    }

    async fn follow(self, mut from: Position) {
        loop {
            let mut feed = Feed::new(self.store.clone(), query(), Some(from), None);
            while let Some(page) = feed.next().await {
                match page {
                    Ok(page) => {
                        for event in &page.events {
                            if let Err(refusal) = self.fold(event) {
                                tracing::error!(%refusal, at = %event.position, "subscriptions are followed no further");
                                return;
                            }
                        }
                        from = page.next;
                    }
                    Err(Error::Read(ReadError::Closed)) => return,
                    Err(error) => {
                        tracing::warn!(error = error.detail(), "cannot read what subscriptions there are");
                    }
                }
            }
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }

    fn fold(&self, event: &Event) -> Result<(), Refusal> {
        let record = Record::decode(event.event_type.as_str(), &event.data);
        let record = record.map_err(|error| {
            let detail = format!("the event at position {} cannot be understood: {error}", event.position);
            Refusal::new(Code::DataNewerVersion, detail)
        })?;
        let mut state = self.lock();
        state.at = event.position;
        match record {
            Record::Defined { definition, from, id } => {
                let name = definition.group();
                state.subscriptions.insert(name, Subscription { definition: *definition, from, id });
            }
            Record::Deleted { namespace, name } => {
                state.subscriptions.remove(&GroupName { namespace, name });
            }
            Record::Progress(_) => {}
        }
        drop(state);
        self.folded.send_replace(event.position);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked has changed a single map at most.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many() -> Refusal {
    let detail = format!("there are {MAX_SUBSCRIPTIONS} subscriptions, which is the most; delete some");
    Refusal::new(Code::SubscriptionInvalid, detail)
}

fn stream() -> StreamName {
    match StreamName::new("$tenon/subscriptions") {
        Ok(stream) => stream,
        Err(_) => unreachable!("the name is a constant"),
    }
}

fn query() -> Query {
    Query::stream(Namespace::default(), stream())
}
