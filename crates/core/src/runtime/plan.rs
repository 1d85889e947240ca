//! What is to be done so that what runs becomes what should run.

use super::{Instance, Service, Slot, SpecHash, State, StopReason, Stopping, spec_hash};
use crate::health::Status;
use crate::id::{InstanceId, ServiceRef};
use crate::time::Timestamp;
use crate::{catalog, registry};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long an instance that was in rotation goes on running after it was taken out, for the data planes to
/// hear of it and for the calls in flight to end.
pub const DRAIN: Duration = Duration::from_secs(1);

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// Start an instance: choose an id and ports, record [`Command::Announce`](super::Command::Announce), ask the
    /// supervisor, report.
    Start {
        /// The service.
        service: ServiceRef,
        /// Which replica.
        slot: u32,
        /// What to start.
        spec: SpecHash,
    },
    /// Take an instance out of rotation: record [`Command::Stop`](super::Command::Stop).
    Stop {
        /// The instance.
        instance: InstanceId,
        /// Why.
        reason: StopReason,
    },
    /// Ask the supervisor to end a process: SIGTERM, and SIGKILL after its grace. Planned until the end is
    /// reported; to ask again changes nothing.
    Terminate {
        /// The instance.
        instance: InstanceId,
    },
}

/// What to do now, and when to look again.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct Plan {
    /// In order; each is carried out whatever becomes of the others.
    pub actions: Vec<Action>,
    /// When a plan will differ although nothing happened; `None` if it will not.
    pub wake_at: Option<Timestamp>,
}

/// The plan for all services.
pub fn plan(state: &State, catalog: &catalog::State, registry: &registry::State, now: Timestamp) -> Plan {
    let managed = catalog.services().filter(|(_, it)| spec_hash(it).is_some()).map(|(name, _)| name);
    let names: BTreeSet<ServiceRef> = managed.chain(state.services().map(|(name, _)| name.clone())).collect();
    let mut plan = Plan::default();
    for name in &names {
        plan_service(&mut plan, state, catalog, registry, name, now);
    }
    plan
}

/// Adds what is to be done for one service.
pub(super) fn plan_service(
    plan: &mut Plan,
    state: &State,
    catalog: &catalog::State,
    registry: &registry::State,
    name: &ServiceRef,
    now: Timestamp,
) {
    let unknown = Service::default();
    let service = state.service(name).unwrap_or(&unknown);
    let spec = catalog.get(name).and_then(spec_hash);
    let replicas = state.wanted(catalog, name);
    let planner = Planner { name, service, registry, now };
    planner.end_stopping(plan);
    planner.stop_surplus(plan, replicas, spec);
    if let Some(spec) = spec {
        planner.stop_replaced(plan, replicas, spec);
        let started = planner.fill_slots(plan, replicas, spec);
        planner.replace_next(plan, replicas, spec, started);
    }
}

struct Planner<'a> {
    name: &'a ServiceRef,
    service: &'a Service,
    registry: &'a registry::State,
    now: Timestamp,
}

