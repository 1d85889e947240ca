//! Configuration of services: versioned by log position, watched, rolled back.
//!
//! Life cycle: a key has a value once it was set, by a manifest or by hand, and none once it was removed.
//! [`decide()`] holds what is permitted, [`State::evolve`] folds what was recorded and tells each [`Change`] with
//! the old and the new value. Past states are not kept: they are folded anew from the log.
//!
//! A manifest that is applied again overrides only the keys whose value in the manifest changed since it was
//! last applied; everything else that was set or removed by hand stays as it is.
//!
//! Left out on purpose: JSON and its schemas (whoever sends a command has checked the value), history (a read
//! of the log).

mod decide;

pub use decide::decide;

use crate::id::{Actor, Position, ServiceRef};
use crate::manifest::{ConfigEntry, ConfigKey};
use crate::stamp::Stamp;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// The most keys that one service may have.
pub const MAX_KEYS: usize = 1_000;

/// The most keys that all services together may have.
pub const MAX_ENTRIES: usize = 20_000;

/// The initial configuration that a manifest states.
pub type Initial = BTreeMap<ServiceRef, BTreeMap<ConfigKey, ConfigEntry>>;

/// All configuration.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The keys of each service that has any.
    services: BTreeMap<ServiceRef, BTreeMap<ConfigKey, Entry>>,
}

/// One key's value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The value.
    pub value: Value,
    /// Where it was set.
    pub revision: Position,
    /// When it was set.
    pub set_at: Timestamp,
    /// Who set it.
    pub set_by: Actor,
    /// Whether that was by applying a manifest.
    pub origin: Origin,
}

/// How a value came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A manifest was applied.
    Manifest,
    /// Somebody set, removed or rolled back.
    Hand,
}

/// What may be asked of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// Give a key a value, which satisfies its schema.
    Set {
        /// The service.
        service: ServiceRef,
        /// The key.
        key: ConfigKey,
        /// Its value from now on.
        value: Value,
        /// The key's revision that the change is based on ([`Position::START`] for a key that has no value);
        /// any, if not stated.
        expected: Option<Position>,
    },
    /// Take a key's value away.
    Remove {
        /// The service.
        service: ServiceRef,
        /// The key.
        key: ConfigKey,
        /// The key's revision that the change is based on; any, if not stated.
        expected: Option<Position>,
    },
    /// Give all keys of a service the values that they had in a past state.
    Rollback {
        /// The service.
        service: ServiceRef,
        /// The service's values at that time.
        to: BTreeMap<ConfigKey, Value>,
    },
    /// Take over what a manifest changes.
    ApplyManifest {
        /// What the last applied manifest states.
        before: Initial,
        /// What this one states.
        after: Initial,
    },
}

/// What happened to the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// A key was given a value.
    ValueSet {
        /// The service.
        service: ServiceRef,
        /// The key.
        key: ConfigKey,
        /// Its value from now on.
        value: Value,
        /// How that came.
        origin: Origin,
    },
    /// A key's value was taken away.
    ValueRemoved {
        /// The service.
        service: ServiceRef,
        /// The key.
        key: ConfigKey,
        /// How that came.
        origin: Origin,
    },
}

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Change {
    /// The service.
    pub service: ServiceRef,
    /// The key.
    pub key: ConfigKey,
    /// Its value before.
    pub old: Option<Value>,
    /// Its value after.
    pub new: Option<Value>,
    /// Where the change was recorded.
    pub position: Position,
}

/// Where two states of a service's configuration differ.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Difference {
    /// The key.
    pub key: ConfigKey,
    /// Its value in the earlier state.
    pub old: Option<Value>,
    /// Its value in the later state.
    pub new: Option<Value>,
}

/// Where the values of a service differ, by key.
pub fn diff(old: &BTreeMap<ConfigKey, Value>, new: &BTreeMap<ConfigKey, Value>) -> Vec<Difference> {
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let compare = |key: &ConfigKey| {
        let (old, new) = (old.get(key).cloned(), new.get(key).cloned());
        (old != new).then(|| Difference { key: key.clone(), old, new })
    };
    keys.into_iter().filter_map(compare).collect()
}

impl State {
    /// What a key has, if it has a value.
    pub fn get(&self, service: &ServiceRef, key: &ConfigKey) -> Option<&Entry> {
        self.services.get(service)?.get(key)
    }

    /// The keys of a service that have a value.
    pub fn entries(&self, service: &ServiceRef) -> impl Iterator<Item = (&ConfigKey, &Entry)> {
        self.services.get(service).into_iter().flatten()
    }

    /// The values of a service.
    pub fn values(&self, service: &ServiceRef) -> BTreeMap<ConfigKey, Value> {
        self.entries(service).map(|(key, entry)| (key.clone(), entry.value.clone())).collect()
    }

    /// The services that have configuration.
    pub fn services(&self) -> impl Iterator<Item = &ServiceRef> {
        self.services.keys()
    }

    /// How many keys have a value.
    pub fn len(&self) -> usize {
        self.services.values().map(BTreeMap::len).sum()
    }

    /// Whether no key has a value.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Folds an event and tells the change of value, if there was one.
    pub fn evolve(&mut self, stamp: &Stamp, event: &Event) -> Option<Change> {
        let (service, key, old, new) = match event {
            Event::ValueSet { service, key, value, origin } => {
                let entry = Entry {
                    value: value.clone(),
                    revision: stamp.position,
                    set_at: stamp.time,
                    set_by: stamp.actor.clone(),
                    origin: *origin,
                };
                let old = self.services.entry(service.clone()).or_default().insert(key.clone(), entry);
                (service, key, old, Some(value.clone()))
            }
            Event::ValueRemoved { service, key, .. } => (service, key, self.take(service, key), None),
        };
        let old = old.map(|entry| entry.value);
        let (service, key, position) = (service.clone(), key.clone(), stamp.position);
        (old != new).then_some(Change { service, key, old, new, position })
    }

    fn take(&mut self, service: &ServiceRef, key: &ConfigKey) -> Option<Entry> {
        let entries = self.services.get_mut(service)?;
        let entry = entries.remove(key);
        if entries.is_empty() {
            self.services.remove(service);
        }
        entry
    }
}

/// A JSON value as canonical text (no spaces, keys sorted). Whoever makes one has parsed it; `core` only
/// compares, so equal values must have equal texts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(Arc<str>);

impl Value {
    /// The most bytes that a value may have.
    pub const MAX_BYTES: usize = 256 << 10;

    /// A value from text that the caller has read as JSON and written canonically.
    pub fn from_canonical(text: &str) -> Self {
        Self(text.into())
    }

    /// The JSON text.
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
