use super::*;
use proptest::prelude::*;

pub(super) fn id(number: u8) -> ServerId {
    ServerId::from_bytes([number; 16])
}

/// Servers and shares by letters; `.` is nobody.
fn told(alive: &str, holders: &str) -> String {
    let server = |letter: char| id(letter as u8);
    let alive = alive.chars().map(server).collect();
    let holders: Vec<_> = holders.chars().map(|it| (it != '.').then(|| server(it))).collect();
    let letter = |it: &Option<ServerId>| it.map_or('.', |server| char::from(server.as_bytes()[0]));
    shares(&alive, &holders).iter().map(letter).collect()
}

#[test]
fn shares_are_evened_out_and_nobody_loses_more_than_is_needed() {
    assert_eq!(told("a", "...."), "aaaa");
    assert_eq!(told("ab", "aaaa"), "aabb");
    assert_eq!(told("abc", "aabb"), "aabc");
    assert_eq!(told("abc", "aaaa"), "aabc");
    assert_eq!(told("bc", "aabc"), "bcbc");
    assert_eq!(told("b", "aabb"), "bbbb");
    assert_eq!(told("abcdef", "...."), "abcd");
    assert_eq!(told("abcdef", "fe.."), "feab");
    assert_eq!(told("", "ab"), "..");
}

#[test]
fn what_is_even_stays_as_it_is() {
    for holders in ["abab", "aabb", "bbaa"] {
        assert_eq!(told("ab", holders), holders);
    }
    assert_eq!(told("abc", "cacb"), "cacb");
    assert_eq!(told("abcdef", "fedc"), "fedc");
}

fn counts(alive: &BTreeSet<ServerId>, holders: &[Option<ServerId>]) -> Vec<usize> {
    let of = |server: &ServerId| holders.iter().filter(|holder| **holder == Some(*server)).count();
    alive.iter().map(of).collect()
}

proptest! {
    #[test]
    fn shares_are_even_stable_and_move_as_little_as_they_can(
        alive in proptest::collection::btree_set(0..7_u8, 1..7),
        holders in proptest::collection::vec(proptest::option::of(0..7_u8), 0..12),
    ) {
        let alive: BTreeSet<ServerId> = alive.into_iter().map(id).collect();
        let holders: Vec<_> = holders.into_iter().map(|it| it.map(id)).collect();
        let shared = shares(&alive, &holders);
        prop_assert_eq!(shared.len(), holders.len());
        prop_assert!(shared.iter().all(|it| it.is_some_and(|server| alive.contains(&server))));
        let even = counts(&alive, &shared);
        let (least, most) = (even.iter().min().unwrap(), even.iter().max().unwrap());
        prop_assert!(most - least <= 1);
        prop_assert_eq!(&shares(&alive, &shared), &shared);
        // Only what is beyond an even share is taken from anybody; of those that may have one more, as many as there can be keep it.
        let kept = shared.iter().zip(&holders).filter(|(after, before)| after == before).count();
        let had = counts(&alive, &holders);
        let each = holders.len() / alive.len();
        let more = had.iter().filter(|had| **had > each).count().min(holders.len() % alive.len());
        prop_assert_eq!(kept, had.iter().map(|had| (*had).min(each)).sum::<usize>() + more);
    }
}
