//! One generation on its way along the log: reads a page, applies it in one transaction, parks what fails.

use super::generation::{ReadModels, Room};
use super::{Bookkeeping, Failure, Projection, ProjectionError, forgotten};
use sqlx::Transaction;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tenon_core::projection::{Config, Illegal, Input, Offer, Origin, Progress};
use tenon_core::{Position, Timestamp};
use tenon_store::{Clock, Direction, Event, Log, Query, ReadError};

/// How many events go into one transaction.
const PAGE: usize = 256;
/// How far the position that is kept may lag behind events that are not the projection's.
const UNKEPT: u64 = 10_000;
/// The most bytes of an error that are kept.
const MAX_ERROR: usize = 1_000;

/// What all generations of a projection have in common.
pub(super) struct Context<P> {
    pub(super) log: Arc<dyn Log>,
    pub(super) projection: P,
    pub(super) query: Query,
    pub(super) config: Config,
    pub(super) clock: Clock,
}

/// A generation with its tables.
pub(super) struct Generation<M: ReadModels> {
    pub(super) number: u32,
    pub(super) origin: Origin,
    pub(super) room: M::Room,
}

/// A generation that is being brought forward.
pub(super) struct Follower<M: ReadModels> {
    pub(super) generation: Arc<Generation<M>>,
    pub(super) progress: Progress<String>,
    /// Why the first event of each parked key failed last.
    pub(super) errors: BTreeMap<String, String>,
    /// How long the first event that is not applied has been in the log.
    pub(super) lag: Duration,
    /// Where the database says that it is.
    kept: Position,
}

/// What a turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// There may be more to do at once.
    Moved,
    /// Everything that can be done now is done.
    Idle,
    /// It stands still until something that is parked is dealt with.
    Full,
}

/// What became of events that were to be applied together.
enum Attempt {
    Done,
    /// Somebody else brought the model forward.
    Overtaken,
    /// Nothing was done, because of the event with this index.
    Failed(usize, Failure),
    Full(usize),
}

type Connection<M> = <<M as ReadModels>::Database as sqlx::Database>::Connection;

impl<M: ReadModels> Follower<M> {
    /// Takes a generation up where the database says that it is.
    pub(super) async fn resume(generation: Arc<Generation<M>>) -> Result<Self, ProjectionError> {
        let mut transaction = generation.room.write().await?;
        let kept = M::Database::load(&mut transaction).await?;
        transaction.rollback().await?;
        let position = kept.progress.position();
        Ok(Self {
            generation,
            progress: kept.progress,
            errors: kept.errors,
            lag: Duration::ZERO,
            kept: position,
        })
    }

    /// Does the next thing: a parked event that is due, or else a page.
    pub(super) async fn turn<P: Projection<M::Database>>(
        &mut self,
        context: &Context<P>,
    ) -> Result<Turn, ProjectionError> {
        if let Some((key, at)) = self.progress.due((context.clock)()) {
            let key = key.clone();
            self.retry(context, key, at).await?;
            return Ok(Turn::Moved);
        }
        let page = self.next_page(context).await?;
        let now = (context.clock)();
        self.lag = page.events.first().map_or(Duration::ZERO, |event| now.since(event.time));
        match self.take(context, &page.events).await? {
            Turn::Full => return Ok(Turn::Full),
            Turn::Moved => return Ok(Turn::Moved),
            Turn::Idle => {}
        }
        self.pass(context, page.next).await?;
        if page.at_end {
            self.lag = Duration::ZERO;
        }
        Ok(if page.at_end { Turn::Idle } else { Turn::Moved })
    }

    /// Puts a key's events at the head of those that are due.
    pub(super) async fn unpark<P: Projection<M::Database>>(
        &mut self,
        context: &Context<P>,
        key: &str,
    ) -> Result<(), ProjectionError> {
        self.change_key(context, Input::Unpark { key: key.to_owned() }, key).await
    }

    /// Leaves the first parked event of a key out.
    pub(super) async fn drop_event<P: Projection<M::Database>>(
        &mut self,
        context: &Context<P>,
        key: &str,
        at: Position,
    ) -> Result<(), ProjectionError> {
        self.change_key(context, Input::Drop { key: key.to_owned(), at }, key).await
    }

