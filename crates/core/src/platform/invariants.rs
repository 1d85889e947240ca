//! What always holds: one function for each invariant, used by tests, models and diagnostics.
//!
//! [`UNCONDITIONAL`] hold after any sequence of events at all. [`REACHABLE`] hold in every state that commands
//! lead to.

use super::{State, endpoints};
use crate::registry::Origin;
use std::collections::BTreeSet;

/// An invariant: its name, and whether it holds in a state.
pub type Invariant = (&'static str, fn(&State) -> bool);

/// What holds after any sequence of events.
pub const UNCONDITIONAL: &[Invariant] = &[
    ("endpoints are registered instances of declared services, not draining", endpoints_are_listed),
    ("an endpoint is marked healthy if and only if lookups answer it", marks_are_true),
    ("indexes agree", indexes_agree),
];

/// What holds in every state that commands lead to.
pub const REACHABLE: &[Invariant] = &[
    ("no two instances share a port", ports_are_exclusive),
    ("what Tenon runs is registered, and nothing else is registered as such", running_is_registered),
    ("a slot has one live instance, one slot of a service two while it is replaced", slots_are_single),
    ("what is to end is not called", stopping_is_draining),
];

/// The names of the invariants that do not hold.
pub fn violated(state: &State) -> Vec<&'static str> {
    let all = UNCONDITIONAL.iter().chain(REACHABLE);
    all.filter(|(_, holds)| !holds(state)).map(|(name, _)| *name).collect()
}

/// Data planes are told of instances of the named service only, none of them draining or never healthy.
pub fn endpoints_are_listed(state: &State) -> bool {
    endpoints(state).services.iter().all(|(service, endpoints)| {
        state.catalog.declares(service)
            && !endpoints.is_empty()
            && endpoints.iter().all(|endpoint| {
                state
                    .registry
                    .get(&endpoint.instance)
                    .is_some_and(|it| it.is_listed() && it.registration.service == *service)
            })
    })
}

/// What data planes are told is healthy is what discovery answers: the healthy instances of the named service.
pub fn marks_are_true(state: &State) -> bool {
    let told = endpoints(state).services;
    state.catalog.services().all(|(service, _)| {
        let found = state.registry.lookup(&state.catalog, &service).unwrap_or_default();
        let marked = told.get(&service).into_iter().flatten().filter(|it| it.healthy);
        found.iter().map(|it| it.id()).eq(marked.map(|it| &it.instance))
    })
}

/// The indexes of registry and runtime agree with what they index.
pub fn indexes_agree(state: &State) -> bool {
    state.registry.is_consistent() && state.runtime.is_consistent()
}

/// No two instances that Tenon runs have a port in common.
pub fn ports_are_exclusive(state: &State) -> bool {
    let mut seen = BTreeSet::new();
    state.runtime.instances().flat_map(|(_, it)| it.ports.all()).all(|port| seen.insert(port))
}

/// Whatever runs is registered under its service and slot, and whatever is registered as run by Tenon runs.
pub fn running_is_registered(state: &State) -> bool {
    let registered = state.runtime.instances().all(|(service, it)| {
        state.registry.get(&it.id).is_some_and(|known| {
            known.registration.service == *service
                && known.registration.origin == Origin::Managed { slot: it.slot }
        })
    });
    let runs = |it: &crate::registry::Instance| match it.registration.origin {
        Origin::Managed { .. } => state.runtime.get(it.id()).is_some(),
        Origin::External | Origin::Registered { .. } => state.runtime.get(it.id()).is_none(),
    };
    registered && state.registry.all().all(runs)
}

/// No slot has more than two live instances, and at most one slot of a service has two.
pub fn slots_are_single(state: &State) -> bool {
    state.runtime.services().all(|(_, service)| {
        let live = service.live_by_slot();
        let doubled = live.values().filter(|instances| instances.len() > 1).count();
        doubled <= 1 && live.values().all(|instances| instances.len() <= 2)
    })
}

/// Whatever is to end is out of rotation.
pub fn stopping_is_draining(state: &State) -> bool {
    let stopping = state.runtime.instances().filter(|(_, it)| it.stopping.is_some());
    stopping.map(|(_, it)| &it.id).all(|id| state.registry.get(id).is_none_or(|it| it.draining))
}
