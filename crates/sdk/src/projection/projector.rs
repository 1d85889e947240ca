//! The projector: brings the read models of a projection forward, and hands them to readers.
//!
//! Life cycle: [`Projector::start`] finds what was made before, decides by [`plan`] whether to go on with it or
//! to make a new generation, and leaves a task that works until the last handle is dropped or the log is closed.
//! When the database or the log fails, the task waits, then finds out anew where it is.

use super::follower::{Context, Follower, Generation, Turn};
use super::generation::{ReadModels, Room};
use super::{Bookkeeping, Projection, ProjectionError, check_name, with_forgotten};
use sqlx::{Database, Transaction};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tenon_core::projection::{Config, Origin, Parked, Plan, may_switch, plan};
use tenon_core::{Position, Revision};
use tenon_store::{Clock, Log, ReadError, system_clock};
use tokio::sync::{mpsc, oneshot, watch};

/// How long the task waits after a failure of the database or the log.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How long a generation that is read no more is kept for those who have just begun to.
const GRACE: Duration = Duration::from_secs(5);
/// How many requests wait for the task.
const REQUESTS: usize = 16;

/// How a projector works.
#[derive(Clone)]
pub struct Options {
    /// How failures are treated.
    pub failures: Config,
    /// The clock, for the waits of what is parked and for the lag.
    pub clock: Clock,
}

/// A projection at work, and its read model. Clones share it.
pub struct Projector<P, M: ReadModels> {
    shared: Arc<Shared<P, M>>,
}

pub(super) struct Shared<P, M: ReadModels> {
    pub(super) context: Context<P>,
    pub(super) models: M,
    live: Mutex<Arc<Generation<M>>>,
    status: watch::Receiver<Status>,
    requests: mpsc::Sender<Request>,
}

/// How far a read model is, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Which generation is read.
    pub generation: u32,
    /// Up to where its events are applied or parked.
    pub revision: Revision,
    /// How long the next event has been waiting in the log; zero when there is none.
    pub lag: Duration,
    /// How many keys are parked.
    pub parked_keys: usize,
    /// How many events are.
    pub parked_events: usize,
    /// Whether it stands still because no more may be parked.
    pub full: bool,
    /// How far the generation is that is being made beside it, if there is one.
    pub rebuilding: Option<Position>,
    /// Why it does not go on just now.
    pub error: Option<String>,
}

/// A parked key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedKey {
    /// The key.
    pub key: String,
    /// Its events and when the first is tried again.
    pub parked: Parked,
    /// Why the first failed last.
    pub error: String,
}

/// A transaction that reads one generation as of one moment.
pub struct Reading<M: ReadModels> {
    transaction: Transaction<'static, M::Database>,
    /// Keeps the generation from being removed.
    _generation: Arc<Generation<M>>,
}

/// What somebody wants of the task.
enum Request {
    Rebuild(oneshot::Sender<Result<(), ProjectionError>>),
    Unpark(String, oneshot::Sender<Result<(), ProjectionError>>),
    Drop(String, Position, oneshot::Sender<Result<(), ProjectionError>>),
    Parked(oneshot::Sender<Vec<ParkedKey>>),
}

/// The task.
struct Task<P, M: ReadModels> {
    shared: std::sync::Weak<Shared<P, M>>,
    live: Follower<M>,
    next: Option<Follower<M>>,
    retired: Vec<(Arc<Generation<M>>, Instant)>,
    status: watch::Sender<Status>,
    full: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { failures: Config::default(), clock: system_clock() }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("failures", &self.failures).finish_non_exhaustive()
    }
}

impl<P, M: ReadModels> Clone for Projector<P, M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<P, M: ReadModels> fmt::Debug for Projector<P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Projector").field("status", &*self.shared.status.borrow()).finish_non_exhaustive()
    }
}

impl<M: ReadModels> fmt::Debug for Reading<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("generation", &self._generation.number).finish_non_exhaustive()
    }
}

