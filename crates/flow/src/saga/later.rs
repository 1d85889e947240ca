//! Sagas of this server that could not be taken up: one that cannot be read or run, or for which there was no room. The others go
//! on, and these are tried again: ever later, but at once as soon as there is room where that was what they lacked.
//!
//! Bounded: each is kept by its id alone, beside those that are open anyway, and few are tried at once.

use super::{Shared, owner};
use futures_util::{StreamExt, stream};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tenon_api::saga::Beginning;
use tenon_core::{Code, Refusal, SagaId};
use tokio::time::Instant;

/// How often those are looked for whose time has come, and how long one waits at most.
const EVERY: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(300);
/// How many are tried at once.
const AT_ONCE: usize = 16;

/// Those that are tried again.
#[derive(Default)]
pub(super) struct Later(Mutex<BTreeMap<SagaId, Trial>>);

struct Trial {
    failures: u32,
    due: Instant,
    /// What began, if that was read: it may have a place among those that run one after the other.
    of: Option<Arc<Beginning>>,
}

impl Later {
    /// One could not be taken up.
    pub(super) fn put_off(&self, id: SagaId, of: Option<Arc<Beginning>>, why: &Refusal) {
        let lacks_room = why.code == Code::ServerOverloaded;
        let (failures, alone) = {
            let mut all = self.all();
            let alone = all.is_empty();
            let now = Instant::now();
            let trial = all.entry(id).or_insert(Trial { failures: 0, due: now, of: None });
            trial.failures = trial.failures.saturating_add(1);
            let wait = if lacks_room { EVERY } else { wait_after(trial.failures) };
            trial.due = now + wait;
            trial.of = of.or(trial.of.take());
            (trial.failures, alone)
        };
        // Of a version that cannot be run it is said once, of room once for all.
        if failures == 1 && why.code != Code::SagaInvalid && (alone || !lacks_room) {
            tracing::warn!(saga = %id, refusal = %why, "a saga is not taken up yet; it is tried again");
        } else {
            tracing::debug!(saga = %id, refusal = %why, failures, "a saga is not taken up yet");
        }
    }

    /// Forgets those that are another owner's now.
    pub(super) fn forget(&self, is_others: impl Fn(SagaId) -> bool) {
        self.all().retain(|id, _| !is_others(*id));
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all().len()
    }

    /// How often one has failed.
    pub(super) fn failures(&self, id: SagaId) -> u32 {
        self.all().get(&id).map_or(0, |trial| trial.failures)
    }

    /// One was tried again and has not failed since. What began, if that is known.
    pub(super) fn settled(&self, id: SagaId, failures: u32) -> Option<Arc<Beginning>> {
        let mut all = self.all();
        let settled = all.get(&id).is_some_and(|trial| trial.failures == failures);
        if settled { all.remove(&id)?.of } else { None }
    }

    /// Those to try now, as far as there is room.
    fn due(&self, room: usize) -> Vec<SagaId> {
        let now = Instant::now();
        let all = self.all();
        all.iter().filter(|(_, trial)| trial.due <= now).map(|(id, _)| *id).take(room).collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<SagaId, Trial>> {
        // Whoever panicked has changed a single entry at most.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait_after(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    EVERY.saturating_mul(doubled).min(LATEST)
}

/// Tries them again, whenever their time has come.
pub(super) async fn try_again(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let due = shared.later.due(shared.room.available_permits());
        let try_one = |id| {
            let shared = Arc::clone(&shared);
            async move { owner::try_again(&shared, id).await }
        };
        stream::iter(due).for_each_concurrent(AT_ONCE, try_one).await;
    }
}
