//! The log in a PostgreSQL database, for any number of servers at once.
//!
//! Life cycle: [`PostgresLog::open`] makes or checks the tables (schema `tenon` of the database that the URL names),
//! and starts a committer, which drains a commit queue, and a follower, which learns what other servers append. Clones
//! share the log. [`PostgresLog::close`], or dropping the last clone, finishes what is queued and ends both.
//!
//! **Order.** Positions are given under a lock on one row, held until the commit: no sequence, no transaction ids. So
//! positions become visible in their order, and a reader that has seen one will never find another before it, however
//! long a commit takes.
//!
//! **Failure.** A database that cannot be reached is tried again for as long as the patience lasts; then appends and
//! reads are `Unavailable`, or `Unknown` for an append whose commit may have been made. A database that lost what it
//! had acknowledged, or that holds another log, closes the log.
//!
//! Stronger than the contract: ids are remembered for good, until their events are scavenged.
//!
//! Left out on purpose: connection poolers that hand a connection from one transaction to the next (their sessions
//! keep neither settings nor `LISTEN`), and reading from standbys, which may be behind.

mod committer;
mod connect;
mod deleted;
mod failure;
mod follow;
mod leases;
pub mod migrate;
mod read;
mod retain;
mod rows;
mod scavenge;
mod schema;
mod seen;
mod snapshots;
mod sql;
mod streams;
mod write;

pub use connect::{Cause, ConnectError};

use committer::Committer;
use connect::Target;
use deleted::Sweeper;
use failure::Failure;
use follow::Follower;
use read::NotRead;
use retain::Retainer;
use seen::Seen;
use sql::Walk;
use sqlx::Row;
use sqlx::postgres::PgPool;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tenon_core::{LogId, Position};
use tenon_store::log::{MAX_APPEND_BYTES, MAX_PAGE_EVENTS, MAX_PAGE_STREAMS};
use tenon_store::queue::{Queue, Request};
use tenon_store::{
    AppendError, Appended, BoxFuture, Clock, Condition, Direction, Log, NewEvent, Page, Query, ReadError,
    SchemaHash, Snapshot, SnapshotError, SnapshotKey, StreamPage, StreamsQuery, TruncateError, admission,
    new_log_id, system_clock,
};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Why operations are refused after [`PostgresLog::close`].
const SHUT_DOWN: &str = "it was shut down";
/// The most events of one transaction.
const MAX_GROUP_EVENTS: usize = 4_096;
/// How long to wait before a read that failed is repeated.
const PAUSE: Duration = Duration::from_millis(50);

/// How a log in PostgreSQL behaves.
#[derive(Clone)]
pub struct PostgresOptions {
    /// The id of the log if it has to be made; a new one if none.
    pub id: Option<LogId>,
    /// How many bytes each of the two lines of the commit queue holds; at least one append of the largest size.
    pub queue_bytes: usize,
    /// How many connections reads may use at once. One more listens, and one more appends.
    pub connections: u32,
    /// For how long an operation is tried again while the database cannot be reached.
    pub patience: Duration,
    /// How often the database is asked what others appended, besides being told.
    pub poll: Duration,
    /// Users' events are kept at least so long after they were appended; for good if none.
    pub keep_for: Option<Duration>,
    /// The clock.
    pub clock: Clock,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            id: None,
            queue_bytes: 32 << 20,
            connections: 8,
            patience: Duration::from_secs(5),
            poll: Duration::from_secs(1),
            keep_for: None,
            clock: system_clock(),
        }
    }
}

/// A log in PostgreSQL. Clones share it.
#[derive(Clone)]
pub struct PostgresLog {
    inner: Arc<Inner>,
}

struct Inner {
    target: Target,
    pool: PgPool,
    seen: Arc<Seen>,
    queue: Arc<Queue>,
    patience: Duration,
    follower: Mutex<Option<Follower>>,
    committer: Mutex<Option<JoinHandle<()>>>,
    sweeper: Mutex<Option<Sweeper>>,
    retainer: Mutex<Option<Retainer>>,
}

