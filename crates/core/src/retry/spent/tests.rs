use super::*;
use proptest::prelude::*;

fn id(seed: u64) -> RequestId {
    let random = seed.to_be_bytes();
    RequestId::from_time(1_700_000_000_000, std::array::from_fn(|at| random[at % 8]))
}

proptest! {
    #[test]
    fn what_was_noted_is_known_for_a_while_and_nothing_else_is(seed: u64, other: u64, at in 0..1u64 << 50, later in 0..60u64) {
        prop_assume!(id(seed) != id(other));
        let spent = Shared::new();
        let noted = Timestamp::from_micros(at);
        let now = noted.after(Duration::from_secs(later));
        prop_assert!(!spent.knows(id(seed), now));
        spent.note(id(seed), noted);
        prop_assert_eq!(spent.knows(id(seed), now), later <= KEPT.as_secs());
        prop_assert!(!spent.knows(id(other), now));
    }
}

#[test]
fn most_of_many_ids_are_known_at_once() {
    let (spent, now) = (Shared::new(), Timestamp::from_millis(5));
    let ids: Vec<RequestId> =
        (0..1_000u64).map(|seed| id(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))).collect();
    ids.iter().for_each(|id| spent.note(*id, now));
    let known = ids.iter().filter(|id| spent.knows(**id, now)).count();
    assert!(known > 800, "{known}");
}
