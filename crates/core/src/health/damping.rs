//! Damping of instances that flap: one that turns unhealthy again and again stays out until it has been quiet for a while
//! (after route flap damping, RFC 2439).
//!
//! Each turn for the worse adds a penalty, which halves with time. Beyond a limit the instance is held back, whatever its
//! checks say, until the penalty has faded; there is a most that can gather, so nobody is held for longer than two
//! half-lives.

use crate::time::Timestamp;
use std::time::Duration;

/// What a turn for the worse adds.
const TURN: u64 = 1_000;
/// From this penalty on an instance is held back: its fourth turn in quick succession.
const HOLD: u64 = 3_000;
/// At this penalty it is let go.
const LET_GO: u64 = 1_000;
/// The most that gathers.
const MOST: u64 = 4_000;

/// How much an instance has flapped.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Damping {
    penalty: u64,
    at: Timestamp,
    held: bool,
}

impl Damping {
    /// It has turned unhealthy. With a half-life of zero nothing is remembered.
    #[must_use]
    pub(super) fn turned(self, half_life: Duration, now: Timestamp) -> Self {
        if half_life.is_zero() {
            return Self::default();
        }
        let penalty = (self.penalty(half_life, now) + TURN).min(MOST);
        Self { penalty, at: now, held: self.holds(half_life, now) || penalty >= HOLD }
    }

    /// Whether it is held back now.
    pub(super) fn holds(self, half_life: Duration, now: Timestamp) -> bool {
        self.held && self.penalty(half_life, now) > LET_GO
    }

    /// The penalty as it has faded by now; between two halvings in a straight line.
    fn penalty(self, half_life: Duration, now: Timestamp) -> u64 {
        let half_life = half_life.as_micros();
        let passed = now.since(self.at).as_micros();
        let Some(halvings) = passed.checked_div(half_life).filter(|halvings| *halvings < 16) else {
            return 0;
        };
        let whole = u128::from(self.penalty >> halvings);
        (whole - whole * (passed % half_life) / half_life / 2) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HALF_LIFE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_000 * seconds)
    }

    fn after(turns: &[u64]) -> Damping {
        turns.iter().fold(Damping::default(), |damping, turn| damping.turned(HALF_LIFE, at(*turn)))
    }

    proptest! {
        #[test]
        fn nobody_is_held_for_longer_than_two_half_lives(turns in prop::collection::vec(0..100_u64, 0..20)) {
            let mut now = 0;
            let mut damping = Damping::default();
            for turn in turns {
                now += turn;
                damping = damping.turned(HALF_LIFE, at(now));
                prop_assert!(damping.penalty <= MOST);
            }
            prop_assert!(!damping.holds(HALF_LIFE, at(now + 120)));
        }

        #[test]
        fn turns_that_are_two_half_lives_apart_hold_nobody(turns in 0..50_u64) {
            let damping = after(&(0..turns).map(|turn| 120 * turn).collect::<Vec<_>>());
            prop_assert!(!damping.held);
        }
    }

    #[test]
    fn the_fourth_turn_in_quick_succession_holds_until_the_penalty_has_faded() {
        assert!(!after(&[0, 5, 10]).holds(HALF_LIFE, at(10)));
        let damping = after(&[0, 5, 10, 15]);
        assert!(damping.holds(HALF_LIFE, at(15)) && damping.holds(HALF_LIFE, at(75)));
        assert!(!damping.holds(HALF_LIFE, at(135)));
    }

    #[test]
    fn a_half_life_of_zero_switches_it_off() {
        let damping = (0..10).fold(Damping::default(), |it, turn| it.turned(Duration::ZERO, at(turn)));
        assert!(!damping.holds(Duration::ZERO, at(10)));
    }
}
