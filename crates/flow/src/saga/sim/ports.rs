//! What a server sees of the world: a log, leases and services, each of which may fail, and none of which it reaches after its death.

use super::super::participants::{Called, Participants, Request};
use super::world::Life;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tenon_core::saga::Outcome;
use tenon_core::{LogId, Position, ServerId};
use tenon_store::log::{BoxFuture, StreamPage, StreamsQuery};
use tenon_store::{
    AppendError, Appended, Condition, Direction, Held, LeaseError, Leases, Log, NewEvent, Page, Query,
    ReadError, SchemaHash, Snapshot, SnapshotError, SnapshotKey, TruncateError,
};
use tokio::sync::{oneshot, watch};

/// The log, as a server reaches it.
pub(super) struct Reached(pub(super) Arc<Life>);

/// Leases, as a server asks for them.
pub(super) struct Asked(pub(super) Arc<Life>);

/// Services, as a server calls them.
pub(super) struct Services(pub(super) Arc<Life>);

/// What becomes of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Appended,
    Full,
    LostBefore,
    LostAfter,
    CrashBefore,
    /// The server crashes, and the append is on its way still.
    CrashMeanwhile,
    CrashAfter,
}

impl Reached {
    fn fate(&self) -> Fate {
        let world = &self.0.world;
        if world.crashes(8) {
            return match world.rng(|rng| rng.u8(..3)) {
                0 => Fate::CrashBefore,
                // A log in the server's own process dies with it.
                1 if world.shared => Fate::CrashMeanwhile,
                _ => Fate::CrashAfter,
            };
        }
        match () {
            () if world.fails(15) => Fate::LostBefore,
            () if world.fails(15) => Fate::LostAfter,
            () if world.fails(5) => Fate::Full,
            () => Fate::Appended,
        }
    }

    async fn append(
        &self,
        events: Vec<NewEvent>,
        condition: Option<Condition>,
    ) -> Result<Appended, AppendError> {
        let Self(life) = self;
        let world = &life.world;
        life.gate().await;
        let fate = self.fate();
        let of =
            events.first().map(|event| format!("{} {}", event.stream, event.event_type)).unwrap_or_default();
        if fate == Fate::CrashMeanwhile {
            let world = Arc::clone(world);
            tokio::spawn(async move {
                world.takes_time(200).await;
                let appended = world.append(events, condition).await;
                world.note("appended by the dead", &format_args!("{of}: {}", appended.is_ok()));
            });
            life.crash().await;
            return Err(AppendError::Closed("the server is dead"));
        }
        match fate {
            Fate::CrashBefore => life.crash().await,
            Fate::LostBefore => {
                world.note("append lost", &of);
                return Err(AppendError::Unknown("it was lost"));
            }
            Fate::Full => {
                world.note("log full", &of);
                return Err(AppendError::Full);
            }
            _ => {}
        }
        let appended = self.hand_over(events, condition, of).await;
        let appended = appended.unwrap_or(Err(AppendError::Closed("the server is dead")));
        if fate == Fate::CrashAfter {
            life.crash().await;
        }
        world.takes_time(5).await;
        life.gate().await;
        if fate == Fate::LostAfter {
            world.note("append unanswered", &life.number);
            return Err(AppendError::Unknown("its answer was lost"));
        }
        appended
    }

    /// What was handed over arrives, whether or not somebody waits for the answer.
    fn hand_over(
        &self,
        events: Vec<NewEvent>,
        condition: Option<Condition>,
        of: String,
    ) -> oneshot::Receiver<Result<Appended, AppendError>> {
        let (reply, answer) = oneshot::channel();
        let life = Arc::clone(&self.0);
        tokio::spawn(async move {
            life.world.takes_time(5).await;
            life.gate().await;
            let appended = life.world.append(events, condition).await;
            let what = if appended.is_ok() { "appended" } else { "refused" };
            life.world.note(what, &format_args!("by {}: {of}", life.number));
            _ = reply.send(appended);
        });
        answer
    }

