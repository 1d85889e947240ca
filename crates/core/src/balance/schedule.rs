//! Smooth weighted turns, worked out ahead: a cycle in which everyone has exactly as many turns as its weight says, and at
//! any time is within one turn of its share.
//!
//! Each turn of everyone has a window: its `k`-th may not come before `k` shares of it have passed, and is to come before
//! `k + 1` have. Of the turns whose window has begun, the one whose window ends first is next. As the weights add up to
//! one, all are in time (C. L. Liu, J. W. Layland, 1973; for windows as here, S. Baruah et al., "Proportionate progress",
//! 1996).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The most turns of a cycle. Weights that need a longer one are rounded, everyone to at least one turn.
pub(super) const LONGEST: u64 = 1 << 16;

/// One cycle: for each turn, the position in `weights` of whose it is. Nobody has weight 0.
pub(super) fn cycle(weights: &[u32]) -> Vec<u32> {
    let turns = turns(weights);
    let length: u64 = turns.iter().sum();
    let mut schedule = Vec::with_capacity(length as usize);
    // By the begin of the window that comes next, and by the end of the one that has begun.
    let mut waiting: BinaryHeap<_> = (0..turns.len()).map(|place| Reverse((0, place, 0))).collect();
    let mut ready = BinaryHeap::new();
    for now in 0..length {
        while let Some(Reverse((begin, place, turn))) = waiting.peek().copied() {
            if begin > now {
                break;
            }
            waiting.pop();
            let own = turns.get(place).copied().unwrap_or(1);
            ready.push(Reverse((((turn + 1) * length).div_ceil(own), place, turn)));
        }
        // As many windows have begun as turns have passed, and one more: there is always somebody.
        let Some(Reverse((_, place, turn))) = ready.pop() else { break };
        schedule.push(place as u32);
        let own = turns.get(place).copied().unwrap_or(1);
        if turn + 1 < own {
            waiting.push(Reverse(((turn + 1) * length / own, place, turn + 1)));
        }
    }
    schedule
}

/// How many turns each has in a cycle.
fn turns(weights: &[u32]) -> Vec<u64> {
    let shared = weights.iter().map(|weight| u64::from(*weight)).fold(0, gcd).max(1);
    let exact = weights.iter().map(|weight| u64::from(*weight) / shared);
    let length: u64 = exact.clone().sum();
    if length <= LONGEST {
        return exact.collect();
    }
    let rounded = exact.map(|turns| (u128::from(turns) * u128::from(LONGEST) / u128::from(length)) as u64);
    rounded.map(|turns| turns.max(1)).collect()
}

const fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests;
