//! The `Log` port: one durable, totally ordered sequence of events, and what an engine promises about it.
//!
//! # The contract
//!
//! **Order.** Every event has a [`Position`]. Positions strictly increase in the order of appends, start at
//! 1 at the earliest, and may have gaps between appends; the events of one append have consecutive ones.
//! Every reader sees the same events in the same order. [`Log::head`] is the last position that is durable
//! and visible; nothing ever appears at or below a head that was returned.
//!
//! **Atomicity.** The events of one append, over however many streams and namespaces, are all in the log or
//! none is, to every reader and after every crash.
//!
//! **Durability.** An acknowledged append is on stable storage and visible to every read that starts after
//! the acknowledgement. An engine never acknowledges before. (The in-memory engine has no storage: there it
//! lasts as long as the engine.)
//!
//! **Conditions.** An append may carry one [`Condition`]: *no event matching this query after this
//! position*. It must name a stream or a tag in each item. The check and the append are one atomic step, so
//! of any number of racing appends with the same condition whose events match it, one wins and the others
//! get [`AppendError::Conflict`]. The expected version of a stream is the case of one stream.
//!
//! **Idempotence.** An event's id is chosen by the appender. An append whose events are in the log already,
//! in the same order, changes nothing and answers with their positions and `duplicate: true`. This is exact
//! for an append with a condition whose query matches its own first event; otherwise ids are remembered for
//! the last 2²⁰ events ([`REMEMBERED_IDS`]), except that those of scavenged events may be forgotten. Reusing
//! the id of another append's event is [`AppendError::DuplicateId`].
//!
//! **Failure.** Every error of an append says by [`AppendError::changed`] whether it changed anything. A
//! refused append changed nothing. [`AppendError::Unknown`] means that the answer was lost: append again
//! with the same ids to learn the outcome. Dropping the future of an append is the same as losing its
//! answer. No space is not fatal: the append fails, nothing is lost, and a later one succeeds when there is
//! room. A failed fsync is fatal to the writer: every append from then on is [`AppendError::Closed`] until
//! the log is opened again; what was acknowledged stays readable.
//!
//! **Time.** The store assigns each append a time: microseconds of UTC, `max(previous, now)`, so that time
//! never goes backwards along positions. The events of one append share it.
//!
//! **Namespaces.** Every event has one. A stream's identity is its namespace and its name.
//!
//! **Reserved streams.** Tenon's own streams begin with `$tenon/`. They are outside of [`Scope::User`], thus
//! hidden from a user's "read all", and appends to them go first in the commit queue. The port does not know
//! who calls: keeping users from writing to them is the task of whoever takes users' appends.
//!
//! **Scavenging.** [`Log::truncate_before`] sets the mark. From then on [`Log::first`] is the mark, and
//! every read, condition and subscription that would need an event before it fails with
//! `Truncated { first }`, except those that can only match reserved streams: these are kept. The mark is
//! durable and never goes back; disk space is given back after that, and a crash in between is harmless.
//!
//! **Deletion.** An event of the type [`STREAM_DELETED`] deletes the stream that it is appended to
//! ([`NewEvent::deletion`]): from then on the stream's events before it are in no read, subscription or
//! condition, whatever asks for them; the event itself is what is left of the stream. It is appended like any
//! other, thus atomically with others, idempotently, and under the condition that the stream has not changed.
//! Going on with the stream opens it again. To a condition that looks from the beginning of the log
//! ([`Position::START`]: the stream is new) a deletion does not count, to any other it does: the stream has
//! changed. What comes in the same commit as the deletion may still be judged as if it came before. Tenon's own
//! streams cannot be deleted. Disk space is given back later; when it was, the ids of what was deleted may be
//! forgotten.
//!
//! **Subscriptions.** [`subscribe`] delivers every matching event after a
//! position once and in order, first from history and then live, with no gap, duplicate or reordering. It
//! holds two pages at most, one of them read ahead; a slow subscriber delays nobody and reads on from where it is.
//!
//! **Lists of streams.** [`Log::streams`] lists streams in the order of namespaces and names, each with its last
//! position: those that have an event which is served, unless their last event is their deletion. What is appended
//! while pages are read may or may not be in them.
//!
//! **Identity.** Every log has a [`LogId`]. A revision, a checkpoint or an ETag is a pair of it and a
//! position. Another id means a full resynchronisation.
//!
//! **Snapshots** are keyed blobs with a position and the hash of their schema. They are disposable: an
//! engine may lose any of them at any time, and answers none rather than a damaged one, one of another log
//! or schema, or one that is ahead of the log.
//!
//! # Form
//!
//! The trait is `dyn`-safe with boxed futures: the cost of a box is nothing beside an fsync, and a driver
//! holds an `Arc<dyn Log>` without a type parameter. Engines are cheap to clone and share.
//!
//! [`subscribe`]: trait.Log.html#method.subscribe
//!
//! Left out on purpose: the version number of an event within its stream (the position serves; whoever shows
//! a stream may count).

