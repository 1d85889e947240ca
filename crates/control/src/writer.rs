//! The one task that changes anything.
//!
//! It owns the platform's state and the right to append to the control streams: decide, append, fold, tell. An
//! append carries the condition that no control event came in after what has been folded; if another server's
//! did, that is folded and the decision made anew. Nothing is answered before the log has made it durable, and
//! nothing is folded but what was read back from the log, so a state is the same whether it was just made or
//! replayed.
//!
//! Life cycle: [`start`] replays the log in bounded pages; then [`Handle`]s read the state and ask for changes.
//! Readers see the state between two events, never within one. When the log is closed or fails, changes are
//! refused and reads go on.
//!
//! Watchers need no queue of their own: [`History`] keeps the last events, and whoever remembers the position it
//! has seen takes what came after, or learns that it must begin anew.
//!
//! Left out on purpose: what may be changed (`core::platform`), who may ask (`access`).

mod history;

pub(crate) use history::{History, Recorded};

use crate::clock::Clock;
use crate::error::chain;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tenon_api::events::{self, DecodeError};
use tenon_core::duty::{Duty, Epoch};
use tenon_core::health::Evidence;
use tenon_core::platform::{self, Command, Event, State};
use tenon_core::{Actor, Code, InstanceId, Position, Refusal, Revision, Stamp, Tag, Timestamp};
use tenon_core::{catalog, registry};
use tenon_store::{
    AppendError, Appended, Condition, Direction, Log, Metadata, NewEvent, Query, QueryItem, ReadError,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Changes that wait for their turn; further callers wait to hand theirs in.
const MOST_WAITING: usize = 256;

/// How often a change is decided anew because another server was faster.
const MOST_ATTEMPTS: usize = 16;

/// How often an append is repeated whose answer was lost.
const MOST_REPEATS: u32 = 5;

/// How long to wait before a read that failed is repeated.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Events that are read at once.
const PAGE: usize = 512;

/// Decides what a change is, given the state and the time. Called again when another server was faster.
type Decide = Box<dyn FnMut(&State, Timestamp) -> Result<Vec<Event>, Refusal> + Send>;

/// Why the state could not be folded from the log.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Read(#[from] ReadError),
    /// An event is not one that this version understands.
    #[error("the event at position {at} is not one that this version understands; use a newer Tenon")]
    Event {
        /// Where.
        at: Position,
        /// What is wrong with it.
        #[source]
        source: DecodeError,
    },
}

impl ReplayError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Read(error) => error.code(),
            Self::Event { .. } => Code::DataNewerVersion,
        }
    }
}

/// What readers see.
pub(crate) struct View {
    /// The state.
    pub(crate) state: State,
    /// The last events that led to it.
    pub(crate) history: History,
    /// What the status of each instance rests on, if it was ever decided.
    pub(crate) evidence: BTreeMap<InstanceId, Evidence>,
    /// Where the manifest was applied that is.
    pub(crate) applied_at: Position,
}

impl View {
    fn fold(&mut self, stamp: Stamp, event: Event, bytes: usize) {
        let changes = self.state.evolve(&stamp, &event);
        if matches!(event, Event::Catalog(catalog::Event::ManifestApplied(_))) {
            self.applied_at = stamp.position;
        }
        if let Event::Registry(event) = &event {
            self.keep_evidence(event);
        }
        let instance = concerned(&event).and_then(|id| self.state.registry.get(id)).cloned();
        self.history.push(Recorded { stamp, event, changes, instance }, bytes);
    }

    fn keep_evidence(&mut self, event: &registry::Event) {
        match event {
            registry::Event::InstanceHealthChanged { instance, evidence, .. } => {
                self.evidence.insert(instance.clone(), evidence.clone());
            }
            registry::Event::InstanceDeregistered { instance, .. } => {
                self.evidence.remove(instance);
            }
            _ => {}
        }
    }
}

/// The instance that watchers are told in full.
fn concerned(event: &Event) -> Option<&InstanceId> {
    match event {
        Event::Registry(registry::Event::InstanceRegistered(it)) => Some(&it.id),
        Event::Registry(registry::Event::InstanceUpdated { instance, .. }) => Some(instance),
        _ => None,
    }
}

/// What a change came to.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    /// The revision that holds the change.
    pub(crate) revision: Revision,
    /// What was recorded; empty if everything was so already.
    pub(crate) events: Vec<Event>,
}

/// Reads the state and asks for changes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Handle {
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
    /// Under which epoch of a duty changes are asked for, if they need one.
    under: Option<(Duty, Epoch)>,
}

struct Shared {
    view: RwLock<View>,
    folded: watch::Sender<Position>,
}

struct Request {
    decide: Decide,
    actor: Actor,
    answer: oneshot::Sender<Result<Done, Refusal>>,
}

