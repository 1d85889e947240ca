//! What sagas there are, folded from the stream `$tenon/sagas/definitions`. Every version that ever was stays known, so that what
//! runs goes on with its own.

use super::expressions::Expressions;
use super::messages::Methods;
use super::names::version_of;
use crate::EventStore;
use crate::folded::{Fold, Folded};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use tenon_api::saga::protos::cut;
use tenon_api::saga::{Record, Unread};
use tenon_core::priority::Priority;
use tenon_core::saga::{Definition, InputOf, Saga, SagaName, Version, runs};
use tenon_core::{Actor, Code, Namespace, Position, Refusal};
use tenon_store::Event;
use tokio_util::sync::CancellationToken;

/// The most definitions, and the most versions of all of them together.
pub const MAX_DEFINITIONS: usize = 10_000;

/// How often a name may come to stand for something else, and what it stood for before still be known. The sagas that are steps of one that
/// began before that are as they are now.
const MOST_FORMER: usize = 1_000;

/// How long one that is expected is waited for.
const EXPECTED_WITHIN: Duration = Duration::from_secs(5);

/// A definition that is known.
pub(super) struct Known {
    pub(super) version: Version,
    pub(super) saga: Saga,
    pub(super) expressions: Expressions,
    pub(super) methods: Methods,
    pub(super) declared: bool,
    /// Why it cannot be run here, if it cannot: it was defined by what another version of Tenon accepts. Then it is not checked.
    refused: Option<Refusal>,
}

impl Known {
    fn of(version: Version, definition: Definition, declared: bool) -> Self {
        let read = || {
            let saga = Saga::new(definition.clone())?;
            Ok((saga, Expressions::of(&definition)?, Methods::of(&definition)?))
        };
        match read() {
            Ok((saga, expressions, methods)) => {
                Self { version, saga, expressions, methods, declared, refused: None }
            }
            Err(refusal) => Self::refused(version, definition, declared, &refusal),
        }
    }

    /// One that cannot be read, so that nothing is known of its steps.
    fn unread(of: Unread, why: &Refusal) -> Self {
        let Unread { version, namespace, name, declared } = of;
        let definition = Definition {
            namespace,
            name,
            steps: Vec::new(),
            input: None,
            deadline: None,
            priority: Priority::default(),
            serialize_by: None,
            output: InputOf::Nothing,
            protos: BTreeMap::new(),
        };
        Self::refused(version, definition, declared, why)
    }

    fn refused(version: Version, definition: Definition, declared: bool, why: &Refusal) -> Self {
        let (saga, refused) = (Saga::unchecked(definition), Some(not_here(version, why)));
        let (expressions, methods) = (Expressions::default(), Methods::default());
        Self { version, saga, expressions, methods, declared, refused }
    }

    /// Whether it can be run as a step of another. It is checked when either is defined, but for what manifests have, each of which is
    /// checked as a whole.
    pub(super) fn can_be_reverted(&self) -> Result<(), Refusal> {
        let Definition { name, .. } = self.saga.definition();
        match self.saga.definition().has_pivot() {
            false => Ok(()),
            true => Err(not_reverted(&format!("saga `{name}` has a pivot, so it could not be reverted"))),
        }
    }

    /// Whether it can be run here.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        self.refused.clone().map_or(Ok(()), Err)
    }
}

fn not_here(version: Version, why: &Refusal) -> Refusal {
    let detail = format!(
        "version {version}, which another version of Tenon has accepted, cannot be run by this one; define it anew: {}",
        why.detail
    );
    Refusal::new(Code::SagaInvalid, detail)
}

/// What sagas there are. Clones share it.
#[derive(Clone)]
pub(super) struct Definitions(Folded<All>);

type Key = (Namespace, SagaName);

#[derive(Default)]
struct All {
    current: BTreeMap<Key, Arc<Known>>,
    versions: HashMap<Version, Arc<Known>>,
    /// What each name stood for, and since where in the log: nothing while it was retired.
    stood: HashMap<Key, VecDeque<(Position, Option<Version>)>>,
}

impl Fold for All {
    type Record = Record;
    const STREAM: &'static str = "$tenon/sagas/definitions";
    const ABOUT: &'static str = "sagas";

    fn decode(event_type: &str, payload: &[u8]) -> Result<Record, impl Display> {
        Record::decode(event_type, payload)
    }

    fn encode(record: &Record) -> (&'static str, Bytes) {
        record.encode()
    }

