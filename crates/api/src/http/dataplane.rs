//! What a data plane shows of itself.

use super::SidecarListeners;
use crate::snapshot::Stored;
use crate::system::{EgressDoc, GatewayDoc, TrafficDoc};
use crate::text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tenon_core::snapshot::{Endpoint, Sidecar};
use tenon_core::{Address, InstanceId, Revision, ServiceRef, manifest::Version};

/// Everything that a data plane was told, without credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotView {
    /// The revision of the routes; absent if it has none yet.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub routes_revision: Option<Revision>,
    /// The revision of the endpoints.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub endpoints_revision: Option<Revision>,
    /// The revision of the sidecars.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub sidecars_revision: Option<Revision>,
    /// The gateway, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayDoc>,
    /// Whether names outside the mesh may be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<EgressDoc>,
    /// How calls are treated, by `service[.namespace]`.
    pub traffic: BTreeMap<String, TrafficDoc>,
    /// Services that are to have no instance now.
    #[serde(default, with = "text::list", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub resting: Vec<ServiceRef>,
    /// Who may be called, by `service[.namespace]`.
    pub endpoints: BTreeMap<String, Vec<EndpointView>>,
    /// The sidecars, by id.
    pub sidecars: Vec<SidecarView>,
}

/// One instance that may be called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointView {
    /// The instance.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub instance: InstanceId,
    /// Where its application listens.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub address: Address,
    /// Its version.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub version: Version,
    /// Its share of the traffic.
    pub weight: u32,
    /// Where its sidecar takes calls from other processes, if it has one.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub inbound: Option<std::net::SocketAddr>,
}

/// One sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SidecarView {
    /// The instance that it serves.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub instance: InstanceId,
    /// The instance's service.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub service: ServiceRef,
    /// Its listeners.
    pub listeners: SidecarListeners,
    /// Where its application listens.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub application: Address,
    /// Services that the manifest says it calls.
    #[serde(with = "text::list")]
    #[schemars(with = "Vec<String>")]
    pub depends_on: Vec<ServiceRef>,
}

impl From<&Stored> for SnapshotView {
    fn from(stored: &Stored) -> Self {
        let (routes, endpoints, sidecars) = (&stored.routes, &stored.endpoints, &stored.sidecars);
        let traffic = routes.iter().flat_map(|routes| &routes.services);
        let services = endpoints.iter().flat_map(|endpoints| &endpoints.services);
        let hosted = sidecars.iter().flat_map(|sidecars| &sidecars.sidecars);
        Self {
            routes_revision: routes.as_ref().map(|it| it.revision),
            endpoints_revision: endpoints.as_ref().map(|it| it.revision),
            sidecars_revision: sidecars.as_ref().map(|it| it.revision),
            gateway: routes.as_ref().and_then(|it| it.gateway.as_ref()).map(Into::into),
            egress: routes.as_ref().map(|it| it.egress.into()),
            traffic: traffic.map(|(service, traffic)| (service.to_string(), traffic.into())).collect(),
            resting: routes.iter().flat_map(|it| &it.resting).cloned().collect(),
            endpoints: services
                .map(|(service, endpoints)| (service.to_string(), endpoints.iter().map(Into::into).collect()))
                .collect(),
            sidecars: hosted.map(|(instance, sidecar)| SidecarView::of(instance, sidecar)).collect(),
        }
    }
}

impl From<&Endpoint> for EndpointView {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            instance: endpoint.instance.clone(),
            address: endpoint.address.clone(),
            version: endpoint.version.clone(),
            weight: endpoint.weight,
            inbound: endpoint.inbound,
        }
    }
}

impl SidecarView {
    fn of(instance: &InstanceId, sidecar: &Sidecar) -> Self {
        Self {
            instance: instance.clone(),
            service: sidecar.service.clone(),
            listeners: SidecarListeners { inbound: sidecar.inbound, outbound: sidecar.outbound },
            application: sidecar.application.clone(),
            depends_on: sidecar.depends_on.iter().cloned().collect(),
        }
    }
}
