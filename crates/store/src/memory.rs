//! The log in memory: for tests, and for whoever wants a log that ends with the process. It can be told to
//! fail ([`Faults`]), so that drivers can be tested against every failure that the contract allows.
//!
//! Life cycle: [`MemoryLog::new`], then any number of clones; [`MemoryLog::close`] or dropping the last
//! clone ends it. There is no commit queue: each append is one step under a lock, so reserved streams have
//! nothing to go first in. Reads scan from their position on, which suits a log of this size.

mod faults;

pub use faults::{AppendFault, Faults};

use crate::admission::{self, Admission, Past, Verdict};
use crate::clock::{Clock, system_clock};
use crate::log::{
    AppendError, Appended, BoxFuture, Condition, Direction, Event, InvalidInput, ListedStream, Log,
    MAX_PAGE_BYTES, MAX_PAGE_EVENTS, MAX_PAGE_STREAMS, NewEvent, Page, Query, REMEMBERED_IDS, ReadError,
    SchemaHash, Snapshot, SnapshotError, SnapshotKey, StreamPage, StreamRef, StreamsQuery, TruncateError,
    new_log_id,
};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tenon_core::{EventId, LogId, Position, Timestamp};
use tokio::sync::watch;

/// The most snapshots that a log in memory keeps; the first by key goes when there is one more.
const MAX_SNAPSHOTS: usize = 64;

/// How a log in memory behaves.
#[derive(Clone)]
pub struct MemoryOptions {
    /// The id of the log; a new one if none.
    pub id: Option<LogId>,
    /// How many bytes of events it holds before an append is answered with `Full`.
    pub capacity: usize,
    /// For how many events an id is remembered.
    pub remembered_ids: usize,
    /// The clock.
    pub clock: Clock,
}

/// A log in memory. Clones share it.
#[derive(Clone)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

struct Shared {
    id: LogId,
    capacity: usize,
    clock: Clock,
    state: Mutex<State>,
    faults: Faults,
}

struct State {
    admission: Admission,
    events: Events,
    snapshots: BTreeMap<SnapshotKey, Snapshot>,
    /// None once the log is closed, which wakes and ends every subscription.
    heads: Option<watch::Sender<Position>>,
}

/// What has been appended, in order of position.
#[derive(Default)]
struct Events {
    list: Vec<Event>,
    bytes: usize,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self { id: None, capacity: 256 << 20, remembered_ids: REMEMBERED_IDS, clock: system_clock() }
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new(MemoryOptions::default())
    }
}

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLog").field("id", &self.shared.id).field("head", &self.head()).finish()
    }
}

impl MemoryLog {
    /// An empty log.
    pub fn new(options: MemoryOptions) -> Self {
        let MemoryOptions { id, capacity, remembered_ids, clock } = options;
        let admission = Admission::new(Position::START, Timestamp::ZERO, Position(1), remembered_ids);
        let state = State {
            admission,
            events: Events::default(),
            snapshots: BTreeMap::new(),
            heads: Some(watch::Sender::new(Position::START)),
        };
        let id = id.unwrap_or_else(new_log_id);
        let shared = Shared { id, capacity, clock, state: Mutex::new(state), faults: Faults::default() };
        Self { shared: Arc::new(shared) }
    }

    /// The log as the port.
    pub fn into_log(self) -> Arc<dyn Log> {
        Arc::new(self)
    }

    /// Where to order failures.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Closes the log: appends and reads fail from now on, subscriptions end.
    pub fn close(&self) {
        self.state().heads = None;
    }

