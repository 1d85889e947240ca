//! How the platform's state follows from what was recorded.

use super::derive::is_resting;
use super::{Changes, Event, State};
use crate::stamp::Stamp;
use crate::{catalog, registry, runtime};

impl State {
    /// Folds an event and says what it changed. Never fails: an event that does not fit the state changes
    /// nothing but the revision.
    pub fn evolve(&mut self, stamp: &Stamp, event: &Event) -> Changes {
        self.revision.position = stamp.position;
        let mut changes = Changes { position: stamp.position, ..Changes::default() };
        match event {
            Event::Catalog(event) => self.replace_system(&mut changes, event),
            Event::Registry(event) => self.evolve_registry(&mut changes, stamp, event),
            Event::Config(event) => changes.config.extend(self.config.evolve(stamp, event)),
            Event::Runtime(event) => self.evolve_runtime(&mut changes, stamp, event),
            Event::Duty(event) => self.duties.evolve(event),
        }
        changes
    }

    fn replace_system(&mut self, changes: &mut Changes, event: &catalog::Event) {
        let declared = |state: &Self| state.catalog.services().map(|(name, _)| name).collect::<Vec<_>>();
        let before = declared(self);
        self.catalog.evolve(event);
        let known = before.into_iter().chain(declared(self));
        let running = self.runtime.services().map(|(name, _)| name.clone());
        changes.runtime = known.chain(running).collect();
        changes.endpoints = self.registry.services().cloned().collect();
        changes.routes = true;
        changes.sidecars = true;
        self.runtime.forget_unmanaged(&self.catalog);
    }

    fn evolve_registry(&mut self, changes: &mut Changes, stamp: &Stamp, event: &registry::Event) {
        let Some(changed) = self.registry.evolve(stamp, event) else { return };
        if changed.endpoints {
            changes.endpoints.insert(changed.service.clone());
        }
        changes.instances.insert(changed.service);
    }

    fn evolve_runtime(&mut self, changes: &mut Changes, stamp: &Stamp, event: &runtime::Event) {
        use runtime::Event::{
            InstanceExited, InstanceStarting, ServiceScaled, ServiceStarted, ServiceStopped,
        };
        changes.sidecars = matches!(event, InstanceStarting { .. } | InstanceExited { .. });
        let ordered = match event {
            ServiceStarted { service } | ServiceStopped { service } | ServiceScaled { service, .. } => {
                Some((service, is_resting(self, service)))
            }
            _ => None,
        };
        changes.runtime.extend(self.runtime.evolve(stamp, event));
        changes.routes = ordered.is_some_and(|(service, before)| is_resting(self, service) != before);
    }
}
