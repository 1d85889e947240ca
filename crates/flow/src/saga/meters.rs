//! What sagas count and how long they take, by the names of their definitions; in the text format of Prometheus.
//!
//! Life cycle: [`Meters::of`] finds the meters of a definition's version; [`Meter::run`] counts a saga as one that runs for as
//! long as the [`Metered`] lives, which is told whatever happens to it. All of it is since this server began.
//!
//! Bounded by what can be defined: meters are of sagas and their steps, and are kept when these are gone.

mod shown;
#[cfg(test)]
mod tests;

use super::definitions::Known;
use super::participants::Called;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tenon_core::saga::{Direction, End, Event, Goal, Instance, Outcome, StepName, Token, Version};
use tenon_core::{Namespace, Timestamp};
use tenon_telemetry::metrics::REQUEST_SECONDS;
use tokio::time::Instant;

/// Upper bounds of how long sagas take: 10 ms to a day.
const SAGA_SECONDS: &[Duration] = &[
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(1_800),
    Duration::from_secs(7_200),
    Duration::from_secs(86_400),
];

/// The meters of all sagas.
#[derive(Default)]
pub(super) struct Meters(Mutex<All>);

#[derive(Default)]
struct All {
    of: BTreeMap<String, Arc<OfSaga>>,
    versions: HashMap<Version, Arc<Meter>>,
}

/// The meters of a version of a definition: those of its name.
pub(super) struct Meter {
    saga: Arc<OfSaga>,
    steps: Vec<Arc<OfStep>>,
}

struct OfSaga {
    started: AtomicU64,
    running: AtomicI64,
    parked: AtomicI64,
    /// By how they ended.
    took: [Took; 3],
    /// From the turn back to the end.
    compensations: Took,
    steps: Mutex<BTreeMap<StepName, Arc<OfStep>>>,
}

#[derive(Default)]
struct OfStep {
    /// Doing it, and undoing it.
    ways: [Way; 2],
}

struct Way {
    /// Calls, by what came of them.
    outcomes: [AtomicU64; CALLED.len()],
    took: Took,
    retried: AtomicU64,
    repeated: AtomicU64,
    parked: AtomicU64,
}

/// What can come of a call.
const CALLED: [&str; 4] = ["done", "refused", "not-sent", "unknown"];
const ENDS: [(End, &str); 3] =
    [(End::Completed, "completed"), (End::Compensated, "compensated"), (End::Failed, "failed")];
const WAYS: [(Direction, &str); 2] = [(Direction::Do, "do"), (Direction::Undo, "undo")];

/// How often durations fell between some bounds, with their sum.
struct Took {
    bounds: &'static [Duration],
    buckets: Box<[AtomicU64]>,
    micros: AtomicU64,
}

/// A saga that runs.
pub(super) struct Metered {
    of: Arc<Meter>,
    runs: bool,
    is_parked: bool,
    has_ended: bool,
    turned_back: Option<Timestamp>,
}

/// A call under way, or that waits until it is made.
pub(super) struct Calling {
    of: Arc<Meter>,
    token: Token,
    sent: Sent,
}

/// When a call was made, if it was.
#[derive(Clone, Default)]
pub(super) struct Sent(Arc<OnceLock<Instant>>);

impl Sent {
    /// It is made now.
    pub(super) fn now(&self) {
        // It is made once.
        _ = self.0.set(Instant::now());
    }
}

impl Meters {
    /// Those of a definition.
    pub(super) fn of(&self, known: &Known) -> Arc<Meter> {
        let mut all = self.all();
        if let Some(meter) = all.versions.get(&known.version) {
            return Arc::clone(meter);
        }
        let definition = known.saga.definition();
        let (name, namespace) = (definition.name.as_str(), &definition.namespace);
        let label =
            if *namespace == Namespace::default() { name.to_owned() } else { format!("{name}.{namespace}") };
        let saga = Arc::clone(all.of.entry(label).or_default());
        let steps = {
            let mut steps = lock(&saga.steps);
            definition
                .steps
                .iter()
                .map(|step| Arc::clone(steps.entry(step.name.clone()).or_default()))
                .collect()
        };
        let meter = Arc::new(Meter { saga, steps });
        all.versions.insert(known.version, Arc::clone(&meter));
        meter
    }

    /// How many sagas began here, run here, and have ended here: if that is as before, the same ones run.
    pub(super) fn turnover(&self) -> (u64, i64, u64) {
        let all = self.all();
        let of = |saga: &Arc<OfSaga>| {
            let ended: u64 = saga.took.iter().map(Took::count).sum();
            (saga.started.load(Ordering::Relaxed), saga.running.load(Ordering::Relaxed), ended)
        };
        let sum = |a: (u64, i64, u64), b: (u64, i64, u64)| (a.0 + b.0, a.1 + b.1, a.2 + b.2);
        all.of.values().map(of).fold((0, 0, 0), sum)
    }

