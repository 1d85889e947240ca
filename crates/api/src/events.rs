//! Tenon's own events as they lie in the log: a type, and a protobuf payload.
//!
//! Types are named `tenon.AREA.FACT.vN`. A payload of a version only ever gains optional fields; bytes of each are
//! committed in `tests/golden`, and must decode for ever. Encoding is deterministic: equal events have equal bytes.
//!
//! Left out on purpose: everything around the payload (stream, tags, time, actor), which is the log's.

mod catalog;
mod config;
mod duty;
mod registry;
mod runtime;

use crate::InvalidMessage;
use crate::invalid::{Checked, nested, parsed, required};
use crate::proto::event::v1;
use bytes::Bytes;
use prost::Message;
use std::time::Duration;
use tenon_core::platform::Event;
use tenon_core::{EventType, InstanceId, ServiceRef, Timestamp};

/// How the types of Tenon's own events begin.
pub const TYPE_PREFIX: &str = "tenon.";

/// Why an event of the log cannot be read. A fold must stop there: what follows may rest on it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// No event of this type is known; a later version of Tenon may have written it.
    #[error("no event has the type {0}; was it written by a later version?")]
    UnknownType(EventType),
    /// The payload is not a message of the type.
    #[error("the payload of a {event_type} is damaged")]
    Damaged {
        /// The type.
        event_type: EventType,
        /// What the decoder found.
        source: prost::DecodeError,
    },
    /// The payload is a message of the type, but a field does not hold what it must.
    #[error("the payload of a {event_type} is not valid")]
    Invalid {
        /// The type.
        event_type: EventType,
        /// Which field.
        source: InvalidMessage,
    },
}

/// Declares which type goes with which message, once for every use.
macro_rules! types {
    ($($text:literal => $message:ident by $read:path,)*) => {
        /// Every type that can be encoded and decoded.
        pub const TYPES: &[&str] = &[$($text),*];

        fn read(event_type: &EventType, payload: &[u8]) -> Result<Event, DecodeError> {
            match event_type.as_str() {
                $($text => read_as::<v1::$message>(event_type, payload, $read),)*
                _ => Err(DecodeError::UnknownType(event_type.clone())),
            }
        }

        $(impl Typed for v1::$message {
            const TYPE: &'static str = $text;
        })*
    };
}

types! {
    "tenon.catalog.ManifestApplied.v1" => ManifestApplied by catalog::manifest_applied,
    "tenon.config.ValueRemoved.v1" => ValueRemoved by config::value_removed,
    "tenon.config.ValueSet.v1" => ValueSet by config::value_set,
    "tenon.duty.DutyTaken.v1" => DutyTaken by duty::duty_taken,
    "tenon.registry.InstanceDeregistered.v1" => InstanceDeregistered by registry::instance_deregistered,
    "tenon.registry.InstanceDraining.v1" => InstanceDraining by registry::instance_draining,
    "tenon.registry.InstanceHealthChanged.v1" => InstanceHealthChanged by registry::instance_health_changed,
    "tenon.registry.InstanceRegistered.v1" => InstanceRegistered by registry::instance_registered,
    "tenon.registry.InstanceUpdated.v1" => InstanceUpdated by registry::instance_updated,
    "tenon.runtime.InstanceExited.v1" => InstanceExited by runtime::instance_exited,
    "tenon.runtime.InstanceStarted.v1" => InstanceStarted by runtime::instance_started,
    "tenon.runtime.InstanceStarting.v1" => InstanceStarting by runtime::instance_starting,
    "tenon.runtime.InstanceStopping.v1" => InstanceStopping by runtime::instance_stopping,
    "tenon.runtime.ServiceScaled.v1" => ServiceScaled by runtime::service_scaled,
    "tenon.runtime.ServiceStarted.v1" => ServiceStarted by runtime::service_started,
    "tenon.runtime.ServiceStopped.v1" => ServiceStopped by runtime::service_stopped,
}

/// The type and the payload of an event.
pub fn encode(event: &Event) -> (EventType, Bytes) {
    match event {
        Event::Catalog(event) => catalog::encode(event),
        Event::Registry(event) => registry::encode(event),
        Event::Config(event) => config::encode(event),
        Event::Runtime(event) => runtime::encode(event),
        Event::Duty(event) => duty::encode(event),
    }
}

/// The event that a type and a payload stand for.
///
/// # Errors
/// [`DecodeError`] if the type is unknown or the payload does not hold what it must.
pub fn decode(event_type: &EventType, payload: &[u8]) -> Result<Event, DecodeError> {
    read(event_type, payload)
}

/// A message that is the payload of a type.
trait Typed: Message + Default {
    const TYPE: &'static str;
}

fn encoded<M: Typed>(message: &M) -> (EventType, Bytes) {
    let event_type = EventType::new(M::TYPE).expect("the types listed above are short printable ASCII");
    (event_type, message.encode_to_vec().into())
}

fn read_as<M: Typed>(
    event_type: &EventType,
    payload: &[u8],
    read: impl Fn(M) -> Checked<Event>,
) -> Result<Event, DecodeError> {
    let message = M::decode(payload)
        .map_err(|source| DecodeError::Damaged { event_type: event_type.clone(), source })?;
    read(message).map_err(|source| DecodeError::Invalid { event_type: event_type.clone(), source })
}

impl From<&ServiceRef> for v1::ServiceRef {
    fn from(service: &ServiceRef) -> Self {
        Self { name: service.name.to_string(), namespace: service.namespace.to_string() }
    }
}

impl TryFrom<v1::ServiceRef> for ServiceRef {
    type Error = InvalidMessage;
    fn try_from(message: v1::ServiceRef) -> Checked<Self> {
        let name = parsed("name", &message.name)?;
        Ok(Self { name, namespace: parsed("namespace", &message.namespace)? })
    }
}

fn reference(service: &ServiceRef, instance: &InstanceId) -> Option<v1::InstanceRef> {
    Some(v1::InstanceRef { service: Some(service.into()), instance: instance.to_string() })
}

/// The service and the instance that an event is about.
fn referred(message: Option<v1::InstanceRef>) -> Checked<(ServiceRef, InstanceId)> {
    let message = required("instance", message)?;
    let service = nested("service", message.service).map_err(|error| error.within("instance"))?;
    Ok((service, parsed("instance.instance", &message.instance)?))
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
}

fn time(time: Timestamp) -> Option<v1::Timestamp> {
    Some(v1::Timestamp { micros: time.as_micros() })
}

#[cfg(test)]
mod tests;
