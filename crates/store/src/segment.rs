//! The log in segment files: the embedded default, which needs no server.
//!
//! Life cycle: [`SegmentLog::open`] recovers what is on disk and starts the committer, a thread that drains
//! the commit queue and writes each group with one fdatasync. Clones share the log. [`SegmentLog::close`], or
//! dropping the last clone, finishes what is queued and ends the thread. `docs/log.md` describes the files,
//! the rules of recovery and the guarantees.
//!
//! Reads of little that is in memory run on the thread of whoever asks, others on tokio's blocking threads, so whoever
//! reads must be inside of a tokio runtime.
//!
//! Left out on purpose: encryption, and filters over the keys of old segments (there are few runs of them, and a look-up
//! costs a page read for each).

pub mod backup;
mod cache;
mod committer;
mod compact;
pub mod disk;
mod envelope;
mod files;
mod format;
pub mod import;
mod index_file;
mod keys;
mod lookup;
mod names;
pub mod offline;
mod packed;
mod pages;
mod reader;
mod reads;
mod recovery;
mod run;
mod scan;
mod scavenge;
mod segments;
mod snapshots;
mod spare;
mod tail;
mod upkeep;
mod writer;

pub use disk::{DirectoryDisk, Disk, DiskFile, SimDisk, SimFaults};

use crate::admission;
use crate::clock::{Clock, system_clock};
use crate::log::{
    AppendError, Appended, BoxFuture, Condition, Damage, Direction, InvalidInput, Log, MAX_APPEND_BYTES,
    NewEvent, OpenError, Page, Query, REMEMBERED_IDS, ReadError, SchemaHash, Snapshot, SnapshotError,
    SnapshotKey, StreamPage, StreamsQuery, TruncateError,
};
use crate::queue::{Queue, Request};
use committer::Committer;
use reads::Reads;
use recovery::Recovered;
use segments::Segments;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tenon_core::retention::Retention;
use tenon_core::{LogId, Position};
use tokio::sync::watch;
use writer::Writer;

/// How a log in segment files behaves.
#[derive(Clone)]
pub struct SegmentOptions {
    /// How many bytes a segment has. One that begins with a larger append is made larger.
    pub segment_bytes: u64,
    /// How many bytes each of the two lines of the commit queue holds; at least one append of the largest
    /// size.
    pub queue_bytes: usize,
    /// For how many of the last events an id is remembered.
    pub remembered_ids: usize,
    /// What is kept: decided whenever a segment is full. Events of reserved streams are always kept.
    pub retention: Retention,
    /// How long to wait between reading one sealed segment and the next, to find damage before somebody needs what is
    /// damaged; never if none.
    pub scrub_every: Option<Duration>,
    /// Reads all segments at opening and refuses the log if any is damaged; otherwise damage to a sealed
    /// segment is found when it is read.
    pub verify: bool,
    /// Compresses sealed segments, beside appends: less space for reads that take longer. Those that are compressed are read
    /// in any case.
    pub compress_sealed: bool,
    /// The id of the log if it has to be made; a new one if none.
    pub id: Option<LogId>,
    /// The clock.
    pub clock: Clock,
}

/// What was found when a log was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// The log.
    pub log: LogId,
    /// Whether it was made just now.
    pub created: bool,
    /// How many segments there are.
    pub segments: usize,
    /// The last position.
    pub head: Position,
    /// The torn tail that was cut, if there was one.
    pub cut: Option<Cut>,
}

/// What a crash had left of appends that were never acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub file: String,
    /// The byte in the file from which on it was cut.
    pub offset: u64,
    /// How many bytes were cut.
    pub bytes: u64,
    /// The last position before.
    pub after: Position,
}

/// A log in segment files. Clones share it.
#[derive(Clone)]
pub struct SegmentLog {
    inner: Arc<Inner>,
}

struct Inner {
    segments: Arc<Segments>,
    queue: Arc<Queue>,
    heads: watch::Receiver<Position>,
    closed: Arc<AtomicBool>,
    /// Held while files other than the active segment are written.
    upkeep: Arc<Mutex<()>>,
    committer: Mutex<Option<Committer>>,
}

/// What can go wrong below the port.
#[derive(Debug)]
pub(crate) enum SegmentError {
    /// A segment is damaged.
    Damage(Damage),
    /// An index is missing or damaged; it can be made anew.
    Index,
    /// The segments or their indexes have changed; look again.
    Changed,
    /// It would take long, and that was not wanted.
    WouldBlock,
    /// Storage failed.
    Io(io::Error),
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
            queue_bytes: 32 << 20,
            remembered_ids: REMEMBERED_IDS,
            retention: Retention::default(),
            scrub_every: Some(Duration::from_secs(20)),
            verify: false,
            compress_sealed: false,
            id: None,
            clock: system_clock(),
        }
    }
}

impl fmt::Debug for SegmentLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentLog").field("id", &self.id()).field("head", &self.head()).finish()
    }
}

impl SegmentLog {
    /// Opens the log in a folder with the usual options, making it if it is not there. Blocks while it reads
    /// the end of the log.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Locked`] names the process that uses it.
    pub fn open(folder: &Path) -> Result<(Self, OpenReport), OpenError> {
        Self::open_with(Arc::new(DirectoryDisk::open(folder)?), SegmentOptions::default())
    }

