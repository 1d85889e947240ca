//! Hashes that spread: of keys and of names, the same in every version and on every machine. Not for keys that an
//! adversary chooses: whoever chooses a key chooses its endpoint, which is all that there is to gain.

use crate::fnv::Fnv;

/// What decides where hashing sends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u64);

/// The key that stands for some bytes.
pub fn key(bytes: &[u8]) -> Key {
    let mut hash = Fnv::new();
    hash.bytes(bytes);
    Key(mix(hash.finish()))
}

/// A number that shows no trace of the one that it was made from (the finaliser of `SplitMix64`; G. L. Steele, D. Lea,
/// C. H. Flood, "Fast splittable pseudorandom number generators", 2014).
pub(crate) const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Numbers that follow from one random number.
pub(super) struct Draw(pub(super) u64);

impl Draw {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `count`; 0 if that is 0.
    pub(super) fn below(&mut self, count: usize) -> usize {
        below(self.next(), count)
    }
}

/// The part of all numbers, divided into `count` equal ones, that `random` lies in; 0 if there is none.
pub(super) const fn below(random: u64, count: usize) -> usize {
    // `random * count / 2^64` is below `count`, and fits.
    ((random as u128 * count as u128) >> 64) as usize
}
