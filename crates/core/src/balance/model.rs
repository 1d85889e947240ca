//! Smooth weighted round robin while endpoints come and go: what each is owed stays bounded, whoever is
//! skipped when.

use super::{Balancer, Candidate, Strategy};
use stateright::{Checker, Model, Property};

struct Service {
    endpoints: [Weight; 3],
}

#[derive(Debug, Clone, Copy)]
struct Weight(u32);

impl Candidate for Weight {
    fn weight(&self) -> u32 {
        self.0
    }

    fn in_flight(&self) -> u64 {
        0
    }
}

impl Service {
    fn total(&self) -> i64 {
        self.endpoints.iter().map(|it| i64::from(it.0)).sum()
    }
}

impl Model for Service {
    type State = Balancer;
    /// One pick, while the endpoints of this mask are skipped.
    type Action = u8;

    fn init_states(&self) -> Vec<Balancer> {
        vec![Balancer::new()]
    }

    fn actions(&self, _: &Balancer, actions: &mut Vec<u8>) {
        actions.extend(0..8);
    }

    fn next_state(&self, balancer: &Balancer, skipped: u8) -> Option<Balancer> {
        let mut next = balancer.clone();
        next.pick(Strategy::WeightedRoundRobin, &self.endpoints, |index| skipped >> index & 1 == 1, 0);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("credits and payments cancel out", |_, balancer: &Balancer| {
                balancer.owed.iter().sum::<i64>() == 0
            }),
            Property::always("nobody is owed more than two rounds", |model: &Self, balancer: &Balancer| {
                balancer.owed.iter().all(|owed| owed.abs() <= 2 * model.total())
            }),
            Property::sometimes("somebody is owed something", |_, balancer: &Balancer| {
                balancer.owed.iter().any(|owed| *owed > 0)
            }),
        ]
    }
}

#[test]
fn debts_stay_bounded_whoever_is_skipped() {
    for weights in [[1, 1, 1], [5, 1, 1], [3, 2, 1]] {
        let service = Service { endpoints: weights.map(Weight) };
        let checker = service.checker().spawn_bfs().join();
        checker.assert_properties();
        assert!(checker.unique_state_count() > 3);
    }
}
