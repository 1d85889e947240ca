//! Maglev's table (D. E. Eisenbud et al., "Maglev: a fast and reliable software network load balancer", 2016, 3.4): everyone
//! in turn takes the next free slot of an order of its own, as often as its weight says. Slots are spread almost exactly
//! by weight, and most stay with whom they were when somebody comes or goes.

use super::hash::{Key, below, mix};
use super::table::Place;

/// How many slots there are: a prime, so that each order goes through all of them. Always the same, because a table of
/// another size would move all keys.
const SLOTS: u64 = 65_537;

/// The endpoint of each slot; empty if there is nobody.
pub(super) fn slots(members: &[Place]) -> Box<[u32]> {
    let Some(heaviest) = members.iter().map(|member| u64::from(member.weight)).max() else {
        return Box::default();
    };
    // Whoever stands first in the list must not depend on the list.
    let mut members: Vec<Filling> = members.iter().map(Filling::new).collect();
    members.sort_unstable_by_key(|it| (it.name, it.index));
    let mut slots = vec![u32::MAX; SLOTS as usize];
    let mut free = SLOTS;
    for round in 1.. {
        for member in &mut members {
            // The heaviest has a turn in each round.
            if round * member.weight < member.owes {
                continue;
            }
            member.owes += heaviest;
            member.take_next(&mut slots);
            free -= 1;
            if free == 0 {
                return slots.into();
            }
        }
    }
    Box::default()
}

/// The slot of a key.
pub(super) fn find(key: Key, slots: usize) -> usize {
    below(key.0, slots)
}

/// Somebody who takes slots.
struct Filling {
    name: u64,
    index: u32,
    weight: u64,
    /// How much weight its next turn takes.
    owes: u64,
    next: u64,
    step: u64,
}

impl Filling {
    fn new(of: &Place) -> Self {
        let weight = u64::from(of.weight);
        Self {
            name: of.name,
            index: of.index,
            weight,
            owes: 0,
            next: mix(of.name) % SLOTS,
            step: mix(!of.name) % (SLOTS - 1) + 1,
        }
    }

    fn take_next(&mut self, slots: &mut [u32]) {
        loop {
            let slot = slots.get_mut(self.next as usize);
            self.next = (self.next + self.step) % SLOTS;
            if let Some(slot) = slot.filter(|slot| **slot == u32::MAX) {
                *slot = self.index;
                return;
            }
        }
    }
}
