//! Which instance gets the next attempt: one whose breaker lets it pass, rather one that has not been tried yet for this
//! request, by the service's strategy.

use crate::admission::{self, Leave, Whose};
use crate::cells::Contact;
use crate::view::{Destination, Target};
use crate::worker::{LocalView, Worker};
use std::rc::Rc;
use std::time::Duration;
use tenon_core::InstanceId;
use tenon_core::limit::Held;

/// An instance that was chosen.
pub(crate) struct Chosen {
    /// Where it stands among the destination's targets.
    pub(crate) index: usize,
    /// Its breaker's leave.
    pub(crate) leave: Leave,
    /// Its count of requests in flight.
    pub(crate) held: Held,
}

/// Why no instance is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nobody {
    /// There is none, or, to one who may wait, none that takes connections: whoever ends is told of a moment later.
    Absent,
    /// The breakers of all are open; this is when it is worth asking again.
    Open(Duration),
}

/// Chooses an instance of the destination at `index` for a request that has been to those in `tried`.
///
/// # Errors
/// [`Nobody`].
pub(crate) fn choose(
    worker: &Rc<Worker>,
    view: &LocalView,
    index: usize,
    tried: &[InstanceId],
    may_wait: bool,
) -> Result<Chosen, Nobody> {
    let destination = view.destinations().get(index).ok_or(Nobody::Absent)?;
    let config = &destination.traffic.breaker;
    if may_wait && !tried.is_empty() {
        let mut in_use = destination.in_use();
        // Rather wait for what will be told than ask again where nobody listened a moment ago.
        if in_use.all(|it| tried.contains(&it.instance) && it.cells.contact() == Contact::Refuses) {
            return Err(Nobody::Absent);
        }
    }
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
    Err(nobody(worker, destination, may_wait))
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

fn nobody(worker: &Worker, destination: &Destination, may_wait: bool) -> Nobody {
    let config = &destination.traffic.breaker;
    // A breaker that answers have opened is waited for by nobody.
    if may_wait && destination.in_use().all(|it| it.cells.contact() > Contact::Answers) {
        return Nobody::Absent;
    }
    let waits = destination.in_use().map(|it| admission::wait(&it.cells.breaker, config, worker.now()));
    waits.min().map_or(Nobody::Absent, Nobody::Open)
}
