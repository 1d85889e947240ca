//! The aggregates of one decider, each a stream of the log: load, command, look back.
//!
//! [`Aggregates::execute`] decides on the state as of a position and appends on the condition that nothing was
//! added to the stream after it, so a command never takes effect on a state that it was not decided on. Whoever
//! loses that race reads what was added and decides again, a bounded number of times.
//!
//! Life cycle: made once for each decider and shared; clones share a cache of the states used last. A cached
//! state spares reading: an accepted command costs the append alone. A refusal is given only after reading on,
//! so it is never older than the call. Commands to one aggregate within this process wait for each other
//! instead of competing.
//!
//! With a [`Key`](crate::command::Key) the events' ids follow from the key. A repeat is then recognised exactly,
//! by the stream's own events or by the tag that the first event of each such command carries, and has the
//! outcome of the first: its events, its version, the state as it was then. A command that was refused, or that
//! changed nothing, left no trace and is decided anew.

mod cache;
mod loaded;
mod participant;
mod snapshots;

pub use snapshots::{DiscardError, Snapshots};

use crate::command::{Call, CommandError, Ids, MOST_CONFLICTS, MOST_SENDS, Outcome};
use crate::decider::Decider;
use crate::events;
use cache::Cache;
use loaded::Loaded;
use snapshots::Keeper;
use std::fmt;
use std::sync::Arc;
use tenon_core::{EventId, InvalidName, Namespace, Position, StreamName, Timestamp};
use tenon_store::{AppendError, Appended, Condition, Direction, Event, Log, Query, ReadError};

/// How many states are cached unless told otherwise.
const CACHED: usize = 10_000;

/// The aggregates of a decider. Clones share the cache.
pub struct Aggregates<D: Decider> {
    log: Arc<dyn Log>,
    namespace: Namespace,
    category: Arc<str>,
    cache: Arc<Cache<D::State>>,
    snapshots: Option<Arc<Keeper<D::State>>>,
    /// The facts that a stream begins with, if the log may forget old events.
    begin: &'static [&'static str],
}

/// What [`Aggregates::execute`] answers.
pub type Answer<D> =
    Result<Outcome<<D as Decider>::State, <D as Decider>::Event>, CommandError<<D as Decider>::Error>>;

/// An aggregate's state at a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version<S> {
    /// The state.
    pub state: S,
    /// The position of the last event in it; [`Position::START`] if there is none.
    pub version: Position,
    /// How many events are in it that were read, a snapshot's not included.
    pub folded: usize,
}

/// Up to when an aggregate is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Now.
    Now,
    /// With all events up to this position.
    Position(Position),
    /// With all events up to this time.
    Time(Timestamp),
}

/// What a command's attempt to append came to.
enum Sent {
    Appended(Appended),
    Repeated,
    Conflict,
}

impl<D: Decider> Clone for Aggregates<D> {
    fn clone(&self) -> Self {
        let Self { log, namespace, category, cache, snapshots, begin } = self;
        Self {
            log: Arc::clone(log),
            namespace: namespace.clone(),
            category: Arc::clone(category),
            cache: Arc::clone(cache),
            snapshots: snapshots.clone(),
            begin,
        }
    }
}

