//! The catalog: the system that was last applied, and what follows from it about services.
//!
//! Life cycle: empty until a manifest is applied, then that manifest's system until another one is. The event
//! carries the whole resolved system, so that a fold needs no parser and no default.
//!
//! Left out on purpose: reading manifests (crate `analysis`), former systems (a read of the log).

use crate::config;
use crate::error::{Code, Refusal};
use crate::id::ServiceRef;
use crate::manifest::{ConfigKey, Service, System};
use std::sync::Arc;

/// The most bytes of a manifest's text: with the system that it resolves to, it must fit into one event.
pub const MAX_TEXT: usize = 256 << 10;

/// What is applied.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct State {
    applied: Option<Applied>,
}

/// A system and the text that it came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Applied {
    /// The resolved system.
    pub system: Arc<System>,
    /// The manifest's text.
    pub text: Arc<str>,
}

/// What may be asked of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// Replace the system.
    Apply(Applied),
}

/// What happened to the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// The system was replaced.
    ManifestApplied(Applied),
}

impl State {
    /// What is applied, if anything was.
    pub fn applied(&self) -> Option<&Applied> {
        self.applied.as_ref()
    }

    /// The applied system, if there is one.
    pub fn system(&self) -> Option<&System> {
        self.applied.as_ref().map(|applied| &*applied.system)
    }

    /// Whether a service is declared.
    pub fn declares(&self, service: &ServiceRef) -> bool {
        self.get(service).is_some()
    }

    /// A service, if it is declared.
    pub fn get(&self, service: &ServiceRef) -> Option<&Service> {
        let system = self.system().filter(|system| system.namespace == service.namespace)?;
        system.services.get(&service.name)
    }

    /// A service.
    ///
    /// # Errors
    /// `registry.unknown-service`.
    pub fn service(&self, service: &ServiceRef) -> Result<&Service, Refusal> {
        self.get(service).ok_or_else(|| self.unknown(service))
    }

    /// The declared services, by name.
    pub fn services(&self) -> impl Iterator<Item = (ServiceRef, &Service)> {
        let of = |system| {
            let named = move |(name, service)| (System::reference(system, name), service);
            system.services.iter().map(named)
        };
        self.system().into_iter().flat_map(of)
    }

    /// The configuration that the manifest states, by service.
    pub fn config(&self) -> config::Initial {
        self.system().map(initial_config).unwrap_or_default()
    }

    /// The JSON Schema that a key's values must satisfy, if the manifest states one.
    pub fn schema(&self, service: &ServiceRef, key: &ConfigKey) -> Option<&config::Value> {
        self.get(service)?;
        self.system()?.config.get(&service.name)?.get(key)?.schema.as_ref()
    }

    /// Folds an event.
    pub fn evolve(&mut self, event: &Event) {
        match event {
            Event::ManifestApplied(applied) => self.applied = Some(applied.clone()),
        }
    }

    fn unknown(&self, service: &ServiceRef) -> Refusal {
        let known: Vec<_> =
            self.services().take(MOST_NAMED + 1).map(|(known, _)| known.to_string()).collect();
        let named = known.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
        let detail = match known.len() {
            0 => format!("there is no service {service}, because no manifest is applied; run `tenon up`"),
            1..=MOST_NAMED => format!("there is no service {service}; there are {named}"),
            _ => format!("there is no service {service}; there are {named} and others"),
        };
        Refusal::new(Code::RegistryUnknownService, detail)
    }
}

/// How many services a refusal names.
const MOST_NAMED: usize = 8;

/// Decides on a command. The same system and text again is no event.
///
/// # Errors
/// `manifest.invalid` if the text is too long.
pub fn decide(state: &State, command: &Command) -> Result<Vec<Event>, Refusal> {
    let Command::Apply(applied) = command;
    if applied.text.len() > MAX_TEXT {
        let detail =
            format!("the manifest has {} bytes; at most {MAX_TEXT} are accepted", applied.text.len());
        return Err(Refusal::new(Code::ManifestInvalid, detail));
    }
    if state.applied.as_ref() == Some(applied) {
        return Ok(Vec::new());
    }
    Ok(vec![Event::ManifestApplied(applied.clone())])
}

fn initial_config(system: &System) -> config::Initial {
    let named = |(name, entries): (&_, &_)| (system.reference(name), Clone::clone(entries));
    system.config.iter().map(named).collect()
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
