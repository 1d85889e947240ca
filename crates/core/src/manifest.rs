//! A user's system as its manifest describes it, validated.
//!
//! Life cycle: crate `analysis` reads `tenon.yaml`, reports every problem, and only then makes a [`System`];
//! from there on nobody checks again what the types already say. A system is stored in the log with the text
//! it came from, and everything else (what runs, who may call whom, where the gateway sends what) follows
//! from it.
//!
//! Left out on purpose: YAML, file names and positions in them (crate `analysis`).

mod security;
mod service;
mod telemetry;
mod traffic;

pub use security::{Authorization, Certificate, GatewayTls, Mesh, Mtls, PlainListener, Security, TlsVersion};
pub use service::{
    DataStore, Direction, Endpoint, HttpMethod, Interface, MAX_REPLICAS, PathPattern, Process, Protocol,
    Resources, SecretRef, Service, StoreKind, Version, Workload,
};
pub use telemetry::{AccessLog, Ratio, Telemetry};
pub use traffic::{Egress, Gateway, Traffic};

use crate::config::Value;
use crate::group::Definition;
use crate::id::{InvalidName, Namespace, ServiceName, ServiceRef, SubscriptionName};
use crate::policy::Policies;
use crate::saga::{self, SagaName};
use std::collections::BTreeMap;

/// A key of a service's configuration: 1 to 128 characters of `a-z A-Z 0-9 . _ -`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigKey(std::sync::Arc<str>);

impl ConfigKey {
    /// Reads and checks a key.
    ///
    /// # Errors
    /// [`InvalidName`] says what form is expected.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > 128 {
            return Err(InvalidName::new("configuration key", text, "must have 1 to 128 characters"));
        }
        if !text.bytes().all(allowed) {
            return Err(InvalidName::new(
                "configuration key",
                text,
                "may hold only a-z, A-Z, 0-9, '.', '_' and '-'",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for ConfigKey {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl std::fmt::Display for ConfigKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for ConfigKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A whole system.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct System {
    /// Its name, a DNS label.
    pub name: ServiceName,
    /// The namespace that its services live in.
    pub namespace: Namespace,
    /// Its services by name.
    pub services: BTreeMap<ServiceName, Service>,
    /// How calls to services are treated.
    pub traffic: TrafficRules,
    /// Policies, and the services and routes that they are attached to.
    pub policies: Policies,
    /// The gateway, if the system has one.
    pub gateway: Option<Gateway>,
    /// Whether services may call names outside the mesh.
    pub egress: Egress,
    /// What is recorded of requests.
    pub telemetry: Telemetry,
    /// What holds for the whole mesh.
    pub mesh: Mesh,
    /// Who is given which events. Their namespace is the system's.
    pub subscriptions: BTreeMap<SubscriptionName, Definition>,
    /// Work over several services that is done wholly or undone wholly. Their namespace is the system's.
    pub sagas: BTreeMap<SagaName, saga::Definition>,
    /// Initial configuration of services, with the JSON Schemas that values must satisfy.
    pub config: BTreeMap<ServiceName, BTreeMap<ConfigKey, ConfigEntry>>,
}

/// The first value of a configuration key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConfigEntry {
    /// The value.
    pub value: Value,
    /// A JSON Schema (2020-12) that this and every later value must satisfy.
    pub schema: Option<Value>,
}

/// How calls are treated, by the service that is called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TrafficRules {
    /// What holds for services that have no entry of their own (`"*"` in the manifest).
    pub default: Traffic,
    /// Services with an entry of their own, already merged over the default.
    pub services: BTreeMap<ServiceName, Traffic>,
}

impl TrafficRules {
    /// How calls to `service` are treated.
    pub fn of(&self, service: &ServiceName) -> &Traffic {
        self.services.get(service).unwrap_or(&self.default)
    }
}

impl System {
    /// What others call the service `name` of this system.
    pub fn reference(&self, name: &ServiceName) -> ServiceRef {
        ServiceRef { name: name.clone(), namespace: self.namespace.clone() }
    }
}

#[cfg(test)]
mod tests;
