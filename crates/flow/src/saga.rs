//! Sagas, driven: the machine of `core::saga` on the log.
//!
//! Life cycle: [`Sagas::start`] reads what sagas there are and takes up those that run; each is a task of its own, which
//! appends what the machine answers to the saga's stream, and only then makes the calls. [`Sagas::begin`] starts one,
//! [`Sagas::tell`] says what happened from outside. [`Sagas::stop`] lets go of all of them, in whatever state: whoever
//! starts next goes on from there.
//!
//! A saga is a stream of the log and nothing else, so one that has ended takes no memory. Every append is on condition that
//! nothing came to the stream since: so of two servers that both believe to own a saga one is refused, and makes no call.
//! Where several servers share a log, leases divide the sagas among them; any of them starts and changes sagas, and the owner
//! hears of it from the log.
//!
//! Bounded: [`MAX_RUNNING`] sagas and [`MAX_CALLS`] calls at once, [`MAX_DATA`] for what one is given and for each output.
//!
//! Left out on purpose: the rules (`core::saga`), how services are reached ([`participants`]), and who may do what
//! (whoever serves it).

mod children;
mod definitions;
mod expressions;
mod given;
mod hands;
mod journal;
mod later;
mod leases;
mod list;
mod messages;
mod meters;
mod names;
mod notes;
mod open;
mod owner;
pub mod participants;
mod places;
mod runner;
pub(crate) mod served;
mod shared;
pub(crate) mod spans;
mod told;
mod turns;

pub use definitions::MAX_DEFINITIONS;
pub use journal::Entry;
pub use list::{Filter, Page};
pub use spans::Endings;

use crate::EventStore;
use definitions::{Definitions, Known};
use expressions::Scope;
use hands::Hands;
use journal::Loaded;
use later::Later;
use meters::Meters;
use owner::Shards;
use participants::Participants;
use places::Places;
use runner::Ask;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tenon_api::otlp::TracesData;
use tenon_api::saga::Beginning;
use tenon_core::manifest::Ratio;
use tenon_core::saga::{
    Data, Definition, End, Illegal, Input, Instance, Operator, Saga, SagaName, Status, StepIx, Version,
};
use tenon_core::{Actor, Code, Namespace, Position, Refusal, SagaId, ServerId};
use tenon_store::{Clock, Leases};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use turns::Turns;

/// The most sagas that run at once; on each server.
pub const MAX_RUNNING: usize = 100_000;
/// The most calls of services at once, and half of them of one service; on each server. Others wait: after a crash, every saga that
/// runs calls again.
pub const MAX_CALLS: usize = 1_024;
/// The most bytes of what a saga is given, and of each output.
pub const MAX_DATA: usize = 256 << 10;
/// The most bytes that are kept of what a service says when it refuses or fails.
pub const MAX_PROBLEM: usize = 4 << 10;
/// The most bytes of what a signal brings.
pub const MAX_SIGNAL: usize = 64 << 10;
/// The most bytes of a key.
pub const MAX_KEY: usize = 256;

/// How a saga is that has not ended.
const OPEN: [Status; 6] = [
    Status::Started,
    Status::StepExecuting,
    Status::StepCompleted,
    Status::StepFailed,
    Status::Compensating,
    Status::Parked,
];
/// How many sagas are named that run on another version than a new one.
const MOST_FORMER: usize = 1_000;

/// How often something is decided anew because somebody else was faster.
const MOST_ATTEMPTS: usize = 16;
/// Requests that wait for a saga; who has another one waits.
const INBOX: usize = 64;
/// How often a saga at another server is looked at by somebody who waits for its end.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long sagas may take to let go.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// How sagas are driven.
#[derive(Clone)]
pub struct SagaOptions {
    /// Leases among servers on the same log, where there may be others.
    pub leases: Option<Arc<dyn Leases>>,
    /// This server.
    pub server: ServerId,
    /// By what sagas know how late it is. It must go as fast as timers do.
    pub clock: Clock,
}

/// What refuses a definition that cannot be what is meant.
pub type Check = fn(&Definition) -> Result<(), Refusal>;

/// Whether a saga will be defined soon.
pub type Expected = Box<dyn Fn(&Namespace, &SagaName) -> bool + Send + Sync>;

/// Sagas on an event store. Clones share them.
#[derive(Clone)]
pub struct Sagas {
    shared: Arc<Shared>,
}

