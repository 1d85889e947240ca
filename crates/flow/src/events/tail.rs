//! The end of the log, read once for all who follow it.
//!
//! One task reads what comes and puts it into the mailboxes of those that it matches, found by stream where a query
//! names streams, and by type where it names types. So a thousand subscribers cost one read of each event, and a wake-up only for whom it concerns.
//!
//! A mailbox is bounded. When it is full it is emptied, and its owner reads the log from where it was: nothing is lost,
//! and a slow subscriber delays nobody. Everything up to what mail says is in the mailboxes, so that whoever has read the
//! log up to there, and holds a mailbox since, misses nothing and sees nothing twice.
//!
//! Life cycle: the task starts with the first mailbox, and ends after the last one or with the store.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tenon_core::{EventType, Position, StreamName};
use tenon_store::{Event, Log, Query, ReadError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The most events in a mailbox.
const MAILBOX: usize = 256;

/// How long to wait before the log is read again that could not be.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// What reads the end of a log.
pub(crate) struct Tail {
    log: Arc<dyn Log>,
    stop: CancellationToken,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Everything up to here is in the mailboxes.
    up_to: Position,
    /// Whether the task runs.
    runs: bool,
    next: u64,
    /// The mailboxes whose queries name streams, by each of them; those that name types, likewise; and the others.
    by_stream: HashMap<StreamName, Mailboxes>,
    by_type: HashMap<EventType, Mailboxes>,
    others: Mailboxes,
}

/// Mailboxes by their numbers.
type Mailboxes = BTreeMap<u64, Arc<Mailbox>>;

struct Mailbox {
    query: Query,
    inbox: Mutex<Inbox>,
    filled: Notify,
}

#[derive(Default)]
struct Inbox {
    events: Vec<Arc<Event>>,
    /// It was full, and what came since is not in it.
    overflowed: bool,
    /// Nothing comes any more.
    closed: bool,
}

/// What was in a mailbox.
#[derive(Debug)]
pub(crate) enum Mail {
    /// These events, and there is nothing else up to a position. None may be there.
    Events { events: Vec<Arc<Event>>, up_to: Position },
    /// There was more than it holds: read the log.
    Overflow,
    /// The log is closed.
    Closed,
}

/// A mailbox of one's own. Dropping it gives it up.
pub(crate) struct Post {
    mailbox: Arc<Mailbox>,
    shared: Arc<Shared>,
    number: u64,
    since: Position,
}

impl Tail {
    pub(crate) fn new(log: Arc<dyn Log>, stop: CancellationToken) -> Self {
        Self { log, stop, shared: Arc::default() }
    }

    /// A mailbox for what matches, and comes from now on.
    pub(crate) fn open(&self, query: Query) -> Post {
        let mailbox = Arc::new(Mailbox { query, inbox: Mutex::default(), filled: Notify::new() });
        let mut state = self.shared.lock();
        let number = state.next;
        state.next += 1;
        state.put(number, &mailbox);
        if !std::mem::replace(&mut state.runs, true) {
            state.up_to = self.log.head();
            let (log, shared) = (Arc::clone(&self.log), Arc::downgrade(&self.shared));
            let reading = follow(log, shared, state.up_to);
            let stop = self.stop.clone();
            tokio::spawn(async move { stop.run_until_cancelled(reading).await });
        }
        Post { mailbox, shared: Arc::clone(&self.shared), number, since: state.up_to }
    }
}

impl Post {
    /// The position after which everything comes into the mailbox.
    pub(crate) fn since(&self) -> Position {
        self.since
    }

    /// Waits until something is in the mailbox.
    pub(crate) async fn filled(&self) {
        self.mailbox.filled.notified().await;
    }

    /// Takes everything out.
    pub(crate) fn take(&self) -> Mail {
        // Read before, as what is up to there is in the mailbox by then.
        let up_to = self.shared.lock().up_to;
        let mut inbox = self.mailbox.lock();
        if inbox.overflowed {
            return Mail::Overflow;
        }
        let events = std::mem::take(&mut inbox.events);
        if events.is_empty() && inbox.closed {
            return Mail::Closed;
        }
        let last = events.last().map_or(up_to, |event| event.position);
        Mail::Events { events, up_to: up_to.max(last) }
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.remove(self.number, &self.mailbox.query);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked has changed a single map at most.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a query names in each of its items, so that its mailbox is found by it.
enum Names<'a> {
    Streams(BTreeSet<&'a StreamName>),
    Types(BTreeSet<&'a EventType>),
    Neither,
}

impl<'a> Names<'a> {
    fn of(query: &'a Query) -> Self {
        let items = &query.items;
        match () {
            () if items.is_empty() => Self::Neither,
            () if items.iter().all(|item| !item.streams.is_empty()) => {
                Self::Streams(items.iter().flat_map(|item| &item.streams).collect())
            }
            () if items.iter().all(|item| !item.types.is_empty()) => {
                Self::Types(items.iter().flat_map(|item| &item.types).collect())
            }
            () => Self::Neither,
        }
    }
}

fn take_out<N: Hash + Eq>(all: &mut HashMap<N, Mailboxes>, name: &N, number: u64) {
    if let Some(mailboxes) = all.get_mut(name) {
        mailboxes.remove(&number);
        if mailboxes.is_empty() {
            all.remove(name);
        }
    }
}

impl State {
    fn put(&mut self, number: u64, mailbox: &Arc<Mailbox>) {
        match Names::of(&mailbox.query) {
            Names::Streams(streams) => {
                for stream in streams {
                    let named = self.by_stream.entry(stream.clone()).or_default();
                    named.insert(number, Arc::clone(mailbox));
                }
            }
            Names::Types(types) => {
                for of_type in types {
                    let typed = self.by_type.entry(of_type.clone()).or_default();
                    typed.insert(number, Arc::clone(mailbox));
                }
            }
            Names::Neither => _ = self.others.insert(number, Arc::clone(mailbox)),
        }
    }

    fn remove(&mut self, number: u64, query: &Query) {
        match Names::of(query) {
            Names::Streams(streams) => {
                for stream in streams {
                    take_out(&mut self.by_stream, stream, number);
                }
            }
            Names::Types(types) => {
                for of_type in types {
                    take_out(&mut self.by_type, of_type, number);
                }
            }
            Names::Neither => _ = self.others.remove(&number),
        }
    }

    /// Puts events into the mailboxes. Answers whether there are any.
    fn deliver(&mut self, events: Vec<Event>, up_to: Position) -> bool {
        for event in events {
            let event = Arc::new(event);
            let named = self.by_stream.get(&event.stream).into_iter().flat_map(BTreeMap::values);
            let typed = self.by_type.get(&event.event_type).into_iter().flat_map(BTreeMap::values);
            for mailbox in named.chain(typed).chain(self.others.values()) {
                mailbox.put(&event);
            }
        }
        self.up_to = self.up_to.max(up_to);
        let needed = !self.by_stream.is_empty() || !self.by_type.is_empty() || !self.others.is_empty();
        self.runs = needed;
        needed
    }

    fn close(&mut self) {
        let named = self.by_stream.values().chain(self.by_type.values()).flat_map(BTreeMap::values);
        for mailbox in named.chain(self.others.values()) {
            mailbox.lock().closed = true;
            mailbox.filled.notify_one();
        }
        self.runs = false;
    }
}

impl Mailbox {
    fn put(&self, event: &Arc<Event>) {
        if !self.query.matches(event) {
            return;
        }
        let mut inbox = self.lock();
        if inbox.overflowed {
            return;
        }
        if inbox.events.len() >= MAILBOX {
            inbox.events = Vec::new();
            inbox.overflowed = true;
        } else {
            inbox.events.push(Arc::clone(event));
        }
        drop(inbox);
        self.filled.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads what comes after a position, until nobody wants it or the log is closed.
async fn follow(log: Arc<dyn Log>, shared: Weak<Shared>, after: Position) {
    let mut subscription = log.subscribe(Query::everything(), after);
    drop(log);
    loop {
        let page = subscription.next_page().await;
        let Some(shared) = shared.upgrade() else { return };
        match page {
            Ok(page) => {
                if !shared.lock().deliver(page.events, page.next) {
                    return;
                }
            }
            // It goes on from the same place; that those who follow wait meanwhile is all that there is to it.
            Err(error @ (ReadError::Io(_) | ReadError::Unavailable(_))) => {
                tracing::debug!(%error, "what follows the log waits until it can be read");
                if !shared.lock().deliver(Vec::new(), Position::START) {
                    return;
                }
                drop(shared);
                tokio::time::sleep(AFTER_FAILURE).await;
            }
            Err(error) => {
                tracing::debug!(%error, "what follows the log has come to an end");
                shared.lock().close();
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
