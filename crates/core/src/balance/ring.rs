//! A ring of hashes on which everyone has some places (D. Karger et al., "Consistent hashing and random trees", 1997). A key
//! belongs to whoever has the first place from its hash on. Where somebody's places are depends on its name alone, so
//! whoever comes takes keys for itself only, and whoever goes leaves the others theirs.

use super::hash::{Key, mix};
use super::table::Place;

/// The most places of one endpoint, whatever its weight.
const MOST_PLACES: u64 = 10_000;

/// The ring.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Ring {
    /// By hash: the hash and the endpoint that has its place there.
    places: Box<[(u64, u32)]>,
    /// For each value of a hash's first bits, the first place at or after it: where a search begins.
    begins: Box<[u32]>,
    /// How far a hash is shifted to get those bits.
    shift: u32,
}

impl Ring {
    pub(super) fn new(members: &[Place], virtual_nodes: u32) -> Self {
        let mut places = Vec::new();
        for member in members {
            let count = u64::from(virtual_nodes).saturating_mul(u64::from(member.weight)).min(MOST_PLACES);
            let hash = |number: u64| mix(member.name ^ mix(number));
            places.extend((1..=count).map(|number| (hash(number), member.name, member.index)));
        }
        places.sort_unstable();
        let places: Box<[_]> = places.into_iter().map(|(hash, _, index)| (hash, index)).collect();
        let bits = places.len().next_power_of_two().trailing_zeros().clamp(1, 20);
        let shift = u64::BITS - bits;
        let mut begins = Vec::with_capacity(1 << bits);
        let mut next = 0;
        for prefix in 0..1_u64 << bits {
            while places.get(next).is_some_and(|(hash, _)| hash >> shift < prefix) {
                next += 1;
            }
            begins.push(next as u32);
        }
        Self { places, begins: begins.into(), shift }
    }

    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The place that a key belongs to.
    pub(super) fn find(&self, key: Key) -> usize {
        let begin = self.begins.get((key.0 >> self.shift) as usize).map_or(0, |begin| *begin as usize);
        let after = self.places.iter().skip(begin).position(|(hash, _)| *hash >= key.0);
        // After the last place comes the first.
        after.map_or(0, |after| begin + after)
    }

    /// The endpoint at a place.
    pub(super) fn at(&self, place: usize) -> Option<usize> {
        self.places.get(place).map(|(_, index)| *index as usize)
    }
}
