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
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tenon_core::ServerId;
use tokio::time::Instant;

/// Why it is not known who has a lease.
#[derive(Debug, Clone, thiserror::Error)]
#[error("leases cannot be reached")]
pub struct LeaseError(#[source] pub Arc<io::Error>);

/// Keeps leases, by the clock of whatever keeps them.
pub trait Leases: Send + Sync + 'static {
    /// Takes a lease if it is free or has run out, or renews it, for `span` from now. Whether `holder` has it now.
    ///
    /// # Errors
    /// [`LeaseError`]; the lease may have been taken.
    fn hold(
        &self,
        name: &'static str,
        holder: ServerId,
        span: Duration,
    ) -> BoxFuture<'_, Result<bool, LeaseError>>;

    /// Gives a lease back, if `holder` has it.
    ///
    /// # Errors
    /// [`LeaseError`]; it runs out by itself.
    fn release(&self, name: &'static str, holder: ServerId) -> BoxFuture<'_, Result<(), LeaseError>>;
}

/// Leases among the servers of one process, for tests. Clones share them.
#[derive(Debug, Default, Clone)]
pub struct MemoryLeases(Arc<Mutex<BTreeMap<&'static str, (ServerId, Instant)>>>);

impl MemoryLeases {
    fn hold_now(&self, name: &'static str, holder: ServerId, span: Duration) -> bool {
        let mut leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_free = leases.get(name).is_none_or(|(other, until)| *other == holder || *until <= now);
        if is_free {
            leases.insert(name, (holder, now + span));
        }
        is_free
    }
}

impl Leases for MemoryLeases {
    fn hold(
        &self,
        name: &'static str,
        holder: ServerId,
        span: Duration,
    ) -> BoxFuture<'_, Result<bool, LeaseError>> {
        Box::pin(async move { Ok(self.hold_now(name, holder, span)) })
    }

    fn release(&self, name: &'static str, holder: ServerId) -> BoxFuture<'_, Result<(), LeaseError>> {
        let mut leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if leases.get(name).is_some_and(|(other, _)| *other == holder) {
            leases.remove(name);
        }
        Box::pin(async { Ok(()) })
    }
}

#[cfg(test)]
mod tests;
