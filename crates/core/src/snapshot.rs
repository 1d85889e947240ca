//! What a data plane is told: everything it needs to carry traffic with no server there.
//!
//! A snapshot has three parts which change at different rates and carry a revision each, so that a changed
//! endpoint does not resend the routes. `control` derives the parts from the log; `api` carries them; `proxy`
//! swaps them in atomically and keeps the last on disk.

use crate::address::Address;
use crate::id::{InstanceId, Revision, ServiceRef};
use crate::manifest::{Egress, Gateway, Telemetry, Traffic, Version};
use crate::policy::Policies;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// How requests are routed and treated.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Routes {
    /// The log position that this follows from.
    pub revision: Revision,
    /// The gateway, if there is one.
    pub gateway: Option<Gateway>,
    /// Every service of the mesh and how calls to it are treated. A name that is missing is not in the mesh.
    pub services: BTreeMap<ServiceRef, Traffic>,
    /// Policies, and the services and routes that they are attached to.
    pub policies: Policies,
    /// How many data planes there are, which share the rate limits that are to be shared; at least this one.
    pub planes: u32,
    /// Services that are to have no instance now: stopped by hand, or of no replicas. Any other that has none is about
    /// to have one, or should be.
    pub resting: BTreeSet<ServiceRef>,
    /// Whether names outside the mesh may be called.
    pub egress: Egress,
    /// What is recorded of requests.
    pub telemetry: Telemetry,
}

/// Who answers for each service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoints {
    /// The log position that this follows from.
    pub revision: Revision,
    /// The instances that may be called: not draining, and healthy or marked as not. A service of the mesh with none is
    /// absent.
    pub services: BTreeMap<ServiceRef, Vec<Endpoint>>,
}

/// One instance that may be called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The instance.
    pub instance: InstanceId,
    /// Where its application listens.
    pub address: Address,
    /// Its version.
    pub version: Version,
    /// Its share of the traffic against the others'; 1 unless stated.
    pub weight: u32,
    /// Whether it is healthy. One that is not was once, and is called only when most of its service's seem not to be.
    pub healthy: bool,
    /// When it became healthy, or unhealthy.
    pub since: Timestamp,
    /// What else is known of it: subsets are chosen by this, and `region` and `zone` say where it is.
    pub metadata: BTreeMap<String, String>,
    /// Where its sidecar takes calls from other processes, if it has one.
    pub inbound: Option<SocketAddr>,
}

/// The sidecars that one data plane hosts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sidecars {
    /// The log position that this follows from.
    pub revision: Revision,
    /// Each sidecar by the instance that it serves.
    pub sidecars: BTreeMap<InstanceId, Sidecar>,
}

/// The listeners and the identity of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sidecar {
    /// The service that the instance belongs to: who it is as a caller.
    pub service: ServiceRef,
    /// Where its application's calls come in (it is the application's `HTTP_PROXY`).
    pub outbound: SocketAddr,
    /// Where calls from other processes for this instance come in.
    pub inbound: SocketAddr,
    /// Where its application listens.
    pub application: Address,
    /// SHA-256 of the secret that the application presents as its proxy password; the user name is the
    /// instance id.
    pub credential_sha256: [u8; 32],
    /// Services that the manifest says it calls.
    pub depends_on: BTreeSet<ServiceRef>,
    /// Services that the manifest says call it.
    pub callers: BTreeSet<ServiceRef>,
}
