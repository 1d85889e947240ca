//! Sagas of this server that could not be taken up: one that cannot be read or run, or for which there was no room, or whose task has
//! panicked. The others go on, and these are tried again: ever later, but at once as soon as there is room where that was what they
//! lacked. One whose task panics each time is tried only when somebody says so.
//!
//! Beside them, those of which somebody finds out whether they run: a server that is alone notes them with those that do
//! ([`Shared::open`]), or they would be forgotten.
//!
//! Bounded: each is kept by its id alone, beside those that are open anyway, and few are tried at once.

use super::{Shared, hands};
use futures_util::{StreamExt, stream};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
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
    /// How often one was put off.
    count: u64,
    /// How often the tasks of sagas have come to no good end, be it that these run again.
    falls: BTreeMap<SagaId, Falls>,
    sought: BTreeMap<SagaId, Sought>,
}

#[derive(Default)]
struct Falls {
    panics: u32,
    others: u32,
}

struct Trial {
    failures: u32,
    /// The last time that it was put off, among all such times.
    number: u64,
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

    /// A saga that runs cannot go on. It is tried again, ever later, be it that it can be taken up each time.
    pub(super) fn stands(&self, id: SagaId, of: Arc<Beginning>, why: &Refusal) {
        let mut all = self.all();
        let falls = all.falls.entry(id).or_default();
        falls.others = falls.others.saturating_add(1);
        let wait = wait_after(falls.others);
        all.add(id, Some(of), why).due = Some(Instant::now() + wait);
    }

    /// A saga's task has panicked. It is tried again a few times, and then when somebody says so.
    pub(super) fn fell(&self, id: SagaId, of: Arc<Beginning>) {
        let mut all = self.all();
        let falls = all.falls.entry(id).or_default();
        falls.panics = falls.panics.saturating_add(1);
        let falls = falls.panics;
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

    /// A saga has come to its end, is let go, or is to be tried anew: its task has not fallen yet.
    pub(super) fn forgive(&self, id: SagaId) {
        self.all().falls.remove(&id);
    }

    /// A saga runs.
    pub(super) fn runs(&self, id: SagaId) {
        self.all().trials.remove(&id);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all().trials.len()
    }

    /// Why one was not taken up, if it was not.
    pub(super) fn why(&self, id: SagaId) -> Option<Refusal> {
        self.all().trials.get(&id).map(|trial| trial.why.clone())
    }

    /// The last time that one was put off, if it was.
    pub(super) fn last(&self, id: SagaId) -> Option<u64> {
        self.all().trials.get(&id).map(|trial| trial.number)
    }

    /// One was tried again and was not put off since that last time. What began, if that is known.
    pub(super) fn settled(&self, id: SagaId, last: Option<u64>) -> Option<Arc<Beginning>> {
        let mut all = self.all();
        let settled = all.trials.get(&id).is_some_and(|trial| Some(trial.number) == last);
        if settled { all.trials.remove(&id)?.of } else { None }
    }

    /// Those that were put off, and those of which it is being found out whether they run.
    pub(super) fn open(&self) -> Vec<SagaId> {
        let all = self.all();
        all.trials.keys().chain(all.sought.keys()).copied().collect()
    }

    /// What was read of a saga may no longer be so: its place is about to be given up, or something was heard of it.
    pub(super) fn changes(&self, id: SagaId) {
        if let Some(sought) = self.all().sought.get_mut(&id) {
            sought.changes += 1;
        }
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
        self.count += 1;
        let new = || Trial { failures: 0, number: 0, due: None, why: why.clone(), of: None };
        let trial = self.trials.entry(id).or_insert_with(new);
        trial.number = self.count;
        trial.failures = trial.failures.saturating_add(1);
        trial.why = why.clone();
        trial.of = of.or(trial.of.take());
        trial
    }
}

/// A saga of which somebody finds out whether it runs.
#[derive(Default)]
struct Sought {
    by: usize,
    changes: u64,
}

/// Somebody finds out whether a saga runs, and takes it up if it does not but should: for as long as this is there.
pub(super) struct Seeking {
    pub(super) shared: Arc<Shared>,
    pub(super) id: SagaId,
}

impl Seeking {
    pub(super) fn new(shared: &Arc<Shared>, id: SagaId) -> Self {
        shared.later.all().sought.entry(id).or_default().by += 1;
        Self { shared: Arc::clone(shared), id }
    }

    /// How often something has happened to it since somebody began to find out.
    pub(super) fn changes(&self) -> u64 {
        self.shared.later.all().sought.get(&self.id).map_or(0, |sought| sought.changes)
    }
}

impl Drop for Seeking {
    fn drop(&mut self) {
        if let Entry::Occupied(mut sought) = self.shared.later.all().sought.entry(self.id) {
            sought.get_mut().by -= 1;
            if sought.get().by == 0 {
                sought.remove();
            }
        }
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