struct Shared {
    store: EventStore,
    definitions: Definitions,
    participants: Arc<dyn Participants>,
    server: ServerId,
    clock: Clock,
    running: Mutex<HashMap<SagaId, Handle>>,
    turns: Mutex<Turns>,
    shards: Shards,
    hands: Hands,
    later: Later,
    /// The most sagas that run at once.
    most: usize,
    room: Arc<Semaphore>,
    places: Places,
    meters: Meters,
    /// How many millionths of the traces that begin here are kept.
    sampling: AtomicU32,
    /// What else is asked of definitions that are not the manifest's.
    check: OnceLock<Check>,
    expected: OnceLock<Expected>,
    stop: CancellationToken,
}

/// A saga that runs, or is about to.
#[derive(Clone)]
struct Handle {
    of: Arc<Beginning>,
    asks: mpsc::Sender<Ask>,
    over: Over,
}

/// That a saga no longer runs here, and how it was then.
#[derive(Clone, Default)]
struct Over {
    /// Cancelled as soon as that is so.
    gone: CancellationToken,
    /// How it ended, if it has: whoever waits for it need not read it from the log.
    ended: Arc<OnceLock<View>>,
}

/// How a saga begins.
#[derive(Debug, Clone)]
pub struct Begin {
    /// The namespace.
    pub namespace: Namespace,
    /// Which saga.
    pub name: SagaName,
    /// What it is given.
    pub input: Value,
    /// By which starting it again is recognised.
    pub key: Option<String>,
    /// The trace that it is part of, if it is part of one.
    pub trace: Option<u128>,
    /// Whether whoever began that trace keeps it.
    pub kept: Option<bool>,
    /// Who starts it.
    pub actor: Option<Actor>,
}

/// What came of starting a saga.
#[derive(Debug, Clone)]
pub struct Begun {
    /// The saga.
    pub view: View,
    /// Whether one with the key had been started before; then this is it.
    pub existed: bool,
}

/// A saga that runs or has run.
#[derive(Debug, Clone)]
pub struct View {
    /// Its id.
    pub id: SagaId,
    /// What began.
    pub beginning: Arc<Beginning>,
    /// Its definition: the version that it began with.
    pub saga: Saga,
    /// How it is.
    pub instance: Instance,
    /// What it answers with, once it has completed.
    pub output: Option<Value>,
    /// What was said when a step failed, the last time that it did.
    pub problems: BTreeMap<StepIx, Data>,
    /// Where it began.
    pub began: Position,
    /// Where its last event is.
    pub position: Position,
    /// Why this server, whose it is, has not taken it up; none if it has, or if it is another's.
    pub put_off: Option<String>,
}

/// A saga that can be started.
#[derive(Debug, Clone)]
pub struct Defined {
    /// What it is.
    pub definition: Definition,
    /// Its version.
    pub version: Version,
    /// Whether it is the manifest's.
    pub declared: bool,
}

/// What came of defining a saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redefined {
    /// The version.
    pub version: Version,
    /// Whether anything is other than before.
    pub changed: bool,
    /// If so: those that run on other versions, on whichever server, and stay with them.
    pub former: Vec<Former>,
    /// Whether there may be more of them, as where they could not be looked for.
    pub more: bool,
}

/// A saga that runs on a version that new ones no longer begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Former {
    /// Its id.
    pub id: SagaId,
    /// Its version.
    pub version: Version,
    /// How it is.
    pub status: Status,
}

fn former(view: &View, than: Option<Version>) -> Option<Former> {
    let (id, version, status) = (view.id, view.instance.version(), view.instance.status());
    (Some(version) != than).then_some(Former { id, version, status })
}

impl Sagas {
    /// Reads what sagas there are, and takes up those that run.
    ///
    /// # Errors
    /// The log cannot be read, or what sagas there are was written by a later version.
    pub async fn start(
        store: &EventStore,
        participants: Arc<dyn Participants>,
        options: SagaOptions,
    ) -> Result<Self, Refusal> {
        Self::start_most(store, participants, options, MAX_RUNNING).await
    }

    /// The same, of which so many run at once.
    async fn start_most(
        store: &EventStore,
        participants: Arc<dyn Participants>,
        options: SagaOptions,
        most: usize,
    ) -> Result<Self, Refusal> {
        let stop = CancellationToken::new();
        let definitions = Definitions::start(store.clone(), stop.clone()).await?;
        let shared = Arc::new(Shared {
            store: store.clone(),
            definitions,
            participants,
            server: options.server,
            clock: options.clock,
            running: Mutex::default(),
            turns: Mutex::default(),
            shards: Shards::default(),
            hands: Hands::default(),
            later: Later::default(),
            most,
            room: Arc::new(Semaphore::new(most)),
            places: Places::default(),
            meters: Meters::default(),
            sampling: AtomicU32::new(Ratio::ALL.millionths()),
            check: OnceLock::new(),
            expected: OnceLock::new(),
            stop,
        });
        owner::start(&shared, options.leases).await?;
        Ok(Self { shared })
    }

