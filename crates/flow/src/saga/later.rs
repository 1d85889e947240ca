//! Sagas of this server that could not be taken up: one that cannot be read or run, or for which there was no room, or whose task has
//! panicked. The others go on, and these are tried again: ever later, but at once as soon as there is room where that was what they
//! lacked. One whose task panics each time is tried only when somebody says so.
//!
//! Bounded: each is kept by its id alone, beside those that are open anyway, and few are tried at once.

use super::{Shared, hands};
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
/// How often a saga is taken up again whose task has panicked, and after how long, the first time.
const MOST_FALLS: u32 = 4;
const AFTER_FALL: Duration = Duration::from_secs(1);

/// Those that are tried again.
#[derive(Default)]
pub(super) struct Later(Mutex<All>);

#[derive(Default)]
struct All {
    trials: BTreeMap<SagaId, Trial>,
    /// How often the tasks of sagas have panicked, be it that these run again.
    falls: BTreeMap<SagaId, u32>,
}

struct Trial {
    failures: u32,
    /// None if somebody has to say so.
    due: Option<Instant>,
    why: Refusal,
    /// What began, if that was read: it may have a place among those that run one after the other.
    of: Option<Arc<Beginning>>,
}

impl Later {
    /// One could not be taken up.
    pub(super) fn put_off(&self, id: SagaId, of: Option<Arc<Beginning>>, why: &Refusal) {
        let lacks_room = why.code == Code::ServerOverloaded;
        let (failures, alone) = {
            let mut all = self.all();
            let alone = all.trials.is_empty();
            let trial = all.add(id, of, why);
            let wait = if lacks_room { EVERY } else { wait_after(trial.failures) };
            trial.due = Some(Instant::now() + wait);
            (trial.failures, alone)
        };
        // Of a version that cannot be run it is said once, of room once for all.
        if failures == 1 && why.code != Code::SagaInvalid && (alone || !lacks_room) {
            tracing::warn!(saga = %id, refusal = %why, "a saga is not taken up yet; it is tried again");
        } else {
            tracing::debug!(saga = %id, refusal = %why, failures, "a saga is not taken up yet");
        }
    }

    /// A saga's task has panicked. It is tried again a few times, and then when somebody says so.
    pub(super) fn fell(&self, id: SagaId, of: Arc<Beginning>) {
        let mut all = self.all();
        let falls = all.falls.entry(id).or_default();
        *falls += 1;
        let falls = *falls;
        let is_last = falls > MOST_FALLS;
        let on = if is_last { "retry it, or tell it something" } else { "it is tried again" };
        let most = MOST_FALLS + 1;
        let detail =
            format!("Tenon has a fault: its task has panicked ({falls} of {most}), its log says where; {on}");
        let why = Refusal::new(Code::Internal, detail);
        all.add(id, Some(of), &why).due = (!is_last).then(|| Instant::now() + AFTER_FALL * falls);
        drop(all);
        if is_last {
            tracing::error!(saga = %id, refusal = %why, "a saga does not go on until somebody says so");
        }
    }

    /// Forgets those that are another owner's now.
    pub(super) fn forget(&self, is_others: impl Fn(SagaId) -> bool) {
        let mut all = self.all();
        all.trials.retain(|id, _| !is_others(*id));
        all.falls.retain(|id, _| !is_others(*id));
    }

    /// A saga has come to its end, is let go, or is to be tried anew: it has not panicked yet.
    pub(super) fn forgive(&self, id: SagaId) {
        self.all().falls.remove(&id);
    }

    /// A saga runs.
    pub(super) fn runs(&self, id: SagaId) {
        self.all().trials.remove(&id);
    }

    /// Which they are.
    pub(super) fn ids(&self) -> Vec<SagaId> {
        self.all().trials.keys().copied().collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all().trials.len()
    }

    /// Why one was not taken up, if it was not.
    pub(super) fn why(&self, id: SagaId) -> Option<Refusal> {
        self.all().trials.get(&id).map(|trial| trial.why.clone())
    }

    /// How often one has failed.
    pub(super) fn failures(&self, id: SagaId) -> u32 {
        self.all().trials.get(&id).map_or(0, |trial| trial.failures)
    }

    /// One was tried again and has not failed since. What began, if that is known.
    pub(super) fn settled(&self, id: SagaId, failures: u32) -> Option<Arc<Beginning>> {
        let mut all = self.all();
        let settled = all.trials.get(&id).is_some_and(|trial| trial.failures == failures);
        if settled { all.trials.remove(&id)?.of } else { None }
    }

    /// Those to try now, as far as there is room.
    fn due(&self, room: usize) -> Vec<SagaId> {
        let now = Instant::now();
        let all = self.all();
        let is_due = |trial: &Trial| trial.due.is_some_and(|due| due <= now);
        all.trials.iter().filter(|(_, trial)| is_due(trial)).map(|(id, _)| *id).take(room).collect()
    }

    fn all(&self) -> MutexGuard<'_, All> {
        // Whoever panicked has changed a single entry at most.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn add(&mut self, id: SagaId, of: Option<Arc<Beginning>>, why: &Refusal) -> &mut Trial {
        let new = || Trial { failures: 0, due: None, why: why.clone(), of: None };
        let trial = self.trials.entry(id).or_insert_with(new);
        trial.failures = trial.failures.saturating_add(1);
        trial.why = why.clone();
        trial.of = of.or(trial.of.take());
        trial
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
            async move { hands::try_again(&shared, id).await }
        };
        stream::iter(due).for_each_concurrent(AT_ONCE, try_one).await;
    }
}
