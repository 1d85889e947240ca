//! Two read models over a short log: one that is read, one that is made beside it, in every order of success,
//! failure, repair and switch.

use super::{Config, Input, Offer, Origin, Plan, Progress, may_switch, plan};
use crate::{LogId, Position, Timestamp};
use stateright::{Checker, Model, Property};
use std::time::Duration;

/// The keys of the events at positions 1, 2, 3 …
const LOG: [char; 4] = ['a', 'b', 'a', 'b'];
const CONFIG: Config = Config {
    attempts: 2,
    first_wait: Duration::from_millis(1),
    longest_wait: Duration::from_millis(1),
    most_parked: 2,
};
const ZERO: Timestamp = Timestamp::ZERO;
/// Every wait is over.
const LATER: Timestamp = Timestamp::from_millis(1);

struct Models;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Made {
    version: u32,
    progress: Progress<char>,
    /// What was applied or dropped, in that order.
    effects: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    live: Made,
    next: Option<Made>,
    wanted: u32,
    went_back: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Offer { next: bool, fails: bool },
    Retry { next: bool, fails: bool },
    Drop { next: bool },
    Unpark { next: bool },
    Want,
    Rebuild,
    Switch,
}

impl Made {
    fn new(version: u32) -> Self {
        Self { version, progress: Progress::new(), effects: Vec::new() }
    }

    fn at(&self) -> (Origin, Position) {
        (origin(self.version), self.progress.position())
    }

    fn step(&mut self, input: Input<char>) {
        self.progress.step(&CONFIG, input, ZERO).expect("the shell reports only what it was offered");
    }

    fn offer(&mut self, fails: bool) -> Option<()> {
        let index = usize::try_from(self.progress.position().0).ok()?;
        let (key, at) = (*LOG.get(index)?, Position(index as u64 + 1));
        match self.progress.offer(&CONFIG, at, &key) {
            Offer::Apply if fails && self.progress.has_room(&CONFIG) => self.step(Input::Failed { at, key }),
            Offer::Apply if !fails => {
                self.effects.push(at.0);
                self.step(Input::Applied { at, key });
            }
            Offer::Park if !fails => self.step(Input::Queued { at, key }),
            _ => return None,
        }
        Some(())
    }

    fn retry(&mut self, fails: bool) -> Option<()> {
        let (key, at) = self.progress.due(LATER).map(|(key, at)| (*key, at))?;
        if fails {
            self.step(Input::RetryFailed { key, at });
        } else {
            self.effects.push(at.0);
            self.step(Input::Retried { key, at });
        }
        Some(())
    }

    /// Somebody sees to the first key that waits for it.
    fn by_hand(&mut self, drop: bool) -> Option<()> {
        let parked = self.progress.parked().iter().find(|(_, parked)| parked.due.is_none());
        let (key, at) = parked.map(|(key, parked)| (*key, parked.events[0]))?;
        if drop {
            self.effects.push(at.0);
            self.step(Input::Drop { key, at });
        } else {
            self.step(Input::Unpark { key });
        }
        Some(())
    }

    /// Those of a key, in the order of the log and once.
    fn is_sound(&self) -> bool {
        let ordered = |key: char| {
            let own = self.effects.iter().filter(|at| LOG[**at as usize - 1] == key);
            own.is_sorted_by(|one, other| one < other)
        };
        let parked = self.progress.parked().values().flat_map(|parked| &parked.events);
        let mut all: Vec<u64> = parked.map(|at| at.0).chain(self.effects.iter().copied()).collect();
        all.sort_unstable();
        LOG.into_iter().all(ordered) && all.into_iter().eq(1..=self.progress.position().0)
    }
}

fn origin(version: u32) -> Origin {
    Origin { log: LogId::from_bytes([0; 16]), version }
}

impl World {
    fn of(&mut self, next: bool) -> Option<&mut Made> {
        if next { self.next.as_mut() } else { Some(&mut self.live) }
    }
}

impl Model for Models {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World { live: Made::new(1), next: None, wanted: 1, went_back: false }]
    }

    fn actions(&self, _: &World, actions: &mut Vec<Action>) {
        for next in [false, true] {
            for fails in [false, true] {
                actions.extend([Action::Offer { next, fails }, Action::Retry { next, fails }]);
            }
            actions.extend([Action::Drop { next }, Action::Unpark { next }]);
        }
        actions.extend([Action::Want, Action::Rebuild, Action::Switch]);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut after = world.clone();
        match action {
            Action::Offer { next, fails } => after.of(next)?.offer(fails)?,
            Action::Retry { next, fails } => after.of(next)?.retry(fails)?,
            Action::Drop { next } => after.of(next)?.by_hand(true)?,
            Action::Unpark { next } => after.of(next)?.by_hand(false)?,
            Action::Want if world.wanted == 1 => after.wanted = 2,
            Action::Rebuild => {
                let next = world.next.as_ref().map(|next| origin(next.version));
                let wanted = origin(world.wanted);
                match plan(Some(origin(world.live.version)), next, wanted) {
                    Plan::Rebuild { resume: false } => after.next = Some(Made::new(world.wanted)),
                    _ => return None,
                }
            }
            Action::Switch => {
                let next = world.next.clone()?;
                let head = Position(LOG.len() as u64);
                if !may_switch(world.live.at(), next.at(), head) {
                    return None;
                }
                after.went_back = next.progress.position() < world.live.progress.position();
                (after.live, after.next) = (next, None);
            }
            Action::Want => return None,
        }
        Some(after)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("each event is dealt with once, those of a key in order", |_, world: &World| {
                world.live.is_sound() && world.next.as_ref().is_none_or(Made::is_sound)
            }),
            Property::always("no more is parked than there may be", |_, world: &World| {
                world.live.progress.waiting() <= CONFIG.most_parked
            }),
            Property::always("readers never go back", |_, world: &World| !world.went_back),
            Property::sometimes("all is applied in spite of failures", |_, world: &World| {
                world.live.effects.len() == LOG.len() && !world.live.effects.is_sorted()
            }),
            Property::sometimes("a key waits for somebody", |_, world: &World| {
                world.live.progress.parked().values().any(|parked| parked.due.is_none())
            }),
            Property::sometimes("a rebuilt model is read", |_, world: &World| world.live.version == 2),
            Property::sometimes("one takes over with events parked", |_, world: &World| {
                world.live.version == 2 && world.live.progress.waiting() == 2
            }),
        ]
    }
}

#[test]
fn each_event_has_its_effect_once_in_every_order() {
    Models.checker().spawn_bfs().join().assert_properties();
}
