//! The event store: users' streams of the log, with expected versions, time travel and access.
//!
//! Life cycle: an [`EventStore`] is made of a log and cloned freely; [`EventStore::router`] serves it. Streams of
//! answers end with [`EventStore::stop`].
//!
//! Who may do what: an operator everything but writing to Tenon's own streams and to those that begin with `$`, which
//! Tenon writes for users to read; an instance the same within the namespace of its service. Nobody else anything.
//!
//! Bounded: how many streams of answers there are at once, and a page or two of events for each of them. What comes is read
//! once for all who follow it.

pub(crate) mod append;
pub(crate) mod error;
pub(crate) mod feed;
pub(crate) mod past;
pub(crate) mod reading;
pub(crate) mod rights;
mod tail;

use crate::vault::Vault;
use std::fmt;
use std::sync::{Arc, OnceLock};
use tenon_core::{Code, Refusal};
use tenon_store::log::END;
use tenon_store::{Direction, Event, Log, NewEvent, Query};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use error::Error;
use reading::{Reading, Wanted};
use tail::Tail;

/// How an event store behaves.
#[derive(Debug, Clone)]
pub struct EventStoreOptions {
    /// Streams of answers at once: reads, subscriptions and streams of appends.
    pub most_streams: usize,
    /// Takes events from operators just as they come, reserved streams included, and shows reserved streams to them. For
    /// a server that only stands in for a disk: another program keeps its whole log there.
    pub verbatim: bool,
}

impl Default for EventStoreOptions {
    fn default() -> Self {
        Self { most_streams: 16_384, verbatim: false }
    }
}

/// The event store on a log. Clones share it.
#[derive(Clone)]
pub struct EventStore {
    shared: Arc<Shared>,
}

struct Shared {
    log: Arc<dyn Log>,
    vault: Option<Vault>,
    options: EventStoreOptions,
    streams: Arc<Semaphore>,
    tail: Tail,
    stop: CancellationToken,
    /// Whether there is room for what is to be published, if anybody minds.
    room: OnceLock<Room>,
}

/// Refuses an event that there is no room for.
pub(crate) type Room = Box<dyn Fn(&NewEvent) -> Result<(), Refusal> + Send + Sync>;

impl EventStore {
    /// An event store on a log. Subjects cannot be forgotten there.
    pub fn new(log: Arc<dyn Log>, options: EventStoreOptions) -> Self {
        Self::made(log, None, options)
    }

    /// An event store on a log whose payloads can be forgotten.
    pub fn with_vault(vault: Vault, options: EventStoreOptions) -> Self {
        Self::made(vault.clone().into_log(), Some(vault), options)
    }

    fn made(log: Arc<dyn Log>, vault: Option<Vault>, options: EventStoreOptions) -> Self {
        let streams = Arc::new(Semaphore::new(options.most_streams));
        let stop = CancellationToken::new();
        let tail = Tail::new(Arc::clone(&log), stop.clone());
        let room = OnceLock::new();
        Self { shared: Arc::new(Shared { log, vault, options, streams, tail, stop, room }) }
    }

    /// Lets somebody refuse what is to be published. The first to ask has it.
    pub(crate) fn refuse_by(&self, room: Room) {
        _ = self.shared.room.set(room);
    }

    /// Whether there is room for an event that is to be published.
    pub(crate) fn check_room(&self, event: &NewEvent) -> Result<(), Refusal> {
        self.shared.room.get().map_or(Ok(()), |room| room(event))
    }

    /// Ends all streams of answers.
    pub fn stop(&self) {
        self.shared.stop.cancel();
    }

    pub(crate) fn log(&self) -> &Arc<dyn Log> {
        &self.shared.log
    }

    pub(crate) fn tail(&self) -> &Tail {
        &self.shared.tail
    }

    pub(crate) fn is_verbatim(&self) -> bool {
        self.shared.options.verbatim
    }

    pub(crate) fn stopped(&self) -> &CancellationToken {
        &self.shared.stop
    }

    /// What can forget subjects.
    pub(crate) fn vault(&self) -> Result<&Vault, Error> {
        let none = || Refusal::new(Code::RequestInvalid, "this server keeps no keys of subjects");
        self.shared.vault.as_ref().ok_or_else(|| none().into())
    }

    /// The right to hold a stream of answers open.
    pub(crate) fn stream_permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        let full = || {
            let most = self.shared.options.most_streams;
            format!("{most} streams of events are open, which is the most; close some")
        };
        Arc::clone(&self.shared.streams)
            .try_acquire_owned()
            .map_err(|_| Refusal::new(Code::ServerOverloaded, full()).into())
    }

    /// Begins to read.
    pub(crate) async fn read(&self, wanted: Wanted) -> Result<Reading, Error> {
        let until = past::resolve(self.log(), wanted.at).await?;
        Ok(Reading::new(Arc::clone(self.log()), wanted, until))
    }

    /// The last event of what a query selects, if it has one.
    pub(crate) async fn last(&self, query: Query) -> Result<Option<Event>, Error> {
        let mut page = self.log().read(query, END, Direction::Backward, 1).await?;
        Ok(page.events.pop())
    }
}

impl fmt::Debug for EventStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStore").field("log", &self.log().id()).finish_non_exhaustive()
    }
}