    async fn next_page<P>(&mut self, context: &Context<P>) -> Result<tenon_store::Page, ProjectionError> {
        let read = |from| context.log.read(context.query.clone(), from, Direction::Forward, PAGE);
        match read(self.progress.position()).await {
            // A model that is made anew can hold only what there still is. One that had begun has missed events.
            Err(ReadError::Truncated { first }) if self.progress.position() == Position::START => {
                tracing::warn!(%first, "earlier events have been scavenged; the read model begins there");
                let before = Position(first.0.saturating_sub(1));
                self.progress.step(&context.config, Input::Passed { to: before }, Timestamp::ZERO)?;
                Ok(read(before).await?)
            }
            page => Ok(page?),
        }
    }

    /// Applies events; `Moved` if some are left, because one failed.
    async fn take<P: Projection<M::Database>>(
        &mut self,
        context: &Context<P>,
        events: &[Event],
    ) -> Result<Turn, ProjectionError> {
        let mut some = events;
        loop {
            match self.attempt(context, some).await? {
                Attempt::Done if some.len() == events.len() => return Ok(Turn::Idle),
                Attempt::Done | Attempt::Overtaken => return Ok(Turn::Moved),
                Attempt::Failed(0, failure) => {
                    let Some(event) = some.first() else { return Ok(Turn::Moved) };
                    return self.park(context, event, &failure).await;
                }
                Attempt::Full(0) => return Ok(Turn::Full),
                // Those before it together; it is then the first of the next turn.
                Attempt::Failed(index, _) | Attempt::Full(index) => some = some.get(..index).unwrap_or(&[]),
            }
        }
    }

    /// Applies events in one transaction, all or none.
    async fn attempt<P: Projection<M::Database>>(
        &mut self,
        context: &Context<P>,
        events: &[Event],
    ) -> Result<Attempt, ProjectionError> {
        if events.is_empty() {
            return Ok(Attempt::Done);
        }
        let Some(mut transaction) = self.begin().await? else { return Ok(Attempt::Overtaken) };
        let mut progress = self.progress.clone();
        for (index, event) in events.iter().enumerate() {
            let (at, key) = (event.position, context.projection.key(event));
            match progress.offer(&context.config, at, &key) {
                Offer::Past => continue,
                Offer::Full => {
                    transaction.rollback().await?;
                    return Ok(Attempt::Full(index));
                }
                Offer::Park => {
                    M::Database::put_event(&mut transaction, at, &key).await?;
                    progress.step(&context.config, Input::Queued { at, key }, Timestamp::ZERO)?;
                }
                Offer::Apply => {
                    if let Err(failure) = apply(context, &mut transaction, event).await {
                        transaction.rollback().await?;
                        return Ok(Attempt::Failed(index, failure));
                    }
                    progress.step(&context.config, Input::Applied { at, key }, Timestamp::ZERO)?;
                }
            }
        }
        self.commit(transaction, progress).await?;
        Ok(Attempt::Done)
    }

    /// Parks an event that failed.
    async fn park<P: Projection<M::Database>>(
        &mut self,
        context: &Context<P>,
        event: &Event,
        failure: &Failure,
    ) -> Result<Turn, ProjectionError> {
        let (at, key, error) = (event.position, context.projection.key(event), chain(failure.as_ref()));
        if !self.progress.has_room(&context.config) {
            return Ok(Turn::Full);
        }
        tracing::warn!(projection = P::NAME, position = %at, key, error, "an event cannot be applied; parked");
        let Some(mut transaction) = self.begin().await? else { return Ok(Turn::Moved) };
        let mut progress = self.progress.clone();
        let now = (context.clock)();
        progress.step(&context.config, Input::Failed { at, key: key.clone() }, now)?;
        M::Database::put_event(&mut transaction, at, &key).await?;
        put_key::<M>(&mut transaction, &progress, &key, &error).await?;
        self.commit(transaction, progress).await?;
        self.errors.insert(key, error);
        Ok(Turn::Moved)
    }

    /// Tries the first parked event of a key again.
    async fn retry<P: Projection<M::Database>>(
        &mut self,
        context: &Context<P>,
        key: String,
        at: Position,
    ) -> Result<(), ProjectionError> {
        let Some(mut transaction) = self.begin().await? else { return Ok(()) };
        let failure = match event_at(context, at).await? {
            Some(event) => apply(context, &mut transaction, &event).await.err(),
            None => {
                tracing::warn!(projection = P::NAME, position = %at, key, "a parked event is no longer in the log");
                None
            }
        };
        let mut progress = self.progress.clone();
        let now = (context.clock)();
        let error = match failure {
            None => {
                progress.step(&context.config, Input::Retried { key: key.clone(), at }, now)?;
                M::Database::remove_event(&mut transaction, at).await?;
                String::new()
            }
            Some(failure) => {
                transaction.rollback().await?;
                let Some(again) = self.begin().await? else { return Ok(()) };
                transaction = again;
                progress.step(&context.config, Input::RetryFailed { key: key.clone(), at }, now)?;
                chain(failure.as_ref())
            }
        };
        put_key::<M>(&mut transaction, &progress, &key, &error).await?;
        self.commit(transaction, progress).await?;
        self.note_error(key, error);
        Ok(())
    }

