//! Events of the catalog.

use super::encoded;
use crate::InvalidMessage;
use crate::invalid::Checked;
use crate::proto::event::v1;
use crate::system::SystemDoc;
use bytes::Bytes;
use tenon_core::EventType;
use tenon_core::catalog::{Applied, Event};
use tenon_core::manifest::System;
use tenon_core::platform;

pub(super) fn encode(event: &Event) -> (EventType, Bytes) {
    let Event::ManifestApplied(applied) = event;
    let document = serde_json::to_vec(&SystemDoc::from(&*applied.system))
        .expect("a document of texts, numbers, lists and maps keyed by texts always serialises");
    encoded(&v1::ManifestApplied { text: applied.text.to_string(), system_json: document.into() })
}

pub(super) fn manifest_applied(message: v1::ManifestApplied) -> Checked<platform::Event> {
    let within = |error: InvalidMessage| error.within("system_json");
    let document: SystemDoc = serde_json::from_slice(&message.system_json)
        .map_err(|error| InvalidMessage::new("system_json", error))?;
    let system = System::try_from(&document).map_err(within)?;
    let applied = Applied { system: system.into(), text: message.text.into() };
    Ok(platform::Event::Catalog(Event::ManifestApplied(applied)))
}
