//! Instances.

use crate::mirror::mirror;
use crate::text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tenon_core::manifest::Version;
use tenon_core::{Address, InstanceId, Revision, ServiceRef, Timestamp, health, registry};

/// Instances at one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceList {
    /// How far the log is folded.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub revision: Revision,
    /// By service and id.
    pub instances: Vec<Instance>,
    /// Replicas that have no instance because their last one ended unasked, by service and slot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedReplica>,
}

/// A replica whose process ended although nobody asked for it, or never began, and that waits to be started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedReplica {
    /// Its service, `service[.namespace]`.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub service: ServiceRef,
    /// Which replica, counted from 1.
    pub slot: u32,
    /// How many times in a row.
    pub failures: u32,
    /// How it was the last time, for example `exited with code 3`.
    pub exit: String,
    /// When that was.
    #[serde(with = "text::time")]
    #[schemars(with = "String")]
    pub ended_at: Timestamp,
    /// When it is started again.
    #[serde(with = "text::time")]
    #[schemars(with = "String")]
    pub restart_at: Timestamp,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Instance {
    /// Its id.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub id: InstanceId,
    /// The service that it answers for, `service[.namespace]`.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub service: ServiceRef,
    /// Where its application listens, `host:port`.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub address: Address,
    /// Its version.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub version: Version,
    /// Its share of the traffic against the others'; 0 for none.
    pub weight: u32,
    /// What else is to be known of it.
    pub metadata: BTreeMap<String, String>,
    /// What is believed of its health.
    pub status: HealthStatus,
    /// Whether it is being taken out: it is not called any more.
    pub draining: bool,
    /// What the present status rests on, if this server knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// How it came to be known.
    pub origin: InstanceOrigin,
    /// The listeners of its sidecar, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<SidecarListeners>,
    /// Its process, if Tenon runs it and it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// When it was registered.
    #[serde(with = "text::time")]
    #[schemars(with = "String")]
    pub registered_at: Timestamp,
    /// When its status, labels or draining last changed.
    #[serde(with = "text::time")]
    #[schemars(with = "String")]
    pub changed_at: Timestamp,
    /// When its last heartbeat came, if this server has had one.
    #[serde(default, with = "text::time::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub last_heartbeat_at: Option<Timestamp>,
    /// Its password at its sidecar and its token at the API. Only in the answer to its registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl Instance {
    /// What the registry itself knows of an instance; the rest is left empty.
    pub fn of(instance: &registry::Instance) -> Self {
        let registration = &instance.registration;
        Self {
            id: registration.id.clone(),
            service: registration.service.clone(),
            address: registration.address.clone(),
            version: registration.labels.version.clone(),
            weight: registration.labels.weight,
            metadata: registration.labels.metadata.pairs().clone(),
            status: instance.status.into(),
            draining: instance.draining,
            evidence: None,
            origin: registration.origin.into(),
            sidecar: registration.sidecar.map(Into::into),
            pid: None,
            registered_at: instance.registered_at,
            changed_at: instance.changed_at,
            last_heartbeat_at: None,
            token: None,
        }
    }
}

mirror! {
    /// What is believed of an instance.
    HealthStatus of health::Status {
        /// Not yet checked.
        Unknown,
        /// It answers.
        Healthy,
        /// It does not.
        Unhealthy,
    }
}

/// What a verdict rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// What was asked, for example `GET /health`.
    pub check: String,
    /// What the answer was, for example `status 503`.
    pub answer: String,
    /// How long the answer took.
    #[serde(rename = "took_ms", with = "text::millis")]
    #[schemars(with = "u64")]
    pub took: Duration,
}

impl From<&health::Evidence> for Evidence {
    fn from(evidence: &health::Evidence) -> Self {
        Self { check: evidence.check.clone(), answer: evidence.answer.clone(), took: evidence.took }
    }
}

/// How an instance came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum InstanceOrigin {
    /// Tenon runs it.
    Managed {
        /// Which replica, counted from 1.
        slot: u32,
    },
    /// The manifest says where it runs.
    External,
    /// It registered itself.
    Registered {
        /// How long a heartbeat holds; absent if it is checked instead.
        #[serde(
            default,
            rename = "ttl_ms",
            with = "text::millis::option",
            skip_serializing_if = "Option::is_none"
        )]
        #[schemars(with = "Option<u64>")]
        ttl: Option<Duration>,
    },
}

impl From<registry::Origin> for InstanceOrigin {
    fn from(origin: registry::Origin) -> Self {
        match origin {
            registry::Origin::Managed { slot } => Self::Managed { slot },
            registry::Origin::External => Self::External,
            registry::Origin::Registered { ttl } => Self::Registered { ttl },
        }
    }
}

