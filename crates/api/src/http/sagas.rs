//! Sagas.

use crate::mirror::mirror;
use crate::system::{SagaDoc, SagaKindDoc};
use crate::text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenon_core::saga::{At, SagaName, Status, StepName, Why};
use tenon_core::{Actor, Namespace, SagaId, Timestamp};

/// How a saga is to begin.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StartSaga {
    /// What it is given.
    pub input: Value,
    /// By which starting it again is recognised: then the first is answered. The header `idempotency-key` does the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A saga that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StartedSaga {
    /// Whether it had been started before with the same key.
    pub existed: bool,
    /// The saga.
    #[serde(flatten)]
    pub saga: SagaView,
}

/// A saga that runs or has run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SagaView {
    /// What it is, in short.
    #[serde(flatten)]
    pub of: SagaSummary,
    /// The version of its definition.
    pub version: String,
    /// The saga that it is a step of.
    #[serde(with = "text::option", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub parent: Option<SagaId>,
    /// The trace that it is, or is part of.
    pub trace: String,
    /// When it is to be over.
    #[serde(with = "text::time::option", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub deadline: Option<Timestamp>,
    /// Whether it waits for others with the same value of `serialize_by`.
    #[serde(default)]
    pub queued: bool,
    /// Why it is turned back, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turned_back: Option<String>,
    /// What it was given.
    pub input: Value,
    /// What it answers with, once it has completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// What the service said whose failure turned it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Value>,
    /// Its steps.
    pub steps: Vec<SagaStepView>,
}

/// A saga in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SagaSummary {
    /// Its id.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub id: SagaId,
    /// Its namespace.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub namespace: Namespace,
    /// Which saga it is one of.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub saga: SagaName,
    /// The key that it was started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How it is.
    pub state: SagaState,
    /// When it began.
    #[serde(with = "text::time")]
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// The steps that are under way, or wait for somebody.
    pub at: Vec<String>,
    /// Those of them that wait for somebody, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parked: Vec<ParkedStep>,
    /// Why the server that answers, whose it is, has not taken it up, if that is so: it does not go on until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_off: Option<String>,
}

/// A step that waits for somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ParkedStep {
    /// The step.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub step: StepName,
    /// Why.
    pub why: ParkedWhy,
}

/// Some sagas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SagaList {
    /// Those that were found.
    pub sagas: Vec<SagaSummary>,
    /// What to ask for with `before` to get more; null if there are no more.
    pub next: Option<u64>,
}

/// A step of a saga that runs or has run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SagaStepView {
    /// Its name.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub name: StepName,
    /// Whether it can be undone.
    pub kind: SagaKindDoc,
    /// How it is.
    pub state: StepState,
    /// Until when it waits: for an answer, a signal, a time or its next try.
    #[serde(with = "text::time::option", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
    /// Why it waits for somebody, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<ParkedWhy>,
    /// How many attempts were made, in both directions.
    pub attempts: u32,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// What was said when it failed, as long as it is not done: by the service, or why there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Value>,
}

mirror! {
    /// How a saga is.
    SagaState of Status {
        /// No step has begun.
        Started,
        /// At least one is under way.
        StepExecuting,
        /// Between one and the next.
        StepCompleted,
        /// Turned back, and steps are under way still.
        StepFailed,
        /// Steps are undone.
        Compensating,
        /// It waits for somebody, and for nothing else.
        Parked,
        /// Every step was done.
        Completed,
        /// Every step that may have run was undone.
        Compensated,
        /// Turned back, and something was left as it is.
        Failed,
    }
}

mirror! {
    /// Why a step waits for somebody.
    ParkedWhy of Why {
        /// Nobody knows whether the pivot was done.
        PivotUnknown,
        /// A step behind the pivot has spent its tries.
        Spent,
        /// What undoes the step has spent its tries.
        UndoSpent,
    }
}

/// How a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// Not begun.
    Idle,
    /// Called, and not answered yet.
    Doing,
    /// It waits for a signal or a time.
    Waiting,
    /// It will be tried again.
    DoLater,
    /// It waits for somebody.
    Parked,
    /// Done.
    Done,
    /// Left out by somebody.
    LeftOut,
    /// It certainly did nothing.
    NotDone,
    /// Given up, and it may have run.
    Doubtful,
    /// What undoes it was called.
    Undoing,
    /// It will be tried again to undo it.
    UndoLater,
    /// Undoing it waits for somebody.
    UndoParked,
    /// Undone.
    Undone,
    /// Left as it is.
    LeftBehind,
}

