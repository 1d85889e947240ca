use super::*;

#[test]
fn a_quantile_is_the_nearest_rank() {
    let times: Times = (1..=100).rev().map(Duration::from_millis).collect();
    assert_eq!(times.quantile(0.5), Duration::from_millis(50));
    assert_eq!(times.quantile(0.99), Duration::from_millis(99));
    assert_eq!(times.quantile(1.0), Duration::from_millis(100));
    assert_eq!(Times::default().quantile(0.5), Duration::ZERO);
}

fn slices(of: &[&[u64]]) -> Slices {
    let mut slices = Slices::default();
    of.iter().for_each(|times| slices.add(times.iter().copied().map(Duration::from_micros)));
    slices
}

#[test]
fn the_quantile_of_slices_is_that_of_all_their_times() {
    let (value, [low, high]) = slices(&[&[4, 1], &[3, 2, 5], &[6]]).quantile(0.5);
    assert_eq!(value, Duration::from_micros(3));
    assert!(low <= value && value <= high, "{low:?} {high:?}");
    assert_eq!(Slices::default().quantile(0.5).0, Duration::ZERO);
}

#[test]
fn one_slow_slice_among_many_widens_the_interval_and_moves_a_ratio_little() {
    let calm: Vec<u64> = (1..=100).collect();
    let slow: Vec<u64> = (1..=100).map(|it| it + 10_000).collect();
    let mut own: Vec<&[u64]> = vec![&calm; 199];
    let peer = slices(&vec![calm.as_slice(); 200]);
    own.push(&slow);
    let (ratio, [low, high]) = slices(&own).ratio(&peer, 0.99);
    assert!((1.0..1.02).contains(&ratio), "{ratio}");
    assert!(low >= 1.0 && high > ratio, "{low} {high}");
}

#[test]
fn a_typical_slice_is_not_moved_by_a_slow_one() {
    let calm: Vec<u64> = (1..=100).collect();
    let slow: Vec<u64> = (1..=100).map(|it| it + 10_000).collect();
    let own = slices(&[&calm, &slow, &calm, &calm, &calm]);
    assert_eq!(own.typical(0.99).0, Duration::from_micros(99));
    assert!(own.quantile(0.99).0 > Duration::from_micros(10_000));
    let twice: Vec<u64> = (1..=100).map(|it| it * 2).collect();
    let (ratio, [low, high]) =
        slices(&[twice.as_slice(); 5]).typical_ratio(&slices(&[calm.as_slice(); 5]), 0.99);
    assert_eq!([ratio, low, high], [2.0; 3]);
}
