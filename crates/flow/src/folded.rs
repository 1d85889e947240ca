//! State that is the fold of one stream of Tenon's own, on every server alike: what subscriptions there are, what sagas.
//!
//! Life cycle: [`Folded::start`] reads the stream to its end, and from then on what is appended is folded as it comes, until it
//! is told to stop, or an event means nothing to this version and cannot be passed over; whoever waits for what comes after that is
//! refused. A change is decided on what was folded, and appended on condition that nothing else came to the stream since; if
//! something did, it is decided anew.
//!
//! Left out on purpose: what the events mean ([`Fold`]).

use crate::EventStore;
use crate::events::error::Error;
use crate::events::feed::Feed;
use bytes::Bytes;
use std::fmt::Display;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tenon_core::{Actor, Code, EventType, Namespace, Position, Refusal, StreamName};
use tenon_store::log::Changed;
use tenon_store::{AppendError, Condition, Direction, Event, NewEvent, Query, ReadError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often a change is decided anew because somebody else was faster.
const MOST_ATTEMPTS: usize = 16;

/// How long to wait before a read that failed is repeated.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What a stream's events mean.
pub(crate) trait Fold: Default + Send + 'static {
    /// An event.
    type Record;
    /// The stream.
    const STREAM: &'static str;
    /// What it is about, for messages: "sagas".
    const ABOUT: &'static str;

    /// Reads an event.
    fn decode(event_type: &str, payload: &[u8]) -> Result<Self::Record, impl Display>;

    /// Writes one: its type and payload.
    fn encode(record: &Self::Record) -> (&'static str, Bytes);

    /// Takes one in, from where it is in the log.
    ///
    /// # Errors
    /// It does not mean anything to this version; nothing after it is taken in.
    fn take(&mut self, record: Self::Record, at: Position) -> Result<(), Refusal>;

    /// Takes in what can be told of an event that cannot be read.
    ///
    /// # Errors
    /// Why it cannot be read, if what comes after it would mean something else without it; nothing after it is taken in.
    fn take_unread(&mut self, event: &Event, why: Refusal) -> Result<(), Refusal> {
        _ = event;
        Err(why)
    }
}

/// The fold of a stream. Clones share it.
pub(crate) struct Folded<S> {
    store: EventStore,
    state: Arc<Mutex<State<S>>>,
    at: Arc<watch::Sender<Position>>,
    over: Arc<Over>,
}

/// That nothing more is folded.
#[derive(Default)]
struct Over {
    is_so: CancellationToken,
    /// Why, unless the server is ending.
    why: OnceLock<Refusal>,
}

#[derive(Default)]
struct State<S> {
    fold: S,
    /// Where the last event is.
    at: Position,
}

/// The state, which nobody changes as long as this is held.
pub(crate) struct Guard<'a, S>(MutexGuard<'a, State<S>>);

impl<S> Guard<'_, S> {
    /// Where the last event is that was folded.
    pub(crate) fn at(&self) -> Position {
        self.0.at
    }
}

impl<S> Deref for Guard<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0.fold
    }
}

impl<S> Clone for Folded<S> {
    fn clone(&self) -> Self {
        let (state, at, over) = (Arc::clone(&self.state), Arc::clone(&self.at), Arc::clone(&self.over));
        Self { store: self.store.clone(), state, at, over }
    }
}

impl<S: Fold> Folded<S> {
    /// Reads what there is, and follows it until `stop`.
    ///
    /// # Errors
    /// The log cannot be read, or was written by a later version.
    pub(crate) async fn start(store: EventStore, stop: CancellationToken) -> Result<Self, Refusal> {
        let at = Arc::new(watch::Sender::new(Position::START));
        let folded = Self { store, state: Arc::default(), at, over: Arc::default() };
        let mut from = Position::START;
        loop {
            let reading = folded.store.log().read(query::<S>(), from, Direction::Forward, usize::MAX);
            let page = reading.await.map_err(Error::from)?;
            page.events.iter().try_for_each(|event| folded.take(event))?;
            from = page.next;
            if page.at_end {
                break;
            }
        }
        let following = folded.clone().follow(from);
        let over = folded.over.is_so.clone().drop_guard();
        tokio::spawn(async move {
            let _over = over;
            stop.run_until_cancelled(following).await
        });
        Ok(folded)
    }

