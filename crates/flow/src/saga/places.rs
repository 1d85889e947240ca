//! The calls that are made at once: [`MAX_CALLS`], and half as many of one service, so that one that hangs leaves room for
//! calls of others.

use super::MAX_CALLS;
use futures_util::FutureExt;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tenon_core::ServiceRef;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// The most calls of one service at once.
const MAX_OF_ONE: usize = MAX_CALLS / 2;

/// Places for calls.
pub(super) struct Places {
    all: Semaphore,
    /// Those of services that are called, or are to be.
    of: Mutex<HashMap<ServiceRef, OfService>>,
    waiting: AtomicUsize,
}

/// The places of one service, and how many have or want one.
struct OfService {
    places: Arc<Semaphore>,
    users: usize,
}

/// A place that a call has.
pub(super) struct Place<'a> {
    _all: SemaphorePermit<'a>,
    _own: OwnedSemaphorePermit,
    _of: Of<'a>,
}

impl Default for Places {
    fn default() -> Self {
        Self { all: Semaphore::new(MAX_CALLS), of: Mutex::default(), waiting: AtomicUsize::default() }
    }
}

impl Places {
    /// A place for a call of a service. None if there is none in time: early enough to say that the call was certainly not
    /// sent, before it is late and nobody knows.
    pub(super) async fn take(&self, service: &ServiceRef, within: Duration) -> Option<Place<'_>> {
        if let Some(place) = self.wait(service).now_or_never() {
            return place;
        }
        let _waits = Waits::among(&self.waiting);
        tokio::time::timeout(within * 4 / 5, self.wait(service)).await.ok()?
    }

    async fn wait(&self, service: &ServiceRef) -> Option<Place<'_>> {
        let of = self.of(service);
        // Its own first: who waits for that keeps nobody else from a place.
        let own = Arc::clone(&of.places).acquire_owned().await.ok()?;
        let all = self.all.acquire().await.ok()?;
        Some(Place { _all: all, _own: own, _of: of })
    }

    fn of(&self, service: &ServiceRef) -> Of<'_> {
        let mut services = self.services();
        let none = || OfService { places: Arc::new(Semaphore::new(MAX_OF_ONE)), users: 0 };
        let shared = services.entry(service.clone()).or_insert_with(none);
        shared.users += 1;
        Of { all: self, service: service.clone(), places: Arc::clone(&shared.places) }
    }

    /// How many calls are under way.
    pub(super) fn in_flight(&self) -> usize {
        MAX_CALLS.saturating_sub(self.all.available_permits())
    }

    /// How many wait for a place.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn services(&self) -> MutexGuard<'_, HashMap<ServiceRef, OfService>> {
        // Whoever panicked has changed a single entry at most.
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The places of a service, for as long as somebody has or wants one.
struct Of<'a> {
    all: &'a Places,
    service: ServiceRef,
    places: Arc<Semaphore>,
}

impl Drop for Of<'_> {
    fn drop(&mut self) {
        let mut services = self.all.services();
        if let Some(shared) = services.get_mut(&self.service) {
            shared.users -= 1;
            if shared.users == 0 {
                services.remove(&self.service);
            }
        }
    }
}

/// Somebody who waits, for as long as it lives.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn among(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn services_that_nobody_calls_any_more_are_forgotten() {
        let places = Places::default();
        let [a, b] = ["a", "b"].map(|name| ServiceRef::local(name.parse().unwrap()));
        let mut held = Vec::new();
        for _ in 0..MAX_OF_ONE {
            held.push(places.take(&a, Duration::from_secs(60)).await.unwrap());
        }
        assert!(places.take(&a, Duration::from_millis(1)).await.is_none());
        held.push(places.take(&b, Duration::from_secs(60)).await.unwrap());
        assert_eq!((places.in_flight(), places.waiting(), places.services().len()), (MAX_OF_ONE + 1, 0, 2));
        held.remove(0);
        held.push(places.take(&a, Duration::from_secs(60)).await.unwrap());
        drop(held);
        assert_eq!((places.in_flight(), places.services().len()), (0, 0));
    }
}