impl<M: ReadModels, P: Projection<M::Database>> Projector<P, M> {
    /// Finds or makes the read model and starts to bring it forward. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// [`ProjectionError`] if the read model can neither be found nor made.
    pub async fn start(
        log: Arc<dyn Log>,
        models: M,
        projection: P,
        options: Options,
    ) -> Result<Self, ProjectionError> {
        check_name(P::NAME)?;
        let query = with_forgotten(projection.selects()?)?;
        let Options { failures, clock } = options;
        let context = Context { log, projection, query, config: failures, clock };
        let (live, next) = match open(&context, &models).await {
            // Another replica may have made it at the same moment.
            Err(ProjectionError::Database(_)) => open(&context, &models).await?,
            opened => opened?,
        };
        let (status, watched) = watch::channel(describe(&live, next.as_ref(), false, None));
        let (requests, incoming) = mpsc::channel(REQUESTS);
        let current = Mutex::new(Arc::clone(&live.generation));
        let shared = Arc::new(Shared { context, models, live: current, status: watched, requests });
        let weak = Arc::downgrade(&shared);
        let task = Task { shared: weak, live, next, retired: Vec::new(), status, full: false };
        let heads = shared.context.log.heads();
        tokio::spawn(task.run(heads, incoming));
        Ok(Self { shared })
    }

    /// A transaction to read the model in. It is behind the log by [`Status::lag`].
    ///
    /// # Errors
    /// The database's.
    pub async fn read(&self) -> Result<Reading<M>, ProjectionError> {
        let generation = self.shared.live();
        let transaction = generation.room.read().await?;
        Ok(Reading { transaction, _generation: generation })
    }

    /// How far it is.
    pub fn status(&self) -> Status {
        self.shared.status.borrow().clone()
    }

    /// The same, and a wake-up for each change.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.shared.status.clone()
    }

    /// Waits until the model that is read holds everything up to a position, but for what is parked.
    ///
    /// # Errors
    /// [`ProjectionError::Ended`] if it never will.
    pub async fn reached(&self, position: Position) -> Result<(), ProjectionError> {
        let log = self.shared.context.log.id();
        let far = |status: &Status| status.revision.log == log && status.revision.position >= position;
        let mut status = self.shared.status.clone();
        status.wait_for(far).await.map_err(|_| ProjectionError::Ended)?;
        Ok(())
    }

    /// Makes a new generation beside the one that is read; it takes its place when it has caught up.
    ///
    /// # Errors
    /// [`ProjectionError`] if it cannot be begun.
    pub async fn rebuild(&self) -> Result<(), ProjectionError> {
        self.ask(Request::Rebuild).await?
    }

    /// The parked keys of the model that is read.
    ///
    /// # Errors
    /// [`ProjectionError::Ended`].
    pub async fn parked(&self) -> Result<Vec<ParkedKey>, ProjectionError> {
        self.ask(Request::Parked).await
    }

    /// Tries a parked key again at once, and as often as at first.
    ///
    /// # Errors
    /// [`ProjectionError::Illegal`] if it is not parked.
    pub async fn unpark(&self, key: &str) -> Result<(), ProjectionError> {
        self.ask(|answer| Request::Unpark(key.to_owned(), answer)).await?
    }

    /// Leaves the first event of a parked key out, for good in this generation.
    ///
    /// # Errors
    /// [`ProjectionError::Illegal`] if that is not the first event that the key waits for.
    pub async fn drop_event(&self, key: &str, at: Position) -> Result<(), ProjectionError> {
        self.ask(|answer| Request::Drop(key.to_owned(), at, answer)).await?
    }

    pub(super) fn shared(&self) -> &Shared<P, M> {
        &self.shared
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, ProjectionError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.shared.requests.send(request(answer)).await;
        sent.map_err(|_| ProjectionError::Ended)?;
        answered.await.map_err(|_| ProjectionError::Ended)
    }
}