    /// Opens a closed log again with all that was appended, as a restarted process would find it.
    pub fn reopen(&self) {
        let mut state = self.state();
        self.shared.faults.clear();
        if state.heads.is_none() {
            state.heads = Some(watch::Sender::new(state.admission.last()));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is complete before anything in it could panic.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append_now(
        &self,
        events: Vec<NewEvent>,
        condition: Option<&Condition>,
    ) -> Result<Appended, AppendError> {
        admission::validate(&events, condition)?;
        let fault = self.shared.faults.take();
        let mut state = self.state();
        if state.heads.is_none() {
            return Err(AppendError::Closed("it was shut down"));
        }
        match fault {
            None => state.append(events, condition, &self.shared),
            Some(AppendFault::Full) => Err(AppendError::Full),
            Some(AppendFault::LostBefore) => Err(AppendError::Unknown("a fault was ordered")),
            Some(AppendFault::LostAfter) => {
                state.append(events, condition, &self.shared)?;
                Err(AppendError::Unknown("a fault was ordered"))
            }
            Some(AppendFault::Closed) => {
                self.shared.faults.order(AppendFault::Closed);
                Err(AppendError::Closed("a fault was ordered"))
            }
        }
    }

    fn read_now(
        &self,
        query: &Query,
        from: Position,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, ReadError> {
        query.validate()?;
        self.shared.faults.check_read()?;
        let state = self.state();
        if state.heads.is_none() {
            return Err(ReadError::Closed);
        }
        query.check_mark(from, direction, state.admission.first())?;
        let limit = limit.clamp(1, MAX_PAGE_EVENTS);
        let hidden = if query.is_reserved_only() { Position(1) } else { state.admission.first() };
        Ok(state.events.page(query, from, direction, limit, hidden))
    }

    fn streams_now(&self, query: &StreamsQuery, limit: usize) -> Result<StreamPage, ReadError> {
        self.shared.faults.check_read()?;
        let state = self.state();
        if state.heads.is_none() {
            return Err(ReadError::Closed);
        }
        Ok(state.events.streams(query, limit.clamp(1, MAX_PAGE_STREAMS)))
    }

    fn truncate_now(&self, first: Position) -> Result<(), TruncateError> {
        let mut state = self.state();
        let head = state.admission.last();
        if state.heads.is_none() {
            return Err(AppendError::Closed("it was shut down").into());
        }
        if first.0 > head.0 + 1 {
            return Err(InvalidInput::BeyondHead { first, head }.into());
        }
        state.admission.set_first(first);
        let first = state.admission.first();
        state.events.scavenge(first);
        Ok(())
    }

    fn put_snapshot_now(&self, snapshot: Snapshot) -> Result<(), SnapshotError> {
        snapshot.validate()?;
        let mut state = self.state();
        if state.heads.is_none() {
            return Err(SnapshotError::Closed);
        }
        state.snapshots.insert(snapshot.key.clone(), snapshot);
        if state.snapshots.len() > MAX_SNAPSHOTS {
            state.snapshots.pop_first();
        }
        Ok(())
    }

    fn snapshot_now(&self, key: &SnapshotKey, schema: SchemaHash) -> Result<Option<Snapshot>, SnapshotError> {
        let state = self.state();
        if state.heads.is_none() {
            return Err(SnapshotError::Closed);
        }
        let head = state.admission.last();
        let usable = |snapshot: &&Snapshot| snapshot.schema == schema && snapshot.position <= head;
        Ok(state.snapshots.get(key).filter(usable).cloned())
    }
}

impl Log for MemoryLog {
    fn id(&self) -> LogId {
        self.shared.id
    }

    fn head(&self) -> Position {
        self.state().admission.last()
    }

    fn heads(&self) -> watch::Receiver<Position> {
        match &self.state().heads {
            Some(heads) => heads.subscribe(),
            None => watch::channel(Position::START).1,
        }
    }

    fn first(&self) -> Position {
        self.state().admission.first()
    }

    fn append(
        &self,
        events: Vec<NewEvent>,
        condition: Option<Condition>,
    ) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async move { self.append_now(events, condition.as_ref()) })
    }

    fn read(
        &self,
        query: Query,
        from: Position,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(async move { self.read_now(&query, from, direction, limit) })
    }

    fn streams(&self, query: StreamsQuery, limit: usize) -> BoxFuture<'_, Result<StreamPage, ReadError>> {
        Box::pin(async move { self.streams_now(&query, limit) })
    }

    fn truncate_before(&self, first: Position) -> BoxFuture<'_, Result<(), TruncateError>> {
        Box::pin(async move { self.truncate_now(first) })
    }

    fn put_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<(), SnapshotError>> {
        Box::pin(async move { self.put_snapshot_now(snapshot) })
    }

    fn snapshot(
        &self,
        key: SnapshotKey,
        schema: SchemaHash,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, SnapshotError>> {
        Box::pin(async move { self.snapshot_now(&key, schema) })
    }
}

