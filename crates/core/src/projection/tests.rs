use super::*;
use proptest::prelude::*;

fn config() -> Config {
    Config { attempts: 3, most_parked: 4, ..Config::default() }
}

fn at(position: u64) -> Position {
    Position(position)
}

fn time(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn step(progress: &mut Progress<char>, input: Input<char>) {
    progress.step(&config(), input, time(0)).unwrap();
}

#[test]
fn an_event_that_fails_parks_its_key_and_no_other() {
    let mut progress = Progress::new();
    step(&mut progress, Input::Failed { at: at(1), key: 'a' });
    assert_eq!(progress.offer(&config(), at(1), &'a'), Offer::Past);
    assert_eq!(progress.offer(&config(), at(2), &'a'), Offer::Park);
    assert_eq!(progress.offer(&config(), at(2), &'b'), Offer::Apply);
    step(&mut progress, Input::Applied { at: at(2), key: 'b' });
    step(&mut progress, Input::Queued { at: at(3), key: 'a' });
    assert_eq!(progress.position(), at(3));
    assert_eq!(progress.parked()[&'a'].events, [at(1), at(3)]);
}

#[test]
fn waits_grow_until_the_event_waits_for_somebody() {
    let mut progress = Progress::new();
    step(&mut progress, Input::Failed { at: at(1), key: 'a' });
    assert_eq!(progress.wake_at(), Some(time(500)));
    assert_eq!(progress.due(time(499)), None);
    assert_eq!(progress.due(time(500)), Some((&'a', at(1))));
    let again = Input::RetryFailed { key: 'a', at: at(1) };
    progress.step(&config(), again.clone(), time(500)).unwrap();
    assert_eq!(progress.wake_at(), Some(time(1_500)));
    progress.step(&config(), again, time(1_500)).unwrap();
    assert_eq!((progress.wake_at(), progress.due(time(1 << 40))), (None, None));
    progress.step(&config(), Input::Unpark { key: 'a' }, time(9_000)).unwrap();
    assert_eq!(progress.due(time(9_000)), Some((&'a', at(1))));
}

#[test]
fn a_key_is_free_when_all_its_events_are_dealt_with_in_order() {
    let mut progress = Progress::new();
    step(&mut progress, Input::Failed { at: at(1), key: 'a' });
    step(&mut progress, Input::Queued { at: at(2), key: 'a' });
    let early = progress.step(&config(), Input::Retried { key: 'a', at: at(2) }, time(0));
    assert_eq!(early, Err(Illegal::NotFirst(at(2))));
    step(&mut progress, Input::Drop { key: 'a', at: at(1) });
    assert_eq!(progress.due(time(0)), Some((&'a', at(2))));
    step(&mut progress, Input::Retried { key: 'a', at: at(2) });
    assert_eq!(progress, Progress::restore(at(2), BTreeMap::new()));
}

#[test]
fn a_projection_without_room_stands_still() {
    let mut progress = Progress::new();
    step(&mut progress, Input::Failed { at: at(1), key: 'a' });
    for position in 2..=4 {
        step(&mut progress, Input::Queued { at: at(position), key: 'a' });
    }
    assert_eq!(progress.offer(&config(), at(5), &'a'), Offer::Full);
    assert!(!progress.has_room(&config()));
    let full = progress.step(&config(), Input::Failed { at: at(5), key: 'b' }, time(0));
    assert_eq!(full, Err(Illegal::Full(4)));
    assert_eq!(progress.position(), at(4));
}

#[test]
fn what_cannot_have_happened_is_refused() {
    let mut progress = Progress::new();
    step(&mut progress, Input::Failed { at: at(5), key: 'a' });
    let before = progress.clone();
    for (input, illegal) in [
        (Input::Applied { at: at(5), key: 'b' }, Illegal::Past(at(5))),
        (Input::Passed { to: at(4) }, Illegal::Past(at(4))),
        (Input::Applied { at: at(6), key: 'a' }, Illegal::WrongKey),
        (Input::Failed { at: at(6), key: 'a' }, Illegal::WrongKey),
        (Input::Queued { at: at(6), key: 'b' }, Illegal::WrongKey),
        (Input::Retried { key: 'b', at: at(5) }, Illegal::WrongKey),
        (Input::RetryFailed { key: 'a', at: at(6) }, Illegal::NotFirst(at(6))),
        (Input::Unpark { key: 'b' }, Illegal::WrongKey),
    ] {
        assert_eq!(progress.step(&config(), input, time(0)), Err(illegal));
        assert_eq!(progress, before);
    }
}

fn origin(log: u8, version: u32) -> Origin {
    Origin { log: LogId::from_bytes([log; 16]), version }
}

#[test]
fn a_model_of_another_log_or_version_is_made_anew_beside_the_one_that_is_read() {
    let wanted = origin(1, 2);
    assert_eq!(plan(None, None, wanted), Plan::Begin);
    assert_eq!(plan(Some(wanted), None, wanted), Plan::Continue);
    assert_eq!(plan(Some(origin(1, 1)), None, wanted), Plan::Rebuild { resume: false });
    assert_eq!(plan(Some(origin(2, 2)), None, wanted), Plan::Rebuild { resume: false });
    assert_eq!(plan(Some(origin(1, 1)), Some(wanted), wanted), Plan::Rebuild { resume: true });
    assert_eq!(plan(Some(wanted), Some(wanted), wanted), Plan::Rebuild { resume: true });
    assert_eq!(plan(Some(origin(1, 1)), Some(origin(2, 2)), wanted), Plan::Rebuild { resume: false });
}

#[test]
fn a_reader_never_goes_back_in_time() {
    let (old, new, other) = (origin(1, 1), origin(1, 2), origin(2, 1));
    assert!(may_switch((old, at(5)), (new, at(7)), at(7)));
    assert!(!may_switch((old, at(5)), (new, at(6)), at(7)), "it is behind the log");
    assert!(!may_switch((old, at(9)), (new, at(7)), at(7)), "it is behind what was read");
    assert!(may_switch((old, at(900)), (other, at(7)), at(7)), "positions of two logs are not compared");
}

proptest! {
    /// Whatever fails and whenever somebody steps in: each event is applied or dropped at most once, those of a
    /// key in order, and none is lost.
    #[test]
    fn each_event_has_its_effect_once_and_in_order(
        events in prop::collection::vec(0u8..3, 1..30),
        fails in prop::collection::vec(any::<bool>(), 90),
    ) {
        let config = config();
        let mut progress = Progress::new();
        let mut applied: Vec<(u64, u8)> = Vec::new();
        let mut fails = fails.into_iter();
        let mut now = 0;
        let mut fail = || fails.next().unwrap_or(false);
        for (index, key) in events.iter().enumerate() {
            let at = Position(index as u64 + 1);
            // With no room, what is parked is seen to first.
            while !progress.has_room(&config) {
                now += 1;
                let key = *progress.parked().keys().next().unwrap();
                let at = progress.parked()[&key].events[0];
                applied.push((at.0, key));
                progress.step(&config, Input::Retried { key, at }, time(now)).unwrap();
            }
            match progress.offer(&config, at, key) {
                Offer::Apply if fail() => progress.step(&config, Input::Failed { at, key: *key }, time(now)).unwrap(),
                Offer::Apply => {
                    applied.push((at.0, *key));
                    progress.step(&config, Input::Applied { at, key: *key }, time(now)).unwrap();
                }
                Offer::Park => progress.step(&config, Input::Queued { at, key: *key }, time(now)).unwrap(),
                other => prop_assert!(false, "{other:?}"),
            }
            prop_assert!(progress.waiting() <= config.most_parked);
            prop_assert_eq!(progress.offer(&config, at, key), Offer::Past);
        }
        for _ in 0..200 {
            now += 60_000;
            let keys: Vec<u8> = progress.parked().keys().copied().collect();
            for key in keys {
                progress.step(&config, Input::Unpark { key }, time(now)).unwrap();
            }
            let Some((key, at)) = progress.due(time(now)).map(|(key, at)| (*key, at)) else { break };
            if fail() {
                progress.step(&config, Input::RetryFailed { key, at }, time(now)).unwrap();
            } else {
                applied.push((at.0, key));
                progress.step(&config, Input::Retried { key, at }, time(now)).unwrap();
            }
        }
        for key in 0..3 {
            let of_key = |applied: &[(u64, u8)]| applied.iter().filter(|event| event.1 == key).map(|event| event.0).collect::<Vec<_>>();
            let all: Vec<(u64, u8)> = events.iter().enumerate().map(|(index, key)| (index as u64 + 1, *key)).collect();
            prop_assert_eq!(of_key(&applied), of_key(&all));
        }
    }
}