    /// Opens the log on a disk, making it if it is not there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_with(disk: Arc<dyn Disk>, options: SegmentOptions) -> Result<(Self, OpenReport), OpenError> {
        let path = disk.path();
        let (writer, report) = Writer::open(disk, &options)?;
        let (segments, heads) = (Arc::clone(writer.segments()), writer.heads());
        let queue = Arc::new(Queue::new(options.queue_bytes.max(2 * MAX_APPEND_BYTES), usize::MAX));
        let committer = Committer::start(writer, Arc::clone(&queue), options.clock, options.scrub_every)
            .map_err(|source| OpenError::Io { doing: "start the writer of", path, source })?;
        let inner = Inner {
            segments,
            queue,
            heads,
            closed: Arc::new(AtomicBool::new(false)),
            upkeep: Arc::new(Mutex::new(())),
            committer: Mutex::new(Some(committer)),
        };
        Ok((Self { inner: Arc::new(inner) }, report))
    }

    /// The log as the port.
    pub fn into_log(self) -> Arc<dyn Log> {
        Arc::new(self)
    }

    /// Closes the log for all clones: what is queued is finished, the lock is released once no clone is left,
    /// subscriptions end.
    pub async fn close(&self) {
        self.inner.queue.close();
        let committer = {
            // Only ever taken out as a whole.
            let mut committer = self.inner.committer.lock().unwrap_or_else(PoisonError::into_inner);
            committer.take()
        };
        if let Some(committer) = committer {
            committer.ended().await;
        }
        self.inner.closed.store(true, Ordering::Release);
    }

    fn check_open(&self) -> Result<(), ReadError> {
        if self.inner.closed.load(Ordering::Acquire) { Err(ReadError::Closed) } else { Ok(()) }
    }

    /// Runs something that touches the disk where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Segments, &Mutex<()>) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        self.check_open()?;
        let (segments, upkeep) = (Arc::clone(&self.inner.segments), Arc::clone(&self.inner.upkeep));
        tokio::task::spawn_blocking(move || act(&segments, &upkeep)).await.map_err(|_| ReadError::Closed)
    }

    async fn append_checked(
        &self,
        events: Vec<NewEvent>,
        condition: Option<Condition>,
    ) -> Result<Appended, AppendError> {
        admission::validate(&events, condition.as_ref())?;
        self.inner.queue.append(Request { events, condition }).await
    }

    async fn truncate(&self, first: Position) -> Result<(), TruncateError> {
        let head = self.head();
        if first.0 > head.0 + 1 {
            return Err(InvalidInput::BeyondHead { first, head }.into());
        }
        self.inner.queue.set_mark(first).await?;
        self.blocking(|segments, upkeep| {
            let _one_at_a_time = upkeep.lock().unwrap_or_else(PoisonError::into_inner);
            scavenge::scavenge(segments).map_err(ReadError::from)
        })
        .await??;
        Ok(())
    }
}

impl Log for SegmentLog {
    fn id(&self) -> LogId {
        self.inner.segments.log
    }

    fn head(&self) -> Position {
        *self.inner.heads.borrow()
    }

    fn heads(&self) -> watch::Receiver<Position> {
        self.inner.heads.clone()
    }

    fn first(&self) -> Position {
        self.inner.segments.view().first
    }

    fn append(
        &self,
        events: Vec<NewEvent>,
        condition: Option<Condition>,
    ) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(self.append_checked(events, condition))
    }

    fn read(
        &self,
        query: Query,
        from: Position,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(async move {
            self.check_open()?;
            // What is little and in memory is read here: handing it to another thread would take longer.
            if let Some(page) = self.inner.segments.page(&Reads::at_once(), &query, from, direction, limit)? {
                return Ok(page);
            }
            self.blocking(move |segments, _| segments.page_now(&query, from, direction, limit)).await?
        })
    }

    fn streams(&self, query: StreamsQuery, limit: usize) -> BoxFuture<'_, Result<StreamPage, ReadError>> {
        Box::pin(async move { self.blocking(move |segments, _| segments.streams(&query, limit)).await? })
    }

    fn truncate_before(&self, first: Position) -> BoxFuture<'_, Result<(), TruncateError>> {
        Box::pin(self.truncate(first))
    }

    fn put_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<(), SnapshotError>> {
        Box::pin(async move {
            self.blocking(move |segments, upkeep| {
                let _one_at_a_time = upkeep.lock().unwrap_or_else(PoisonError::into_inner);
                snapshots::put(segments.disk(), segments.log, &snapshot)
            })
            .await
            .map_err(|_| SnapshotError::Closed)?
        })
    }

    fn snapshot(
        &self,
        key: SnapshotKey,
        schema: SchemaHash,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, SnapshotError>> {
        let head = self.head();
        Box::pin(async move {
            self.blocking(move |segments, _| snapshots::get(segments.disk(), segments.log, head, key, schema))
                .await
                .map_err(|_| SnapshotError::Closed)?
        })
    }

    /// One place for each sealed segment that is damaged.
    fn known_damage(&self) -> Vec<Damage> {
        self.inner.segments.known_damage()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl OpenReport {
    fn of(recovered: &Recovered) -> Self {
        Self {
            log: recovered.log(),
            created: false,
            segments: recovered.sealed.len() + 1,
            head: recovered.end.last,
            cut: recovered.cut.clone(),
        }
    }
}

impl From<Damage> for SegmentError {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

impl From<io::Error> for SegmentError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<SegmentError> for ReadError {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Damage(damage) => Self::Corrupt(damage),
            SegmentError::Index | SegmentError::Changed | SegmentError::WouldBlock => {
                Self::Io(Arc::new(io::Error::other("an index cannot be made anew")))
            }
            SegmentError::Io(error) => Self::Io(Arc::new(error)),
        }
    }
}

#[cfg(test)]
mod contract;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod tests;