impl State {
    fn append(
        &mut self,
        events: Vec<NewEvent>,
        condition: Option<&Condition>,
        shared: &Shared,
    ) -> Result<Appended, AppendError> {
        let mark = self.admission.mark();
        let admitted = match self.admission.admit(&self.events, events, condition, (shared.clock)())? {
            Verdict::Repeated(appended) => return Ok(appended),
            Verdict::Admitted(events) => events,
        };
        let bytes: usize = admitted.iter().map(Event::size).sum();
        if self.events.bytes + bytes > shared.capacity {
            self.admission.undo(mark);
            return Err(AppendError::Full);
        }
        self.admission.settle();
        let first = admitted.first().map_or(Position::START, |event| event.position);
        let appended = Appended::run(first, admitted.len(), false);
        self.events.add(admitted, bytes);
        if let Some(heads) = &self.heads {
            heads.send_replace(appended.last());
        }
        Ok(appended)
    }
}

impl Events {
    /// The index of the first event after a position.
    fn after(&self, position: Position) -> usize {
        self.list.partition_point(|event| event.position <= position)
    }

    fn page(
        &self,
        query: &Query,
        from: Position,
        direction: Direction,
        limit: usize,
        hidden_before: Position,
    ) -> Page {
        let matching = |event: &&Event| event.position >= hidden_before && query.matches(event);
        match direction {
            Direction::Forward => {
                let newer = self.list[self.after(from)..].iter().filter(matching);
                let end = self.list.last().map_or(from, |last| from.max(last.position));
                fill(newer, end, limit)
            }
            Direction::Backward => {
                let before = Position(from.0.saturating_sub(1));
                let older = self.list[..self.after(before)].iter().rev().filter(matching);
                fill(older, Position::START, limit)
            }
        }
    }

    fn streams(&self, query: &StreamsQuery, limit: usize) -> StreamPage {
        let mut last = BTreeMap::new();
        for event in &self.list {
            let (namespace, stream) = (event.namespace.clone(), event.stream.clone());
            if query.covers(namespace.as_str(), &stream) {
                last.insert(StreamRef { namespace, stream }, event);
            }
        }
        let mut rest = last
            .into_iter()
            .filter(|(name, event)| {
                !event.is_deletion() && query.after.as_ref().is_none_or(|after| name > after)
            })
            .map(|(name, event)| ListedStream { name, last: event.position });
        let streams: Vec<ListedStream> = rest.by_ref().take(limit).collect();
        let next = rest.next().and(streams.last()).map(|listed| listed.name.clone());
        StreamPage { streams, next }
    }

    /// Adds events, and drops those of streams that they delete.
    fn add(&mut self, events: Vec<Event>, bytes: usize) {
        let deletions: Vec<Event> = events.iter().filter(|event| event.is_deletion()).cloned().collect();
        self.bytes += bytes;
        self.list.extend(events);
        for deletion in deletions {
            self.retain(|event| {
                event.position >= deletion.position
                    || event.stream != deletion.stream
                    || event.namespace != deletion.namespace
            });
        }
    }

    /// Drops users' events before the mark.
    fn scavenge(&mut self, first: Position) {
        self.retain(|event| event.position >= first || event.stream.is_reserved());
    }

    fn retain(&mut self, kept: impl Fn(&Event) -> bool) {
        self.list.retain(kept);
        self.bytes = self.list.iter().map(Event::size).sum();
    }
}

impl Past for Events {
    fn first_match(&self, condition: &Condition) -> Result<Option<(Position, EventId)>, ReadError> {
        let later = &self.list[self.after(condition.after)..];
        let found = later.iter().find(|event| condition.contradicted_by(event));
        Ok(found.map(|event| (event.position, event.id)))
    }

    fn ids_from(&self, first: Position, count: usize) -> Result<Vec<EventId>, ReadError> {
        let before = Position(first.0.saturating_sub(1));
        Ok(self.list[self.after(before)..].iter().take(count).map(|event| event.id).collect())
    }
}

/// A page of what is left to read, which ends at `end`.
fn fill<'a>(mut rest: impl Iterator<Item = &'a Event>, end: Position, limit: usize) -> Page {
    let mut events: Vec<Event> = Vec::new();
    let mut bytes = 0;
    while events.len() < limit && bytes < MAX_PAGE_BYTES {
        let Some(event) = rest.next() else { return Page { events, next: end, at_end: true } };
        bytes += event.size();
        events.push(event.clone());
    }
    let next = events.last().map_or(end, |event| event.position);
    Page { events, next, at_end: rest.next().is_none() }
}

#[cfg(test)]
mod contract;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod tests;