    /// Lets go of all sagas, in whatever state they are.
    pub async fn stop(&self) {
        _ = tokio::time::timeout(STOP_WITHIN, notes::all(&self.shared)).await;
        self.shared.stop.cancel();
        let all = u32::try_from(self.shared.most).unwrap_or(u32::MAX);
        // What does not let go in time is cut off.
        _ = tokio::time::timeout(STOP_WITHIN, self.shared.room.acquire_many(all)).await;
    }

    /// Has definitions that are not the manifest's, which was checked as a whole, checked from now on.
    pub fn check_definitions(&self, check: Check) {
        // Whoever comes second has the same.
        _ = self.shared.check.set(check);
    }

    /// Has those who start a saga that is expected wait for its definition, some seconds at most: a manifest has been applied before what
    /// it has is made.
    pub fn expect(&self, expected: Expected) {
        // Whoever comes second expects the same.
        _ = self.shared.expected.set(expected);
    }

    /// Makes a saga, or changes how those that begin from now on are.
    ///
    /// # Errors
    /// `saga.invalid`, or what the log says.
    pub async fn define(
        &self,
        definition: Definition,
        declared: bool,
        actor: Option<Actor>,
    ) -> Result<Redefined, Refusal> {
        if let Some(check) = self.shared.check.get().filter(|_| !declared) {
            check(&definition)?;
        }
        let (namespace, name) = (definition.namespace.clone(), definition.name.clone());
        let (version, changed) = self.shared.definitions.define(definition, declared, actor).await?;
        let (former, more) = match changed {
            true => self.former(&namespace, &name, Some(version)).await.unwrap_or_else(|refusal| {
                tracing::warn!(%refusal, %namespace, saga = %name, "a saga was changed; which run on a former version is not known");
                (Vec::new(), true)
            }),
            false => (Vec::new(), false),
        };
        Ok(Redefined { version, changed, former, more })
    }

    /// The sagas of a name that run on another version than that with which new ones begin, on whichever server, the last to have
    /// begun first; and whether there may be more of them. Without a version: all that run.
    ///
    /// # Errors
    /// What the log says.
    pub async fn former(
        &self,
        namespace: &Namespace,
        name: &SagaName,
        than: Option<Version>,
    ) -> Result<(Vec<Former>, bool), Refusal> {
        list::running_of(&self.shared, namespace, name, MOST_FORMER, |view| former(view, than)).await
    }

    /// Lets no more sagas of a name begin. Those that run go on.
    ///
    /// # Errors
    /// `saga.unknown`, or what the log says.
    pub async fn retire(
        &self,
        namespace: &Namespace,
        name: &SagaName,
        actor: Option<Actor>,
    ) -> Result<(), Refusal> {
        self.shared.definitions.retire(namespace, name, actor).await
    }

    /// What can be started, by namespace and name.
    pub fn definitions(&self) -> Vec<Defined> {
        let defined = |known: Arc<Known>| Defined {
            definition: known.saga.definition().clone(),
            version: known.version,
            declared: known.declared,
        };
        self.shared.definitions.list().into_iter().map(defined).collect()
    }

    /// Starts a saga; or finds the one that was started with the same key.
    ///
    /// # Errors
    /// `saga.unknown`, `request.invalid`, `server.overloaded`, or what the log says.
    pub async fn begin(&self, begin: Begin) -> Result<Begun, Refusal> {
        self.shared.begin(begin, None).await
    }

    /// How a saga is.
    ///
    /// # Errors
    /// `saga.unknown`, or what the log says.
    pub async fn view(&self, id: SagaId) -> Result<View, Refusal> {
        self.shared.view(id).await
    }

    /// How a saga is, as soon as it has ended, or after so long.
    ///
    /// # Errors
    /// As [`Sagas::view`].
    pub async fn wait(&self, id: SagaId, within: Duration) -> Result<View, Refusal> {
        self.shared.wait(id, within).await
    }

