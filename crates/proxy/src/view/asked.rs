//! Which subsets of services the gateway's routes ask for, kept up to date while routes change, so that a change of one
//! need not look at the others.

use std::collections::BTreeMap;
use tenon_core::ServiceRef;
use tenon_core::balance::Subset;
use tenon_core::route::{Backend, Route};

/// How many backends ask for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked(BTreeMap<ServiceRef, BTreeMap<Subset, usize>>);

impl Asked {
    /// What these routes ask for.
    pub(super) fn by<'a>(routes: impl Iterator<Item = &'a Route>) -> Self {
        let mut asked = Self::default();
        routes.for_each(|route| asked.add(route));
        asked
    }

    /// The subsets of a service.
    pub(super) fn of(&self, service: &ServiceRef) -> impl Iterator<Item = &Subset> {
        self.0.get(service).into_iter().flat_map(BTreeMap::keys)
    }

    pub(super) fn add(&mut self, route: &Route) {
        for backend in backends(route) {
            let subsets = self.0.entry(backend.service.clone()).or_default();
            *subsets.entry(backend.subset.clone()).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, route: &Route) {
        for backend in backends(route) {
            let Some(subsets) = self.0.get_mut(&backend.service) else { continue };
            if let Some(count) = subsets.get_mut(&backend.subset) {
                *count -= 1;
            }
            subsets.retain(|_, count| *count > 0);
            if subsets.is_empty() {
                self.0.remove(&backend.service);
            }
        }
    }
}

/// Those that ask for a part of their service's instances.
fn backends(route: &Route) -> impl Iterator<Item = &Backend> {
    route.rules.iter().flat_map(|rule| &rule.backends).filter(|backend| !backend.subset.is_everybody())
}
