use super::Strategy;
use super::*;
use proptest::prelude::{Strategy as Values, *};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub(super) weight: u32,
    pub(super) load: u64,
    pub(super) latency: Option<u64>,
    pub(super) since: Timestamp,
}

impl Default for Node {
    fn default() -> Self {
        Self { weight: 1, load: 0, latency: None, since: Timestamp::ZERO }
    }
}

const WINDOW: Duration = Duration::from_secs(100);

impl Candidate for Node {
    fn weight(&self) -> u32 {
        self.weight
    }

    fn load(&self, _: Timestamp) -> u64 {
        self.load
    }

    fn latency(&self, _: Timestamp) -> Option<u64> {
        self.latency
    }

    fn ramp(&self, now: Timestamp) -> u32 {
        ramp(self.since, WINDOW, now)
    }
}

/// A table of nodes that are called by their places.
pub(super) fn table(config: &Config, nodes: &[Node]) -> Table {
    named(config, nodes, &(0..nodes.len()).collect::<Vec<_>>())
}

/// A table of nodes that are called by these numbers.
fn named(config: &Config, nodes: &[Node], numbers: &[usize]) -> Table {
    let names: Vec<String> = numbers.iter().map(|number| format!("node-{number}")).collect();
    let member = |(index, (node, name)): (usize, (&Node, &'_ String))| (index, node.weight, name.clone());
    let members: Vec<_> = nodes.iter().zip(&names).enumerate().map(member).collect();
    Table::new(
        config,
        members.iter().map(|(index, weight, name)| Member { index: *index, name, weight: *weight }),
    )
}

pub(super) fn ask(config: &Config, random: u64) -> Ask<'_> {
    Ask { config, now: Timestamp::ZERO, random, key: None, in_flight: 0, latency: None }
}

fn nodes() -> impl Values<Value = Vec<Node>> {
    let load = prop_oneof![0..4u64, any::<u64>()];
    let latency = prop_oneof![Just(None), any::<u64>().prop_map(Some)];
    let node = (0..6u32, load, latency).prop_map(|(weight, load, latency)| Node {
        weight,
        load,
        latency,
        ..Node::default()
    });
    prop::collection::vec(node, 0..8)
}

fn strategies() -> impl Values<Value = Strategy> {
    prop::sample::select(Strategy::ALL.as_slice())
}

/// Who may be chosen.
fn eligible(nodes: &[Node], skipped: &[bool]) -> Vec<usize> {
    (0..nodes.len()).filter(|index| nodes[*index].weight > 0 && !skipped[*index]).collect()
}

fn mask(nodes: &[Node], mask: u8) -> Vec<bool> {
    (0..nodes.len()).map(|index| mask >> index & 1 == 1).collect()
}

fn picks(strategy: Strategy, nodes: &[Node], skipped: &[bool], count: usize) -> Vec<usize> {
    let config = Config::of(strategy);
    let table = table(&config, nodes);
    let mut balancer = Balancer::new();
    let pick = |turn: usize| {
        let ask = ask(&config, hash::mix(turn as u64));
        balancer.pick(&table, nodes, |index| skipped[index], &ask).expect("there is a candidate")
    };
    (0..count).map(pick).collect()
}

fn count(picks: &[usize], index: usize) -> usize {
    picks.iter().filter(|pick| **pick == index).count()
}

/// Where each of some keys goes.
fn owners(config: &Config, nodes: &[Node], numbers: &[usize], keys: u64) -> Vec<Option<usize>> {
    let table = named(config, nodes, numbers);
    let owner = |number: u64| {
        let ask = Ask { key: Some(key(&number.to_le_bytes())), ..ask(config, number) };
        Balancer::new().pick(&table, nodes, |_| false, &ask).map(|index| numbers[index])
    };
    (0..keys).map(owner).collect()
}

proptest! {
    #[test]
    fn only_candidates_that_may_be_chosen_are_and_one_is_if_there_is_one(
        rounds in prop::collection::vec((nodes(), any::<u8>(), strategies(), any::<u64>(), any::<bool>()), 1..10),
    ) {
        let mut balancer = Balancer::new();
        for (nodes, skipped, strategy, random, slow) in rounds {
            let skipped = mask(&nodes, skipped);
            let eligible = eligible(&nodes, &skipped);
            let slow_start = if slow { WINDOW } else { Duration::ZERO };
            let config = Config { slow_start, max_load_percent: Some(125), ..Config::of(strategy) };
            match balancer.pick(&table(&config, &nodes), &nodes, |index| skipped[index], &ask(&config, random)) {
                Some(chosen) => prop_assert!(eligible.contains(&chosen)),
                None => prop_assert!(eligible.is_empty()),
            }
        }
    }

    #[test]
    fn in_any_window_round_robin_counts_differ_by_at_most_one(nodes in nodes(), skipped: u8, from in 0..20usize, length in 0..40usize) {
        let skipped = mask(&nodes, skipped);
        let eligible = eligible(&nodes, &skipped);
        prop_assume!(!eligible.is_empty());
        let picks = picks(Strategy::RoundRobin, &nodes, &skipped, from + length);
        let counts: Vec<_> = eligible.iter().map(|index| count(&picks[from..], *index)).collect();
        let (least, most) = (counts.iter().min().expect("not empty"), counts.iter().max().expect("not empty"));
        prop_assert!(most - least <= 1, "{:?}", counts);
    }

    #[test]
    fn smooth_round_robin_is_exactly_proportional_over_every_cycle(nodes in nodes(), skipped: u8, from in 0..20usize) {
        let skipped = mask(&nodes, skipped);
        let eligible = eligible(&nodes, &skipped);
        prop_assume!(!eligible.is_empty());
        let cycle: usize = eligible.iter().map(|index| nodes[*index].weight as usize).sum();
        let picks = picks(Strategy::WeightedRoundRobin, &nodes, &skipped, from + cycle);
        for index in eligible {
            prop_assert_eq!(count(&picks[from..], index), nodes[index].weight as usize);
        }
    }

    #[test]
    fn least_connections_never_picks_a_more_loaded_one(nodes in nodes(), skipped: u8, turns in 0..10usize) {
        let skipped = mask(&nodes, skipped);
        let eligible = eligible(&nodes, &skipped);
        prop_assume!(!eligible.is_empty());
        for chosen in picks(Strategy::LeastConnections, &nodes, &skipped, turns) {
            for other in &eligible {
                let load = |of: usize, against: usize| u128::from(nodes[of].load) * u128::from(nodes[against].weight);
                prop_assert!(load(chosen, *other) <= load(*other, chosen));
            }
        }
    }

    #[test]
    fn of_two_choices_the_most_loaded_of_all_is_never_one(random: u64, worst in 0..5usize) {
        let mut nodes = [Node { latency: Some(1_000), ..Node::default() }; 5];
        nodes[worst].load = 1;
        for strategy in [Strategy::LeastRequests, Strategy::PeakEwma] {
            let config = Config::of(strategy);
            let chosen = Balancer::new().pick(&table(&config, &nodes), &nodes, |_| false, &ask(&config, random));
            prop_assert_ne!(chosen, Some(worst));
        }
    }

    #[test]
    fn whoever_comes_to_a_ring_takes_keys_for_itself_only(
        weights in prop::collection::vec(1..4u32, 1..8),
        newcomer in 1..4u32,
        place in 0..8usize,
    ) {
        let config = Config::of(Strategy::RingHash);
        let node = |weight: &u32| Node { weight: *weight, ..Node::default() };
        let mut nodes: Vec<Node> = weights.iter().map(node).collect();
        let mut numbers: Vec<usize> = (0..nodes.len()).collect();
        let before = owners(&config, &nodes, &numbers, 300);
        let place = place.min(nodes.len());
        nodes.insert(place, node(&newcomer));
        numbers.insert(place, 100);
        for (before, after) in before.into_iter().zip(owners(&config, &nodes, &numbers, 300)) {
            prop_assert!(after == before || after == Some(100));
        }
    }

    #[test]
    fn a_key_whose_endpoint_is_skipped_goes_to_one_other_and_the_rest_stay(number: u64, skipped in 0..6usize) {
        let nodes = [Node::default(); 6];
        for strategy in [Strategy::RingHash, Strategy::Maglev] {
            let config = Config::of(strategy);
            let table = table(&config, &nodes);
            let ask = Ask { key: Some(key(&number.to_le_bytes())), ..ask(&config, 1) };
            let own = Balancer::new().pick(&table, &nodes, |_| false, &ask);
            let other = Balancer::new().pick(&table, &nodes, |index| index == skipped, &ask);
            prop_assert!(other != Some(skipped) && (own == other || own == Some(skipped)));
        }
    }
}

/// The shares of all keys, in percent.
fn shares(owners: &[Option<usize>]) -> BTreeMap<usize, u64> {
    let mut counts = BTreeMap::new();
    for owner in owners.iter().flatten() {
        *counts.entry(*owner).or_insert(0) += 1;
    }
    counts.into_iter().map(|(owner, count)| (owner, (100 * count) / owners.len() as u64)).collect()
}

#[test]
fn keys_are_spread_by_weight() {
    let nodes = [1, 1, 2].map(|weight| Node { weight, ..Node::default() });
    let ring = Config { virtual_nodes: 500, ..Config::of(Strategy::RingHash) };
    for (config, slack) in [(ring, 5), (Config::of(Strategy::Maglev), 2)] {
        let shares = shares(&owners(&config, &nodes, &[0, 1, 2], 20_000));
        for (node, expected) in [(0, 25), (1, 25), (2, 50)] {
            assert!(shares[&node].abs_diff(expected) <= slack, "{shares:?}");
        }
    }
}

#[test]
fn few_keys_of_others_move_in_maglevs_table_when_somebody_goes() {
    let config = Config::of(Strategy::Maglev);
    let numbers: Vec<usize> = (0..20).collect();
    let before = owners(&config, &[Node::default(); 20], &numbers, 20_000);
    let after = owners(&config, &[Node::default(); 19], &numbers[..19], 20_000);
    let moved = before.iter().zip(&after).filter(|(before, after)| **before != Some(19) && before != after);
    let moved = moved.count();
    assert!(moved * 100 < 20_000 * 3, "{moved} of 20,000");
}

#[test]
fn an_endpoint_of_the_ring_that_has_its_part_hands_on() {
    let config = Config { max_load_percent: Some(120), ..Config::of(Strategy::RingHash) };
    let mut nodes = [Node::default(); 3];
    let table = table(&config, &nodes);
    let ask = Ask { key: Some(key(b"ada")), in_flight: 30, ..ask(&config, 1) };
    let own = Balancer::new().pick(&table, &nodes, |_| false, &ask).unwrap();
    nodes[own].load = 12;
    assert_eq!(Balancer::new().pick(&table, &nodes, |_| false, &ask), Some(own), "12 of 31 are within 120 %");
    nodes[own].load = 13;
    assert_ne!(Balancer::new().pick(&table, &nodes, |_| false, &ask), Some(own));
}

#[test]
fn an_endpoint_that_was_never_measured_is_taken_for_one_like_the_others() {
    let nodes = [Some(10_000), None].map(|latency| Node { latency, ..Node::default() });
    let config = Config::of(Strategy::PeakEwma);
    let table = table(&config, &nodes);
    let pick = |latency| {
        let ask = Ask { latency, ..ask(&config, 3) };
        Balancer::new().pick(&table, &nodes, |_| false, &ask)
    };
    assert_eq!(pick(Some(20_000)), Some(0));
    assert_eq!(pick(Some(5_000)), Some(1));
}

#[test]
fn random_and_choices_give_each_its_part() {
    let nodes = [Node::default(); 4];
    for strategy in [Strategy::Random, Strategy::LeastRequests, Strategy::PeakEwma] {
        let picks = picks(strategy, &nodes, &[false; 4], 4_000);
        for index in 0..4 {
            assert!(count(&picks, index).abs_diff(1_000) < 150, "{strategy}: {index}");
        }
    }
}

#[test]
fn a_newcomer_gets_its_share_little_by_little() {
    let config = Config { slow_start: WINDOW, ..Config::default() };
    let mut nodes = [Node::default(); 4];
    let start = Timestamp::from_millis(1_000_000);
    nodes[0].since = start;
    let table = table(&config, &nodes);
    let share_after = |seconds: u64| {
        let mut balancer = Balancer::new();
        let now = start.after(Duration::from_secs(seconds));
        let mut pick = |turn| {
            let ask = Ask { now, ..ask(&config, hash::mix(turn)) };
            balancer.pick(&table, &nodes, |_| false, &ask)
        };
        (0..4_000).filter(|turn| pick(*turn) == Some(0)).count()
    };
    // A tenth of a weight among three whole ones, and then half of one.
    assert!((90..=170).contains(&share_after(0)), "{}", share_after(0));
    assert!((500..=640).contains(&share_after(50)), "{}", share_after(50));
    assert_eq!(share_after(100), 1_000);
}

#[test]
fn least_connections_takes_turns_among_equals() {
    let nodes = [Node { load: 2, ..Node::default() }; 3];
    assert_eq!(picks(Strategy::LeastConnections, &nodes, &[false; 3], 6), [0, 1, 2, 0, 1, 2]);
}

#[test]
fn a_retry_goes_to_another_endpoint() {
    let nodes = [Node::default(); 2];
    for strategy in Strategy::ALL {
        let config = Config::of(strategy);
        let (table, ask) = (table(&config, &nodes), ask(&config, 7));
        let mut balancer = Balancer::new();
        let first = balancer.pick(&table, &nodes, |_| false, &ask).expect("there are two");
        let second = balancer.pick(&table, &nodes, |index| index == first, &ask).expect("one is left");
        assert_ne!(first, second);
        assert_eq!(balancer.pick(&table, &nodes, |_| true, &ask), None);
    }
}

#[test]
fn the_last_of_many_is_found() {
    let nodes = [Node::default(); 1_000];
    for strategy in Strategy::ALL {
        let config = Config::of(strategy);
        let table = table(&config, &nodes);
        let chosen = Balancer::new().pick(&table, &nodes, |index| index != 777, &ask(&config, 7));
        assert_eq!(chosen, Some(777), "{strategy}");
    }
}

#[test]
fn strategies_are_read_by_their_names() {
    for strategy in Strategy::ALL {
        assert_eq!(Strategy::parse(strategy.as_str()), Some(strategy));
    }
    assert_eq!(Strategy::parse("ring"), None);
}

#[test]
fn a_subset_knows_its_own() {
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
    };
    let subset = Subset::new(pairs(&[("version", "2.0.0"), ("track", "canary")])).unwrap();
    assert!(subset.holds("2.0.0", &pairs(&[("track", "canary"), ("zone", "a")])));
    assert!(!subset.holds("1.0.0", &pairs(&[("track", "canary")])));
    assert!(!subset.holds("2.0.0", &BTreeMap::new()));
    assert!(Subset::default().holds("1.0.0", &BTreeMap::new()));
    assert_eq!(subset.to_string(), "track=canary, version=2.0.0");
}
