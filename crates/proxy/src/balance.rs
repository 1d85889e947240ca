//! Which instance gets the next attempt: one that is not ejected, rather one that has not been tried yet for this request, by
//! the service's strategy.

use crate::cells::Contact;
use crate::trial::Trial;
use crate::view::Destination;
use crate::worker::{LocalView, Worker};
use std::rc::Rc;
use tenon_core::availability::Mode;
use tenon_core::balance::{Ask, Key, Strategy, Subset};
use tenon_core::limit::{self, Held};
use tenon_core::{InstanceId, Timestamp};

/// An instance that was chosen.
pub(crate) struct Chosen {
    /// Where it stands among the destination's targets.
    pub(crate) index: usize,
    /// Hears of the outcome.
    pub(crate) trial: Trial,
    /// Its count of requests in flight.
    pub(crate) held: Held,
}

/// What a request asks of the choice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    /// The instances that it may go to, of those that the service's traffic says.
    pub(crate) subset: &'a Subset,
    /// What hashing goes by.
    pub(crate) key: Option<Key>,
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
    wish: Wish<'_>,
    tried: &[InstanceId],
    may_wait: bool,
) -> Result<Chosen, Nobody> {
    let destination = view.destinations().get(index).ok_or(Nobody::Absent)?;
    if may_wait && !tried.is_empty() {
        let mut in_use = destination.in_use(wish.subset);
        // Rather wait for what will be told than ask again where nobody listened a moment ago.
        if in_use.all(|it| tried.contains(&it.instance) && it.cells.contact() == Contact::Refuses) {
            return Err(Nobody::Absent);
        }
    }
    let most = destination.traffic.limits.connections;
    let Some(chosen) = pick(worker, view, index, wish, tried) else {
        let full = Nobody::Full(limit::Full { limit: most });
        return Err(if destination.in_use(wish.subset).next().is_some() { full } else { Nobody::Absent });
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
    wish: Wish<'_>,
    tried: &[InstanceId],
) -> Option<usize> {
    let destination = view.destinations().get(index)?;
    let targets = &destination.targets;
    let now = worker.now();
    let most = u64::from(destination.traffic.limits.connections);
    let is_full = |place: usize| targets.get(place).is_none_or(|it| it.cells.in_flight.in_flight() >= most);
    let is_out =
        |place: usize| is_full(place) || targets.get(place).is_none_or(|it| it.cells.outlier.is_ejected(now));
    let was_tried = |place: usize| targets.get(place).is_some_and(|it| tried.contains(&it.instance));
    let pick = |skip: &dyn Fn(usize) -> bool| among(view, index, wish, now, skip);
    if let Some(fresh) = pick(&|place| was_tried(place) || is_out(place)) {
        return Some(fresh);
    }
    // All may be out for a moment, when those that were not have left: then it is better to ask somebody.
    pick(&is_out).or_else(|| pick(&|place| was_tried(place) || is_full(place))).or_else(|| pick(&is_full))
}

/// One of those that are not skipped: of the level that is drawn, or else of the nearest that has one.
fn among(
    view: &LocalView,
    index: usize,
    wish: Wish<'_>,
    now: Timestamp,
    skip: impl Fn(usize) -> bool,
) -> Option<usize> {
    let destination = view.destinations().get(index)?;
    let (number, group) = destination.group(wish.subset)?;
    let (config, cells) = (&destination.traffic.balance, &destination.cells);
    let random = fastrand::u64(..);
    let ask = Ask {
        config,
        now,
        random,
        key: wish.key,
        in_flight: if config.max_load_percent.is_some() { cells.in_flight.in_flight() } else { 0 },
        latency: if config.strategy == Strategy::PeakEwma { cells.mean_latency.now(now) } else { None },
    };
    let pick = |level: usize| {
        let table = &group.levels.get(level)?.table;
        view.balancer(index, number, level)?.borrow_mut().pick(table, &destination.targets, &skip, &ask)
    };
    let drawn = group.level(random);
    pick(drawn).or_else(|| (0..group.levels.len()).filter(|level| *level != drawn).find_map(pick))
}

/// How instances are chosen at present, for people.
pub(crate) fn described(destination: &Destination, subset: &Subset) -> String {
    let config = &destination.traffic.balance;
    let mut text = config.strategy.to_string();
    let own = config.subset.and(subset);
    if !own.is_everybody() {
        text += &format!(" of {own}");
    }
    let mode = destination.group(subset).map_or(Mode::Normal, |(_, group)| group.mode);
    match mode {
        Mode::Normal => {}
        Mode::Guarded => text += ", those included that seem to have failed all at once",
        Mode::Panic => text += ", healthy or not, because too few are healthy",
    }
    text
}