    /// As it is now.
    pub(crate) fn state(&self) -> Guard<'_, S> {
        Guard(self.lock())
    }

    /// Changes whenever something was folded.
    pub(crate) fn changes(&self) -> watch::Receiver<Position> {
        self.at.subscribe()
    }

    /// Waits until everything up to a position is folded, be it that the stream has nothing there.
    ///
    /// # Errors
    /// What the log says, or the server is ending.
    pub(crate) async fn reach(&self, position: Position) -> Result<(), Refusal> {
        if self.state().at() >= position { Ok(()) } else { self.catch_up().await }
    }

    /// Waits until all that is in the log now is folded.
    ///
    /// # Errors
    /// What the log says, or the server is ending.
    pub(crate) async fn catch_up(&self) -> Result<(), Refusal> {
        let last = self.store.last(query::<S>()).await?.map_or(Position::START, |event| event.position);
        self.wait_for(last).await
    }

    /// Appends what is decided on what was folded, and waits until it is folded itself. Whether there was anything to change.
    ///
    /// # Errors
    /// What `decide` or the log says, or `server.timeout` if others change it all the time.
    pub(crate) async fn change(
        &self,
        actor: Option<Actor>,
        decide: impl Fn(&S) -> Result<Option<S::Record>, Refusal>,
    ) -> Result<bool, Refusal> {
        let mut changed = false;
        for _ in 0..MOST_ATTEMPTS {
            let (record, at) = {
                let state = self.lock();
                match decide(&state.fold)? {
                    Some(record) => (record, state.at),
                    None => return Ok(changed),
                }
            };
            let condition = Condition::stream_unchanged(Namespace::default(), stream::<S>(), at);
            match self.store.log().append(vec![event::<S>(&record, actor.clone())], Some(condition)).await {
                Ok(appended) => {
                    self.wait_for(appended.last()).await?;
                    return Ok(true);
                }
                Err(AppendError::Conflict { at }) => self.wait_for(at).await?,
                // If it was written, there is nothing to change the next time.
                Err(error) if error.changed() == Changed::Unknown => changed = true,
                Err(error) => return Err(Error::from(error).into()),
            }
        }
        let detail = format!("others change {} all the time; ask again", S::ABOUT);
        Err(Refusal::new(Code::ServerTimeout, detail))
    }

    async fn wait_for(&self, position: Position) -> Result<(), Refusal> {
        let mut at = self.at.subscribe();
        tokio::select! {
            biased;
            Ok(_) = at.wait_for(|at| *at >= position) => Ok(()),
            () = self.over.is_so.cancelled() => {
                let ending = || Refusal::new(Code::LogClosed, "the server is ending");
                Err(self.over.why.get().cloned().unwrap_or_else(ending))
            }
        }
    }

    async fn follow(self, mut from: Position) {
        loop {
            let mut feed = Feed::new(self.store.clone(), query::<S>(), Some(from), None);
            while let Some(page) = feed.next().await {
                match page {
                    Ok(page) => {
                        for event in &page.events {
                            if let Err(refusal) = self.take(event) {
                                let about = S::ABOUT;
                                tracing::error!(%refusal, at = %event.position, "{about} are followed no further");
                                _ = self.over.why.set(refusal);
                                return;
                            }
                        }
                        from = page.next;
                    }
                    Err(Error::Read(ReadError::Closed)) => return,
                    Err(error) => {
                        tracing::warn!(error = error.detail(), "cannot read what {} there are", S::ABOUT);
                    }
                }
            }
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }

    fn take(&self, event: &Event) -> Result<(), Refusal> {
        let (event_type, payload) = (event.event_type.as_str(), &event.data);
        let record = S::decode(event_type, payload).map_err(|error| {
            let detail = format!("the event at position {} cannot be understood: {error}", event.position);
            Refusal::new(Code::DataNewerVersion, detail)
        });
        let mut state = self.lock();
        match record {
            Ok(record) => state.fold.take(record, event.position)?,
            Err(why) => state.fold.take_unread(event, why)?,
        }
        state.at = event.position;
        drop(state);
        self.at.send_replace(event.position);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        // Whoever panicked has changed a single entry at most.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn event<S: Fold>(record: &S::Record, actor: Option<Actor>) -> NewEvent {
    let (event_type, data) = S::encode(record);
    let Ok(event_type) = EventType::new(event_type) else { unreachable!("the type is a constant") };
    let mut event = NewEvent::new(Namespace::default(), stream::<S>(), event_type, data);
    event.metadata.actor = actor;
    event
}

fn stream<S: Fold>() -> StreamName {
    match StreamName::new(S::STREAM) {
        Ok(stream) => stream,
        Err(_) => unreachable!("the name is a constant"),
    }
}

fn query<S: Fold>() -> Query {
    Query::stream(Namespace::default(), stream::<S>())
}

#[cfg(test)]
mod tests;
