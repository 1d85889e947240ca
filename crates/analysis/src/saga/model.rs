//! Breadth first, by Stateright.

use super::world::{Action, Rules, World};
use super::{Progress, Scope};
use stateright::report::{ReportData, ReportDiscovery, Reporter};
use stateright::{Checker, Model, Property};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What an exploration found.
pub(super) struct Explored {
    /// A schedule that breaks something.
    pub(super) broken: Option<Vec<Action>>,
    /// Whether there is no shorter one.
    pub(super) shortest: bool,
    /// Whether every state was looked at.
    pub(super) complete: bool,
    pub(super) states: usize,
    pub(super) depth: usize,
}

/// The one property: whatever is broken is noted in the state.
const HOLDS: &str = "every property holds";

impl Model for Rules {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.begin()]
    }

    /// Asked once of each state that is looked at; and of those of a schedule that is told.
    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        self.looked.fetch_add(1, Ordering::Relaxed);
        Rules::actions(self, world, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        self.act(world, action).map(|(next, _)| next)
    }

    /// With the budget spent there are no more states.
    fn within_boundary(&self, _: &World) -> bool {
        self.looked.load(Ordering::Relaxed) < self.budget
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(HOLDS, |_, world: &World| world.broken.is_none())]
    }
}

/// Looks at every state, or at as many as the scope says. With several threads a schedule that is found need not be a shortest
/// one, so one thread looks again then, no deeper than that one is.
pub(super) fn explore(rules: &Rules, scope: &Scope, progress: &mut (dyn FnMut(Progress) + Send)) -> Explored {
    let first = breadth_first(rules, scope, scope.threads, None, progress);
    match &first.broken {
        Some(schedule) if scope.threads > 1 => {
            let depth = schedule.len() + 2;
            let again = breadth_first(rules, scope, 1, Some(depth), progress);
            if again.broken.is_some() { again } else { Explored { shortest: false, ..first } }
        }
        _ => first,
    }
}

fn breadth_first(
    rules: &Rules,
    scope: &Scope,
    threads: usize,
    depth: Option<usize>,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Explored {
    rules.looked.store(0, Ordering::Relaxed);
    let builder = rules.clone().checker().threads(threads.max(1));
    let builder = match depth {
        Some(depth) => builder.target_max_depth(depth),
        None => builder,
    };
    let checker = builder.spawn_bfs().join_and_report(&mut Teller { progress, budget: scope.states });
    let broken = checker.discovery(HOLDS).map(stateright::Path::into_actions);
    Explored {
        shortest: broken.is_some(),
        complete: broken.is_none() && rules.looked.load(Ordering::Relaxed) < rules.budget,
        broken,
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
    }
}

struct Teller<'a> {
    progress: &'a mut (dyn FnMut(Progress) + Send),
    budget: usize,
}

impl Reporter<Rules> for Teller<'_> {
    fn report_checking(&mut self, data: ReportData) {
        (self.progress)(Progress { states: data.unique_states, budget: self.budget });
    }

    fn report_discoveries(&mut self, _: &Rules, _: BTreeMap<&'static str, ReportDiscovery<Rules>>) {}

    fn delay(&self) -> Duration {
        Duration::from_millis(20)
    }
}
