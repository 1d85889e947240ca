//! What subscriptions there are, folded from the stream `$tenon/subscriptions`. Every server folds the same events; a
//! change is appended only if no other came in between.

use super::{Defined, MAX_SUBSCRIPTIONS, Subscription, unknown};
use crate::EventStore;
use crate::folded::{Fold, Folded};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt::Display;
use tenon_api::bus::Record;
use tenon_core::group::{Definition, GroupName};
use tenon_core::{Actor, Code, Namespace, Position, Refusal};
use tenon_store::new_event_id;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What subscriptions there are. Clones share it.
#[derive(Clone)]
pub(super) struct Registry(Folded<All>);

#[derive(Default)]
struct All(BTreeMap<GroupName, Subscription>);

impl Fold for All {
    type Record = Record;
    const STREAM: &'static str = "$tenon/subscriptions";
    const ABOUT: &'static str = "subscriptions";

    fn decode(event_type: &str, payload: &[u8]) -> Result<Record, impl Display> {
        Record::decode(event_type, payload)
    }

    fn encode(record: &Record) -> (&'static str, Bytes) {
        record.encode()
    }

    fn take(&mut self, record: Record, _: Position) -> Result<(), Refusal> {
        match record {
            Record::Defined { definition, from, id } => {
                let name = definition.group();
                self.0.insert(name, Subscription { definition: *definition, from, id });
            }
            Record::Deleted { namespace, name } => _ = self.0.remove(&GroupName { namespace, name }),
            Record::Progress(_) => {}
        }
        Ok(())
    }
}

impl Registry {
    /// Reads what there is, and follows it until `stop`.
    pub(super) async fn start(store: EventStore, stop: CancellationToken) -> Result<Self, Refusal> {
        Folded::start(store, stop).await.map(Self)
    }

    pub(super) fn get(&self, name: &GroupName) -> Option<Subscription> {
        self.0.state().0.get(name).cloned()
    }

    pub(super) fn list(&self, namespace: Option<&Namespace>) -> Vec<Subscription> {
        let all = self.0.state();
        let wanted = |name: &GroupName| namespace.is_none_or(|namespace| *namespace == name.namespace);
        all.0.iter().filter(|(name, _)| wanted(name)).map(|(_, it)| it.clone()).collect()
    }

    /// Whether a subscription is there, just so.
    pub(super) fn has(&self, name: &GroupName, subscription: &Subscription) -> bool {
        self.0.state().0.get(name) == Some(subscription)
    }

    /// Those but some.
    pub(super) fn others(&self, but: impl Fn(&GroupName) -> bool) -> Vec<Subscription> {
        let all = self.0.state();
        all.0.iter().filter(|(name, _)| !but(name)).map(|(_, it)| it.clone()).collect()
    }

    /// Changes whenever something was folded.
    pub(super) fn changes(&self) -> watch::Receiver<Position> {
        self.0.changes()
    }

    /// Makes or changes a subscription.
    pub(super) async fn define(
        &self,
        definition: Definition,
        from: Position,
        actor: Option<Actor>,
    ) -> Result<Defined, Refusal> {
        let name = definition.group();
        self.0
            .change(actor, |all| {
                let (from, id) = match all.0.get(&name) {
                    Some(there) if there.definition == definition => return Ok(None),
                    Some(there) => (there.from, there.id),
                    None if all.0.len() >= MAX_SUBSCRIPTIONS => return Err(too_many()),
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
        self.0
            .change(actor, |all| {
                if !all.0.contains_key(name) {
                    return Err(unknown(name));
                }
                Ok(Some(Record::Deleted { namespace: name.namespace.clone(), name: name.name.clone() }))
            })
            .await
            .map(|_| ())
    }
}

fn too_many() -> Refusal {
    let detail = format!("there are {MAX_SUBSCRIPTIONS} subscriptions, which is the most; delete some");
    Refusal::new(Code::SubscriptionInvalid, detail)
}
