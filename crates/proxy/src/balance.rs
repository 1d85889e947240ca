//! Which instance gets the next attempt: one whose breaker lets it pass, rather one that has not been tried yet for this
//! request, by the service's strategy.

use crate::admission::{self, Leave, Whose};
use crate::refusal::Refused;
use crate::view::{Destination, Target};
use crate::worker::{LocalView, Worker};
use std::rc::Rc;
use std::time::Duration;
use tenon_core::limit::Held;
use tenon_core::{Code, InstanceId};

/// An instance that was chosen.
pub(crate) struct Chosen {
    /// Where it stands among the destination's targets.
    pub(crate) index: usize,
    /// Its breaker's leave.
    pub(crate) leave: Leave,
    /// Its count of requests in flight.
    pub(crate) held: Held,
}

/// Chooses an instance of the destination at `index`.
///
/// # Errors
/// There is none, or the breakers of all are open.
pub(crate) fn choose(
    worker: &Rc<Worker>,
    view: &LocalView,
    index: usize,
    tried: &[InstanceId],
) -> Result<Chosen, Refused> {
    let gone = || Refused::new(Code::MeshServiceUnavailable, "the service has left the mesh");
    let destination = view.destinations().get(index).ok_or_else(gone)?;
    let config = &destination.traffic.breaker;
    let mut refused = Vec::new();
    // Another thread may take an instance's last permit between the look and the question; then the next is asked.
    while let Some(chosen) = pick(worker, view, index, destination, tried, &refused) {
        let Some(target) = destination.targets.get(chosen) else { break };
        let whose = Whose { service: &destination.service, instance: Some(&target.instance) };
        let leave = admission::admit(worker, &target.cells.breaker, config, whose);
        let held = target.cells.in_flight.admit(u32::MAX);
        match (leave, held) {
            (Ok(leave), Ok(held)) => return Ok(Chosen { index: chosen, leave, held }),
            _ => refused.push(chosen),
        }
    }
    Err(nobody(worker, destination))
}

fn pick(
    worker: &Worker,
    view: &LocalView,
    index: usize,
    destination: &Destination,
    tried: &[InstanceId],
    refused: &[usize],
) -> Option<usize> {
    let mut balancer = view.balancers.get(index)?.borrow_mut();
    let targets = &destination.targets;
    let now = worker.now();
    let closed = |target: &Target| {
        admission::wait(&target.cells.breaker, &destination.traffic.breaker, now) == Duration::ZERO
    };
    let unfit = |place: usize| refused.contains(&place) || targets.get(place).is_none_or(|it| !closed(it));
    let was_tried = |place: usize| targets.get(place).is_some_and(|it| tried.contains(&it.instance));
    let random = fastrand::u64(..);
    let strategy = destination.traffic.balance;
    let fresh = balancer.pick(strategy, targets, |place| was_tried(place) || unfit(place), random);
    match fresh {
        None if !tried.is_empty() => balancer.pick(strategy, targets, unfit, random),
        found => found,
    }
}

fn nobody(worker: &Worker, destination: &Destination) -> Refused {
    let (service, config) = (&destination.service, &destination.traffic.breaker);
    let waits = destination.targets.iter().filter(|target| target.weight > 0);
    let soonest = waits.map(|target| admission::wait(&target.cells.breaker, config, worker.now())).min();
    match soonest {
        None => {
            let detail = format!("no instance of `{service}` is healthy; `tenon instances` shows why");
            Refused::new(Code::MeshServiceUnavailable, detail).by("health")
        }
        Some(soonest) => admission::open(service, "every instance of", soonest),
    }
}
