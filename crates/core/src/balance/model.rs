//! Turns while endpoints come and go, in every order: whoever may be chosen waits no longer than a cycle.

use super::tests::{Node, ask, table};
use super::{Balancer, Config, Strategy};
use stateright::{Checker, Model, Property};

struct Service {
    strategy: Strategy,
    nodes: [Node; 3],
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Turns {
    balancer: Balancer,
    /// For how many picks each has been eligible and not chosen.
    waiting: [u32; 3],
}

impl Service {
    fn cycle(&self) -> u32 {
        self.nodes.iter().map(|node| node.weight).sum()
    }
}

impl Model for Service {
    type State = Turns;
    /// One pick, while the endpoints of this mask are skipped.
    type Action = u8;

    fn init_states(&self) -> Vec<Turns> {
        vec![Turns { balancer: Balancer::new(), waiting: [0; 3] }]
    }

    fn actions(&self, _: &Turns, actions: &mut Vec<u8>) {
        actions.extend(0..8);
    }

    fn next_state(&self, turns: &Turns, skipped: u8) -> Option<Turns> {
        let mut next = turns.clone();
        let config = Config::of(self.strategy);
        let skip = |index: usize| skipped >> index & 1 == 1;
        let chosen = next.balancer.pick(&table(&config, &self.nodes), &self.nodes, skip, &ask(&config, 0));
        for (index, waiting) in next.waiting.iter_mut().enumerate() {
            *waiting = if skip(index) || chosen == Some(index) { 0 } else { *waiting + 1 };
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nobody starves", |model: &Self, turns: &Turns| {
                turns.waiting.iter().all(|waiting| *waiting <= model.cycle())
            }),
            Property::sometimes("somebody waits", |_, turns: &Turns| turns.waiting.contains(&1)),
        ]
    }
}

#[test]
fn whoever_may_be_chosen_has_a_turn_within_a_cycle() {
    for strategy in [Strategy::RoundRobin, Strategy::WeightedRoundRobin, Strategy::LeastConnections] {
        for weights in [[1, 1, 1], [5, 1, 1], [3, 2, 1]] {
            let nodes = weights.map(|weight| Node { weight, ..Node::default() });
            Service { strategy, nodes }.checker().spawn_bfs().join().assert_properties();
        }
    }
}
