//! A log in memory that keeps whoever asks waiting, where that is ordered, and counts what is appended.

use super::*;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use tenon_core::{LogId, StreamName};
use tenon_store::log::{StreamPage, StreamsQuery};
use tenon_store::{
    AppendError, Appended, Condition, Direction, Log, MemoryLog, MemoryOptions, NewEvent, Page, Query,
    ReadError, SchemaHash, Snapshot, SnapshotError, SnapshotKey, TruncateError,
};
use tokio::sync::watch;

pub(super) struct Slow {
    pub(super) log: MemoryLog,
    /// Whether reads wait.
    pub(super) reads: watch::Sender<bool>,
    /// How many of them do.
    pub(super) waiting: AtomicUsize,
    /// Whether each of the next reads is answered late, with what there was when it was asked: when this is no longer so.
    pub(super) late: Mutex<VecDeque<bool>>,
    pub(super) answers: watch::Sender<bool>,
    /// So are those of so many streams at once.
    pub(super) late_if_of: AtomicUsize,
    /// The stream that cannot be read, if there is one.
    pub(super) unreadable: Mutex<Option<StreamName>>,
    /// Whether no snapshot is ever kept.
    pub(super) notes_nothing: AtomicBool,
    /// Whether nobody learns at once what became of an append.
    pub(super) answers_nothing: AtomicBool,
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
            late: Mutex::default(),
            answers: watch::Sender::new(false),
            late_if_of: AtomicUsize::new(usize::MAX),
            unreadable: Mutex::default(),
            notes_nothing: AtomicBool::default(),
            answers_nothing: AtomicBool::default(),
            takes,
            appends: AtomicUsize::default(),
        });
        let store = EventStore::new(Arc::clone(&log) as _, EventStoreOptions::default());
        (log, store)
    }

    /// Answers reads late of those that are asked from now on, as it is said of each.
    pub(super) fn answer_late(&self, which: &[bool]) {
        self.answers.send_replace(true);
        self.late.lock().unwrap().extend(which);
    }

    /// Waits until the last of them was asked.
    pub(super) async fn asked_late(&self) {
        while !self.late.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
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
        let (log, takes) = (self.log.clone(), self.takes);
        // Whoever asked may go away.
        let appended = tokio::spawn(async move {
            tokio::time::sleep(takes).await;
            log.append(events, condition).await
        });
        let answers_nothing = self.answers_nothing.load(Ordering::Relaxed);
        Box::pin(async move {
            if answers_nothing {
                Err(AppendError::Unknown("it was ordered"))
            } else {
                appended.await.unwrap()
            }
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
            if let Some(stream) = &*self.unreadable.lock().unwrap()
                && query.items.iter().any(|item| item.streams.contains(stream))
            {
                return Err(ReadError::Io(Arc::new(std::io::Error::other("it is unreadable"))));
            }
            self.waiting.fetch_add(1, Ordering::Relaxed);
            self.reads.subscribe().wait_for(|wait| !wait).await.unwrap();
            let of: usize = query.items.iter().map(|item| item.streams.len()).sum();
            let is_late = self.late.lock().unwrap().pop_front().unwrap_or_default()
                || of == self.late_if_of.load(Ordering::Relaxed);
            let page = self.log.read(query, from, direction, limit).await;
            if is_late {
                self.answers.subscribe().wait_for(|wait| !wait).await.unwrap();
            }
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            page
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
