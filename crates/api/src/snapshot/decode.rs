//! From messages to the types of `core`, trusting nothing.

use super::{Part, ServiceEndpoints, Stored, Watch};
use crate::InvalidMessage;
use crate::invalid::{Checked, distinct, each, nested, optional, parsed, required, stated};
use crate::proto::snapshot::v1;
use tenon_core::manifest::Traffic;
use tenon_core::snapshot::{Endpoint, Endpoints, Routes, Sidecar, Sidecars};
use tenon_core::{InstanceId, LogId, Position, Revision, ServiceRef, Timestamp};

impl TryFrom<v1::SnapshotPart> for Part {
    type Error = InvalidMessage;
    fn try_from(message: v1::SnapshotPart) -> Checked<Self> {
        use v1::snapshot_part::Part as Message;
        match required("part", message.part)? {
            Message::Routes(routes) => nested("routes", Some(routes)).map(Self::Routes),
            Message::RouteChanges(changes) => {
                nested("route_changes", Some(changes)).map(|it| Self::RouteChanges(Box::new(it)))
            }
            Message::Endpoints(endpoints) => nested("endpoints", Some(endpoints)).map(Self::Endpoints),
            Message::ServiceEndpoints(change) => {
                nested("service_endpoints", Some(change)).map(Self::ServiceEndpoints)
            }
            Message::Sidecars(sidecars) => nested("sidecars", Some(sidecars)).map(Self::Sidecars),
        }
    }
}

impl TryFrom<v1::WatchRequest> for Watch {
    type Error = InvalidMessage;
    fn try_from(message: v1::WatchRequest) -> Checked<Self> {
        if message.node.len() > 128 {
            return Err(InvalidMessage::new("node", "must have at most 128 bytes"));
        }
        Ok(Self {
            node: message.node,
            routes: optional("routes", message.routes)?,
            endpoints: optional("endpoints", message.endpoints)?,
            sidecars: optional("sidecars", message.sidecars)?,
            instances: each("instances", message.instances, |id| parsed("", &id))?,
        })
    }
}

impl TryFrom<v1::StoredSnapshot> for Stored {
    type Error = InvalidMessage;
    fn try_from(message: v1::StoredSnapshot) -> Checked<Self> {
        Ok(Self {
            routes: optional("routes", message.routes)?,
            endpoints: optional("endpoints", message.endpoints)?,
            sidecars: optional("sidecars", message.sidecars)?,
        })
    }
}

impl TryFrom<v1::Revision> for Revision {
    type Error = InvalidMessage;
    fn try_from(message: v1::Revision) -> Checked<Self> {
        let log = message.log_id.as_ref().try_into();
        let log = log.map_err(|_| InvalidMessage::new("log_id", "must have 16 bytes"))?;
        Ok(Self { log: LogId::from_bytes(log), position: Position(message.position) })
    }
}

impl TryFrom<v1::ServiceRef> for ServiceRef {
    type Error = InvalidMessage;
    fn try_from(message: v1::ServiceRef) -> Checked<Self> {
        let name = parsed("name", &message.name)?;
        Ok(Self { name, namespace: parsed("namespace", &message.namespace)? })
    }
}

impl TryFrom<v1::Routes> for Routes {
    type Error = InvalidMessage;
    fn try_from(message: v1::Routes) -> Checked<Self> {
        Ok(Self {
            revision: nested("revision", message.revision)?,
            gateway: optional("gateway", message.gateway)?,
            services: distinct("services", message.services, service_traffic)?,
            egress: stated("egress", message.egress, v1::Egress::known)?,
            planes: message.planes.max(1),
            // Absent from what an older server sends.
            policies: optional("policies", message.policies)?.unwrap_or_default(),
            resting: each("resting", message.resting, ServiceRef::try_from)?,
            telemetry: optional("telemetry", message.telemetry)?.unwrap_or_default(),
        })
    }
}

fn service_traffic(message: v1::ServiceTraffic) -> Checked<(ServiceRef, Traffic)> {
    Ok((nested("service", message.service)?, nested("traffic", message.traffic)?))
}

impl TryFrom<v1::Endpoints> for Endpoints {
    type Error = InvalidMessage;
    fn try_from(message: v1::Endpoints) -> Checked<Self> {
        let revision = nested("revision", message.revision)?;
        let services = distinct("services", message.services, |of_service| {
            let endpoints: Vec<Endpoint> = each("endpoints", of_service.endpoints, Endpoint::try_from)?;
            if endpoints.is_empty() {
                return Err(InvalidMessage::new(
                    "endpoints",
                    "must not be empty; a service without is left out",
                ));
            }
            Ok((nested("service", of_service.service)?, endpoints))
        });
        Ok(Self { revision, services: services? })
    }
}

impl TryFrom<v1::ServiceEndpoints> for ServiceEndpoints {
    type Error = InvalidMessage;
    fn try_from(message: v1::ServiceEndpoints) -> Checked<Self> {
        Ok(Self {
            revision: nested("revision", message.revision)?,
            service: nested("service", message.service)?,
            endpoints: each("endpoints", message.endpoints, Endpoint::try_from)?,
        })
    }
}

impl TryFrom<v1::Endpoint> for Endpoint {
    type Error = InvalidMessage;
    fn try_from(message: v1::Endpoint) -> Checked<Self> {
        Ok(Self {
            instance: parsed("instance", &message.instance)?,
            address: parsed("address", &message.address)?,
            version: parsed("version", &message.version)?,
            weight: message.weight,
            healthy: !message.unhealthy,
            since: Timestamp::from_micros(message.since_micros),
            metadata: super::balancing::sorted(message.metadata),
            inbound: message.inbound.map(|it| parsed("inbound", &it)).transpose()?,
        })
    }
}

impl TryFrom<v1::Sidecars> for Sidecars {
    type Error = InvalidMessage;
    fn try_from(message: v1::Sidecars) -> Checked<Self> {
        let revision = nested("revision", message.revision)?;
        Ok(Self { revision, sidecars: distinct("sidecars", message.sidecars, sidecar)? })
    }
}

fn sidecar(message: v1::Sidecar) -> Checked<(InstanceId, Sidecar)> {
    let credential = message.credential_sha256.as_ref().try_into();
    let sidecar = Sidecar {
        service: nested("service", message.service)?,
        outbound: parsed("outbound", &message.outbound)?,
        inbound: parsed("inbound", &message.inbound)?,
        application: parsed("application", &message.application)?,
        credential_sha256: credential
            .map_err(|_| InvalidMessage::new("credential_sha256", "must have 32 bytes"))?,
        depends_on: each("depends_on", message.depends_on, ServiceRef::try_from)?,
        callers: each("callers", message.callers, ServiceRef::try_from)?,
    };
    Ok((parsed("instance", &message.instance)?, sidecar))
}
