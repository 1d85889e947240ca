//! The bus: subscriptions, which are named groups of consumers over the event store. A topic is an event type, and
//! publishing is appending, so there is no queue besides the log.
//!
//! Life cycle: [`Bus::start`] reads what subscriptions there are; from then on each is driven by a task of its own, on the
//! one of several servers that has the lease. [`Bus::join`] makes somebody a member, who is given events until it is
//! dropped. [`Bus::stop`] keeps how far everything is.
//!
//! Who is given what, and when again, is decided by `core::group`; a driver offers it what comes from the log, carries
//! out what it answers, and keeps its checkpoints.
//!
//! At least once: what was settled since the last checkpoint is given again after a crash; one is kept every second, and
//! on disk for certain every minute, at once when something is parked, and when the bus stops.
//!
//! Left out on purpose: who may do what (whoever serves the bus), and calling services (push), which is a member as any
//! other.

mod driver;
pub(crate) mod duty;
mod ledger;
mod manager;
mod member;
mod metrics;
mod payloads;
pub mod push;
mod registry;

pub use member::{Delivery, Member, Settled, Settler};

use crate::EventStore;
use crate::events::past::{At, resolve};
use driver::{Command, Unpark};
use duty::OnDuty;
use manager::{Handle, Manager};
use registry::Registry;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tenon_core::group::{Definition, GroupName, Parked, Start, Status, WhenFull};
use tenon_core::{Actor, Code, EventId, Namespace, Position, Refusal, ServerId, Timestamp};
use tenon_store::{Direction, Event, Leases, NewEvent, Query, QueryItem};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// The most subscriptions.
pub const MAX_SUBSCRIPTIONS: usize = 10_000;

/// The name among the metadata of an event of the time, in the form of RFC 3339, that it is not to be given before.
pub const DELIVER_AFTER: &str = "deliverafter";

/// The lease of the server that drives the groups.
const LEASE: &str = "bus";

/// How long to wait for a group's driver to begin.
const START_WITHIN: Duration = Duration::from_secs(5);

/// How a bus works.
#[derive(Clone)]
pub struct BusOptions {
    /// Leases among servers on the same log, where there may be others.
    pub leases: Option<Arc<dyn Leases>>,
    /// This server.
    pub server: ServerId,
}

impl Default for BusOptions {
    /// Alone on its log.
    fn default() -> Self {
        Self { leases: None, server: ServerId::from_bytes(*tenon_store::new_event_id().as_bytes()) }
    }
}

/// Subscriptions on an event store. Clones share them.
#[derive(Clone)]
pub struct Bus {
    shared: Arc<Shared>,
}

struct Shared {
    store: EventStore,
    registry: Registry,
    manager: Manager,
    on_duty: OnDuty,
    stop: CancellationToken,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// What it is.
    pub definition: Definition,
    /// After which position it began when it was made.
    pub from: Position,
    /// Drawn when it was made.
    pub id: EventId,
}

/// What came of defining a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defined {
    /// Whether anything is other than before.
    pub changed: bool,
    /// After which position it began when it was made.
    pub from: Position,
}

/// How a subscription is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// What it is.
    pub subscription: Subscription,
    /// How its group is.
    pub status: Status,
    /// Where the log ends.
    pub head: Position,
}

/// An event that waits for somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedEvent {
    /// Where it is.
    pub at: Position,
    /// How it came to wait.
    pub parked: Parked,
    /// The event, unless it is no longer in the log.
    pub event: Option<Event>,
}

impl Bus {
    /// Reads what subscriptions there are, and begins to drive them.
    ///
    /// # Errors
    /// The log cannot be read, or was written by a later version.
    pub async fn start(store: &EventStore, options: BusOptions) -> Result<Self, Refusal> {
        let stop = CancellationToken::new();
        let registry = Registry::start(store.clone(), stop.clone()).await?;
        let on_duty = duty::take(LEASE, options.leases, options.server, &stop);
        let manager =
            Manager::start(store.clone(), registry.clone(), on_duty.clone(), options.server, stop.clone());
        let store = store.clone();
        let bus = Self { shared: Arc::new(Shared { store, registry, manager, on_duty, stop }) };
        // The store must not keep the bus, which keeps the store.
        let weak = Arc::downgrade(&bus.shared);
        let room = move |event: &NewEvent| match weak.upgrade() {
            Some(shared) => Self { shared }.check_room(event),
            None => Ok(()),
        };
        bus.shared.store.refuse_by(Box::new(room));
        Ok(bus)
    }