    fn take(&mut self, record: Record, at: Position) -> Result<(), Refusal> {
        match record {
            Record::Defined { version, definition, declared } => {
                self.add(Known::of(version, *definition, declared), at);
            }
            Record::Retired { namespace, name } => {
                let key = (namespace, name);
                self.current.remove(&key);
                self.stands(key, None, at);
            }
        }
        Ok(())
    }

    /// One of which nothing can be told is passed over: what runs keeps its version, whatever it says, and of a version that it
    /// alone has none can be taken up. All others would have to stand still for it.
    fn take_unread(&mut self, event: &Event, why: Refusal) -> Result<(), Refusal> {
        match Unread::of(event.event_type.as_str(), &event.data) {
            Some(of) => self.add(Known::unread(of, &why), event.position),
            None => tracing::error!(refusal = %why, "an event about what sagas there are is passed over"),
        }
        Ok(())
    }
}

impl All {
    fn add(&mut self, known: Known, at: Position) {
        let Definition { namespace, name, .. } = known.saga.definition();
        if let Some(refusal) = &known.refused {
            tracing::error!(%refusal, %namespace, saga = %name, "sagas of a version do not go on here");
        }
        let (key, known) = ((namespace.clone(), name.clone()), Arc::new(known));
        self.versions.insert(known.version, Arc::clone(&known));
        self.stands(key.clone(), Some(known.version), at);
        self.current.insert(key, known);
    }

    fn stands(&mut self, key: Key, version: Option<Version>, since: Position) {
        let stood = self.stood.entry(key).or_default();
        if stood.back().is_none_or(|(_, last)| *last != version) {
            stood.push_back((since, version));
        }
        if stood.len() > MOST_FORMER {
            stood.pop_front();
        }
    }

    /// What a name stood for; or what it stands for now, if that was nothing, or is no longer known.
    fn as_of(&self, key: &Key, at: Position) -> Option<Arc<Known>> {
        let stood = self.stood.get(key)?;
        let version = stood.iter().rfind(|(since, _)| *since <= at).and_then(|(_, version)| *version);
        let then = version.and_then(|version| self.versions.get(&version));
        then.or_else(|| self.current.get(key)).cloned()
    }

    /// Refuses a saga that would run itself in the end.
    fn without_circle(&self, of: &Definition) -> Result<(), Refusal> {
        let current = |name: &SagaName| {
            let known = self.current.get(&(of.namespace.clone(), name.clone()))?;
            Some(known.saga.definition())
        };
        match of.children().find(|(_, child)| runs(child, &of.name, current)) {
            None => Ok(()),
            Some((step, child)) => {
                let problem =
                    format!("step `{}` runs saga `{child}`, which in the end runs `{}`", step.name, of.name);
                Err(Refusal::new(Code::SagaInvalid, format!("{problem}; take one of the circle away")))
            }
        }
    }

    /// Refuses a saga that could not revert one that it runs, or could not be reverted by one that runs it.
    fn without_pivot_below(&self, of: &Definition) -> Result<(), Refusal> {
        let has_pivot = |name: &SagaName| {
            let known = self.current.get(&(of.namespace.clone(), name.clone()));
            known.is_some_and(|known| known.saga.definition().has_pivot())
        };
        if let Some((step, child)) = of.children().find(|(_, child)| has_pivot(child)) {
            let problem = format!("step `{}` runs saga `{child}`, which has a pivot", step.name);
            return Err(not_reverted(&format!("{problem}, so it could not be reverted")));
        }
        if !of.has_pivot() {
            return Ok(());
        }
        let all = self.current.values().map(|known| known.saga.definition());
        let mut others = all.filter(|other| other.namespace == of.namespace);
        let runs_it = |other: &Definition| {
            let step = other.children().find(|(_, child)| **child == of.name).map(|(step, _)| step)?;
            Some(format!("step `{}` of saga `{}` runs it", step.name, other.name))
        };
        match others.find_map(runs_it) {
            None => Ok(()),
            Some(problem) => {
                Err(not_reverted(&format!("it has a pivot, and {problem}, which could not revert it")))
            }
        }
    }
}

fn not_reverted(problem: &str) -> Refusal {
    Refusal::new(Code::SagaInvalid, format!("{problem}; a saga that is a step has no pivot"))
}

impl Definitions {
    /// Reads what there is, and follows it until `stop`.
    pub(super) async fn start(store: EventStore, stop: CancellationToken) -> Result<Self, Refusal> {
        Folded::start(store, stop).await.map(Self)
    }

