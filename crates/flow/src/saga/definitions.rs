//! What sagas there are, folded from the stream `$tenon/sagas/definitions`. Every version that ever was stays known, so that what
//! runs goes on with its own.

use super::expressions::Expressions;
use super::names::{definitions, event_type, version_of};
use crate::EventStore;
use crate::events::error::Error;
use crate::events::feed::Feed;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tenon_api::saga::{DEFINED, RETIRED, Record};
use tenon_core::saga::{Call, Definition, Saga, SagaName, UndoWork, Version, Work};
use tenon_core::{Actor, Code, Namespace, Position, Refusal};
use tenon_store::log::Changed;
use tenon_store::{AppendError, Condition, Direction, Event, NewEvent, Query, ReadError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The most definitions, and the most versions of all of them together.
pub const MAX_DEFINITIONS: usize = 10_000;

const MOST_ATTEMPTS: usize = 16;
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// A definition that is known.
pub(super) struct Known {
    pub(super) version: Version,
    pub(super) saga: Saga,
    pub(super) expressions: Expressions,
    pub(super) declared: bool,
}

/// What sagas there are. Clones share it.
#[derive(Clone)]
pub(super) struct Definitions {
    store: EventStore,
    state: Arc<Mutex<State>>,
    folded: Arc<watch::Sender<Position>>,
}

#[derive(Default)]
struct State {
    current: BTreeMap<(Namespace, SagaName), Arc<Known>>,
    versions: HashMap<Version, Arc<Known>>,
    at: Position,
}

impl Definitions {
    /// Reads what there is, and follows it until `stop`.
    pub(super) async fn start(store: EventStore, stop: CancellationToken) -> Result<Self, Refusal> {
        let folded = Arc::new(watch::Sender::new(Position::START));
        let definitions = Self { store, state: Arc::default(), folded };
        let mut from = Position::START;
        loop {
            let log = definitions.store.log();
            let page = log.read(query(), from, Direction::Forward, usize::MAX).await.map_err(Error::from)?;
            page.events.iter().try_for_each(|event| definitions.fold(event))?;
            from = page.next;
            if page.at_end {
                break;
            }
        }
        let following = definitions.clone().follow(from);
        tokio::spawn(async move { stop.run_until_cancelled(following).await });
        Ok(definitions)
    }

    /// The saga of a name, as it begins now.
    pub(super) fn get(&self, namespace: &Namespace, name: &SagaName) -> Option<Arc<Known>> {
        self.lock().current.get(&(namespace.clone(), name.clone())).cloned()
    }

    /// All that can begin.
    pub(super) fn list(&self) -> Vec<Arc<Known>> {
        self.lock().current.values().cloned().collect()
    }

    /// A version. One that somebody else has just defined is waited for.
    pub(super) async fn version(&self, version: Version) -> Result<Arc<Known>, Refusal> {
        let find = || self.lock().versions.get(&version).cloned();
        if let Some(known) = find() {
            return Ok(known);
        }
        let last = self.store.last(query()).await?.map_or(Position::START, |event| event.position);
        self.wait_for(last).await?;
        find().ok_or_else(|| {
            Refusal::new(Code::DataNewerVersion, format!("version {version} of a saga is not in the log"))
        })
    }

    /// Makes a saga, or changes how those that begin from now on are. Whether anything changed.
    pub(super) async fn define(
        &self,
        definition: Definition,
        declared: bool,
        actor: Option<Actor>,
    ) -> Result<(Version, bool), Refusal> {
        check(&definition)?;
        Saga::new(definition.clone())?;
        Expressions::of(&definition)?;
        let version = version_of(&definition);
        let key = (definition.namespace.clone(), definition.name.clone());
        let changed = self
            .change(DEFINED, actor, |state| match state.current.get(&key) {
                Some(known) if known.version == version && known.declared == declared => Ok(None),
                _ if state.versions.len() >= MAX_DEFINITIONS && !state.versions.contains_key(&version) => {
                    let detail = format!("there are {MAX_DEFINITIONS} versions of sagas, which is the most");
                    Err(Refusal::new(Code::SagaInvalid, detail))
                }
                _ => {
                    Ok(Some(Record::Defined { version, definition: Box::new(definition.clone()), declared }))
                }
            })
            .await?;
        Ok((version, changed))
    }

    /// Lets no more sagas of a name begin. What runs goes on.
    pub(super) async fn retire(
        &self,
        namespace: &Namespace,
        name: &SagaName,
        actor: Option<Actor>,
    ) -> Result<(), Refusal> {
        let key = (namespace.clone(), name.clone());
        self.change(RETIRED, actor, |state| match state.current.contains_key(&key) {
            false => Err(unknown(namespace, name)),
            true => Ok(Some(Record::Retired { namespace: namespace.clone(), name: name.clone() })),
        })
        .await
        .map(|_| ())
    }

    async fn change(
        &self,
        of: &'static str,
        actor: Option<Actor>,
        decide: impl Fn(&State) -> Result<Option<Record>, Refusal>,
    ) -> Result<bool, Refusal> {
        let mut changed = false;
        for _ in 0..MOST_ATTEMPTS {
            let (record, at) = {
                let state = self.lock();
                match decide(&state)? {
                    Some(record) => (record, state.at),
                    None => return Ok(changed),
                }
            };
            let mut event =
                NewEvent::new(Namespace::default(), definitions(), event_type(of), record.encode());
            event.metadata.actor.clone_from(&actor);
            let condition = Condition::stream_unchanged(Namespace::default(), definitions(), at);
            match self.store.log().append(vec![event], Some(condition)).await {
                Ok(appended) => {
                    self.wait_for(appended.last()).await?;
                    return Ok(true);
                }
                Err(AppendError::Conflict { at }) => self.wait_for(at).await?,
                // If it was written, there is nothing to change the next time.
                Err(error) if error.changed() == Changed::Unknown => changed = true,
                Err(error) => return Err(Error::from(error).into()),
            }
        }
        Err(Refusal::new(Code::ServerTimeout, "others change sagas all the time; ask again"))
    }

    async fn wait_for(&self, position: Position) -> Result<(), Refusal> {
        let ended = |_| Refusal::new(Code::LogClosed, "the server is ending");
        self.folded.subscribe().wait_for(|at| *at >= position).await.map(|_| ()).map_err(ended)
    }

    async fn follow(self, mut from: Position) {
        loop {
            let mut feed = Feed::new(self.store.clone(), query(), Some(from), None);
            while let Some(page) = feed.next().await {
                match page {
                    Ok(page) => {
                        for event in &page.events {
                            if let Err(refusal) = self.fold(event) {
                                tracing::error!(%refusal, at = %event.position, "sagas are followed no further");
                                return;
                            }
                        }
                        from = page.next;
                    }
                    Err(Error::Read(ReadError::Closed)) => return,
                    Err(error) => tracing::warn!(error = error.detail(), "cannot read what sagas there are"),
                }
            }
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }

    fn fold(&self, event: &Event) -> Result<(), Refusal> {
        let unreadable = |error: &dyn std::fmt::Display| {
            let detail = format!("the event at position {} cannot be understood: {error}", event.position);
            Refusal::new(Code::DataNewerVersion, detail)
        };
        let record =
            Record::decode(event.event_type.as_str(), &event.data).map_err(|error| unreadable(&error))?;
        let mut state = self.lock();
        state.at = event.position;
        match record {
            Record::Defined { version, definition, declared } => {
                let key = (definition.namespace.clone(), definition.name.clone());
                let expressions = Expressions::of(&definition)?;
                let saga = Saga::new(*definition)?;
                let known = Arc::new(Known { version, saga, expressions, declared });
                state.versions.insert(version, Arc::clone(&known));
                state.current.insert(key, known);
            }
            Record::Retired { namespace, name } => _ = state.current.remove(&(namespace, name)),
            Record::Progress(_) => {}
        }
        drop(state);
        self.folded.send_replace(event.position);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked has changed a single entry at most.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What cannot be called yet is refused before anything begins.
fn check(definition: &Definition) -> Result<(), Refusal> {
    for step in &definition.steps {
        let does = match &step.work {
            Work::Call { action, .. } => Some(&action.call),
            Work::Signal { .. } | Work::Timer(_) | Work::Child(_) => None,
        };
        let undoes = match step.undo.as_ref().map(|undo| &undo.work) {
            Some(UndoWork::Call { action, .. }) => Some(&action.call),
            Some(UndoWork::Revert) | None => None,
        };
        if does.into_iter().chain(undoes).any(|call| matches!(call, Call::Grpc(_))) {
            let detail =
                format!("step `{}` calls over gRPC, which is not there yet; call over HTTP", step.name);
            return Err(Refusal::new(Code::SagaInvalid, detail));
        }
    }
    Ok(())
}

pub(super) fn unknown(namespace: &Namespace, name: &SagaName) -> Refusal {
    Refusal::new(Code::SagaUnknown, format!("there is no saga `{name}` in namespace {namespace}"))
}

fn query() -> Query {
    Query::stream(Namespace::default(), definitions())
}
