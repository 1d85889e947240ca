//! Events of the registry.

use super::{encoded, micros, reference, referred};
use crate::InvalidMessage;
use crate::invalid::{Checked, distinct, nested, parsed, required, stated};
use crate::proto::event::v1;
use bytes::Bytes;
use std::time::Duration;
use tenon_core::health::{Evidence, Status};
use tenon_core::registry::{DeregisterReason, Event, Labels, Metadata, Origin, Registration, Sidecar};
use tenon_core::{EventType, platform};

pub(super) fn encode(event: &Event) -> (EventType, Bytes) {
    match event {
        Event::InstanceRegistered(registration) => encoded(&v1::InstanceRegistered::from(registration)),
        Event::InstanceUpdated { service, instance, labels } => encoded(&v1::InstanceUpdated {
            instance: reference(service, instance),
            labels: Some(labels.into()),
        }),
        Event::InstanceDeregistered { service, instance, reason } => encoded(&v1::InstanceDeregistered {
            instance: reference(service, instance),
            reason: v1::DeregisterReason::from(*reason).into(),
        }),
        Event::InstanceHealthChanged { service, instance, from, to, evidence } => {
            encoded(&v1::InstanceHealthChanged {
                instance: reference(service, instance),
                from: v1::Status::from(*from).into(),
                to: v1::Status::from(*to).into(),
                evidence: Some(evidence.into()),
            })
        }
        Event::InstanceDraining { service, instance } => {
            encoded(&v1::InstanceDraining { instance: reference(service, instance) })
        }
    }
}

pub(super) fn instance_registered(message: v1::InstanceRegistered) -> Checked<platform::Event> {
    let (service, id) = referred(message.instance)?;
    Ok(platform::Event::Registry(Event::InstanceRegistered(Registration {
        id,
        service,
        address: parsed("address", &message.address)?,
        labels: nested("labels", message.labels)?,
        origin: required("origin", message.origin)?.into(),
        sidecar: sidecar(message.sidecar_inbound.as_deref(), message.sidecar_outbound.as_deref())?,
    })))
}

pub(super) fn instance_updated(message: v1::InstanceUpdated) -> Checked<platform::Event> {
    let (service, instance) = referred(message.instance)?;
    let labels = nested("labels", message.labels)?;
    Ok(platform::Event::Registry(Event::InstanceUpdated { service, instance, labels }))
}

pub(super) fn instance_deregistered(message: v1::InstanceDeregistered) -> Checked<platform::Event> {
    let (service, instance) = referred(message.instance)?;
    let reason = stated("reason", message.reason, v1::DeregisterReason::known)?;
    Ok(platform::Event::Registry(Event::InstanceDeregistered { service, instance, reason }))
}

pub(super) fn instance_health_changed(message: v1::InstanceHealthChanged) -> Checked<platform::Event> {
    let (service, instance) = referred(message.instance)?;
    Ok(platform::Event::Registry(Event::InstanceHealthChanged {
        service,
        instance,
        from: stated("from", message.from, v1::Status::known)?,
        to: stated("to", message.to, v1::Status::known)?,
        evidence: required("evidence", message.evidence)?.into(),
    }))
}

pub(super) fn instance_draining(message: v1::InstanceDraining) -> Checked<platform::Event> {
    let (service, instance) = referred(message.instance)?;
    Ok(platform::Event::Registry(Event::InstanceDraining { service, instance }))
}

impl From<&Registration> for v1::InstanceRegistered {
    fn from(registration: &Registration) -> Self {
        Self {
            instance: reference(&registration.service, &registration.id),
            address: registration.address.to_string(),
            labels: Some((&registration.labels).into()),
            origin: Some(registration.origin.into()),
            sidecar_inbound: registration.sidecar.map(|sidecar| sidecar.inbound.to_string()),
            sidecar_outbound: registration.sidecar.map(|sidecar| sidecar.outbound.to_string()),
        }
    }
}