mod ahead;
mod error;
mod event;
mod query;
mod snapshot;
mod streams;
mod subscription;
pub mod whole;

pub use ahead::ReadAhead;
pub use error::{
    AppendError, Changed, Damage, InvalidInput, OpenError, ReadError, SnapshotError, TruncateError,
};
pub use event::{Event, Metadata, NewEvent, STREAM_DELETED, new_event_id, new_log_id};
pub use query::{Condition, Direction, Query, QueryItem, Scope};
pub(crate) use snapshot::{FNV_OFFSET, fnv1a};
pub use snapshot::{MAX_SNAPSHOT_BYTES, SchemaHash, Snapshot, SnapshotKey};
pub use streams::{ListedStream, StreamPage, StreamRef, StreamsQuery};
pub use subscription::Subscription;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tenon_core::{LogId, Namespace, Position, StreamName};
use tokio::sync::watch;

/// A future that can be sent to another thread, behind a pointer so that the port stays `dyn`-safe.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// For how many of the last events an id is recognised without a condition.
pub const REMEMBERED_IDS: usize = 1 << 20;
/// The most bytes of data in one event.
pub const MAX_EVENT_BYTES: usize = 1 << 20;
/// The most tags of one event.
pub const MAX_TAGS: usize = 32;
/// The most bytes of metadata of one event, names and values together.
pub const MAX_METADATA_BYTES: usize = 8 << 10;
/// The most events in one append.
pub const MAX_APPEND_EVENTS: usize = 1_024;
/// The most bytes in one append, as [`NewEvent::size`] counts them.
pub const MAX_APPEND_BYTES: usize = 8 << 20;
/// The most items of a query.
pub const MAX_QUERY_ITEMS: usize = 64;
/// The most streams, tags and types of one item of a query, together.
pub const MAX_ITEM_NAMES: usize = 256;
/// The most events of one page; a larger limit is cut to it.
pub const MAX_PAGE_EVENTS: usize = 1_024;
/// The most streams of one page of a list; a larger limit is cut to it.
pub const MAX_PAGE_STREAMS: usize = 1_024;
/// A page ends with the event that takes its size over this.
pub const MAX_PAGE_BYTES: usize = 4 << 20;

/// After the last event there can be: where reading backward begins.
pub const END: Position = Position(u64::MAX);

