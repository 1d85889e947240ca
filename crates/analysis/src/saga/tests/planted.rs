//! Faults that are well known of sagas, planted in the machine or in a service: each is found, with its story.

use super::*;
use tenon_core::saga::{At, Token};

fn found(orchestrator: Orchestrator, lapses: &[(&str, Lapse)]) -> Story {
    let lapses = lapses.iter().map(|(name, lapse)| (StepName::new(name).unwrap(), *lapse)).collect();
    let report =
        verify_machine(&in_a_row(), &Scope { lapses, ..Scope::default() }, orchestrator, &mut |_| {});
    let Verdict::Broken(story) = report.verdict else {
        panic!("nothing was found in {} states: {:?}", report.states, report.verdict)
    };
    eprintln!("{story}");
    assert!(story.shortest);
    *story
}

fn found_in_service(step: &str, lapse: Lapse) -> Story {
    found(Orchestrator::default(), &[(step, lapse)])
}

type Stepped = Result<Output, Illegal>;

/// Compensation is registered only once the answer is there: an answer that does not come is taken for a failure.
#[test]
fn compensation_registered_late() {
    fn late(saga: &Saga, instance: &Instance, input: Input, now: Timestamp) -> Stepped {
        let input = match input {
            Input::Failed { token, outcome: Outcome::Unknown, .. } if token.direction == Direction::Do => {
                Input::failed(token, Outcome::Unsent)
            }
            other => other,
        };
        saga::step(saga, instance, input, now)
    }
    let story = found(Orchestrator { step: late, ..Orchestrator::default() }, &[]);
    assert_eq!(story.broken, "the saga was undone, and a step still has its effect");
}

/// A saga that is a step fails and leaves something behind, which is taken for that it did nothing.
#[test]
fn child_that_is_taken_for_undone() {
    fn forgets(saga: &Saga, instance: &Instance, input: Input, now: Timestamp) -> Stepped {
        let input = match input {
            Input::Failed { token, outcome: Outcome::LeftBehind, .. } => {
                Input::failed(token, Outcome::Refused)
            }
            other => other,
        };
        saga::step(saga, instance, input, now)
    }
    let orchestrator = Orchestrator { step: forgets, ..Orchestrator::default() };
    let alone = saga(vec![child("pack", &[])]);
    let report = verify_machine(&alone, &Scope::default(), orchestrator, &mut |_| {});
    let Verdict::Broken(story) = report.verdict else { panic!("{:?}", report.verdict) };
    assert_eq!(story.broken, "the saga was undone, and a step still has its effect");
    assert!(story.to_string().contains("its saga fails, and leaves something as it is"), "{story}");
}

/// A service undoes what it never did.
#[test]
fn null_compensation() {
    let story = found_in_service("take_payment", Lapse::UndoesNothing);
    assert_eq!(story.broken, "something was undone that never took effect");
}

/// A service does what comes after it was undone.
#[test]
fn hanging() {
    let story = found_in_service("take_payment", Lapse::Hangs);
    assert_eq!(story.broken, "a step took effect after it was undone");
}

/// A call that was under way at a crash is made again, and done again.
#[test]
fn retry_that_is_not_idempotent_after_recovery() {
    let story = found_in_service("take_payment", Lapse::Repeats);
    assert_eq!(story.broken, "a step took effect twice");
    let crash_only = Scope { faults: 1, ..Scope::default() };
    let lapses = [(StepName::new("take_payment").unwrap(), Lapse::Repeats)].into();
    let report = verify(&in_a_row(), &Scope { lapses, ..crash_only }, &mut |_| {});
    assert!(matches!(report.verdict, Verdict::Broken(_)));
}

/// A service forgets that it refused, and a copy of the call comes later.
#[test]
fn refusal_that_is_forgotten() {
    found_in_service("reserve_stock", Lapse::ForgetsRefusals);
}

/// A cancelled saga ends at once.
#[test]
fn cancellation_that_skips_compensation() {
    fn skips(saga: &Saga, instance: &Instance, input: Input, now: Timestamp) -> Stepped {
        match input {
            Input::Cancel { cause } => {
                let events = vec![Event::TurnedBack { cause }, Event::Ended { end: End::Compensated }];
                Ok(Output { events, calls: Vec::new() })
            }
            other => saga::step(saga, instance, other, now),
        }
    }
    let story = found(Orchestrator { step: skips, ..Orchestrator::default() }, &[]);
    assert!(story.broken.starts_with("the saga ended with a step"), "{}", story.broken);
}

/// Undoing has only those tries that doing left.
#[test]
fn budget_shared_between_do_and_undo() {
    fn shared(saga: &Saga, instance: &Instance, input: Input, now: Timestamp) -> Stepped {
        let mut output = saga::step(saga, instance, input, now)?;
        let attempts = |step: StepIx| instance.progress(step).map_or(0, |progress| progress.attempt);
        let budget = |step: StepIx| saga.get(step).map_or(0, |step| step.retry.tries);
        let spent = output.events.iter().position(|event| match event {
            Event::Deferred { token, .. } => {
                token.direction == Direction::Undo && attempts(token.step) >= budget(token.step)
            }
            _ => false,
        });
        if let Some(place) = spent {
            output.events.truncate(place + 1);
            if let Some(Event::Deferred { token, outcome, .. }) = output.events.pop() {
                output.events.push(Event::Parked { token, outcome, why: Why::UndoSpent });
            }
            output.calls.clear();
        }
        Ok(output)
    }
    let story = found(Orchestrator { step: shared, ..Orchestrator::default() }, &[]);
    assert_eq!(story.broken, "a step waits for somebody although its tries are not spent");
}

