use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn never_more_are_in_flight_than_the_limit(limit in 0..5u32, asks in prop::collection::vec(any::<bool>(), 0..60)) {
        let mut held = 0u64;
        let mut in_flight = 0;
        for ask in asks {
            if ask {
                let (next, answer) = step(in_flight, limit, Input::Admit);
                prop_assert_eq!(answer.is_ok(), held < u64::from(limit));
                held += u64::from(answer.is_ok());
                in_flight = next;
            } else if held > 0 {
                held -= 1;
                in_flight = step(in_flight, limit, Input::Released).0;
            }
            prop_assert_eq!(in_flight, held);
        }
    }
}

#[test]
fn a_dropped_slot_is_free_again() {
    let shared = Shared::new();
    let first = shared.admit(1).expect("a slot is free");
    assert_eq!(shared.admit(1).err(), Some(Full { limit: 1 }));
    drop(first);
    assert_eq!(shared.in_flight(), 0);
    assert!(shared.admit(1).is_ok());
}

#[test]
fn a_lower_limit_takes_nothing_away() {
    let shared = Shared::new();
    let _held = [shared.admit(2), shared.admit(2)].map(|slot| slot.expect("a slot is free"));
    assert!(shared.admit(1).is_err());
    assert_eq!(shared.in_flight(), 2);
}

#[test]
fn threads_at_once_get_as_many_slots_as_there_are() {
    let shared = Shared::new();
    let held = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| shared.admit(3).ok())).collect();
        threads.into_iter().filter_map(|it| it.join().expect("does not panic")).collect::<Vec<_>>()
    });
    assert_eq!((held.len(), shared.in_flight()), (3, 3));
    drop(held);
    assert_eq!(shared.in_flight(), 0);
}