/// The listeners of an instance's sidecar, `ip:port` each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SidecarListeners {
    /// Where calls from other processes for the instance come in.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub inbound: SocketAddr,
    /// Where the application's own calls come in.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub outbound: SocketAddr,
}

impl From<registry::Sidecar> for SidecarListeners {
    fn from(sidecar: registry::Sidecar) -> Self {
        Self { inbound: sidecar.inbound, outbound: sidecar.outbound }
    }
}

impl From<SidecarListeners> for registry::Sidecar {
    fn from(listeners: SidecarListeners) -> Self {
        Self { inbound: listeners.inbound, outbound: listeners.outbound }
    }
}

/// An instance to register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterInstance {
    /// Its id, a DNS label that no instance has.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub id: InstanceId,
    /// Where its application listens, `host:port`.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub address: Address,
    /// Its version; 1.0.0 unless stated.
    #[serde(default, with = "text")]
    #[schemars(with = "String")]
    pub version: Version,
    /// Its share of the traffic against the others'; 1 unless stated.
    #[serde(default = "one")]
    pub weight: u32,
    /// What else is to be known of it: at most 32 pairs, names of 1 to 64 bytes, values of at most 256.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// How long a heartbeat holds. Without this the instance is checked as its service's others are.
    #[serde(
        default,
        rename = "ttl_ms",
        with = "text::millis::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<u64>")]
    pub ttl: Option<Duration>,
    /// The listeners of its sidecar, if it has one in a data plane of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<SidecarListeners>,
}

fn one() -> u32 {
    1
}

/// What a heartbeat did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Heartbeat {
    /// What is believed of the instance now.
    pub status: HealthStatus,
    /// How long the heartbeat holds; absent if the instance is checked besides.
    #[serde(
        default,
        rename = "ttl_ms",
        with = "text::millis::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<u64>")]
    pub ttl: Option<Duration>,
}

/// What a watch of a service's instances tells. First [`InstanceChange::State`], unless the watch resumes from a
/// revision that is still known; then every change, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum InstanceChange {
    /// All instances as they are; what was told before no longer counts.
    State {
        /// At which revision.
        #[serde(with = "text")]
        #[schemars(with = "String")]
        revision: Revision,
        /// By id.
        instances: Vec<Instance>,
    },
    /// An instance was added.
    Registered {
        /// In which revision.
        #[serde(with = "text")]
        #[schemars(with = "String")]
        revision: Revision,
        /// The instance.
        instance: Box<Instance>,
    },
    /// An instance's version, weight or metadata changed.
    Updated {
        /// In which revision.
        #[serde(with = "text")]
        #[schemars(with = "String")]
        revision: Revision,
        /// The instance after it.
        instance: Box<Instance>,
    },
    /// The belief about an instance changed.
    HealthChanged {
        /// In which revision.
        #[serde(with = "text")]
        #[schemars(with = "String")]
        revision: Revision,
        /// The instance.
        #[serde(with = "text")]
        #[schemars(with = "String")]
        id: InstanceId,
        /// What was believed.
        from: HealthStatus,
        /// What is believed from now on.
        to: HealthStatus,
        /// Why.
        evidence: Evidence,
    },
    /// An instance is called no more and will be taken out.
    Draining {
        /// In which revision.
        #[serde(with = "text")]
        #[schemars(with = "String")]
        revision: Revision,
        /// The instance.
        #[serde(with = "text")]
        #[schemars(with = "String")]
        id: InstanceId,
    },
    /// An instance was taken out.
    Deregistered {
        /// In which revision.
        #[serde(with = "text")]
        #[schemars(with = "String")]
        revision: Revision,
        /// The instance.
        #[serde(with = "text")]
        #[schemars(with = "String")]
        id: InstanceId,
        /// Why.
        reason: DeregisterReason,
    },
}

impl InstanceChange {
    /// The revision that the change belongs to, which is the id of its event.
    pub fn revision(&self) -> Revision {
        match self {
            Self::State { revision, .. }
            | Self::Registered { revision, .. }
            | Self::Updated { revision, .. }
            | Self::HealthChanged { revision, .. }
            | Self::Draining { revision, .. }
            | Self::Deregistered { revision, .. } => *revision,
        }
    }
}

mirror! {
    /// Why an instance was taken out.
    DeregisterReason of registry::DeregisterReason {
        /// Somebody asked for it.
        Requested,
        /// Its process ended.
        Ended,
        /// It was unhealthy for too long.
        Unhealthy,
        /// The manifest no longer names it.
        Removed,
    }
}