    fn all(&self) -> MutexGuard<'_, All> {
        lock(&self.0)
    }
}

impl Meter {
    /// A saga begins.
    pub(super) fn started(&self) {
        add(&self.saga.started);
    }

    /// A saga runs from now on.
    pub(super) fn run(self: &Arc<Self>, at: &Instance, turned_back: Option<Timestamp>) -> Metered {
        self.saga.running.fetch_add(1, Ordering::Relaxed);
        let mut metered = Metered {
            of: Arc::clone(self),
            runs: true,
            is_parked: false,
            has_ended: at.ended().is_some(),
            turned_back,
        };
        metered.park(at.is_parked());
        metered
    }

    fn way(&self, token: Token) -> Option<&Way> {
        let step = self.steps.get(usize::from(token.step.0))?;
        step.ways.get(usize::from(token.direction == Direction::Undo))
    }
}

impl Metered {
    /// What happened to it, and how it is now.
    pub(super) fn saw(&mut self, events: &[Event], at: &Instance, now: Timestamp) {
        for event in events {
            match event {
                Event::Deferred { token, .. } => self.count(*token, |way| &way.retried),
                Event::Repeated { token, .. } => self.count(*token, |way| &way.repeated),
                Event::Parked { token, .. } => self.count(*token, |way| &way.parked),
                Event::TurnedBack { .. } | Event::Reverted => self.turned_back = Some(now),
                _ => {}
            }
        }
        self.park(at.is_parked());
        if let Some(end) = at.ended().filter(|_| !self.has_ended) {
            self.has_ended = true;
            if let Some(took) =
                ENDS.iter().position(|(of, _)| *of == end).and_then(|it| self.of.saga.took.get(it))
            {
                took.record(now.since(at.started_at()));
            }
            if let (Some(since), Goal::Back(_)) = (self.turned_back, at.goal()) {
                self.of.saga.compensations.record(now.since(since));
            }
        }
    }

    /// What the log says of it, where somebody else went on with it.
    pub(super) fn read(&mut self, at: &Instance, turned_back: Option<Timestamp>, now: Timestamp) {
        self.turned_back = turned_back;
        self.saw(&[], at, now);
    }

    /// A call is to be made, as soon as there is a place for it.
    pub(super) fn call(&self, token: Token) -> (Calling, Sent) {
        let sent = Sent::default();
        (Calling { of: Arc::clone(&self.of), token, sent: sent.clone() }, sent)
    }

    /// It no longer runs here.
    pub(super) fn over(&mut self) {
        self.park(false);
        if std::mem::replace(&mut self.runs, false) {
            self.of.saga.running.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn count(&self, token: Token, which: impl Fn(&Way) -> &AtomicU64) {
        if let Some(way) = self.of.way(token) {
            add(which(way));
        }
    }

    fn park(&mut self, is_parked: bool) {
        let more = i64::from(is_parked) - i64::from(self.is_parked);
        if more != 0 {
            self.of.saga.parked.fetch_add(more, Ordering::Relaxed);
            self.is_parked = is_parked;
        }
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.over();
    }
}

impl Calling {
    /// What came of it.
    pub(super) fn came(self, called: Option<&Called>) {
        let Some(way) = self.of.way(self.token) else { return };
        let sent = self.sent.0.get();
        let outcome = match called.map(|called| called.as_ref().map_err(|failure| failure.outcome)) {
            None if sent.is_none() => 2,
            Some(Ok(_)) => 0,
            Some(Err(Outcome::Refused)) => 1,
            Some(Err(Outcome::Unsent)) => 2,
            // One that is no longer waited for may be done all the same.
            Some(Err(Outcome::Unknown | Outcome::Late | Outcome::Dropped | Outcome::LeftBehind)) | None => 3,
        };
        if let Some(count) = way.outcomes.get(outcome) {
            add(count);
        }
        if let Some(sent) = sent {
            way.took.record(sent.elapsed());
        }
    }
}

impl Took {
    fn new(bounds: &'static [Duration]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, buckets, micros: AtomicU64::new(0) }
    }

    fn record(&self, took: Duration) {
        let bucket = self.bounds.partition_point(|bound| *bound < took);
        if let Some(count) = self.buckets.get(bucket) {
            add(count);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }
}

impl Default for OfSaga {
    fn default() -> Self {
        Self {
            started: AtomicU64::default(),
            running: AtomicI64::default(),
            parked: AtomicI64::default(),
            took: std::array::from_fn(|_| Took::new(SAGA_SECONDS)),
            compensations: Took::new(SAGA_SECONDS),
            steps: Mutex::default(),
        }
    }
}

impl Default for Way {
    fn default() -> Self {
        Self {
            outcomes: std::array::from_fn(|_| AtomicU64::default()),
            took: Took::new(REQUEST_SECONDS),
            retried: AtomicU64::default(),
            repeated: AtomicU64::default(),
            parked: AtomicU64::default(),
        }
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked has added one entry at most.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