impl PostgresLog {
    /// Opens the log at a URL, `postgres://user:password@host:port/database`, and makes it if there is none. What
    /// the URL leaves out comes from the environment (`PGPASSWORD` …) and `~/.pgpass`. TLS as `sslmode` says.
    ///
    /// # Errors
    /// [`ConnectError`]. No error shows the password.
    pub async fn open(url: &str, options: PostgresOptions) -> Result<Self, ConnectError> {
        let target = Target::parse(url)?.patient(options.patience);
        let unreachable = |failure| ConnectError::unreachable(&target, failure);
        let mut connection = target.connect().await.map_err(unreachable)?;
        let log = schema::prepare(&mut connection, options.id.unwrap_or_else(new_log_id)).await?;
        let row = sqlx::query(
            "SELECT log, last, time_micros, first, current_setting('fsync') AS fsync FROM tenon.log_head WHERE one",
        )
        .fetch_one(&mut connection)
        .await
        .map_err(ConnectError::schema)?;
        let head = schema::Head::from_row(&row).map_err(ConnectError::schema)?;
        if row.try_get::<&str, _>("fsync").map_err(ConnectError::schema)? != "on" {
            tracing::warn!("PostgreSQL runs with fsync = off: what it acknowledges may be lost");
        }
        tracing::info!(%log, head = head.last, "the log in {target} is open");
        let pool = target.pool(options.connections.max(1) + 1, options.patience);
        let seen = Arc::new(Seen::new(head));
        let queue = Arc::new(Queue::new(options.queue_bytes.max(2 * MAX_APPEND_BYTES), MAX_GROUP_EVENTS));
        let follower = Follower::start(&pool, &seen, options.poll);
        let deleted = Arc::new(Notify::new());
        let clock = Arc::clone(&options.clock);
        let retainer =
            options.keep_for.map(|age| Retainer::start(pool.clone(), Arc::clone(&seen), age, clock));
        let retainer = Mutex::new(retainer);
        let committer = Committer {
            target: target.clone(),
            queue: Arc::clone(&queue),
            seen: Arc::clone(&seen),
            clock: options.clock,
            deleted: Arc::clone(&deleted),
            patience: options.patience,
            connection: Some(connection),
        };
        let committer = Mutex::new(Some(tokio::spawn(committer.run())));
        let (follower, patience) = (Mutex::new(Some(follower)), options.patience);
        let sweeper = Mutex::new(Some(Sweeper::start(pool.clone(), deleted)));
        let inner = Inner { target, pool, seen, queue, patience, follower, committer, sweeper, retainer };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The log as the port.
    pub fn into_log(self) -> Arc<dyn Log> {
        Arc::new(self)
    }

    /// Finishes what is queued and closes the log: appends and reads fail from now on, subscriptions end.
    pub async fn close(&self) {
        let inner = &self.inner;
        inner.queue.close();
        let committer = inner.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(committer) = committer
            && let Err(error) = committer.await
        {
            tracing::error!(%error, "the committer of the log failed");
        }
        inner.seen.close(SHUT_DOWN);
        drop(inner.retainer.lock().unwrap_or_else(PoisonError::into_inner).take());
        drop(inner.sweeper.lock().unwrap_or_else(PoisonError::into_inner).take());
        drop(inner.follower.lock().unwrap_or_else(PoisonError::into_inner).take());
        inner.pool.close().await;
    }

    async fn read_page(&self, walk: Walk<'_>) -> Result<Page, ReadError> {
        let seen = &self.inner.seen;
        let mut patience = self.patience();
        loop {
            match read::page(&self.inner.pool, &walk).await {
                Ok(found) => {
                    seen.note(found.last, found.first);
                    return Ok(found.page);
                }
                Err(_) if seen.closed().is_some() => return Err(ReadError::Closed),
                Err(NotRead::Refused(error)) => return Err(error),
                Err(NotRead::Database(error)) => patience.after(error).await?,
            }
        }
    }

    fn patience(&self) -> Patience {
        Patience { ends: Instant::now() + self.inner.patience }
    }
}

/// For how much longer something that failed is tried again.
struct Patience {
    ends: Instant,
}

impl Patience {
    /// Waits a little after a failure that may pass.
    async fn after(&mut self, error: sqlx::Error) -> Result<(), Failure> {
        let failure = Failure::from(error);
        if !failure.is_passing() || Instant::now() + PAUSE > self.ends {
            return Err(failure);
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Nobody waits for answers any more: what is queued belongs to futures that were dropped.
        self.queue.close();
        self.seen.close(SHUT_DOWN);
    }
}

impl fmt::Debug for PostgresLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.inner;
        f.debug_struct("PostgresLog")
            .field("target", &inner.target)
            .field("id", &inner.seen.log())
            .field("head", &inner.seen.last())
            .finish_non_exhaustive()
    }
}

