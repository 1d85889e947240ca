//! A resolved system as a JSON document, with every default written out.
//!
//! Purpose: it is what an applied manifest leaves in the log, so that a replay needs neither a parser nor a
//! default that may have changed; and what `GET /v1/system` answers. Fields are only ever added, with a default
//! for documents that lack them. Spans are whole milliseconds, rounded up.
//!
//! A document becomes a [`System`] by `System::try_from(&document)`, which checks all that the types of `core`
//! promise; references between services are the business of crate `analysis`, which made the system.

mod balancing;
mod policy;
mod saga;
mod security;
mod service;
mod subscription;
pub(crate) mod telemetry;
mod traffic;

pub use balancing::{BalancingDoc, HashOnDoc};
pub use policy::{ConditionDoc, HeaderEditsDoc, PoliciesDoc, PolicyActionDoc, PolicyDoc};
pub use saga::{
    OnUndoFailureDoc, SagaActionDoc, SagaDoc, SagaInputDoc, SagaKindDoc, SagaLateDoc, SagaNothingDoc,
    SagaRetryDoc, SagaStepDoc, SagaUndoDoc, SagaUndoneDoc, SagaWorkDoc,
};
pub use security::{
    AuthorizationDoc, CertificateDoc, GatewayTlsDoc, MeshDoc, MtlsDoc, PlainListenerDoc, SecurityDoc,
    TlsVersionDoc,
};
pub use service::{
    CheckDoc, DataStoreDoc, DirectionDoc, EndpointDoc, HealthDoc, InterfaceDoc, ProcessDoc, ProtocolDoc,
    ResourcesDoc, ServiceDoc, WorkloadDoc,
};
pub use subscription::{
    BackoffDoc, ParkedKeyDoc, PushDoc, SubscriptionDoc, WhenFullDoc, parse_ordering, parse_start,
};
pub use telemetry::{AccessLogDoc, TelemetryDoc};
pub use traffic::{
    BackendDoc, BalanceDoc, BreakerDoc, BreakerModeDoc, ConcurrencyDoc, DelayDoc, EgressDoc, GatewayDoc,
    HedgeDoc, JitterDoc, LatencyDoc, LimitsDoc, MatchDoc, NameAndValueDoc, OutcomesDoc, OutlierDoc,
    PathMatchDoc, PriorityDoc, PriorityRulesDoc, RetryBudgetDoc, RetryDoc, RetryOnDoc, RouteDoc, RuleDoc,
    SlowCallDoc, SuccessRateDoc, TrafficDoc, TrafficRulesDoc, WindowDoc,
};

use crate::InvalidMessage;
use crate::invalid::{Checked, parsed};
use crate::value;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use tenon_core::group::Definition;
use tenon_core::manifest::{ConfigEntry, ConfigKey, Mesh, System};
use tenon_core::saga::SagaName;
use tenon_core::{Namespace, ServiceName, SubscriptionName};

/// A whole system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SystemDoc {
    /// Its name.
    pub name: String,
    /// The namespace that its services live in.
    pub namespace: String,
    /// Its services by name.
    pub services: BTreeMap<String, ServiceDoc>,
    /// How calls to services are treated.
    pub traffic: TrafficRulesDoc,
    /// Policies, and what they are attached to.
    #[serde(default, skip_serializing_if = "PoliciesDoc::is_empty")]
    pub policies: PoliciesDoc,
    /// The gateway, if the system has one.
    pub gateway: Option<GatewayDoc>,
    /// Whether services may call names outside the mesh.
    pub egress: EgressDoc,
    /// What is recorded of requests.
    #[serde(default, skip_serializing_if = "TelemetryDoc::is_default")]
    pub telemetry: TelemetryDoc,
    /// What holds for the whole mesh; the defaults if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<MeshDoc>,
    /// Subscriptions, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub subscriptions: BTreeMap<String, SubscriptionDoc>,
    /// Sagas, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sagas: BTreeMap<String, SagaDoc>,
    /// Initial configuration, by service and key.
    pub config: BTreeMap<String, BTreeMap<String, ConfigEntryDoc>>,
}

/// The first value of a configuration key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigEntryDoc {
    /// The value.
    pub value: serde_json::Value,
    /// A JSON Schema (2020-12) that this and every later value must satisfy; none if null.
    pub schema: Option<serde_json::Value>,
}