/// Folds the log and starts the task, which ends with `stop`.
///
/// # Errors
/// [`ReplayError`] if the log cannot be read or understood.
pub(crate) async fn start(
    log: Arc<dyn Log>,
    clock: Clock,
    stop: CancellationToken,
) -> Result<(Handle, tokio::task::JoinHandle<()>), ReplayError> {
    let (requests, asked) = mpsc::channel(MOST_WAITING);
    let view = View {
        state: State::new(log.id()),
        history: History::default(),
        evidence: BTreeMap::new(),
        applied_at: Position::START,
    };
    let shared = Arc::new(Shared { view: RwLock::new(view), folded: watch::Sender::new(Position::START) });
    let mut writer = Writer::new(log, clock, Arc::clone(&shared));
    writer.catch_up().await?;
    Ok((Handle { requests, shared, under: None }, tokio::spawn(writer.run(asked, stop))))
}

impl Handle {
    /// Looks at the state. Never blocks for longer than folding one event takes; `look` must not wait.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&View) -> T) -> T {
        look(&self.shared.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How far the log has been folded, and a wake-up for each time that it moves.
    pub(crate) fn folded(&self) -> watch::Receiver<Position> {
        self.shared.folded.subscribe()
    }

    /// The same for changes that are only to be made while an epoch of a duty lasts.
    pub(crate) fn under(&self, duty: Duty, epoch: Epoch) -> Self {
        Self { under: Some((duty, epoch)), ..self.clone() }
    }

    /// Asks for a change and waits until it is durable. Dropping the future does not take the change back.
    ///
    /// # Errors
    /// The machine's refusal; `log.*` when the log does not take it.
    pub(crate) async fn command(&self, actor: Actor, command: Command) -> Result<Done, Refusal> {
        self.decide(actor, move |state, now| platform::decide(state, &command, now)).await
    }

    /// As [`Handle::command`], for a change that depends on the state it meets.
    ///
    /// # Errors
    /// The refusal of `decide`; `log.*` when the log does not take it.
    pub(crate) async fn decide(
        &self,
        actor: Actor,
        mut decide: impl FnMut(&State, Timestamp) -> Result<Vec<Event>, Refusal> + Send + 'static,
    ) -> Result<Done, Refusal> {
        let under = self.under;
        let decide = move |state: &State, now: Timestamp| {
            if let Some((duty, epoch)) = under {
                state.duties.check(duty, epoch)?;
            }
            decide(state, now)
        };
        let (answer, answered) = oneshot::channel();
        let request = Request { decide: Box::new(decide), actor, answer };
        self.requests.send(request).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

struct Writer {
    log: Arc<dyn Log>,
    clock: Clock,
    shared: Arc<Shared>,
    /// The control events.
    query: Query,
    /// Every control event up to here has been folded.
    read_to: Position,
    /// Why nothing can be folded any more, if so.
    stuck: Option<Refusal>,
}

impl Writer {
    fn new(log: Arc<dyn Log>, clock: Clock, shared: Arc<Shared>) -> Self {
        let query = control_events();
        Self { log, clock, shared, query, read_to: Position::START, stuck: None }
    }

    async fn run(mut self, mut asked: mpsc::Receiver<Request>, stop: CancellationToken) {
        let mut heads = Some(self.log.heads());
        loop {
            let read_to = self.read_to;
            tokio::select! {
                () = stop.cancelled() => return,
                request = asked.recv() => match request {
                    Some(request) => self.serve(request).await,
                    None => return,
                },
                open = moved_beyond(&mut heads, read_to) => {
                    if !open || !self.follow_others().await {
                        heads = None;
                    }
                }
            }
        }
    }

    /// Folds what other servers appended; whether there is any use in going on. What fails is tried again.
    async fn follow_others(&mut self) -> bool {
        if self.fold_new().await.is_err() {
            tokio::time::sleep(AFTER_FAILURE).await;
        }
        self.stuck.is_none()
    }

    async fn serve(&mut self, mut request: Request) {
        let result = self.change(&mut request.decide, &request.actor).await;
        // Whoever asked may have gone; the change stands all the same.
        let _ = request.answer.send(result);
    }

    async fn change(&mut self, decide: &mut Decide, actor: &Actor) -> Result<Done, Refusal> {
        if let Some(refusal) = &self.stuck {
            return Err(refusal.clone());
        }
        for _ in 0..MOST_ATTEMPTS {
            let now = self.clock.now();
            let (events, revision) = self.look(|view| (decide(&view.state, now), view.state.revision));
            let events = events?;
            if events.is_empty() {
                return Ok(Done { revision, events });
            }
            events.iter().try_for_each(check_readable)?;
            match self.append(&events, actor).await {
                Ok(appended) => return self.folded(appended, events).await,
                Err(AppendError::Conflict { .. }) => self.fold_new().await?,
                Err(error) => return Err(refuse(&error)),
            }
        }
        Err(Refusal::new(Code::LogConflict, "other servers kept changing the same things; try again"))
    }

    /// What was appended counts once it has been read back.
    async fn folded(&mut self, appended: Appended, events: Vec<Event>) -> Result<Done, Refusal> {
        let revision = Revision { log: self.log.id(), position: appended.last() };
        match self.fold_new().await {
            Ok(()) => Ok(Done { revision, events }),
            Err(Refusal { code, detail }) => {
                let detail =
                    format!("the change was recorded as {revision}, but cannot be read back yet: {detail}");
                Err(Refusal { code, detail })
            }
        }
    }

    /// Repeats an append whose answer was lost: the log recognises the events by their ids.
    async fn append(&self, events: &[Event], actor: &Actor) -> Result<Appended, AppendError> {
        let events: Vec<NewEvent> = events.iter().map(|event| envelope(event, actor)).collect();
        let condition = Condition { query: self.query.clone(), after: self.read_to };
        let mut repeats = 0;
        loop {
            match self.log.append(events.clone(), Some(condition.clone())).await {
                Err(AppendError::Unknown(_)) if repeats < MOST_REPEATS => {
                    repeats += 1;
                    tokio::time::sleep(Duration::from_millis(20) * repeats).await;
                }
                result => return result,
            }
        }
    }

    /// Folds what is new, and remembers if that is no longer possible.
    async fn fold_new(&mut self) -> Result<(), Refusal> {
        match self.catch_up().await {
            Ok(()) => Ok(()),
            Err(error) => {
                let refusal = Refusal::new(error.code(), chain(&error));
                tracing::error!(error = %refusal.detail, "cannot fold the log");
                if matches!(error, ReplayError::Event { .. }) {
                    self.stuck = Some(refusal.clone());
                }
                Err(refusal)
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), ReplayError> {
        loop {
            let page = self.log.read(self.query.clone(), self.read_to, Direction::Forward, PAGE).await?;
            for event in &page.events {
                self.fold(event)?;
            }
            self.read_to = page.next;
            if page.at_end {
                return Ok(());
            }
        }
    }

    fn fold(&mut self, recorded: &tenon_store::Event) -> Result<(), ReplayError> {
        let at = recorded.position;
        let event = events::decode(&recorded.event_type, &recorded.data)
            .map_err(|source| ReplayError::Event { at, source })?;
        let stamp = stamp_of(recorded);
        self.clock.observe(stamp.time);
        let mut view = self.shared.view.write().unwrap_or_else(PoisonError::into_inner);
        view.fold(stamp, event, recorded.size());
        drop(view);
        // An event that was folded is not folded again, should a later one of the page fail.
        self.read_to = at;
        self.shared.folded.send_replace(at);
        Ok(())
    }

    fn look<T>(&self, look: impl FnOnce(&View) -> T) -> T {
        look(&self.shared.view.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Which events of the log are folded.
pub(crate) fn control_events() -> Query {
    let tag = Tag::new(platform::CONTROL_TAG);
    let tags: BTreeSet<Tag> = tag.into_iter().collect();
    debug_assert_eq!(tags.len(), 1, "the control tag is a tag");
    Query::reserved().or(QueryItem { tags, ..QueryItem::default() })
}

/// What the log adds to an event. An event of an unknown actor is the server's.
pub(crate) fn stamp_of(recorded: &tenon_store::Event) -> Stamp {
    let actor = recorded.metadata.actor.clone().unwrap_or_else(server_actor);
    Stamp { position: recorded.position, time: recorded.time, actor }
}

/// Who makes the changes that nobody asked for.
pub(crate) fn server_actor() -> Actor {
    match Actor::new("server") {
        Ok(actor) => actor,
        Err(_) => unreachable!("`server` is printable ASCII"),
    }
}

fn envelope(event: &Event, actor: &Actor) -> NewEvent {
    let (event_type, data) = events::encode(event);
    let mut new = NewEvent::new(platform::namespace(event), platform::stream(event), event_type, data);
    new.tags = platform::tags(event).into_iter().collect();
    new.metadata = Metadata { actor: Some(actor.clone()), ..Metadata::default() };
    new
}

/// Waits until the log has moved; whether it is still open. Waits forever once it is known to be closed.
async fn moved_beyond(heads: &mut Option<watch::Receiver<Position>>, read_to: Position) -> bool {
    match heads {
        Some(heads) => heads.wait_for(|head| *head > read_to).await.is_ok(),
        None => std::future::pending().await,
    }
}

/// An event that could not be read back would stop every fold of this log for good, so it is never appended.
fn check_readable(event: &Event) -> Result<(), Refusal> {
    let (event_type, data) = events::encode(event);
    match events::decode(&event_type, &data) {
        Ok(_) => Ok(()),
        Err(error) => {
            let detail = format!(
                "the change could not be read back from the log, so it was not made: {}",
                chain(&error)
            );
            Err(Refusal::new(Code::Internal, detail))
        }
    }
}

fn refuse(error: &AppendError) -> Refusal {
    Refusal::new(error.code(), format!("the change was not recorded: {}", chain(error)))
}

fn stopped() -> Refusal {
    Refusal::new(Code::LogClosed, "the server is stopping; ask again when it runs")
}

#[cfg(test)]
mod tests;