impl<P, M: ReadModels> Shared<P, M> {
    fn live(&self) -> Arc<Generation<M>> {
        Arc::clone(&self.live.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<P: Projection<M::Database>, M: ReadModels> Task<P, M> {
    async fn run(mut self, mut heads: watch::Receiver<Position>, mut requests: mpsc::Receiver<Request>) {
        loop {
            let Some(shared) = self.shared.upgrade() else { return };
            heads.borrow_and_update();
            let turned = self.turn(&shared).await;
            self.report(turned.as_ref().err());
            let wait = match turned {
                Ok(false) => self.until_due(&shared.context),
                Ok(true) => Duration::ZERO,
                Err(ProjectionError::Read(ReadError::Closed)) => return,
                Err(error) => {
                    tracing::warn!(projection = P::NAME, error = super::follower::chain(&error), "waiting");
                    AFTER_FAILURE
                }
            };
            let failed = wait == AFTER_FAILURE && self.status.borrow().error.is_some();
            // Not held while waiting, so that the last handle's end is noticed.
            drop(shared);
            tokio::select! {
                biased;
                request = requests.recv() => {
                    let (Some(request), Some(shared)) = (request, self.shared.upgrade()) else { return };
                    self.answer(&shared, request).await;
                }
                () = tokio::time::sleep(wait), if !wait.is_zero() => {}
                () = std::future::ready(()), if wait.is_zero() => {}
                changed = heads.changed(), if !failed => if changed.is_err() { return },
            }
            if failed {
                self.reopen().await;
            }
        }
    }

    /// One turn of each generation; whether there may be more to do at once.
    async fn turn(&mut self, shared: &Shared<P, M>) -> Result<bool, ProjectionError> {
        let head = shared.context.log.head();
        let live = self.live.turn(&shared.context).await?;
        self.full = live == Turn::Full;
        let mut busy = live == Turn::Moved;
        if let Some(next) = &mut self.next {
            let turn = next.turn(&shared.context).await?;
            busy |= turn == Turn::Moved;
            let [live, next] = [&self.live, next].map(|it| (it.generation.origin, it.progress.position()));
            if turn == Turn::Idle && may_switch(live, next, head) {
                self.switch(shared).await?;
            }
        }
        self.remove_retired().await;
        Ok(busy)
    }

    /// Puts the generation that was made beside the one that is read in its place.
    async fn switch(&mut self, shared: &Shared<P, M>) -> Result<(), ProjectionError> {
        let Some(next) = &self.next else { return Ok(()) };
        let mut transaction = next.generation.room.write().await?;
        M::Database::put_live(&mut transaction).await?;
        transaction.commit().await?;
        let Some(next) = self.next.take() else { return Ok(()) };
        *shared.live.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&next.generation);
        tracing::info!(
            projection = P::NAME,
            generation = next.generation.number,
            "a rebuilt read model is read"
        );
        let old = std::mem::replace(&mut self.live, next);
        self.retired.push((old.generation, Instant::now()));
        Ok(())
    }

    /// Removes generations that nobody reads any more.
    async fn remove_retired(&mut self) {
        let (keep, remove) = std::mem::take(&mut self.retired)
            .into_iter()
            .partition(|(generation, since)| Arc::strong_count(generation) > 1 || since.elapsed() < GRACE);
        self.retired = keep;
        for (generation, _) in remove {
            if let Err(error) = generation.room.remove().await {
                tracing::warn!(projection = P::NAME, generation = generation.number, %error, "not removed");
            }
        }
    }

    /// How long nothing is to be done unless the log moves.
    fn until_due(&self, context: &Context<P>) -> Duration {
        let now = (context.clock)();
        let wakes = [Some(&self.live), self.next.as_ref()].into_iter().flatten();
        let first = wakes.filter_map(|follower| follower.progress.wake_at()).min();
        let wait = first.map_or(Duration::from_secs(60), |due| due.since(now));
        let wait = if self.retired.is_empty() { wait } else { wait.min(GRACE) };
        wait.max(Duration::from_millis(1))
    }

    async fn answer(&mut self, shared: &Shared<P, M>, request: Request) {
        let context = &shared.context;
        // Whoever asked may have gone.
        match request {
            Request::Rebuild(answer) => {
                let _ = answer.send(self.rebuild(shared).await);
            }
            Request::Unpark(key, answer) => {
                let _ = answer.send(self.live.unpark(context, &key).await);
            }
            Request::Drop(key, at, answer) => {
                let _ = answer.send(self.live.drop_event(context, &key, at).await);
            }
            Request::Parked(answer) => {
                let errors = &self.live.errors;
                let list = self.live.progress.parked().iter().map(|(key, parked)| ParkedKey {
                    key: key.clone(),
                    parked: parked.clone(),
                    error: errors.get(key).cloned().unwrap_or_default(),
                });
                let _ = answer.send(list.collect());
            }
        }
        self.report(None);
    }

    async fn rebuild(&mut self, shared: &Shared<P, M>) -> Result<(), ProjectionError> {
        if self.next.is_none() {
            let number = self.live.generation.number + 1;
            self.next = Some(make(&shared.context, &shared.models, number, false).await?);
        }
        Ok(())
    }

    /// Finds out anew where it is.
    async fn reopen(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        match open(&shared.context, &shared.models).await {
            Ok((live, next)) => {
                *shared.live.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&live.generation);
                (self.live, self.next) = (live, next);
            }
            Err(error) => tracing::warn!(projection = P::NAME, %error, "the read model cannot be opened"),
        }
    }

    fn report(&self, error: Option<&ProjectionError>) {
        let error = error.map(|error| super::follower::chain(error));
        let status = describe(&self.live, self.next.as_ref(), self.full, error);
        self.status.send_if_modified(|before| {
            let changed = *before != status;
            *before = status;
            changed
        });
    }
}

impl<M: ReadModels> Deref for Reading<M> {
    type Target = <M::Database as Database>::Connection;