    async fn change_key<P>(
        &mut self,
        context: &Context<P>,
        input: Input<String>,
        key: &str,
    ) -> Result<(), ProjectionError> {
        let mut progress = self.progress.clone();
        progress.step(&context.config, input.clone(), (context.clock)())?;
        let Some(mut transaction) = self.begin().await? else { return Err(Illegal::WrongKey.into()) };
        if let Input::Drop { at, .. } = input {
            M::Database::remove_event(&mut transaction, at).await?;
        }
        let error = self.errors.get(key).cloned().unwrap_or_default();
        put_key::<M>(&mut transaction, &progress, key, &error).await?;
        self.commit(transaction, progress).await?;
        self.note_error(key.to_owned(), error);
        Ok(())
    }

    /// Goes on over events that are not the projection's.
    async fn pass<P>(&mut self, context: &Context<P>, to: Position) -> Result<(), ProjectionError> {
        if to <= self.progress.position() {
            return Ok(());
        }
        self.progress.step(&context.config, Input::Passed { to }, Timestamp::ZERO)?;
        if to.0.saturating_sub(self.kept.0) >= UNKEPT
            && let Some(transaction) = self.begin().await?
        {
            let progress = self.progress.clone();
            self.commit(transaction, progress).await?;
        }
        Ok(())
    }

    /// A transaction in which nobody else brings the model forward; none if somebody has, and then this is
    /// where they are.
    async fn begin(&mut self) -> Result<Option<Transaction<'static, M::Database>>, ProjectionError> {
        let mut transaction = self.generation.room.write().await?;
        if M::Database::lock_position(&mut transaction).await? == self.kept {
            return Ok(Some(transaction));
        }
        let kept = M::Database::load(&mut transaction).await?;
        transaction.rollback().await?;
        self.kept = kept.progress.position();
        (self.progress, self.errors) = (kept.progress, kept.errors);
        Ok(None)
    }

    async fn commit(
        &mut self,
        mut transaction: Transaction<'static, M::Database>,
        progress: Progress<String>,
    ) -> Result<(), ProjectionError> {
        let position = progress.position();
        M::Database::put_position(&mut transaction, position).await?;
        transaction.commit().await?;
        self.kept = position;
        self.progress = progress;
        Ok(())
    }

    fn note_error(&mut self, key: String, error: String) {
        if self.progress.parked().contains_key(&key) {
            self.errors.insert(key, error);
        } else {
            self.errors.remove(&key);
        }
    }
}

/// What an event does to the tables; a forgotten subject is taken out of them.
pub(super) async fn apply<DB: sqlx::Database, P: Projection<DB>>(
    context: &Context<P>,
    connection: &mut DB::Connection,
    event: &Event,
) -> Result<(), Failure> {
    match forgotten(event) {
        Some(subject) => context.projection.forget(connection, subject).await,
        None => context.projection.apply(connection, event).await,
    }
}

async fn put_key<M: ReadModels>(
    connection: &mut Connection<M>,
    progress: &Progress<String>,
    key: &str,
    error: &str,
) -> sqlx::Result<()> {
    match progress.parked().get(key) {
        Some(parked) => M::Database::put_key(connection, key, parked, error).await,
        None => M::Database::remove_key(connection, key).await,
    }
}

/// The event at a position, if it is still there.
async fn event_at<P>(context: &Context<P>, at: Position) -> Result<Option<Event>, ProjectionError> {
    let before = Position(at.0.saturating_sub(1));
    match context.log.read(context.query.clone(), before, Direction::Forward, 1).await {
        Ok(page) => Ok(page.events.into_iter().next().filter(|event| event.position == at)),
        Err(ReadError::Truncated { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// An error with its causes, cut to what is kept.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text.truncate(text.floor_char_boundary(MAX_ERROR));
    text
}