fn sidecar(inbound: Option<&str>, outbound: Option<&str>) -> Checked<Option<Sidecar>> {
    match (inbound, outbound) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(InvalidMessage::new("sidecar_inbound", "is missing beside sidecar_outbound")),
        (Some(_), None) => Err(InvalidMessage::new("sidecar_outbound", "is missing beside sidecar_inbound")),
        (Some(inbound), Some(outbound)) => Ok(Some(Sidecar {
            inbound: parsed("sidecar_inbound", inbound)?,
            outbound: parsed("sidecar_outbound", outbound)?,
        })),
    }
}

impl From<Origin> for v1::instance_registered::Origin {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Managed { slot } => Self::Managed(v1::Managed { slot }),
            Origin::External => Self::External(v1::External {}),
            Origin::Registered { ttl } => Self::Registered(v1::Registered { ttl_micros: ttl.map(micros) }),
        }
    }
}

impl From<v1::instance_registered::Origin> for Origin {
    fn from(message: v1::instance_registered::Origin) -> Self {
        use v1::instance_registered::Origin as Message;
        match message {
            Message::Managed(managed) => Self::Managed { slot: managed.slot },
            Message::External(v1::External {}) => Self::External,
            Message::Registered(it) => Self::Registered { ttl: it.ttl_micros.map(Duration::from_micros) },
        }
    }
}

impl From<&Labels> for v1::Labels {
    fn from(labels: &Labels) -> Self {
        let pair =
            |(name, value): (&String, &String)| v1::NameAndValue { name: name.clone(), value: value.clone() };
        Self {
            version: labels.version.to_string(),
            weight: labels.weight,
            metadata: labels.metadata.pairs().iter().map(pair).collect(),
        }
    }
}

impl TryFrom<v1::Labels> for Labels {
    type Error = InvalidMessage;
    fn try_from(message: v1::Labels) -> Checked<Self> {
        let pairs = distinct("metadata", message.metadata, |pair| Ok((pair.name, pair.value)))?;
        Ok(Self {
            version: parsed("version", &message.version)?,
            weight: message.weight,
            metadata: Metadata::new(pairs).map_err(|error| InvalidMessage::new("metadata", error))?,
        })
    }
}

impl From<&Evidence> for v1::Evidence {
    fn from(evidence: &Evidence) -> Self {
        Self {
            check: evidence.check.clone(),
            answer: evidence.answer.clone(),
            took_micros: micros(evidence.took),
        }
    }
}

impl From<v1::Evidence> for Evidence {
    fn from(message: v1::Evidence) -> Self {
        Self::new(&message.check, &message.answer, Duration::from_micros(message.took_micros))
    }
}

impl From<DeregisterReason> for v1::DeregisterReason {
    fn from(reason: DeregisterReason) -> Self {
        match reason {
            DeregisterReason::Requested => Self::Requested,
            DeregisterReason::Ended => Self::Ended,
            DeregisterReason::Unhealthy => Self::Unhealthy,
            DeregisterReason::Removed => Self::Removed,
        }
    }
}

impl v1::DeregisterReason {
    fn known(self) -> Option<DeregisterReason> {
        match self {
            Self::Unspecified => None,
            Self::Requested => Some(DeregisterReason::Requested),
            Self::Ended => Some(DeregisterReason::Ended),
            Self::Unhealthy => Some(DeregisterReason::Unhealthy),
            Self::Removed => Some(DeregisterReason::Removed),
        }
    }
}

impl From<Status> for v1::Status {
    fn from(status: Status) -> Self {
        match status {
            Status::Unknown => Self::Unknown,
            Status::Healthy => Self::Healthy,
            Status::Unhealthy => Self::Unhealthy,
        }
    }
}

impl v1::Status {
    fn known(self) -> Option<Status> {
        match self {
            Self::Unspecified => None,
            Self::Unknown => Some(Status::Unknown),
            Self::Healthy => Some(Status::Healthy),
            Self::Unhealthy => Some(Status::Unhealthy),
        }
    }
}
