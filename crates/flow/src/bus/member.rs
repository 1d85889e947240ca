//! One of those who are given a group's events.

use super::driver::Command;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tenon_core::group::{MemberId, Ticket};
use tenon_store::Event;
use tokio::sync::{Notify, mpsc};

/// An event that a member is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The event.
    pub event: Event,
    /// What it is settled with.
    pub ticket: Ticket,
    /// How often it was given, this time included.
    pub attempt: u32,
}

/// Deliveries that are settled. Those that do not count any more are passed over.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Dealt with.
    pub acks: Vec<Ticket>,
    /// Not dealt with, and when to give them again, if the member says so.
    pub nacks: Vec<(Ticket, Option<Duration>)>,
    /// Seen by nobody, and when to try again, if whoever stands in between says so: these do not count as deliveries.
    pub unreached: Vec<(Ticket, Option<Duration>)>,
}

/// A member of a group. Dropping it ends that: what it has not settled is given to others at once.
pub struct Member {
    /// The epoch of the driver, which tickets are good for.
    pub(super) epoch: u64,
    pub(super) deliveries: mpsc::UnboundedReceiver<Vec<Delivery>>,
    pub(super) queued: Arc<Queued>,
    pub(super) settler: Settler,
    pub(super) leaving: mpsc::UnboundedSender<MemberId>,
}

/// Answers for a member. Clones answer for the same one.
#[derive(Clone)]
pub struct Settler {
    pub(super) id: MemberId,
    pub(super) commands: mpsc::Sender<Command>,
}

/// How much has been given and not been taken yet.
#[derive(Debug, Default)]
pub(super) struct Queued {
    /// Events, of one member.
    events: AtomicUsize,
    /// Bytes, of all members of the group.
    shared: Arc<Load>,
}

/// What all members of a group have not taken yet.
#[derive(Debug, Default)]
pub(super) struct Load {
    bytes: AtomicUsize,
    taken: Notify,
}

impl Member {
    /// What it is given next, as soon as there is something; at most as many as it has room for. None when the
    /// subscription was changed or deleted, this server does not drive it any more, or the member did not take what it
    /// was given: join again. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Option<Vec<Delivery>> {
        let deliveries = self.deliveries.recv().await?;
        self.queued.took(&deliveries);
        Some(deliveries)
    }

    /// What is there already, if anything is.
    pub fn try_next(&mut self) -> Option<Vec<Delivery>> {
        let deliveries = self.deliveries.try_recv().ok()?;
        self.queued.took(&deliveries);
        Some(deliveries)
    }

    /// What answers for it, from wherever.
    pub fn settler(&self) -> Settler {
        self.settler.clone()
    }

    /// Settles deliveries. When the driver has ended, they are given again.
    pub async fn settle(&self, settled: Settled) {
        self.settler.settle(settled).await;
    }

    /// Deliveries were dealt with.
    pub async fn ack(&self, acks: Vec<Ticket>) {
        self.settle(Settled { acks, ..Settled::default() }).await;
    }

    /// A delivery was not dealt with: the event is given again, after a delay or by the group's back-off.
    pub async fn nack(&self, ticket: Ticket, delay: Option<Duration>) {
        self.settle(Settled { nacks: vec![(ticket, delay)], ..Settled::default() }).await;
    }

    /// What tickets are good for, outside of this member: see [`Bus::settle`](super::Bus::settle).
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl Settler {
    /// Says how many events the member may have that are not settled, from now on.
    pub async fn resize(&self, most: u32) {
        // When the driver has ended, the member is told.
        _ = self.commands.send(Command::Resize { member: self.id, most }).await;
    }

    /// Settles deliveries. When the driver has ended, they are given again.
    pub async fn settle(&self, settled: Settled) {
        _ = self.commands.send(Command::Settle(settled)).await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        while self.try_next().is_some() {}
        // When the driver has ended, there is nothing to leave.
        _ = self.leaving.send(self.settler.id);
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("id", &self.settler.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Settler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settler").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Queued {
    pub(super) fn of(load: &Arc<Load>) -> Self {
        Self { events: AtomicUsize::new(0), shared: Arc::clone(load) }
    }

    pub(super) fn events(&self) -> usize {
        self.events.load(Ordering::Relaxed)
    }

    pub(super) fn put(&self, deliveries: &[Delivery]) {
        self.events.fetch_add(deliveries.len(), Ordering::Relaxed);
        self.shared.bytes.fetch_add(bytes(deliveries), Ordering::Relaxed);
    }

    fn took(&self, deliveries: &[Delivery]) {
        self.events.fetch_sub(deliveries.len(), Ordering::Relaxed);
        let bytes = bytes(deliveries);
        let before = self.shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
        // The driver waits only when there was too much.
        if before > MOST_QUEUED && before - bytes <= MOST_QUEUED {
            self.shared.taken.notify_one();
        }
    }
}

/// The most bytes of events that all members of a group have not taken yet; then nothing is given.
const MOST_QUEUED: usize = 32 << 20;

impl Load {
    pub(super) fn is_heavy(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > MOST_QUEUED
    }

    /// Waits until it is lighter, if it was heavy.
    pub(super) async fn lighter(&self) {
        self.taken.notified().await;
    }
}

fn bytes(deliveries: &[Delivery]) -> usize {
    deliveries.iter().map(|delivery| delivery.event.data.len() + 256).sum()
}
