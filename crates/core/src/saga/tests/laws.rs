//! What holds of every saga, whatever happens to it.

use super::*;
use std::time::Duration;

/// Something that may happen; which step, answer or signal is meant is chosen among those that there are.
#[derive(Debug, Clone)]
enum Happening {
    /// To a call that was made, be it answered already.
    Answer(Index, u8),
    /// Time passes until the next thing happens by itself.
    Wait,
    Cancel,
    Revert,
    Signal(Index),
    Crash,
    Operator(Index, u8),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let happening = prop_oneof![
        8 => (any::<Index>(), 0..7u8).prop_map(|(which, how)| Happening::Answer(which, how)),
        3 => Just(Happening::Wait),
        1 => Just(Happening::Cancel),
        1 => Just(Happening::Revert),
        1 => any::<Index>().prop_map(Happening::Signal),
        1 => Just(Happening::Crash),
        2 => (any::<Index>(), 0..5u8).prop_map(|(which, how)| Happening::Operator(which, how)),
    ];
    prop::collection::vec(happening, 0..80)
}

impl Run {
    fn input(&mut self, happening: &Happening) -> Option<Input> {
        Some(match happening {
            Happening::Answer(which, how) => {
                // Later calls are answered more often, since early ones are settled.
                let calls: Vec<Token> = self.calls.iter().copied().chain(self.instance.calls()).collect();
                let token = *calls.get(which.index(calls.len().max(1)))?;
                match how {
                    0 => Input::failed(token, Outcome::Refused),
                    1 => Input::failed(token, Outcome::Unsent),
                    3 => {
                        let wait = Duration::from_millis(which.index(3_000) as u64);
                        Input::Failed { token, outcome: Outcome::Unsent, wait }
                    }
                    2 => Input::failed(token, Outcome::Unknown),
                    4 => Input::failed(token, Outcome::LeftBehind),
                    _ => Input::Succeeded { token, output: None },
                }
            }
            Happening::Wait => {
                self.now = self.instance.wake_at()?.max(self.now);
                Input::Time
            }
            Happening::Cancel => Input::Cancel { cause: Cause::Cancelled },
            Happening::Revert => Input::Revert,
            Happening::Signal(which) => {
                let name = format!("signal{}", which.index(usize::from(self.saga.len())));
                Input::Signal { name: SignalName::new(&name).unwrap(), data: Data::new("0") }
            }
            Happening::Crash => Input::Recovered,
            Happening::Operator(which, how) => {
                let step = StepIx(which.index(usize::from(self.saga.len())) as u8);
                Input::Operator(match how {
                    0 => Operator::Retry(step),
                    1 => Operator::Edit(step, Data::new("1")),
                    2 => Operator::Skip(step),
                    3 => Operator::MarkDone(step, None),
                    _ => Operator::Compensate,
                })
            }
        })
    }
}

/// Whether an event may leave the rank as it is, or raise it: calls repeated after a crash, and what operators give.
fn is_free(event: &Event) -> bool {
    matches!(event, Event::Repeated { .. } | Event::Retried { .. } | Event::Edited { .. })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_invariant_holds_and_every_event_brings_the_end_nearer(saga in sagas(), happenings in happenings()) {
        let mut run = Run::begin(saga);
        for happening in &happenings {
            let Some(input) = run.input(happening) else { continue };
            let before = run.instance.clone();
            let Ok(output) = run.try_step(input.clone()) else {
                prop_assert_eq!(&before, &run.instance);
                continue;
            };
            let mut instance = before;
            for event in &output.events {
                prop_assert_eq!(invariants::check_event(&run.saga, &instance, event), Ok(()), "{:?}", event);
                let rank_before = rank(&run.saga, &instance);
                instance.apply(event);
                let rank_after = rank(&run.saga, &instance);
                prop_assert!(
                    rank_after < rank_before || is_free(event),
                    "{:?} at rank {} leads to {}", event, rank_before, rank_after
                );
            }
            prop_assert_eq!(invariants::check(&run.saga, &instance), Ok(()), "{:?}\n{:#?}", input, instance);
        }
    }

    /// A service that says when to come back is not called before, unless that is later than the policy ever waits.
    #[test]
    fn no_try_comes_before_it_is_asked_for(saga in sagas(), happenings in happenings()) {
        let mut run = Run::begin(saga);
        for happening in &happenings {
            let Some(input) = run.input(happening) else { continue };
            let Ok(output) = run.try_step(input.clone()) else { continue };
            let Input::Failed { wait, .. } = input else { continue };
            for event in &output.events {
                let Event::Deferred { until, .. } = event else { continue };
                let longest = arbitrary::retry(1).backoff.max_delay;
                prop_assert!(*until >= run.now.after(wait.min(longest)) && *until <= run.now.after(longest));
            }
        }
    }

    #[test]
    fn the_fold_of_the_events_is_the_state(saga in sagas(), happenings in happenings()) {
        let mut run = Run::begin(saga);
        for happening in &happenings {
            if let Some(input) = run.input(happening) {
                _ = run.try_step(input);
            }
            prop_assert_eq!(Instance::fold(&run.events), Some(run.instance.clone()));
        }
    }

    /// After a crash the calls made are those that were under way, each as a new attempt, and nothing else changes.
    #[test]
    fn recovery_makes_the_calls_that_were_under_way(saga in sagas(), happenings in happenings()) {
        let mut run = Run::begin(saga);
        for happening in &happenings {
            if let Some(input) = run.input(happening) {
                _ = run.try_step(input);
            }
            let output = step(&run.saga, &run.instance, Input::Recovered, run.now).unwrap();
            let expected: Vec<_> = run.instance.calls().iter().map(|it| (it.step, it.direction, it.attempt + 1)).collect();
            let made: Vec<_> = output.calls.iter().map(|it| (it.step, it.direction, it.attempt)).collect();
            prop_assert_eq!(expected, made);
        }
    }

    /// Left alone, with calls that all succeed, every saga ends or waits for somebody or a signal.
    #[test]
    fn a_saga_that_is_let_run_comes_to_rest(saga in sagas(), happenings in happenings()) {
        let mut run = Run::begin(saga);
        for happening in &happenings {
            if let Some(input) = run.input(happening) {
                _ = run.try_step(input);
            }
        }
        for _ in 0..rank(&run.saga, &run.instance) {
            if let Some(token) = run.instance.calls().first().copied() {
                run.try_step(Input::Succeeded { token, output: None }).unwrap();
            } else if let Some(at) = run.instance.wake_at() {
                run.now = at.max(run.now);
                run.try_step(Input::Time).unwrap();
            } else {
                break;
            }
        }
        let listens = !run.instance.those(|at| matches!(at, At::Waiting { until: None })).is_empty();
        prop_assert!(run.instance.ended().is_some() || run.instance.is_parked() || listens, "{:#?}", run.instance);
    }
}