impl From<&System> for SystemDoc {
    fn from(system: &System) -> Self {
        let entries = |(service, entries): (&_, &BTreeMap<ConfigKey, ConfigEntry>)| {
            let entries = entries.iter().map(|(key, entry)| (key.to_string(), entry.into()));
            (ToString::to_string(service), entries.collect())
        };
        Self {
            name: system.name.to_string(),
            namespace: system.namespace.to_string(),
            services: system
                .services
                .iter()
                .map(|(name, service)| (name.to_string(), service.into()))
                .collect(),
            traffic: (&system.traffic).into(),
            policies: (&system.policies).into(),
            gateway: system.gateway.as_ref().map(Into::into),
            egress: system.egress.into(),
            telemetry: (&system.telemetry).into(),
            mesh: (system.mesh != Mesh::default()).then(|| system.mesh.into()),
            subscriptions: system
                .subscriptions
                .iter()
                .map(|(name, definition)| (name.to_string(), definition.into()))
                .collect(),
            sagas: system
                .sagas
                .iter()
                .map(|(name, definition)| (name.to_string(), definition.into()))
                .collect(),
            config: system.config.iter().map(entries).collect(),
        }
    }
}

impl From<&ConfigEntry> for ConfigEntryDoc {
    fn from(entry: &ConfigEntry) -> Self {
        Self { value: value::from_core(&entry.value), schema: entry.schema.as_ref().map(value::from_core) }
    }
}

impl TryFrom<&SystemDoc> for System {
    type Error = InvalidMessage;
    fn try_from(doc: &SystemDoc) -> Checked<Self> {
        let entries = |entries: &BTreeMap<String, ConfigEntryDoc>| keyed("", entries, |_, it| it.try_into());
        let namespace: Namespace = parsed("namespace", &doc.namespace)?;
        let subscription = |name: &SubscriptionName, doc: &SubscriptionDoc| {
            let definition = doc.to_definition(namespace.clone(), name.clone())?;
            Ok(Definition { declared: true, ..definition })
        };
        Ok(Self {
            name: parsed("name", &doc.name)?,
            subscriptions: keyed("subscriptions", &doc.subscriptions, subscription)?,
            sagas: keyed("sagas", &doc.sagas, |name: &SagaName, doc| {
                doc.to_definition(namespace.clone(), name.clone())
            })?,
            namespace: namespace.clone(),
            services: keyed("services", &doc.services, |name: &ServiceName, doc| {
                doc.to_service(name.clone())
            })?,
            traffic: (&doc.traffic).try_into().map_err(|error: InvalidMessage| error.within("traffic"))?,
            policies: (&doc.policies).try_into().map_err(|error: InvalidMessage| error.within("policies"))?,
            gateway: doc
                .gateway
                .as_ref()
                .map(|gateway| gateway.try_into().map_err(|error: InvalidMessage| error.within("gateway")))
                .transpose()?,
            egress: doc.egress.into(),
            telemetry: (&doc.telemetry)
                .try_into()
                .map_err(|error: InvalidMessage| error.within("telemetry"))?,
            mesh: doc.mesh.map(Into::into).unwrap_or_default(),
            config: keyed("config", &doc.config, |_, it| entries(it))?,
        })
    }
}

impl TryFrom<&ConfigEntryDoc> for ConfigEntry {
    type Error = InvalidMessage;
    fn try_from(doc: &ConfigEntryDoc) -> Checked<Self> {
        let read = |field, json| value::to_core(json).map_err(|error| InvalidMessage::new(field, error));
        let schema = doc.schema.as_ref().map(|schema| read("schema", schema)).transpose()?;
        Ok(Self { value: read("value", &doc.value)?, schema })
    }
}

/// Reads a map, keys and values.
fn keyed<K: FromStr<Err: Display> + Ord, D, V>(
    field: &str,
    docs: &BTreeMap<String, D>,
    read: impl Fn(&K, &D) -> Checked<V>,
) -> Checked<BTreeMap<K, V>> {
    let entry = |(key, doc): (&String, &D)| {
        let key: K = parsed("", key)?;
        let value = read(&key, doc)?;
        Ok((key, value))
    };
    let at = |key: &str| if field.is_empty() { key.to_owned() } else { format!("{field}.{key}") };
    let entry = |pair: (&String, &D)| entry(pair).map_err(|error: InvalidMessage| error.within(&at(pair.0)));
    docs.iter().map(entry).collect()
}

/// Refuses a list that may not be empty.
fn filled<T>(field: &str, list: Vec<T>) -> Checked<Vec<T>> {
    if list.is_empty() { Err(InvalidMessage::new(field, "must not be empty")) } else { Ok(list) }
}

/// Refuses a number outside a range.
fn within<N: PartialOrd + Display + Copy>(
    field: &str,
    number: N,
    range: std::ops::RangeInclusive<N>,
) -> Checked<N> {
    if range.contains(&number) {
        return Ok(number);
    }
    let problem = format_args!("is {number}; expected {} to {}", range.start(), range.end());
    Err(InvalidMessage::new(field, problem))
}

#[cfg(test)]
mod tests;
