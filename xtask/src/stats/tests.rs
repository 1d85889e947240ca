use super::*;

#[test]
fn a_quantile_is_the_nearest_rank() {
    let times: Times = (1..=100).rev().map(Duration::from_millis).collect();
    assert_eq!(times.quantile(0.5), Duration::from_millis(50));
    assert_eq!(times.quantile(0.99), Duration::from_millis(99));
    assert_eq!(times.quantile(1.0), Duration::from_millis(100));
    assert_eq!(Times::default().quantile(0.5), Duration::ZERO);
}
