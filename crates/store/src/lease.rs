//! Leases: which of several servers on one log does what only one may do at a time.
//!
//! A lease lies outside of the log: it is renewed every other second, and worth nothing after it ran out. It only spares
//! servers to get in each other's way; that a holder which does not know yet that its time is over does no harm is the
//! task of epochs in the log (`core::duty`).
//!
//! Left out on purpose: waiting for a lease. Who wants one asks again and again.

use crate::log::BoxFuture;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tenon_core::ServerId;
use tokio::time::Instant;

/// Why it is not known who has a lease.
#[derive(Debug, Clone, thiserror::Error)]
#[error("leases cannot be reached")]
pub struct LeaseError(#[source] pub Arc<io::Error>);

/// A lease that somebody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its name.
    pub name: String,
    /// Who has it.
    pub holder: ServerId,
    /// How long until it runs out, unless it is renewed.
    pub left: Duration,
}

/// Keeps leases, by the clock of whatever keeps them. What has run out, or was given back, is forgotten sooner or later.
pub trait Leases: Send + Sync + 'static {
    /// Takes a lease if it is free or has run out, or renews it, for `span` from now. Whether `holder` has it now.
    ///
    /// # Errors
    /// [`LeaseError`]; the lease may have been taken.
    fn hold<'a>(
        &'a self,
        name: &'a str,
        holder: ServerId,
        span: Duration,
    ) -> BoxFuture<'a, Result<bool, LeaseError>>;

    /// The leases that somebody has, of those whose names begin with a text, in the order of names.
    ///
    /// # Errors
    /// [`LeaseError`].
    fn held<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Held>, LeaseError>>;

    /// Gives a lease back, if `holder` has it.
    ///
    /// # Errors
    /// [`LeaseError`]; it runs out by itself.
    fn release<'a>(&'a self, name: &'a str, holder: ServerId) -> BoxFuture<'a, Result<(), LeaseError>>;
}

/// Leases among the servers of one process, for tests. Clones share them.
#[derive(Debug, Default, Clone)]
pub struct MemoryLeases(Arc<Mutex<Present>>);

/// Who has each lease, and until when.
type Present = BTreeMap<String, (ServerId, Instant)>;

impl MemoryLeases {
    /// Those that have not run out, and how late it is.
    fn present(&self) -> (MutexGuard<'_, Present>, Instant) {
        let (mut leases, now) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        leases.retain(|_, (_, until)| *until > now);
        (leases, now)
    }

    fn hold_now(&self, name: &str, holder: ServerId, span: Duration) -> bool {
        let (mut leases, now) = self.present();
        let is_free = leases.get(name).is_none_or(|(other, _)| *other == holder);
        if is_free {
            leases.insert(name.to_owned(), (holder, now + span));
        }
        is_free
    }

    fn held_now(&self, prefix: &str) -> Vec<Held> {
        let (leases, now) = self.present();
        let of = leases.iter().filter(|(name, _)| name.starts_with(prefix));
        of.map(|(name, (holder, until))| Held { name: name.clone(), holder: *holder, left: *until - now })
            .collect()
    }
}

impl Leases for MemoryLeases {
    fn hold<'a>(
        &'a self,
        name: &'a str,
        holder: ServerId,
        span: Duration,
    ) -> BoxFuture<'a, Result<bool, LeaseError>> {
        Box::pin(async move { Ok(self.hold_now(name, holder, span)) })
    }

    fn held<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Held>, LeaseError>> {
        Box::pin(async move { Ok(self.held_now(prefix)) })
    }

    fn release<'a>(&'a self, name: &'a str, holder: ServerId) -> BoxFuture<'a, Result<(), LeaseError>> {
        let (mut leases, _) = self.present();
        if leases.get(name).is_some_and(|(other, _)| *other == holder) {
            leases.remove(name);
        }
        Box::pin(async { Ok(()) })
    }
}

#[cfg(test)]
mod tests;