    /// Everything that happened to a saga.
    ///
    /// # Errors
    /// As [`Sagas::view`].
    pub async fn history(&self, id: SagaId) -> Result<Vec<Entry>, Refusal> {
        let (beginning, entries) = journal::history(self.shared.store.log(), id).await?;
        if beginning.is_none() || entries.is_empty() { Err(no_such(id)) } else { Ok(entries) }
    }

    /// Says what happened to a saga from outside: a signal, a cancellation, somebody's decision.
    ///
    /// # Errors
    /// `saga.unknown`, `saga.illegal` if it does not fit how the saga is, `request.invalid` if what a step is to be sent cannot be or what it
    /// answered is too long, or what the log says.
    pub async fn tell(&self, id: SagaId, input: Input, actor: Option<Actor>) -> Result<View, Refusal> {
        match &input {
            Input::Operator(Operator::Edit(step, data)) => self.shared.can_send(id, *step, data).await?,
            Input::Operator(Operator::MarkDone(_, Some(data))) => given::bounded(data)?,
            _ => {}
        }
        self.shared.tell(id, input, actor).await
    }

    /// Sagas, the last to have begun first.
    ///
    /// # Errors
    /// What the log says.
    pub async fn list(&self, filter: Filter) -> Result<Page, Refusal> {
        list::list(&self.shared, filter).await
    }

    /// How many sagas run here.
    pub fn running(&self) -> usize {
        self.shared.running().len()
    }

    /// The sagas of a trace as spans: those that it began with, those that were started within it, and those that are steps
    /// of them.
    pub(crate) async fn spans_of_trace(&self, trace: u128) -> Result<Vec<spans::OfSaga>, Refusal> {
        spans::of_trace(&self.shared, trace).await
    }

    /// A saga as spans.
    ///
    /// # Errors
    /// What the log says.
    pub async fn spans(&self, id: SagaId) -> Result<TracesData, Refusal> {
        let found = spans::of_saga(&self.shared, id).await?;
        Ok(spans::recorded(found.into_iter().flat_map(|it| it.spans).collect()))
    }

    /// The same, if they are to be exported: the trace is kept, or something failed.
    ///
    /// # Errors
    /// What the log says.
    pub async fn spans_to_export(&self, id: SagaId) -> Result<TracesData, Refusal> {
        let found = spans::of_saga(&self.shared, id).await?;
        let wanted = found.into_iter().filter(|it| it.kept || it.has_failed());
        Ok(spans::recorded(wanted.flat_map(|it| it.spans).collect()))
    }

    /// Keeps such a share of the traces that begin here; all, unless it is stated.
    pub fn sample(&self, ratio: Ratio) {
        self.shared.sampling.store(ratio.millionths(), Ordering::Relaxed);
    }

    /// The sagas that end at this server from now on.
    pub fn endings(&self) -> Endings {
        Endings::new(&self.shared)
    }

    /// What sagas count here and how long they take, by their names, as Prometheus has it.
    pub fn metrics(&self) -> String {
        let (in_flight, waiting) = (self.shared.places.in_flight(), self.shared.places.waiting());
        let put_off = self.shared.later.len();
        self.shared.meters.shown(&self.shared.shards.own(), in_flight, waiting, put_off)
    }

    pub(crate) fn store(&self) -> &EventStore {
        &self.shared.store
    }
}

impl View {
    fn of(id: SagaId, known: &Known, at: &Loaded) -> Self {
        let key = at.beginning.key.as_deref();
        let scope = Scope { id, key, saga: &known.saga, instance: &at.instance, problem: None };
        let completed = at.instance.ended() == Some(End::Completed);
        // An output that cannot be made is none: the saga is done all the same.
        let output = completed.then(|| known.expressions.output(&scope).ok().flatten()).flatten();
        Self {
            id,
            beginning: Arc::clone(&at.beginning),
            saga: known.saga.clone(),
            instance: at.instance.clone(),
            output,
            problems: at.problems.clone(),
            began: at.first,
            position: at.last,
            put_off: None,
        }
    }
}

impl fmt::Debug for Sagas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sagas").field("running", &self.running()).finish_non_exhaustive()
    }
}

fn no_such(id: SagaId) -> Refusal {
    Refusal::new(Code::SagaUnknown, format!("there is no saga {id}"))
}

fn illegal(illegal: &Illegal) -> Refusal {
    Refusal::new(Code::SagaIllegal, illegal.to_string())
}

fn invalid(detail: String) -> Refusal {
    Refusal::new(Code::RequestInvalid, detail)
}

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;
