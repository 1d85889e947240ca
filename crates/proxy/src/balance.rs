//! Which instance gets the next attempt: one that is not ejected, rather one that has not been tried yet for this request, by
//! the service's strategy.

use crate::cells::Contact;
use crate::trial::Trial;
use crate::view::Destination;
use crate::worker::{LocalView, Worker};
use std::rc::Rc;
use tenon_core::InstanceId;
use tenon_core::limit::{self, Held};

/// An instance that was chosen.
pub(crate) struct Chosen {
    /// Where it stands among the destination's targets.
    pub(crate) index: usize,
    /// Hears of the outcome.
    pub(crate) trial: Trial,
    /// Its count of requests in flight.
    pub(crate) held: Held,
}

/// Why no instance is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nobody {
    /// There is none, or, to one who may wait, none that takes connections: whoever ends is told of a moment later.
    Absent,
    /// Each has as many calls as it may.
    Full(limit::Full),
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
    if may_wait && !tried.is_empty() {
        let mut in_use = destination.in_use();
        // Rather wait for what will be told than ask again where nobody listened a moment ago.
        if in_use.all(|it| tried.contains(&it.instance) && it.cells.contact() == Contact::Refuses) {
            return Err(Nobody::Absent);
        }
    }
    let most = destination.traffic.limits.connections;
    let Some(chosen) = pick(worker, view, index, destination, tried) else {
        let full = Nobody::Full(limit::Full { limit: most });
        return Err(if destination.in_use().next().is_some() { full } else { Nobody::Absent });
    };
    let target = destination.targets.get(chosen).ok_or(Nobody::Absent)?;
    // Another thread may have taken the last place since the look.
    let held = target.cells.in_flight.admit(most).map_err(Nobody::Full)?;
    let handle = view.handle(index).ok_or(Nobody::Absent)?;
    Ok(Chosen { index: chosen, trial: Trial::begin(worker, handle, chosen), held })
}

fn pick(
    worker: &Worker,
    view: &LocalView,
    index: usize,
    destination: &Destination,
    tried: &[InstanceId],
) -> Option<usize> {
    let mut balancer = view.balancers.get(index)?.borrow_mut();
    let targets = &destination.targets;
    let now = worker.now();
    let most = u64::from(destination.traffic.limits.connections);
    let is_full = |place: usize| targets.get(place).is_none_or(|it| it.cells.in_flight.in_flight() >= most);
    let is_out =
        |place: usize| is_full(place) || targets.get(place).is_none_or(|it| it.cells.outlier.is_ejected(now));
    let was_tried = |place: usize| targets.get(place).is_some_and(|it| tried.contains(&it.instance));
    let random = fastrand::u64(..);
    let strategy = destination.traffic.balance;
    let mut pick = |skip: &dyn Fn(usize) -> bool| balancer.pick(strategy, targets, skip, random);
    if let Some(fresh) = pick(&|place| was_tried(place) || is_out(place)) {
        return Some(fresh);
    }
    // All may be out for a moment, when those that were not have left: then it is better to ask somebody.
    pick(&is_out).or_else(|| pick(&|place| was_tried(place) || is_full(place))).or_else(|| pick(&is_full))
}