impl From<At> for StepState {
    fn from(at: At) -> Self {
        match at {
            At::Idle => Self::Idle,
            At::Doing { .. } => Self::Doing,
            At::Waiting { .. } => Self::Waiting,
            At::DoLater { .. } => Self::DoLater,
            At::DoParked(_) => Self::Parked,
            At::Done => Self::Done,
            At::LeftOut => Self::LeftOut,
            At::NotDone => Self::NotDone,
            At::Doubtful => Self::Doubtful,
            At::Undoing { .. } => Self::Undoing,
            At::UndoLater { .. } => Self::UndoLater,
            At::UndoParked => Self::UndoParked,
            At::Undone => Self::Undone,
            At::LeftBehind => Self::LeftBehind,
        }
    }
}

impl std::fmt::Display for StepState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Serialize::serialize(self, f)
    }
}

/// Everything that happened to a saga.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SagaHistory {
    /// In the order of the log.
    pub events: Vec<SagaEvent>,
}

/// Something that happened to a saga.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SagaEvent {
    /// When.
    #[serde(with = "text::time")]
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// Where in the log.
    pub position: u64,
    /// Who caused it, if it was somebody.
    #[serde(with = "text::option", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub actor: Option<Actor>,
    /// What.
    pub event: String,
    /// Of which step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Which attempt at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Whether it is about undoing it.
    #[serde(default)]
    pub undo: bool,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What was given or answered; of an attempt that failed, what was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

/// What a signal brings.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SignalSaga {
    /// Anything.
    pub data: Value,
}

/// What somebody decides about a saga that waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideSaga {
    /// What.
    pub decision: DecisionDoc,
    /// About which step: all but `compensate` need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What is sent instead (`edit`), or what came of the step (`done`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

/// What somebody decides about many sagas that wait for it: about each of their steps that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideSagas {
    /// What. `compensate` is about each saga, everything else about each of its steps that waits.
    pub decision: DecisionDoc,
    /// What is sent instead (`edit`), or what came of the step (`done`): the same for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// Only about sagas of this name.
    #[serde(with = "text::option", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub name: Option<SagaName>,
    /// Only about sagas that were started with this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Only about sagas in one of these states; `parked` if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<SagaState>,
    /// Only about sagas that began at this time or later.
    #[serde(with = "text::time::option", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// Only about sagas that began before this time.
    #[serde(with = "text::time::option", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
    /// Only about this step, and sagas in which it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// About what lies further back: `next` of the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// About at most so many sagas: 100 unless stated, 1,000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// What came of deciding about many sagas.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DecidedSagas {
    /// Each step that waited, or each saga; the last to have begun first.
    pub decided: Vec<DecidedSaga>,
    /// What to send as `before` to decide about more; null if there are no more.
    pub next: Option<u64>,
}

/// A step, or a saga, that somebody decided about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DecidedSaga {
    /// The saga.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub id: SagaId,
    /// The step; none if it was about the saga.
    #[serde(with = "text::option", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub step: Option<StepName>,
    /// The code of why it was not done, if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why it was not done, if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What somebody may decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DecisionDoc {
    /// The step has all its tries again.
    Retry,
    /// The same, with another input.
    Edit,
    /// It is left out; or left as it is, if it was to be undone.
    Skip,
    /// It was done by hand; or undone.
    Done,
    /// The pivot was not done; the saga is turned back.
    Compensate,
}

/// The sagas that can be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SagaDefinitionList {
    /// By namespace and name.
    pub definitions: Vec<SagaDefinition>,
}

/// A saga that can be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SagaDefinition {
    /// Its namespace.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub namespace: Namespace,
    /// Its name.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub name: SagaName,
    /// Its version.
    pub version: String,
    /// Whether it is the manifest's: then it changes and goes with that.
    pub declared: bool,
    /// What it is.
    pub definition: SagaDoc,
}

/// What came of defining a saga.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DefinedSaga {
    /// Its version.
    pub version: String,
    /// Whether anything is other than before.
    pub changed: bool,
    /// If so: sagas that run on other versions, on whichever server, and stay with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<FormerSaga>,
    /// Whether there may be more of them.
    #[serde(default)]
    pub more: bool,
}

/// A saga that runs on another version than that with which new ones begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FormerSaga {
    /// Its id.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub id: SagaId,
    /// Its version.
    pub version: String,
    /// How it is.
    pub state: SagaState,
}
