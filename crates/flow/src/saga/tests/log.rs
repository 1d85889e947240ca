//! A log in memory that keeps whoever asks waiting, where that is ordered, and counts what is appended.

use super::*;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use tenon_core::LogId;
use tenon_store::log::{StreamPage, StreamsQuery};
use tenon_store::{
    AppendError, Appended, Condition, Direction, Log, MemoryLog, MemoryOptions, NewEvent, Page, Query,
    ReadError, SchemaHash, Snapshot, SnapshotError, SnapshotKey, TruncateError,
};
use tokio::sync::watch;

pub(super) struct Slow {
    log: MemoryLog,
    /// Whether reads wait.
    pub(super) reads: watch::Sender<bool>,
    /// How many of them do.
    pub(super) waiting: AtomicUsize,
    /// Whether no snapshot is ever kept.
    pub(super) notes_nothing: AtomicBool,
    /// How long an append takes, and how many there were.
    pub(super) takes: Duration,
    pub(super) appends: AtomicUsize,
}

impl Slow {
    pub(super) fn new(takes: Duration) -> (Arc<Self>, EventStore) {
        let log = Arc::new(Self {
            log: MemoryLog::new(MemoryOptions::default()),
            reads: watch::Sender::new(false),
            waiting: AtomicUsize::default(),
            notes_nothing: AtomicBool::default(),
            takes,
            appends: AtomicUsize::default(),
        });
        let store = EventStore::new(Arc::clone(&log) as _, EventStoreOptions::default());
        (log, store)
    }
}

impl Log for Slow {
    fn id(&self) -> LogId {
        self.log.id()
    }

    fn head(&self) -> Position {
        self.log.head()
    }

    fn heads(&self) -> watch::Receiver<Position> {
        self.log.heads()
    }

    fn first(&self) -> Position {
        self.log.first()
    }

    fn append(
        &self,
        events: Vec<NewEvent>,
        condition: Option<Condition>,
    ) -> BoxFuture<'_, Result<Appended, AppendError>> {
        self.appends.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            tokio::time::sleep(self.takes).await;
            self.log.append(events, condition).await
        })
    }

    fn read(
        &self,
        query: Query,
        from: Position,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(async move {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            self.reads.subscribe().wait_for(|wait| !wait).await.unwrap();
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.log.read(query, from, direction, limit).await
        })
    }

    fn streams(&self, query: StreamsQuery, limit: usize) -> BoxFuture<'_, Result<StreamPage, ReadError>> {
        self.log.streams(query, limit)
    }

    fn truncate_before(&self, first: Position) -> BoxFuture<'_, Result<(), TruncateError>> {
        self.log.truncate_before(first)
    }

    fn put_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<(), SnapshotError>> {
        match self.notes_nothing.load(Ordering::Relaxed) {
            true => Box::pin(std::future::pending()),
            false => self.log.put_snapshot(snapshot),
        }
    }

    fn snapshot(
        &self,
        key: SnapshotKey,
        schema: SchemaHash,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, SnapshotError>> {
        self.log.snapshot(key, schema)
    }
}