    /// The saga of a name, as it begins now.
    pub(super) fn get(&self, namespace: &Namespace, name: &SagaName) -> Option<Arc<Known>> {
        self.now(namespace, name).0
    }

    /// The same, and as of which event that is so.
    pub(super) fn now(&self, namespace: &Namespace, name: &SagaName) -> (Option<Arc<Known>>, Position) {
        let all = self.0.state();
        (all.current.get(&(namespace.clone(), name.clone())).cloned(), all.at())
    }

    /// The same of one that is not known yet: what somebody else has defined by now is waited for, and so is, for a while, one that is expected.
    ///
    /// # Errors
    /// What the log says.
    pub(super) async fn soon(
        &self,
        namespace: &Namespace,
        name: &SagaName,
        is_expected: impl Fn() -> bool,
    ) -> Result<(Option<Arc<Known>>, Position), Refusal> {
        let mut changes = self.0.changes();
        self.0.catch_up().await?;
        let waiting = async {
            while self.get(namespace, name).is_none() && is_expected() && changes.changed().await.is_ok() {}
        };
        // One that has not come by then is unknown.
        _ = tokio::time::timeout(EXPECTED_WITHIN, waiting).await;
        Ok(self.now(namespace, name))
    }

    /// The saga of a name, as it was as of a position; or as it begins now, if there was none then.
    ///
    /// # Errors
    /// What the log says.
    pub(super) async fn as_of(
        &self,
        namespace: &Namespace,
        name: &SagaName,
        at: Position,
    ) -> Result<Option<Arc<Known>>, Refusal> {
        self.0.reach(at).await?;
        Ok(self.0.state().as_of(&(namespace.clone(), name.clone()), at))
    }

    /// All that can begin.
    pub(super) fn list(&self) -> Vec<Arc<Known>> {
        self.0.state().current.values().cloned().collect()
    }

    /// A version, be it that it can only be looked at. One that somebody else has just defined is waited for.
    pub(super) async fn version(&self, version: Version) -> Result<Arc<Known>, Refusal> {
        let find = || self.0.state().versions.get(&version).cloned();
        if let Some(known) = find() {
            return Ok(known);
        }
        self.0.catch_up().await?;
        find().ok_or_else(|| {
            let detail =
                format!("version {version} of a saga is not among those in the log that can be read");
            Refusal::new(Code::DataNewerVersion, detail)
        })
    }

    /// Makes a saga, or changes how those that begin from now on are. Whether anything changed.
    pub(super) async fn define(
        &self,
        mut definition: Definition,
        declared: bool,
        actor: Option<Actor>,
    ) -> Result<(Version, bool), Refusal> {
        // Whatever else a service offers does not change the version.
        cut(&mut definition)?;
        Saga::new(definition.clone())?;
        Expressions::of(&definition)?;
        Methods::of(&definition)?;
        let version = version_of(&definition);
        let key = (definition.namespace.clone(), definition.name.clone());
        let decide = |all: &All| match all.current.get(&key) {
            Some(known)
                if known.version == version && known.declared == declared && known.check().is_ok() =>
            {
                Ok(None)
            }
            _ if all.versions.len() >= MAX_DEFINITIONS && !all.versions.contains_key(&version) => {
                let detail = format!("there are {MAX_DEFINITIONS} versions of sagas, which is the most");
                Err(Refusal::new(Code::SagaInvalid, detail))
            }
            _ => {
                // Those of the manifest name each other only, and were checked together; while they are made one by one,
                // former ones are among them.
                if !declared {
                    all.without_circle(&definition)?;
                    all.without_pivot_below(&definition)?;
                }
                Ok(Some(Record::Defined { version, definition: Box::new(definition.clone()), declared }))
            }
        };
        Ok((version, self.0.change(actor, decide).await?))
    }

    /// Lets no more sagas of a name begin. What runs goes on.
    pub(super) async fn retire(
        &self,
        namespace: &Namespace,
        name: &SagaName,
        actor: Option<Actor>,
    ) -> Result<(), Refusal> {
        let key = (namespace.clone(), name.clone());
        let decide = |all: &All| match all.current.contains_key(&key) {
            false => Err(unknown(namespace, name)),
            true => Ok(Some(Record::Retired { namespace: namespace.clone(), name: name.clone() })),
        };
        self.0.change(actor, decide).await.map(|_| ())
    }
}

pub(super) fn unknown(namespace: &Namespace, name: &SagaName) -> Refusal {
    Refusal::new(Code::SagaUnknown, format!("there is no saga `{name}` in namespace {namespace}"))
}