    fn deref(&self) -> &Self::Target {
        &self.transaction
    }
}

impl<M: ReadModels> DerefMut for Reading<M> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.transaction
    }
}

fn describe<M: ReadModels>(
    live: &Follower<M>,
    next: Option<&Follower<M>>,
    full: bool,
    error: Option<String>,
) -> Status {
    Status {
        generation: live.generation.number,
        revision: Revision { log: live.generation.origin.log, position: live.progress.position() },
        lag: live.lag,
        parked_keys: live.progress.parked().len(),
        parked_events: live.progress.waiting(),
        full,
        rebuilding: next.map(|next| next.progress.position()),
        error,
    }
}

/// The generation that is read and the one that is to be made beside it, as the rules say.
async fn open<M: ReadModels, P: Projection<M::Database>>(
    context: &Context<P>,
    models: &M,
) -> Result<(Follower<M>, Option<Follower<M>>), ProjectionError> {
    let mut found: Vec<(Generation<M>, bool)> = Vec::new();
    for number in models.find(P::NAME).await? {
        let room = models.open(P::NAME, number).await?;
        let mut transaction = room.read().await?;
        let kept = M::Database::load(&mut transaction).await?;
        transaction.rollback().await?;
        found.push((Generation { number, origin: kept.origin, room }, kept.live));
    }
    let highest = found.last().map_or(0, |(generation, _)| generation.number);
    let at = found.iter().rposition(|(_, live)| *live);
    let after = at.map_or(Vec::new(), |at| found.split_off(at + 1));
    let live = at.and_then(|_| found.pop()).map(|(generation, _)| generation);
    // What a switch has left behind, or was never whole.
    for (generation, _) in found {
        generation.room.remove().await?;
    }
    let mut after = after.into_iter().map(|(generation, _)| generation);
    let next = after.next_back();
    for generation in after {
        generation.room.remove().await?;
    }
    let wanted = Origin { log: context.log.id(), version: P::VERSION };
    let origins = [&live, &next].map(|it| it.as_ref().map(|generation| generation.origin));
    match (plan(origins[0], origins[1], wanted), live, next) {
        (Plan::Rebuild { resume: true }, Some(live), Some(next)) => {
            Ok((Follower::resume(Arc::new(live)).await?, Some(Follower::resume(Arc::new(next)).await?)))
        }
        (plan, Some(live), next) => {
            if let Some(next) = next {
                next.room.remove().await?;
            }
            let live = Follower::resume(Arc::new(live)).await?;
            let rebuild = matches!(plan, Plan::Rebuild { .. });
            let next = if rebuild { Some(make(context, models, highest + 1, false).await?) } else { None };
            Ok((live, next))
        }
        (_, None, _) => Ok((make(context, models, highest + 1, true).await?, None)),
    }
}

/// A new generation with empty tables.
async fn make<M: ReadModels, P: Projection<M::Database>>(
    context: &Context<P>,
    models: &M,
    number: u32,
    live: bool,
) -> Result<Follower<M>, ProjectionError> {
    let origin = Origin { log: context.log.id(), version: P::VERSION };
    let (room, mut transaction) = models.make(P::NAME, number).await?;
    M::Database::prepare(&mut transaction, origin, live).await?;
    let created = context.projection.create(&mut transaction).await;
    created.map_err(|source| ProjectionError::Create { projection: P::NAME, source })?;
    transaction.commit().await?;
    Follower::resume(Arc::new(Generation { number, origin, room })).await
}
