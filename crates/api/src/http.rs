//! What the HTTP API and the data plane's admin address are asked and answer, as JSON.
//!
//! Ids are texts, times RFC 3339, spans whole milliseconds (fields that end in `_ms`), revisions `LOG-ID@POSITION`.
//! A reader passes over members that it does not know; what a program sends has no others ([`crate::openapi`] has
//! every path). Answers are bounded by what the registry and the configuration may hold.
//!
//! Streams are `text/event-stream`: each event has the revision as its `id` and one JSON document as its `data`;
//! a stream that ends because of an error says so with a last event named [`PROBLEM_EVENT`]. The server sends a
//! comment at least every [`KEEP_ALIVE`], so that silence means a broken connection.

mod config;
mod dataplane;
mod events;
mod logs;
mod registry;
mod sagas;
mod service;
mod subscriptions;
mod system;
mod topics;

pub use config::{
    ConfigChange, ConfigDiff, ConfigEntry, ConfigHistory, ConfigList, ConfigOrigin, ConfigRecord,
    RollbackConfig, ServiceConfig, SetConfig,
};
pub use dataplane::{EndpointView, SidecarView, SnapshotView};
pub use events::{
    AppendCondition, AppendEvent, AppendEvents, AppendedEvents, CHECKPOINT_EVENT, EventFilter, EventPage,
    ExpectedVersion, StoredEvent, StreamList, StreamSummary, Told, Withheld,
};
pub use logs::{LogLine, LogStream};
pub use registry::{
    DeregisterReason, Evidence, FailedReplica, HealthStatus, Heartbeat, Instance, InstanceChange,
    InstanceList, InstanceOrigin, RegisterInstance, SidecarListeners,
};
pub use sagas::{
    DecideSaga, DecideSagas, DecidedSaga, DecidedSagas, DecisionDoc, DefinedSaga, FormerSaga, ParkedStep,
    ParkedWhy, SagaDefinition, SagaDefinitionList, SagaEvent, SagaHistory, SagaList, SagaState, SagaStepView,
    SagaSummary, SagaView, SignalSaga, StartSaga, StartedSaga, StepState,
};
pub use service::{ScaleService, ServiceList, ServiceSummary, ServiceView};
pub use subscriptions::{
    DefinedSubscription, DeletedSubscription, DeliveredEvent, ParkedCause, ParkedEvent, ParkedList,
    PullMessage, RefusedDelivery, SeekSubscription, SettleDeliveries, SettledDeliveries, SoughtSubscription,
    SubscriptionList, SubscriptionStatus, SubscriptionSummary, SubscriptionView, Unparked, WhichParked,
};
pub use system::{
    ApplyManifest, ApplyOutcome, ChangedSaga, DataPlaneStatus, DutyStatus, Finding, FormerVersion,
    InstanceCounts, Liveness, Severity, Status, SystemView,
};
pub use topics::{CloudEventDocument, Published, PublishedEvent, ToldOfTopic, TopicList, TopicSummary};

use crate::text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tenon_core::Revision;

/// The name of the event that ends a stream because of an error; its data is a [`Problem`](crate::Problem).
pub const PROBLEM_EVENT: &str = "problem";

/// How long a stream may be silent.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A change was made, or nothing needed to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Changed {
    /// What the change is part of: whoever has seen this revision has seen the change.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub revision: Revision,
}

#[cfg(test)]
pub(crate) mod tests;
