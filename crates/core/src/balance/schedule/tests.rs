use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn at_any_time_everyone_is_within_one_turn_of_its_share(weights in prop::collection::vec(1..50_u32, 1..12)) {
        let cycle = cycle(&weights);
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut got = vec![0_u64; weights.len()];
        for (passed, place) in cycle.iter().enumerate() {
            got[*place as usize] += 1;
            for (got, weight) in got.iter().zip(&weights) {
                let share = (passed as u64 + 1) * u64::from(*weight);
                prop_assert!((got * total).abs_diff(share) < total, "{:?}", cycle);
            }
        }
    }

    #[test]
    fn a_cycle_is_exact(weights in prop::collection::vec(1..50_u32, 1..12)) {
        let cycle = cycle(&weights);
        let shared = weights.iter().fold(0, |a, b| gcd(a, u64::from(*b)));
        for (place, weight) in weights.iter().enumerate() {
            let got = cycle.iter().filter(|it| **it == place as u32).count() as u64;
            prop_assert_eq!(got * shared, u64::from(*weight));
        }
    }
}

#[test]
fn weights_without_bounds_still_give_a_bounded_cycle_in_which_nobody_starves() {
    let mut weights = vec![u32::MAX; 3];
    weights.push(1);
    let cycle = cycle(&weights);
    assert!(cycle.len() as u64 <= LONGEST + weights.len() as u64);
    for place in 0..weights.len() as u32 {
        assert!(cycle.contains(&place), "{place}");
    }
}

#[test]
fn equal_weights_take_turns() {
    assert_eq!(cycle(&[7, 7, 7]), [0, 1, 2]);
}