    async fn passes(&self) {
        self.0.gate().await;
        self.0.world.takes_time(2).await;
        self.0.gate().await;
    }
}

impl Log for Reached {
    fn id(&self) -> LogId {
        self.0.world.log.id()
    }

    fn head(&self) -> Position {
        self.0.world.log.head()
    }

    fn heads(&self) -> watch::Receiver<Position> {
        self.0.world.heads()
    }

    fn first(&self) -> Position {
        self.0.world.log.first()
    }

    fn append(
        &self,
        events: Vec<NewEvent>,
        condition: Option<Condition>,
    ) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(Self::append(self, events, condition))
    }

    fn read(
        &self,
        query: Query,
        from: Position,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(async move {
            self.passes().await;
            if self.0.world.fails(3) {
                self.0.world.note("read failed", &self.0.number);
                return Err(ReadError::Io(Arc::new(io::Error::other("it could not be read"))));
            }
            let page = self.0.world.log.read(query, from, direction, limit).await;
            self.0.gate().await;
            page
        })
    }

    fn streams(&self, query: StreamsQuery, limit: usize) -> BoxFuture<'_, Result<StreamPage, ReadError>> {
        self.0.world.log.streams(query, limit)
    }

    fn truncate_before(&self, first: Position) -> BoxFuture<'_, Result<(), TruncateError>> {
        self.0.world.log.truncate_before(first)
    }

    fn put_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<(), SnapshotError>> {
        Box::pin(async move {
            self.passes().await;
            self.0.world.log.put_snapshot(snapshot).await
        })
    }

    fn snapshot(
        &self,
        key: SnapshotKey,
        schema: SchemaHash,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, SnapshotError>> {
        Box::pin(async move {
            self.passes().await;
            self.0.world.log.snapshot(key, schema).await
        })
    }
}

impl Asked {
    async fn reach(&self) -> Result<(), LeaseError> {
        let Self(life) = self;
        life.gate().await;
        life.world.takes_time(5).await;
        life.gate().await;
        if life.world.fails(10) {
            life.world.note("lease unasked", &life.number);
            return Err(LeaseError(Arc::new(io::Error::other("nobody knows"))));
        }
        Ok(())
    }
}

impl Leases for Asked {
    fn hold<'a>(
        &'a self,
        name: &'a str,
        holder: ServerId,
        span: Duration,
    ) -> BoxFuture<'a, Result<bool, LeaseError>> {
        Box::pin(async move {
            let Self(life) = self;
            if life.believes() {
                return Ok(true);
            }
            self.reach().await?;
            let held = life.world.leases.hold(name, holder, span).await;
            life.holds(name, matches!(held, Ok(true)));
            held
        })
    }

    fn held<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Held>, LeaseError>> {
        Box::pin(async move {
            let Self(life) = self;
            if life.believes() {
                return Ok(Vec::new());
            }
            self.reach().await?;
            life.world.leases.held(prefix).await
        })
    }

    fn release<'a>(&'a self, name: &'a str, holder: ServerId) -> BoxFuture<'a, Result<(), LeaseError>> {
        Box::pin(async move {
            self.0.gate().await;
            self.0.world.leases.release(name, holder).await
        })
    }
}

impl Participants for Services {
    fn call(&self, request: Request) -> BoxFuture<'_, Called> {
        Box::pin(async move {
            let Self(life) = self;
            let world = &life.world;
            life.gate().await;
            if world.crashes(4) {
                life.crash().await;
            }
            if world.fails(30) {
                world.takes_time(0).await;
                life.gate().await;
                world.note("call unsent", &request.key());
                return Err(Outcome::Unsent.into());
            }
            world.note("called", &format_args!("by {}: {}#{}", life.number, request.key(), request.attempt));
            let answer = world.send(&request).await;
            life.gate().await;
            if world.crashes(4) {
                life.crash().await;
            }
            match answer {
                Ok(Some(called)) => called,
                // Nobody answers.
                Ok(None) | Err(_) => std::future::pending().await,
            }
        })
    }
}
