//! Events of configuration.

use super::encoded;
use crate::InvalidMessage;
use crate::invalid::{Checked, nested, parsed, stated};
use crate::proto::event::v1;
use crate::value;
use bytes::Bytes;
use tenon_core::EventType;
use tenon_core::config::{Event, Origin, Value};
use tenon_core::platform;

pub(super) fn encode(event: &Event) -> (EventType, Bytes) {
    match event {
        Event::ValueSet { service, key, value, origin } => encoded(&v1::ValueSet {
            service: Some(service.into()),
            key: key.to_string(),
            value: value.as_json().to_owned(),
            origin: v1::ConfigOrigin::from(*origin).into(),
        }),
        Event::ValueRemoved { service, key, origin } => encoded(&v1::ValueRemoved {
            service: Some(service.into()),
            key: key.to_string(),
            origin: v1::ConfigOrigin::from(*origin).into(),
        }),
    }
}

pub(super) fn value_set(message: v1::ValueSet) -> Checked<platform::Event> {
    Ok(platform::Event::Config(Event::ValueSet {
        service: nested("service", message.service)?,
        key: parsed("key", &message.key)?,
        value: canonical(&message.value)?,
        origin: stated("origin", message.origin, v1::ConfigOrigin::known)?,
    }))
}

pub(super) fn value_removed(message: v1::ValueRemoved) -> Checked<platform::Event> {
    Ok(platform::Event::Config(Event::ValueRemoved {
        service: nested("service", message.service)?,
        key: parsed("key", &message.key)?,
        origin: stated("origin", message.origin, v1::ConfigOrigin::known)?,
    }))
}

fn canonical(text: &str) -> Checked<Value> {
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|error| InvalidMessage::new("value", error))?;
    value::to_core(&json).map_err(|error| InvalidMessage::new("value", error))
}

impl From<Origin> for v1::ConfigOrigin {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Manifest => Self::Manifest,
            Origin::Hand => Self::Hand,
        }
    }
}

impl v1::ConfigOrigin {
    fn known(self) -> Option<Origin> {
        match self {
            Self::Unspecified => None,
            Self::Manifest => Some(Origin::Manifest),
            Self::Hand => Some(Origin::Hand),
        }
    }
}