impl<D: Decider> fmt::Debug for Aggregates<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aggregates")
            .field("category", &self.category)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl<D: Decider> Aggregates<D> {
    /// The aggregates whose streams are called `CATEGORY-ID`.
    ///
    /// # Errors
    /// [`InvalidName`] if no stream can be called so.
    pub fn new(log: Arc<dyn Log>, namespace: Namespace, category: &str) -> Result<Self, InvalidName> {
        StreamName::new(category)?;
        let cache = Arc::new(Cache::new(CACHED));
        Ok(Self { log, namespace, category: category.into(), cache, snapshots: None, begin: &[] })
    }

    /// The same with a cache of so many states; with 0 every command reads its stream.
    #[must_use]
    pub fn caching(mut self, states: usize) -> Self {
        self.cache = Arc::new(Cache::new(states));
        self
    }

    /// The same on a log that forgets old events (`--keep-for`, `--keep-size`), for aggregates that live less long than it keeps
    /// them: the names of the facts that a stream begins with.
    ///
    /// Once the log has forgotten anything, a stream is read from what is left of it, if that begins with such a fact; one of
    /// which nothing is left is a new one, and any other is refused with `log.truncated`. Without this, all are that have no
    /// snapshot, new ones included.
    #[must_use]
    pub fn beginning_with(mut self, facts: &'static [&'static str]) -> Self {
        self.begin = facts;
        self
    }

    /// The log.
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// The stream of an aggregate.
    ///
    /// # Errors
    /// [`InvalidName`] if the id makes no stream name.
    pub fn stream(&self, id: &str) -> Result<StreamName, InvalidName> {
        StreamName::new(&format!("{}-{id}", self.category))
    }

    /// Gives a command to an aggregate. Durable when it returns.
    ///
    /// # Errors
    /// [`CommandError`]. Nothing was appended, unless it is [`CommandError::Append`] with a lost answer: then
    /// giving the command again with the same key tells.
    pub async fn execute(&self, id: &str, command: &D::Command, call: &Call) -> Answer<D> {
        let stream = self.stream(id)?;
        let ids = Ids::new(&self.namespace, stream.as_str(), call.key.as_ref());
        let slot = self.cache.slot(&stream);
        let mut slot = slot.lock().await;
        // Taken out: if this future is dropped half-way, the next command reads anew.
        let (mut loaded, mut fresh) = match slot.take() {
            Some(loaded) => (loaded, false),
            None => (self.read(&stream).await?, true),
        };
        let mut conflicts = 0;
        loop {
            if let Some(first) = self.first_of(&loaded, &ids).await? {
                *slot = loaded.keepable();
                return self.repeat(&stream, &ids, first).await;
            }
            let decided = self.decide(&stream, command, call, &loaded);
            if !fresh && !decided.as_ref().is_ok_and(|events| !events.is_empty()) {
                loaded = self.catch_up(&stream, loaded).await?;
                fresh = true;
                continue;
            }
            let events = match decided {
                Ok(events) if !events.is_empty() => events,
                other => {
                    let (state, version) = (loaded.state.clone(), loaded.version);
                    *slot = loaded.keepable();
                    return other.map(|events| Outcome { state, events, version, repeated: false });
                }
            };
            match self.send(&stream, &events, call, &ids, loaded.read_to).await? {
                Sent::Appended(appended) => {
                    let tagged = ids.are_derived().then(|| ids.id(0));
                    loaded = loaded.append::<D>(&events, &appended, tagged);
                    self.keep_snapshot(&stream, &mut loaded);
                    let (state, version) = (loaded.state.clone(), loaded.version);
                    *slot = loaded.keepable();
                    return Ok(Outcome { state, events, version, repeated: false });
                }
                _ if conflicts >= MOST_CONFLICTS => return Err(CommandError::Conflict(conflicts)),
                Sent::Conflict => {}
                // The next turn finds the first in the stream, or by its tag.
                Sent::Repeated => loaded.forget_ids(),
            }
            conflicts += 1;
            loaded = self.catch_up(&stream, loaded).await?;
            fresh = true;
        }
    }

    /// The state of an aggregate, as it is or was.
    ///
    /// # Errors
    /// [`CommandError::Read`] or [`CommandError::Events`]; with `log.truncated` if it needs events that were
    /// scavenged.
    pub async fn load(&self, id: &str, at: At) -> Result<Version<D::State>, CommandError<D::Error>> {
        let stream = self.stream(id)?;
        let loaded = match at {
            At::Now => self.read(&stream).await?,
            _ => self.read_until(&stream, at).await?,
        };
        Ok(Version { state: loaded.state, version: loaded.version, folded: loaded.folded })
    }

    /// All events of an aggregate with their places in the log, oldest first, at most `limit` after `from`. Those that the log has
    /// forgotten are left out only if that is said ([`Aggregates::beginning_with`]).
    ///
    /// # Errors
    /// As [`Aggregates::load`].
    pub async fn history(
        &self,
        id: &str,
        from: Position,
        limit: usize,
    ) -> Result<Vec<Recorded<D::Event>>, CommandError<D::Error>> {
        let stream = self.stream(id)?;
        let query = Query::stream(self.namespace.clone(), stream);
        let page = match self.log.read(query.clone(), from, Direction::Forward, limit).await {
            Err(ReadError::Truncated { first }) if !self.begin.is_empty() => {
                self.log.read(query, before(first), Direction::Forward, limit).await?
            }
            page => page?,
        };
        recorded(&page.events).map_err(CommandError::Events)
    }

    fn decide(
        &self,
        stream: &StreamName,
        command: &D::Command,
        call: &Call,
        loaded: &Loaded<D::State>,
    ) -> Result<Vec<D::Event>, CommandError<D::Error>> {
        if let Some(expected) = call.expected
            && expected != loaded.version
        {
            return Err(CommandError::Stale { expected, found: loaded.version });
        }
        let events = D::decide(command, &loaded.state).map_err(CommandError::Refused)?;
        if !events.is_empty() && D::is_terminal(&loaded.state) {
            return Err(CommandError::Ended(stream.to_string()));
        }
        Ok(events)
    }

    /// Appends events unless the stream has changed after a position.
    async fn send(
        &self,
        stream: &StreamName,
        events: &[D::Event],
        call: &Call,
        ids: &Ids,
        after: Position,
    ) -> Result<Sent, CommandError<D::Error>> {
        let new = events::all_of(events, &self.namespace, call, ids, |_| Ok(stream.clone()))?;
        let condition = Condition::stream_unchanged(self.namespace.clone(), stream.clone(), after);
        let (mut sends, mut lost) = (1, None);
        loop {
            match self.log.append(new.clone(), Some(condition.clone())).await {
                // Without a key a repetition is this very append, whose answer was lost.
                Ok(appended) if appended.duplicate && ids.are_derived() => return Ok(Sent::Repeated),
                Ok(appended) => return Ok(Sent::Appended(appended)),
                // The state is older than what the log keeps: it is read again.
                Err(AppendError::Conflict { .. } | AppendError::Truncated { .. }) => {
                    return Ok(Sent::Conflict);
                }
                Err(AppendError::DuplicateId { .. }) if ids.are_derived() => return Ok(Sent::Repeated),
                Err(error @ AppendError::Unknown(_)) if sends < MOST_SENDS => {
                    (sends, lost) = (sends + 1, Some(error));
                }
                // What became of an earlier sending stays unknown, whatever this one says.
                Err(error) => return Err(CommandError::Append(lost.unwrap_or(error))),
            }
        }
    }

    /// Where the first event of a command with this key is, if there is one up to where the stream was read.
    async fn first_of(
        &self,
        loaded: &Loaded<D::State>,
        ids: &Ids,
    ) -> Result<Option<Position>, CommandError<D::Error>> {
        let Some(tag) = ids.tag()? else { return Ok(None) };
        match loaded.command(&ids.id(0)) {
            loaded::Command::At(position) => Ok(Some(position)),
            loaded::Command::Nowhere => Ok(None),
            loaded::Command::Forgotten => {
                let query = Query::tag(self.namespace.clone(), tag);
                let page = self.log.read(query, self.beginning(), Direction::Forward, 1).await?;
                Ok(page.events.first().map(|event| event.position))
            }
        }
    }

    /// The outcome of the command whose first event is at this position.
    async fn repeat(&self, stream: &StreamName, ids: &Ids, first: Position) -> Answer<D> {
        let own = self.run_of(stream, ids, first).await?;
        let version = own.last().map_or(first, |event| event.position);
        let state = self.read_until(stream, At::Position(version)).await?.state;
        let events = recorded(&own)?.into_iter().map(|recorded| recorded.event).collect();
        Ok(Outcome { state, events, version, repeated: true })
    }

    /// The events of a command: from its first on, as long as their ids follow.
    async fn run_of(
        &self,
        stream: &StreamName,
        ids: &Ids,
        first: Position,
    ) -> Result<Vec<Event>, CommandError<D::Error>> {
        let query = Query::stream(self.namespace.clone(), stream.clone());
        let mut own = Vec::new();
        let mut from = before(first);
        loop {
            let page = self.log.read(query.clone(), from, Direction::Forward, usize::MAX).await?;
            let (found, before) = (page.events.len(), own.len());
            own.extend(
                page.events
                    .into_iter()
                    .zip(before..)
                    .map_while(|(event, index)| (event.id == ids.id(index)).then_some(event)),
            );
            if own.len() - before < found || page.at_end {
                return Ok(own);
            }
            from = page.next;
        }
    }

    /// Before the first event that is still served.
    fn beginning(&self) -> Position {
        before(self.log.first())
    }
}

/// From where what is at a position is read first.
fn before(first: Position) -> Position {
    Position(first.0.saturating_sub(1))
}

/// An event with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded<E> {
    /// Its place.
    pub position: Position,
    /// When it was appended.
    pub time: Timestamp,
    /// Its id.
    pub id: EventId,
    /// What happened.
    pub event: E,
}

fn recorded<E: events::Events>(page: &[Event]) -> Result<Vec<Recorded<E>>, events::EventsError> {
    let mut list = Vec::with_capacity(page.len());
    for event in page {
        if let Some(decoded) = events::decode(event)? {
            list.push(Recorded { position: event.position, time: event.time, id: event.id, event: decoded });
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests;
