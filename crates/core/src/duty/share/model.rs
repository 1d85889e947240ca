//! Servers that take and let go of shares by what they saw, while others come, die, and do the same.

use super::shares;
use super::tests::id;
use crate::id::ServerId;
use stateright::{Checker, Model, Property};
use std::collections::BTreeSet;

const SERVERS: u8 = 2;
const SHARES: usize = 3;

struct Servers;

/// What there is to be seen.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
struct Table {
    alive: BTreeSet<ServerId>,
    holders: Vec<Option<ServerId>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    table: Table,
    /// What each has seen and not yet acted upon.
    seen: Vec<Option<Table>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Comes(u8),
    /// It is no longer known to be alive; what it holds runs out later.
    Dies(u8),
    RunsOut(usize),
    Looks(u8),
    Acts(u8),
}

impl World {
    fn looks(&mut self, server: u8) {
        self.seen[usize::from(server)] = Some(self.table.clone());
    }

    /// As a server does: lets go of what is not to be its own, takes what is if nobody has it.
    fn acts(&mut self, server: u8) {
        let Some(mut seen) = self.seen[usize::from(server)].take() else { return };
        let own = Some(id(server));
        seen.alive.insert(id(server));
        let wanted = shares(&seen.alive, &seen.holders);
        for (holder, wanted) in self.table.holders.iter_mut().zip(wanted) {
            match (*holder == own, wanted == own) {
                (true, false) => *holder = None,
                (false, true) if holder.is_none() => *holder = own,
                _ => {}
            }
        }
    }

    /// If nobody comes or dies any more, two rounds make it even, and a third changes nothing.
    fn comes_to_rest(&self) -> bool {
        let mut calm = self.clone();
        let alive = calm.table.alive.clone();
        for holder in &mut calm.table.holders {
            *holder = holder.filter(|it| alive.contains(it));
        }
        let round = |world: &mut Self| {
            for server in (0..SERVERS).filter(|it| alive.contains(&id(*it))) {
                world.looks(server);
                world.acts(server);
            }
        };
        // What was seen before is acted upon once more.
        (0..SERVERS).filter(|it| alive.contains(&id(*it))).for_each(|server| calm.acts(server));
        round(&mut calm);
        round(&mut calm);
        let rested = calm.table.clone();
        round(&mut calm);
        let count = |server: &ServerId| rested.holders.iter().filter(|it| **it == Some(*server)).count();
        let counts: Vec<usize> = alive.iter().map(count).collect();
        let is_even =
            counts.iter().max().zip(counts.iter().min()).is_none_or(|(most, least)| most - least <= 1);
        rested == calm.table && is_even && (alive.is_empty() || rested.holders.iter().all(Option::is_some))
    }
}

impl Model for Servers {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let table = Table { holders: vec![None; SHARES], ..Table::default() };
        vec![World { table, seen: vec![None; usize::from(SERVERS)] }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for server in 0..SERVERS {
            if world.table.alive.contains(&id(server)) {
                actions.extend([Action::Dies(server), Action::Looks(server)]);
            } else {
                actions.push(Action::Comes(server));
            }
            // One that only seems dead still acts upon what it saw.
            actions.push(Action::Acts(server));
        }
        actions.extend((0..SHARES).map(Action::RunsOut));
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Comes(server) => _ = next.table.alive.insert(id(server)),
            Action::Dies(server) => _ = next.table.alive.remove(&id(server)),
            Action::RunsOut(share) => {
                let holder = &mut next.table.holders[share];
                if holder.is_some_and(|it| !world.table.alive.contains(&it)) {
                    *holder = None;
                }
            }
            Action::Looks(server) => next.looks(server),
            Action::Acts(server) => next.acts(server),
        }
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("shares become even and stay so", |_, world: &World| world.comes_to_rest()),
            Property::sometimes("one has all", |_, world: &World| {
                world.table.holders.iter().all(|it| *it == Some(id(0)))
            }),
            Property::sometimes("both have some", |_, world: &World| {
                [0, 1].iter().all(|server| world.table.holders.contains(&Some(id(*server))))
            }),
        ]
    }
}

#[test]
fn shares_become_even_whatever_was_seen_before() {
    Servers.checker().spawn_bfs().join().assert_properties();
}
