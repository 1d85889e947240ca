//! A fading value under every order of a few measures by threads whose clocks differ a little.

use super::*;
use crate::fixtures::millis;
use stateright::{Checker, Model, Property};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Seen {
    load: Load,
    now: u64,
    steps: u32,
    /// The largest and the smallest measure, and the last.
    most: u64,
    least: u64,
}

struct Endpoint;

impl Model for Endpoint {
    type State = Seen;
    type Action = (u64, bool, u64);

    fn init_states(&self) -> Vec<Seen> {
        vec![Seen { load: Load::default(), now: 1_000, steps: 0, most: 0, least: u64::MAX }]
    }

    fn actions(&self, seen: &Seen, actions: &mut Vec<Self::Action>) {
        if seen.steps < 5 {
            let values = [10, 1_000];
            let times = [(0, true), (5, false), (40, false), (5_000, false)];
            actions.extend(values.iter().flat_map(|value| times.map(|(span, late)| (*value, late, span))));
        }
    }

    fn next_state(&self, seen: &Seen, (value, late, span): Self::Action) -> Option<Seen> {
        let now = seen.now + span;
        let own = if late { now - 20 } else { now };
        Some(Seen {
            load: step(seen.load, Measured::Peak(value), millis(own)),
            now,
            steps: seen.steps + 1,
            most: seen.most.max(value),
            least: seen.least.min(value),
        })
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("never outside of what was measured", |_, seen: &Seen| {
                let value = seen.load.value >> FRACTION_BITS;
                seen.steps == 0 || (value + 1 >= seen.least && value <= seen.most)
            }),
            Property::always("known once measured", |_, seen: &Seen| {
                seen.load.now(millis(seen.now)).is_some() == (seen.steps > 0)
            }),
            Property::sometimes("on its way down", |_, seen: &Seen| {
                let value = seen.load.value >> FRACTION_BITS;
                value > 100 && value < 900
            }),
        ]
    }
}

#[test]
fn a_latency_stays_within_what_was_measured() {
    Endpoint.checker().spawn_bfs().join().assert_properties();
}