impl Planner<'_> {
    /// Ends the processes that have been taken out of rotation for long enough.
    fn end_stopping(&self, plan: &mut Plan) {
        for instance in self.service.instances.values() {
            let Some(stopping) = instance.stopping else { continue };
            let due = self.drained_at(instance, stopping);
            if due <= self.now {
                plan.actions.push(Action::Terminate { instance: instance.id.clone() });
            } else {
                plan.wake_by(due);
            }
        }
    }

    /// Stops what is in slots that should be empty, the highest first.
    fn stop_surplus(&self, plan: &mut Plan, replicas: u32, spec: Option<SpecHash>) {
        let reason = match spec {
            None => StopReason::ServiceRemoved,
            Some(_) if self.service.stopped => StopReason::ServiceStopped,
            Some(_) => StopReason::ScaledDown,
        };
        for (slot, instances) in self.service.live_by_slot().iter().rev() {
            if !(1..=replicas).contains(slot) {
                plan.stop(instances.iter().copied(), reason);
            }
        }
    }

    /// Stops, in each slot, what another instance has taken the place of.
    fn stop_replaced(&self, plan: &mut Plan, replicas: u32, spec: SpecHash) {
        for (slot, instances) in self.service.live_by_slot() {
            if slot <= replicas {
                let kept = self.kept(&instances, spec);
                plan.stop(instances.into_iter().filter(|it| !kept.contains(&&it.id)), StopReason::Replaced);
            }
        }
    }

    /// What stays of the live instances of a slot: one with the present specification and, until that is
    /// callable, one of before.
    fn kept<'a>(&self, instances: &[&'a Instance], spec: SpecHash) -> BTreeSet<&'a InstanceId> {
        let best = |wanted: bool| {
            let candidates = instances.iter().filter(|it| (it.spec == spec) == wanted);
            candidates.min_by_key(|it| (!self.is_callable(it), &it.id)).copied()
        };
        let (present, former) = (best(true), best(false));
        let replaced = present.is_some_and(|it| self.is_callable(it));
        present.into_iter().chain(former.filter(|_| !replaced)).map(|it| &it.id).collect()
    }

    /// Starts what is missing, as far as there is room. Answers how many instances it starts.
    fn fill_slots(&self, plan: &mut Plan, replicas: u32, spec: SpecHash) -> usize {
        let live = self.service.live_by_slot();
        let mut started = 0;
        for slot in (1..=replicas).filter(|slot| !live.contains_key(slot)) {
            if self.has_room(replicas, started) && self.is_due(plan, slot, spec) {
                plan.actions.push(Action::Start { service: self.name.clone(), slot, spec });
                started += 1;
            }
        }
        started
    }

    /// Starts the next replacement, if every slot has exactly one instance and those with the present
    /// specification may be called.
    fn replace_next(&self, plan: &mut Plan, replicas: u32, spec: SpecHash, started: usize) {
        let live = self.service.live_by_slot();
        let settled = (1..=replicas).all(|slot| live.get(&slot).is_some_and(|it| self.is_settled(it, spec)));
        let mut within = live.range(..=replicas);
        let outdated = within.find(|(_, it)| it.iter().any(|it| it.spec != spec));
        let Some((slot, _)) = outdated.filter(|_| settled) else { return };
        if self.has_room(replicas, started) && self.is_due(plan, *slot, spec) {
            plan.actions.push(Action::Start { service: self.name.clone(), slot: *slot, spec });
        }
    }

    fn is_settled(&self, instances: &[&Instance], spec: SpecHash) -> bool {
        matches!(instances, [only] if only.spec != spec || self.is_callable(only))
    }

    /// Whether one more may be started: there are never more processes than replicas and one.
    fn has_room(&self, replicas: u32, started: usize) -> bool {
        self.service.instances.len() + started <= replicas as usize
    }

    /// Whether a slot waits no more; if it does, the plan wakes then.
    fn is_due(&self, plan: &mut Plan, slot: u32, spec: SpecHash) -> bool {
        let failed = self.service.slots.get(&slot).filter(|it| it.spec == spec);
        let due = failed.map_or(Timestamp::ZERO, Slot::due_at);
        if due > self.now {
            plan.wake_by(due);
        }
        due <= self.now
    }

    fn is_callable(&self, instance: &Instance) -> bool {
        self.registry.get(&instance.id).is_some_and(registry::Instance::is_callable)
    }

    /// When a stopping instance may be ended: at once if it was not in rotation.
    fn drained_at(&self, instance: &Instance, stopping: Stopping) -> Timestamp {
        let was_called = self.registry.get(&instance.id).is_some_and(|it| it.status == Status::Healthy);
        if was_called { stopping.since.after(DRAIN) } else { stopping.since }
    }
}

impl Plan {
    fn wake_by(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn stop<'a>(&mut self, instances: impl Iterator<Item = &'a Instance>, reason: StopReason) {
        self.actions.extend(instances.map(|it| Action::Stop { instance: it.id.clone(), reason }));
    }
}
