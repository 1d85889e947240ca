use super::{Balancer, Candidate, Strategy as How};
use proptest::prelude::*;

#[derive(Debug, Clone, Copy)]
struct Node {
    weight: u32,
    in_flight: u64,
}

impl Candidate for Node {
    fn weight(&self) -> u32 {
        self.weight
    }

    fn in_flight(&self) -> u64 {
        self.in_flight
    }
}

fn nodes() -> impl Strategy<Value = Vec<Node>> {
    let node = (0..6u32, prop_oneof![0..4u64, any::<u64>()])
        .prop_map(|(weight, in_flight)| Node { weight, in_flight });
    prop::collection::vec(node, 0..8)
}

fn strategies() -> impl Strategy<Value = How> {
    prop::sample::select(How::ALL.as_slice())
}

/// Who may be chosen.
fn eligible(nodes: &[Node], skipped: &[bool]) -> Vec<usize> {
    (0..nodes.len()).filter(|index| nodes[*index].weight > 0 && !skipped[*index]).collect()
}

fn picks(strategy: How, nodes: &[Node], skipped: &[bool], count: usize) -> Vec<usize> {
    let mut balancer = Balancer::new();
    let pick = |_| balancer.pick(strategy, nodes, |index| skipped[index], 0).expect("there is a candidate");
    (0..count).map(pick).collect()
}

fn count(picks: &[usize], index: usize) -> usize {
    picks.iter().filter(|pick| **pick == index).count()
}

proptest! {
    #[test]
    fn only_candidates_that_may_be_chosen_are_and_one_is_if_there_is_one(
        rounds in prop::collection::vec((nodes(), any::<u8>(), strategies(), any::<u64>()), 1..30),
    ) {
        let mut balancer = Balancer::new();
        for (nodes, mask, strategy, random) in rounds {
            let skipped: Vec<_> = (0..nodes.len()).map(|index| mask >> index & 1 == 1).collect();
            let eligible = eligible(&nodes, &skipped);
            match balancer.pick(strategy, &nodes, |index| skipped[index], random) {
                Some(chosen) => prop_assert!(eligible.contains(&chosen)),
                None => prop_assert!(eligible.is_empty()),
            }
        }
    }

    #[test]
    fn in_any_window_round_robin_counts_differ_by_at_most_one(nodes in nodes(), mask: u8, from in 0..20usize, length in 0..40usize) {
        let skipped: Vec<_> = (0..nodes.len()).map(|index| mask >> index & 1 == 1).collect();
        let eligible = eligible(&nodes, &skipped);
        prop_assume!(!eligible.is_empty());
        let picks = picks(How::RoundRobin, &nodes, &skipped, from + length);
        let counts: Vec<_> = eligible.iter().map(|index| count(&picks[from..], *index)).collect();
        let (least, most) = (counts.iter().min().expect("not empty"), counts.iter().max().expect("not empty"));
        prop_assert!(most - least <= 1, "{:?}", counts);
    }

    #[test]
    fn smooth_round_robin_is_exactly_proportional_over_every_cycle(nodes in nodes(), mask: u8, from in 0..20usize) {
        let skipped: Vec<_> = (0..nodes.len()).map(|index| mask >> index & 1 == 1).collect();
        let eligible = eligible(&nodes, &skipped);
        prop_assume!(!eligible.is_empty());
        let cycle: usize = eligible.iter().map(|index| nodes[*index].weight as usize).sum();
        let picks = picks(How::WeightedRoundRobin, &nodes, &skipped, from + cycle);
        for index in eligible {
            prop_assert_eq!(count(&picks[from..], index), nodes[index].weight as usize);
        }
    }

    #[test]
    fn smooth_round_robin_never_bursts(nodes in nodes()) {
        let skipped = vec![false; nodes.len()];
        let eligible = eligible(&nodes, &skipped);
        prop_assume!(!eligible.is_empty());
        let total: usize = eligible.iter().map(|index| nodes[*index].weight as usize).sum();
        let picks = picks(How::WeightedRoundRobin, &nodes, &skipped, 2 * total);
        for taken in 1..=picks.len() {
            for index in &eligible {
                let got = count(&picks[..taken], *index) * total;
                let share = taken * nodes[*index].weight as usize;
                prop_assert!(got < share + total, "{} is a whole request ahead of its share: {:?}", index, picks);
                prop_assert!(share < got + total * eligible.len(), "{} is far behind: {:?}", index, picks);
            }
        }
    }

    #[test]
    fn least_connections_never_picks_a_more_loaded_one(nodes in nodes(), mask: u8, turns in 0..10usize) {
        let skipped: Vec<_> = (0..nodes.len()).map(|index| mask >> index & 1 == 1).collect();
        let eligible = eligible(&nodes, &skipped);
        prop_assume!(!eligible.is_empty());
        for chosen in picks(How::LeastConnections, &nodes, &skipped, turns) {
            for other in &eligible {
                let load = |of: usize, against: usize| u128::from(nodes[of].in_flight) * u128::from(nodes[against].weight);
                prop_assert!(load(chosen, *other) <= load(*other, chosen));
            }
        }
    }

    #[test]
    fn random_gives_each_candidate_the_same_part_of_all_numbers(nodes in nodes(), mask: u8) {
        let skipped: Vec<_> = (0..nodes.len()).map(|index| mask >> index & 1 == 1).collect();
        let eligible = eligible(&nodes, &skipped);
        let mut balancer = Balancer::new();
        for (rank, index) in eligible.iter().enumerate() {
            let parts = eligible.len() as u128;
            // The first and the last number of this candidate's part.
            let first = ((rank as u128) << 64).div_ceil(parts) as u64;
            let last = ((((rank as u128) + 1) << 64).div_ceil(parts) - 1) as u64;
            for random in [first, last] {
                let pick = balancer.pick(How::Random, &nodes, |index| skipped[index], random);
                prop_assert_eq!(pick, Some(*index));
            }
        }
    }
}

#[test]
fn least_connections_takes_turns_among_equals() {
    let nodes = [Node { weight: 1, in_flight: 2 }; 3];
    assert_eq!(picks(How::LeastConnections, &nodes, &[false; 3], 6), [0, 1, 2, 0, 1, 2]);
}

#[test]
fn smooth_round_robin_follows_the_published_sequence() {
    // The example of the change that brought it to nginx: weights 5, 1, 1 give a a b a c a a.
    let nodes = [5, 1, 1].map(|weight| Node { weight, in_flight: 0 });
    let picks = picks(How::WeightedRoundRobin, &nodes, &[false; 3], 7);
    assert_eq!(picks, [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn a_retry_goes_to_another_endpoint() {
    let nodes = [Node { weight: 1, in_flight: 0 }; 2];
    for strategy in How::ALL {
        let mut balancer = Balancer::new();
        let first = balancer.pick(strategy, &nodes, |_| false, 7).expect("there are two");
        let second = balancer.pick(strategy, &nodes, |index| index == first, 7).expect("one is left");
        assert_ne!(first, second);
        assert_eq!(balancer.pick(strategy, &nodes, |_| true, 7), None);
    }
}

#[test]
fn strategies_are_read_by_their_names() {
    for strategy in How::ALL {
        assert_eq!(How::parse(strategy.as_str()), Some(strategy));
    }
    assert_eq!(How::parse("ring"), None);
}
