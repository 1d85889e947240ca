//! At random, where there are too many states.

use super::Scope;
use super::model::Explored;
use super::world::{Action, Rules, World};
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// Longer than any schedule that leads on: every event brings the end nearer.
const MOST_ACTIONS: usize = 10_000;

/// The most states of walks that are remembered, to count them.
const MOST_REMEMBERED: usize = 4_000_000;

/// Walks from the beginning, each to where nothing more happens, until one breaks something.
pub(super) fn walks(rules: &Rules, scope: &Scope, explored: &mut Explored) {
    let mut random = Random(scope.seed);
    let hasher = RandomState::new();
    let mut seen = HashSet::new();
    for _ in 0..scope.walks {
        let mut schedule = Vec::new();
        let mut world = rules.begin();
        while schedule.len() < MOST_ACTIONS && world.broken.is_none() {
            let Some((action, next)) = choose(rules, &world, &mut random) else { break };
            schedule.push(action);
            world = next;
            if seen.len() < MOST_REMEMBERED {
                seen.insert(hasher.hash_one(&world));
            }
        }
        explored.depth = explored.depth.max(schedule.len());
        if world.broken.is_some() {
            explored.broken = Some(schedule);
            explored.shortest = false;
            break;
        }
    }
    // Those of the exploration are near the beginning, and walks see few of them again, once each.
    explored.states = explored.states.max(seen.len());
}

fn choose(rules: &Rules, world: &World, random: &mut Random) -> Option<(Action, World)> {
    let mut actions = Vec::new();
    rules.actions(world, &mut actions);
    while !actions.is_empty() {
        let action = actions.swap_remove(random.below(actions.len()));
        if let Some((next, _)) = rules.act(world, action) {
            return Some((action, next));
        }
    }
    None
}

/// `SplitMix64` (G. L. Steele, D. Lea, C. H. Flood, 2014): the same walks from the same seed on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let number = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((number ^ (number >> 31)) % bound.max(1) as u64) as usize
    }
}
