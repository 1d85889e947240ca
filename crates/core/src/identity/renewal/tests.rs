use super::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn ask_at(renewal: &Renewal) -> Timestamp {
    match renewal.next(Timestamp::ZERO) {
        Next::Wait(at) => at,
        Next::Ask => Timestamp::ZERO,
    }
}

#[test]
fn who_has_none_asks_at_once() {
    let renewal = Renewal::new(NOW);
    assert_eq!(renewal.next(NOW), Next::Ask);
    assert!(!renewal.is_usable(NOW));
}

#[test]
fn a_certificate_that_has_ended_is_not_used() {
    let until = NOW.after(Duration::from_secs(10));
    let renewal = Renewal::new(NOW).step(Input::Issued { until, random: 0 }, NOW);
    assert!(renewal.is_usable(Timestamp::from_micros(until.as_micros() - 1)));
    assert!(!renewal.is_usable(until));
}

#[test]
fn one_that_comes_too_late_is_a_failure() {
    let renewal = Renewal::new(NOW).step(Input::Issued { until: NOW, random: 0 }, NOW);
    assert!(!renewal.is_usable(NOW));
    assert_eq!(renewal.next(NOW), Next::Wait(NOW.after(FIRST_DELAY / 2)));
}

#[test]
fn failures_wait_longer_and_longer_up_to_a_minute() {
    let mut renewal = Renewal::new(NOW);
    let mut before = NOW;
    for _ in 0..20 {
        renewal = renewal.step(Input::Failed { random: 0 }, NOW);
        assert!(ask_at(&renewal) >= before);
        before = ask_at(&renewal);
    }
    assert_eq!(before, NOW.after(LAST_DELAY / 2));
}

proptest! {
    #[test]
    fn asks_after_half_to_two_thirds(life in 1_u64..1 << 50, random: u64) {
        let until = Timestamp::from_micros(NOW.as_micros() + life);
        let renewal = Renewal::new(NOW).step(Input::Issued { until, random }, NOW);
        let after = ask_at(&renewal).since(NOW).as_micros() as u64;
        prop_assert!(after >= life / 2 && after <= life / 2 + life / 6);
    }

    #[test]
    fn is_never_used_when_it_has_ended(
        inputs in proptest::collection::vec((any::<bool>(), any::<u64>(), 0_u64..1 << 40, 0_u64..1 << 40), 0..50)
    ) {
        let mut now = NOW;
        let (mut renewal, mut last) = (Renewal::new(now), None);
        for (issued, random, life, pause) in inputs {
            let until = Timestamp::from_micros(now.as_micros() + life);
            let input = if issued { Input::Issued { until, random } } else { Input::Failed { random } };
            renewal = renewal.step(input, now);
            if issued && life > 0 {
                last = Some(until);
            }
            prop_assert!(ask_at(&renewal) <= now.after(Duration::from_micros(life)).max(now.after(LAST_DELAY)));
            now = now.after(Duration::from_micros(pause));
            prop_assert_eq!(renewal.is_usable(now), last.is_some_and(|until| now < until));
        }
    }

    #[test]
    fn there_are_several_tries_before_the_end(life in 4_000_000_u64..1 << 40, random: u64) {
        let until = Timestamp::from_micros(NOW.as_micros() + life);
        let mut renewal = Renewal::new(NOW).step(Input::Issued { until, random }, NOW);
        let mut tries = 0;
        loop {
            let now = ask_at(&renewal);
            if now >= until {
                break;
            }
            tries += 1;
            renewal = renewal.step(Input::Failed { random }, now);
        }
        prop_assert!(tries >= 3, "{tries}");
    }
}