impl Log for PostgresLog {
    fn id(&self) -> LogId {
        self.inner.seen.log()
    }

    fn head(&self) -> Position {
        self.inner.seen.last()
    }

    fn heads(&self) -> watch::Receiver<Position> {
        self.inner.seen.heads()
    }

    fn first(&self) -> Position {
        self.inner.seen.first()
    }

    fn append(
        &self,
        events: Vec<NewEvent>,
        condition: Option<Condition>,
    ) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async move {
            admission::validate(&events, condition.as_ref())?;
            if let Some(reason) = self.inner.seen.closed() {
                return Err(AppendError::Closed(reason));
            }
            self.inner.queue.append(Request { events, condition }).await
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
            query.validate()?;
            if self.inner.seen.closed().is_some() {
                return Err(ReadError::Closed);
            }
            let limit = limit.clamp(1, MAX_PAGE_EVENTS);
            self.read_page(Walk { query: &query, from, direction, limit, skip_deletions: false }).await
        })
    }

    fn streams(&self, query: StreamsQuery, limit: usize) -> BoxFuture<'_, Result<StreamPage, ReadError>> {
        Box::pin(async move {
            let limit = limit.clamp(1, MAX_PAGE_STREAMS);
            let mut patience = self.patience();
            loop {
                match streams::page(&self.inner.pool, &query, limit).await {
                    Ok(page) => return Ok(page),
                    Err(_) if self.inner.seen.closed().is_some() => return Err(ReadError::Closed),
                    Err(NotRead::Refused(error)) => return Err(error),
                    Err(NotRead::Database(error)) => patience.after(error).await?,
                }
            }
        })
    }

    fn truncate_before(&self, first: Position) -> BoxFuture<'_, Result<(), TruncateError>> {
        Box::pin(async move {
            if let Some(reason) = self.inner.seen.closed() {
                return Err(AppendError::Closed(reason).into());
            }
            scavenge::truncate_before(&self.inner.pool, &self.inner.seen, first).await
        })
    }

    fn put_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<(), SnapshotError>> {
        Box::pin(async move {
            snapshot.validate()?;
            if self.inner.seen.closed().is_some() {
                return Err(SnapshotError::Closed);
            }
            let mut patience = self.patience();
            while let Err(error) = snapshots::put(&self.inner.pool, &snapshot).await {
                patience.after(error).await?;
            }
            Ok(())
        })
    }

    fn snapshot(
        &self,
        key: SnapshotKey,
        schema: SchemaHash,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, SnapshotError>> {
        Box::pin(async move {
            if self.inner.seen.closed().is_some() {
                return Err(SnapshotError::Closed);
            }
            let mut patience = self.patience();
            loop {
                match snapshots::get(&self.inner.pool, key.clone(), schema).await {
                    Ok(snapshot) => return Ok(snapshot),
                    Err(error) => patience.after(error).await?,
                }
            }
        })
    }
}

#[cfg(test)]
mod contract;
#[cfg(test)]
mod tests;