/// What is under way is waited for after the pivot was refused, but the pivot itself is undone by nobody.
#[test]
fn pivot_that_is_taken_for_failed() {
    fn guesses(saga: &Saga, instance: &Instance, input: Input, now: Timestamp) -> Stepped {
        let input = match input {
            Input::Failed { token, .. } if saga.pivot() == Some(token.step) => {
                Input::failed(token, Outcome::Refused)
            }
            other => other,
        };
        saga::step(saga, instance, input, now)
    }
    let saga = saga(vec![call("order", Kind::Compensatable, &[]), call("payment", Kind::Pivot, &[0])]);
    let report = verify_machine(
        &saga,
        &Scope::default(),
        Orchestrator { step: guesses, ..Orchestrator::default() },
        &mut |_| {},
    );
    assert!(matches!(report.verdict, Verdict::Broken(_)), "{:?}", report.verdict);
}

/// The first step is undone before the second, which depends on it.
#[test]
fn undoing_in_the_order_of_doing() {
    fn first_to_last(saga: &Saga, instance: &Instance, input: Input, now: Timestamp) -> Stepped {
        let mut output = saga::step(saga, instance, input, now)?;
        let (first, second) = (StepIx(0), StepIx(1));
        let wrong = |token: &mut Token| {
            let undoes_second = token.step == second && token.direction == Direction::Undo;
            if undoes_second && instance.at(first) == At::Done {
                let attempt = instance.progress(first).map_or(0, |progress| progress.attempt) + 1;
                *token = Token { step: first, attempt, ..*token };
            }
        };
        output.calls.iter_mut().for_each(wrong);
        for event in &mut output.events {
            if let Event::Began { token, .. } = event {
                wrong(token);
            }
        }
        Ok(output)
    }
    let story = found(Orchestrator { step: first_to_last, ..Orchestrator::default() }, &[]);
    assert_eq!(story.broken, "a step is undone before one that depends on it");
}

/// A step is tried again, however often it was.
#[test]
fn tries_without_end() {
    fn tries_on(saga: &Saga, instance: &Instance, input: Input, now: Timestamp) -> Stepped {
        let Input::Failed { token, outcome: outcome @ Outcome::Unknown, .. } = input else {
            return saga::step(saga, instance, input, now);
        };
        if instance.token(token.step) != Some(token) || instance.goal() != saga::Goal::Forward {
            return Ok(Output::default());
        }
        let next = Token { attempt: token.attempt + 1, ..token };
        let began = Event::Began { token: next, due: None };
        let events = vec![Event::Deferred { token, outcome, until: now }, began];
        Ok(Output { events, calls: vec![next] })
    }
    let story = found(Orchestrator { step: tries_on, ..Orchestrator::default() }, &[]);
    assert_eq!(story.broken, "an event does not bring the end nearer");
}

/// The next step is not begun.
#[test]
fn saga_that_stops() {
    fn stops(saga: &Saga, instance: &Instance, input: Input, now: Timestamp) -> Stepped {
        let mut output = saga::step(saga, instance, input, now)?;
        output.events.retain(|event| !matches!(event, Event::Began { .. }));
        output.calls.clear();
        Ok(output)
    }
    let story = found(Orchestrator { step: stops, ..Orchestrator::default() }, &[]);
    assert_eq!(story.broken, "the saga is stuck");
}

/// A cancellation counts although the pivot is done.
#[test]
fn cancellation_behind_the_pivot() {
    fn cancels(saga: &Saga, instance: &Instance, input: Input, now: Timestamp) -> Stepped {
        match input {
            Input::Cancel { cause } if instance.is_committed(saga) => {
                Ok(Output { events: vec![Event::TurnedBack { cause }], calls: Vec::new() })
            }
            other => saga::step(saga, instance, other, now),
        }
    }
    let steps = vec![
        call("order", Kind::Compensatable, &[]),
        call("payment", Kind::Pivot, &[0]),
        call("mail", Kind::Retriable, &[1]),
    ];
    let orchestrator = Orchestrator { step: cancels, ..Orchestrator::default() };
    let report = verify_machine(&saga(steps), &Scope::default(), orchestrator, &mut |_| {});
    let Verdict::Broken(story) = report.verdict else { panic!("{:?}", report.verdict) };
    assert_eq!(story.broken, "a step is undone after the pivot");
}

#[test]
fn a_story_is_told_from_the_beginning_to_what_broke() {
    let text = found_in_service("take_payment", Lapse::Repeats).to_string();
    assert!(
        text.starts_with("  1. the saga is started\n       → `create_order` (attempt 1) is called\n"),
        "{text}"
    );
    assert!(text.ends_with("Broken: a step took effect twice."), "{text}");
}

/// What a server makes of the wrong belief that it runs the saga.
fn of_two_servers(orchestrator: Orchestrator) -> String {
    let text = found(orchestrator, &[]).to_string();
    assert!(text.contains("server 2 takes the saga over"), "{text}");
    assert!(text.contains("by server 1") || text.contains("to server 1"), "{text}");
    text
}

/// A server makes its calls before it has written why; so one that is cut off makes calls that the log knows nothing of.
#[test]
fn calls_before_they_are_written() {
    let text = of_two_servers(Orchestrator { written_first: false, ..Orchestrator::default() });
    assert!(text.contains("the log refuses what it appends"), "{text}");
    assert!(text.contains("took effect") || text.contains("still has its effect"), "{text}");
}

/// Whoever wants to appends, whatever others have appended since.
#[test]
fn appends_without_a_condition() {
    of_two_servers(Orchestrator { fenced: false, ..Orchestrator::default() });
}
