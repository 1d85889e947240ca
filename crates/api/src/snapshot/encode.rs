//! From the types of `core` to messages. Nothing can go wrong here.

use super::{Part, ServiceEndpoints, Watch};
use crate::proto::snapshot::v1;
use std::time::Duration;
use tenon_core::snapshot::{Endpoint, Endpoints, Routes, Sidecar, Sidecars};
use tenon_core::{InstanceId, Revision, ServiceRef};

impl From<&Part> for v1::SnapshotPart {
    fn from(part: &Part) -> Self {
        use v1::snapshot_part::Part as Message;
        let part = match part {
            Part::Routes(routes) => Message::Routes(routes.into()),
            Part::RouteChanges(changes) => Message::RouteChanges((&**changes).into()),
            Part::Endpoints(endpoints) => Message::Endpoints(endpoints.into()),
            Part::ServiceEndpoints(change) => Message::ServiceEndpoints(change.into()),
            Part::Sidecars(sidecars) => Message::Sidecars(sidecars.into()),
        };
        Self { part: Some(part) }
    }
}

impl From<&Watch> for v1::WatchRequest {
    fn from(watch: &Watch) -> Self {
        Self {
            node: watch.node.clone(),
            routes: watch.routes.as_ref().map(Into::into),
            endpoints: watch.endpoints.as_ref().map(Into::into),
            sidecars: watch.sidecars.as_ref().map(Into::into),
            instances: watch.instances.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<&Revision> for v1::Revision {
    fn from(revision: &Revision) -> Self {
        Self { log_id: revision.log.as_bytes().to_vec().into(), position: revision.position.0 }
    }
}

impl From<&ServiceRef> for v1::ServiceRef {
    fn from(service: &ServiceRef) -> Self {
        Self { name: service.name.to_string(), namespace: service.namespace.to_string() }
    }
}

impl From<&Routes> for v1::Routes {
    fn from(routes: &Routes) -> Self {
        let services = routes.services.iter().map(|(service, traffic)| v1::ServiceTraffic {
            service: Some(service.into()),
            traffic: Some(traffic.into()),
        });
        Self {
            revision: Some((&routes.revision).into()),
            gateway: routes.gateway.as_ref().map(Into::into),
            services: services.collect(),
            egress: v1::Egress::from(routes.egress).into(),
            planes: routes.planes,
            policies: Some((&routes.policies).into()),
            resting: routes.resting.iter().map(Into::into).collect(),
            telemetry: Some((&routes.telemetry).into()),
        }
    }
}

impl From<&Endpoints> for v1::Endpoints {
    fn from(endpoints: &Endpoints) -> Self {
        let services = endpoints.services.iter().map(|(service, endpoints)| v1::EndpointsOfService {
            service: Some(service.into()),
            endpoints: endpoints.iter().map(Into::into).collect(),
        });
        Self { revision: Some((&endpoints.revision).into()), services: services.collect() }
    }
}

impl From<&ServiceEndpoints> for v1::ServiceEndpoints {
    fn from(change: &ServiceEndpoints) -> Self {
        Self {
            revision: Some((&change.revision).into()),
            service: Some((&change.service).into()),
            endpoints: change.endpoints.iter().map(Into::into).collect(),
        }
    }
}

impl From<&Endpoint> for v1::Endpoint {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            instance: endpoint.instance.to_string(),
            address: endpoint.address.to_string(),
            version: endpoint.version.to_string(),
            weight: endpoint.weight,
            unhealthy: !endpoint.healthy,
            since_micros: endpoint.since.as_micros(),
            metadata: endpoint.metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            inbound: endpoint.inbound.map(|it| it.to_string()),
        }
    }
}

impl From<&Sidecars> for v1::Sidecars {
    fn from(sidecars: &Sidecars) -> Self {
        Self {
            revision: Some((&sidecars.revision).into()),
            sidecars: sidecars
                .sidecars
                .iter()
                .map(|(instance, sidecar)| sidecar_of(instance, sidecar))
                .collect(),
        }
    }
}

fn sidecar_of(instance: &InstanceId, sidecar: &Sidecar) -> v1::Sidecar {
    v1::Sidecar {
        instance: instance.to_string(),
        service: Some((&sidecar.service).into()),
        outbound: sidecar.outbound.to_string(),
        inbound: sidecar.inbound.to_string(),
        application: sidecar.application.to_string(),
        credential_sha256: sidecar.credential_sha256.to_vec().into(),
        depends_on: sidecar.depends_on.iter().map(Into::into).collect(),
        callers: sidecar.callers.iter().map(Into::into).collect(),
    }
}

/// Whole microseconds, rounded up, so that a span that is not zero never becomes zero.
pub(super) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
}
