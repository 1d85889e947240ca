//! The leases by which the sagas of several servers are divided, evened out over those that are alive.
//!
//! A server that is alone takes all of them. When another one comes it sees that within a second, lets go of what is too much, and
//! gives it back; the other takes it at its next look. Who is alive has a lease of its own, which runs out with the others when it
//! dies, and whoever is to have them takes them at that moment rather than a second later.
//!
//! Left out on purpose: who is to have which (`core::duty::shares`), and what a server does that has one ([`owner`]).

use super::names::SHARDS;
use super::{Shared, notes, owner};
use crate::bus::duty::OnDuty;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tenon_core::ServerId;
use tenon_core::duty::shares;
use tenon_store::lease::Held;
use tenon_store::{LeaseError, Leases};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// How the names of all of them begin.
const PREFIX: &str = "sagas.";
/// How the name of a lease goes on that says that a server is alive.
const SERVER: &str = "server.";
/// For how long they are asked for.
const SPAN: Duration = Duration::from_secs(3);
/// How often they are asked for, or renewed; and how long an answer may take.
const EVERY: Duration = Duration::from_secs(1);
/// How long to wait at least, and after a lease has run out: clocks go not quite alike.
const SOON: Duration = Duration::from_millis(10);

/// Takes leases and gives them back.
struct Keeper {
    shared: Arc<Shared>,
    leases: Arc<dyn Leases>,
    /// The lease that says that this server is alive.
    alive: String,
    of: Vec<Lease>,
}

struct Lease {
    number: u8,
    name: String,
    on_duty: watch::Sender<bool>,
    until: Instant,
}

/// Takes as many as are this server's to have, until it stops. Of each shard, whether it has it.
pub(super) fn take(shared: &Arc<Shared>, leases: Arc<dyn Leases>) -> Vec<(u8, OnDuty)> {
    let lease = |number: u8| {
        let (on_duty, told) = watch::channel(false);
        let name = format!("{PREFIX}{number}");
        (Lease { number, name, on_duty, until: Instant::now() }, (number, told))
    };
    let (of, told) = (0..SHARDS).map(lease).unzip();
    let alive = format!("{PREFIX}{SERVER}{}", shared.server);
    let keeper = Keeper { shared: Arc::clone(shared), leases, alive, of };
    tokio::spawn(keeper.run());
    told
}

impl Keeper {
    async fn run(mut self) {
        let stop = self.shared.stop.clone();
        stop.run_until_cancelled(self.keep()).await;
        let Self { shared, leases, alive, of } = self;
        let release = |name: String, server: ServerId| {
            let leases = Arc::clone(&leases);
            async move { leases.release(&name, server).await }
        };
        of.iter().for_each(|lease| _ = lease.on_duty.send_replace(false));
        let names = of.into_iter().map(|lease| lease.name).chain([alive]);
        // They run out by themselves.
        _ = timeout(EVERY, join_all(names.map(|name| release(name, shared.server)))).await;
    }

    async fn keep(&mut self) {
        loop {
            let asked_at = Instant::now();
            let again = match self.look().await {
                Some(held) => {
                    self.share(&held).await;
                    self.next_end(&held)
                }
                // They may be this server's still.
                None => {
                    self.of.iter_mut().for_each(Lease::ends_in_time);
                    None
                }
            };
            let next = asked_at + EVERY;
            tokio::time::sleep_until(again.map_or(next, |again| next.min(again))).await;
        }
    }

    /// Says that this server is alive. Who has what.
    async fn look(&self) -> Option<Vec<Seen>> {
        let asked = async {
            self.leases.hold(&self.alive, self.shared.server, SPAN).await?;
            let (held, now) = (self.leases.held(PREFIX).await?, Instant::now());
            Ok::<_, LeaseError>(held.iter().filter_map(|held| Seen::of(held, now)).collect())
        };
        timeout(EVERY, asked).await.ok()?.ok()
    }

    async fn share(&mut self, held: &[Seen]) {
        let server = self.shared.server;
        let alive = held.iter().filter(|it| it.shard.is_none()).map(|it| it.holder);
        let alive: BTreeSet<ServerId> = alive.chain([server]).collect();
        let holder = |number| held.iter().find(|it| it.shard == Some(number)).map(|it| it.holder);
        let holders: Vec<Option<ServerId>> = (0..SHARDS).map(holder).collect();
        let wanted = shares(&alive, &holders);
        let (shared, leases) = (&self.shared, &self.leases);
        let all = self.of.iter_mut().zip(wanted).map(async |(lease, wanted)| {
            if wanted == Some(server) {
                lease.hold(&**leases, server).await;
            } else if lease.has_it() {
                // Those that it keeps as well: servers that come and go often have no other time for it.
                _ = timeout(EVERY, notes::all(shared)).await;
                lease.changes(false);
                owner::let_go(shared, lease.number);
                _ = timeout(EVERY, leases.release(&lease.name, server)).await;
            }
        });
        join_all(all).await;
    }

    /// When one of another server's runs out, unless it is renewed.
    fn next_end(&self, held: &[Seen]) -> Option<Instant> {
        let others = held.iter().filter(|it| it.holder != self.shared.server);
        others.map(|it| it.until + SOON).min()
    }
}

/// A lease that somebody has.
struct Seen {
    /// Of which shard; or that the holder is alive.
    shard: Option<u8>,
    holder: ServerId,
    until: Instant,
}

impl Seen {
    fn of(held: &Held, now: Instant) -> Option<Self> {
        let name = held.name.strip_prefix(PREFIX)?;
        let shard = name.parse().ok();
        let is_one = shard.is_some() || name.starts_with(SERVER);
        is_one.then_some(Self { shard, holder: held.holder, until: now + held.left })
    }
}

impl Lease {
    fn has_it(&self) -> bool {
        *self.on_duty.borrow()
    }

    async fn hold(&mut self, leases: &dyn Leases, server: ServerId) {
        let asked_at = Instant::now();
        match timeout(EVERY, leases.hold(&self.name, server, SPAN)).await {
            Ok(Ok(has_it)) => {
                self.until = asked_at + SPAN;
                self.changes(has_it);
            }
            Ok(Err(_)) | Err(_) => self.ends_in_time(),
        }
    }

    /// Gives it up if it is about to run out, for all that is known.
    fn ends_in_time(&mut self) {
        if self.has_it() && Instant::now() + EVERY >= self.until {
            self.changes(false);
        }
    }

    fn changes(&self, has_it: bool) {
        let changed = self.on_duty.send_if_modified(|now| std::mem::replace(now, has_it) != has_it);
        if changed {
            tracing::info!(lease = self.name, has_it, "whether this server has a lease has changed");
        }
    }
}