/// A log. The module's documentation is the contract.
pub trait Log: Send + Sync + 'static {
    /// The identity of this log; it never changes.
    fn id(&self) -> LogId;

    /// The last position that is durable and visible; [`Position::START`] for an empty log.
    fn head(&self) -> Position;

    /// The head, and a wake-up for each time it moves. The channel closes when the log does.
    fn heads(&self) -> watch::Receiver<Position>;

    /// The scavenge mark: the lowest position that is still served for users' streams; 1 at first.
    fn first(&self) -> Position;

    /// Appends events atomically, if the condition holds. Waits while the bounded commit queue is full.
    ///
    /// # Errors
    /// [`AppendError`]; [`AppendError::changed`] says whether anything changed.
    fn append(
        &self,
        events: Vec<NewEvent>,
        condition: Option<Condition>,
    ) -> BoxFuture<'_, Result<Appended, AppendError>>;

    /// Reads a page of the events that match: strictly after `from` going forward, strictly before `from`
    /// going backward (from [`END`] for the newest). At most `limit` events, [`MAX_PAGE_EVENTS`] and about
    /// [`MAX_PAGE_BYTES`], so a page may be short without being the last: see [`Page::at_end`].
    ///
    /// # Errors
    /// [`ReadError`]. Reading changes nothing.
    fn read(
        &self,
        query: Query,
        from: Position,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, ReadError>>;

    /// Lists streams, at most `limit` and [`MAX_PAGE_STREAMS`]. A page may be short without being the last: see
    /// [`StreamPage::next`].
    ///
    /// # Errors
    /// [`ReadError`]. Listing changes nothing.
    fn streams(&self, query: StreamsQuery, limit: usize) -> BoxFuture<'_, Result<StreamPage, ReadError>>;

    /// Moves the scavenge mark to `first`, which must not lie beyond `head() + 1`, then gives back the
    /// space of users' events before it. A mark at or below the present one changes nothing.
    ///
    /// # Errors
    /// [`TruncateError`]; the mark may have moved, moving it again is harmless.
    fn truncate_before(&self, first: Position) -> BoxFuture<'_, Result<(), TruncateError>>;

    /// Keeps a snapshot in place of the former one of the same key.
    ///
    /// # Errors
    /// [`SnapshotError`]; the former one is then still there, or none is.
    fn put_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<(), SnapshotError>>;

    /// The last snapshot kept under a key, if it has this schema, is whole, and is of this log.
    ///
    /// # Errors
    /// [`SnapshotError`] when storage fails; a damaged snapshot is none.
    fn snapshot(
        &self,
        key: SnapshotKey,
        schema: SchemaHash,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, SnapshotError>>;

    /// The damage that was found while nobody asked for what is there, if the engine looks for it.
    fn known_damage(&self) -> Vec<Damage> {
        Vec::new()
    }
}

impl dyn Log {
    /// Delivers every event that matches, strictly after `from`, and goes on as more are appended.
    pub fn subscribe(self: &Arc<Self>, query: Query, from: Position) -> Subscription {
        Subscription::new(Arc::clone(self), query, from)
    }

    /// Deletes a stream, if nothing was appended to it after a position; whatever it holds, without one. A stream
    /// without events may be deleted, too.
    ///
    /// # Errors
    /// [`AppendError`].
    pub async fn delete_stream(
        &self,
        namespace: Namespace,
        stream: StreamName,
        unchanged_since: Option<Position>,
    ) -> Result<Appended, AppendError> {
        let unchanged = unchanged_since
            .map(|after| Condition::stream_unchanged(namespace.clone(), stream.clone(), after));
        self.append(vec![NewEvent::deletion(namespace, stream)], unchanged).await
    }
}

/// What an append did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The position of each event, in the order given.
    pub positions: Vec<Position>,
    /// Whether these events were in the log before; then this append changed nothing.
    pub duplicate: bool,
}

impl Appended {
    /// The position of the last event.
    pub fn last(&self) -> Position {
        self.positions.last().copied().unwrap_or(Position::START)
    }

    /// What an append of `count` events from `first` on did.
    pub fn run(first: Position, count: usize, duplicate: bool) -> Self {
        Self { positions: (first.0..).take(count).map(Position).collect(), duplicate }
    }
}

/// What a read found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The matching events, in the direction of the read.
    pub events: Vec<Event>,
    /// How far the read looked: pass it as `from` to read on.
    pub next: Position,
    /// Whether the read looked at everything there was: up to the head, or down to the first event. A page
    /// that is full may be the last and say no.
    pub at_end: bool,
}