    /// Keeps how far everything is, and ends.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        self.shared.manager.ended().await;
    }

    /// Makes a subscription, or changes how one that is there behaves: it goes on where it is, and its members are told
    /// to join again.
    ///
    /// # Errors
    /// `subscription.invalid`, or what the log says.
    pub async fn define(&self, definition: Definition, actor: Option<Actor>) -> Result<Defined, Refusal> {
        let start = definition.start;
        self.define_from(definition, start, actor).await
    }

    /// Makes or changes a subscription of a manifest that was applied at a position. What comes after that position is
    /// what comes after the subscription was made, however much later that is.
    ///
    /// # Errors
    /// As [`Bus::define`].
    pub async fn declare(
        &self,
        definition: Definition,
        applied_at: Position,
        actor: Option<Actor>,
    ) -> Result<Defined, Refusal> {
        let start = match definition.start {
            Start::End => Start::After(applied_at),
            other => other,
        };
        self.define_from(definition, start, actor).await
    }

    async fn define_from(
        &self,
        definition: Definition,
        start: Start,
        actor: Option<Actor>,
    ) -> Result<Defined, Refusal> {
        definition.check()?;
        let from = self.position_of(start).await?;
        self.shared.registry.define(definition, from, actor).await
    }

    /// The subscriptions of a namespace, or of all, by name.
    pub fn list(&self, namespace: Option<&Namespace>) -> Vec<Subscription> {
        self.shared.registry.list(namespace)
    }

    /// One subscription.
    ///
    /// # Errors
    /// `subscription.unknown`.
    pub fn get(&self, name: &GroupName) -> Result<Subscription, Refusal> {
        self.shared.registry.get(name).ok_or_else(|| unknown(name))
    }

    /// How a subscription is.
    ///
    /// # Errors
    /// `subscription.unknown`, or `server.off-duty` if another server drives it.
    pub async fn describe(&self, name: &GroupName) -> Result<Described, Refusal> {
        let subscription = self.get(name)?;
        let status = self.ask(name, Command::Status).await?;
        Ok(Described { subscription, status, head: self.shared.store.log().head() })
    }

    /// Deletes a subscription with its progress.
    ///
    /// # Errors
    /// `subscription.unknown`, or what the log says.
    pub async fn delete(&self, name: &GroupName, actor: Option<Actor>) -> Result<(), Refusal> {
        self.shared.registry.delete(name, actor).await
    }

    /// Makes somebody a member, who is given at most `most` events that are not settled.
    ///
    /// # Errors
    /// `subscription.unknown`, or `server.off-duty` if another server drives it.
    pub async fn join(&self, name: &GroupName, most: u32) -> Result<Member, Refusal> {
        self.group(name).await?.join(most).await.ok_or_else(ended)
    }

    /// Settles deliveries of whomever, for those who take no part in a stream: by the driver's epoch, so that tickets of
    /// an earlier driver do not count.
    ///
    /// # Errors
    /// As [`Bus::join`].
    pub async fn settle(&self, name: &GroupName, epoch: u64, settled: Settled) -> Result<(), Refusal> {
        let group = self.group(name).await?;
        if group.epoch == epoch {
            group.send(Command::Settle(settled)).await.ok_or_else(ended)
        } else {
            Ok(())
        }
    }

    /// Parked events after a position, at most `limit`.
    ///
    /// # Errors
    /// As [`Bus::describe`].
    pub async fn parked(
        &self,
        name: &GroupName,
        after: Position,
        limit: usize,
    ) -> Result<Vec<ParkedEvent>, Refusal> {
        let listed =
            self.ask(name, |reply| Command::Parked { after, limit: limit.min(1_000), reply }).await?;
        let mut parked = Vec::with_capacity(listed.len());
        for (at, of) in listed {
            let query = Query::user().within(name.namespace.clone());
            let before = Position(at.0.saturating_sub(1));
            let page = self.shared.store.log().read(query, before, Direction::Forward, 1).await;
            let event = page.ok().and_then(|page| page.events.into_iter().find(|event| event.position == at));
            parked.push(ParkedEvent { at, parked: of, event });
        }
        Ok(parked)
    }

    /// Gives parked events again, as often as at first: these, or all if none is named. Answers how many.
    ///
    /// # Errors
    /// `subscription.not-parked` if one is not, and as [`Bus::describe`].
    pub async fn retry(&self, name: &GroupName, which: BTreeSet<Position>) -> Result<u32, Refusal> {
        self.ask(name, |reply| Command::Unpark(Unpark { which, retry: true, reply })).await?
    }

    /// Leaves parked events out: these, or all if none is named. Answers how many.
    ///
    /// # Errors
    /// As [`Bus::retry`].
    pub async fn drop_parked(&self, name: &GroupName, which: BTreeSet<Position>) -> Result<u32, Refusal> {
        self.ask(name, |reply| Command::Unpark(Unpark { which, retry: false, reply })).await?
    }

    /// Gives everything from somewhere on again, or leaves out what comes before. Answers after which position.
    ///
    /// # Errors
    /// As [`Bus::describe`].
    pub async fn seek(&self, name: &GroupName, to: Start) -> Result<Position, Refusal> {
        let after = self.position_of(to).await?;
        self.ask(name, |reply| Command::Seek { after, reply }).await??;
        Ok(after)
    }

    /// Whether an event may be published: no subscription that says so holds as much as it may. Known on the server that
    /// drives the groups; others let everything pass.
    ///
    /// # Errors
    /// `subscription.full`.
    pub fn check_room(&self, event: &NewEvent) -> Result<(), Refusal> {
        match self.shared.manager.full_for(event) {
            None => Ok(()),
            Some(name) => {
                let detail =
                    format!("subscription {name} holds as many events as it may; publish again later");
                Err(Refusal::new(Code::SubscriptionFull, detail))
            }
        }
    }

    /// Changes whenever the subscriptions do; for whoever makes members of those that are to be pushed.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<Position> {
        self.shared.registry.changes()
    }

    /// Changes when this server begins or ends to drive the groups.
    pub fn on_duty(&self) -> tokio::sync::watch::Receiver<bool> {
        self.shared.on_duty.clone()
    }

    pub(crate) fn store(&self) -> &EventStore {
        &self.shared.store
    }

    /// The position after which a start begins.
    async fn position_of(&self, start: Start) -> Result<Position, Refusal> {
        let log = self.shared.store.log();
        let before_first = Position(log.first().0.saturating_sub(1));
        Ok(match start {
            Start::Beginning => before_first,
            Start::End => log.head(),
            Start::After(position) => position.clamp(before_first, log.head().max(before_first)),
            Start::Time(time) => {
                let before = Timestamp::from_micros(time.as_micros().saturating_sub(1));
                resolve(log, At::Time(before)).await?
            }
        })
    }

    /// The driver of a group, as soon as it runs.
    async fn group(&self, name: &GroupName) -> Result<Handle, Refusal> {
        let waiting = self.shared.manager.group(name, &self.shared.registry, &self.shared.on_duty);
        match tokio::time::timeout(START_WITHIN, waiting).await {
            Ok(found) => found,
            Err(_) => Err(Refusal::new(
                Code::ServerTimeout,
                format!("subscription {name} is not driven yet; ask again"),
            )),
        }
    }

    async fn ask<T>(
        &self,
        name: &GroupName,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.group(name).await?.send(command(reply)).await.ok_or_else(ended)?;
        answer.await.map_err(|_| ended())
    }
}

impl Subscription {
    /// The events that it gives.
    pub fn query(&self) -> Query {
        query(&self.definition)
    }

    fn rejects(&self) -> bool {
        self.definition.config.when_full == WhenFull::Reject
    }
}

/// The events that a subscription gives.
fn query(definition: &Definition) -> Query {
    let filter = definition.filter.clone();
    let query = Query::user().within(definition.namespace.clone());
    let item =
        QueryItem { streams: BTreeSet::new(), prefix: filter.prefix, tags: filter.tags, types: filter.types };
    if item == QueryItem::default() { query } else { query.or(item) }
}

fn unknown(name: &GroupName) -> Refusal {
    Refusal::new(Code::SubscriptionUnknown, format!("there is no subscription {name}"))
}

/// What is answered when a driver ended meanwhile.
fn ended() -> Refusal {
    Refusal::new(
        Code::SubscriptionEnded,
        "the subscription was changed or deleted, or the server is ending; ask again",
    )
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("store", &self.shared.store).finish_non_exhaustive()
    }
}

impl fmt::Debug for BusOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusOptions").field("server", &self.server).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
