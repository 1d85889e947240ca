use super::arbitrary::{self, call, definition, sagas, three, undo, with_pivot};
use super::*;
use crate::Timestamp;
use proptest::prelude::*;
use proptest::sample::Index;

mod laws;
mod shapes;

const NOW: Timestamp = Timestamp::from_millis(1_000);

/// A saga that runs, as a shell has it: its events, the fold of them, and the calls it was told to make.
struct Run {
    saga: Saga,
    events: Vec<Event>,
    instance: Instance,
    calls: Vec<Token>,
    now: Timestamp,
}

impl Run {
    fn begin(saga: Saga) -> Self {
        let beginning =
            Beginning { version: Version::default(), input: Data::new("{}"), seed: 7, queued: false };
        let (instance, output) = start(&saga, beginning, NOW);
        Self { saga, events: output.events, instance, calls: output.calls, now: NOW }
    }

    fn try_step(&mut self, input: Input) -> Result<Output, Illegal> {
        let output = step(&self.saga, &self.instance, input, self.now)?;
        output.events.iter().for_each(|event| self.instance.apply(event));
        self.events.extend(output.events.iter().cloned());
        self.calls.extend(output.calls.iter().copied());
        Ok(output)
    }

    fn step(&mut self, input: Input) -> Vec<(u8, Direction)> {
        let output = self.try_step(input).unwrap();
        output.calls.iter().map(|token| (token.step.0, token.direction)).collect()
    }

    fn token(&self, step: u8) -> Token {
        self.instance.token(StepIx(step)).unwrap()
    }

    fn succeed(&mut self, step: u8) -> Vec<(u8, Direction)> {
        let token = self.token(step);
        self.step(Input::Succeeded { token, output: Some(Data::new("1")) })
    }

    fn fail(&mut self, step: u8, outcome: Outcome) -> Vec<(u8, Direction)> {
        let token = self.token(step);
        self.step(Input::failed(token, outcome))
    }

    /// Lets time pass until something happens by itself.
    fn wait(&mut self) -> Vec<(u8, Direction)> {
        self.now = self.instance.wake_at().unwrap().max(self.now);
        self.step(Input::Time)
    }

    /// Fails the present try, and all further ones that the budget has.
    fn exhaust(&mut self, step: u8, outcome: Outcome) -> Vec<(u8, Direction)> {
        let mut calls = self.fail(step, outcome);
        while matches!(self.instance.at(StepIx(step)), At::DoLater { .. } | At::UndoLater { .. }) {
            self.wait();
            calls = self.fail(step, outcome);
        }
        calls
    }
}

#[test]
fn steps_follow_their_dependencies_and_the_saga_completes() {
    let mut run = Run::begin(three());
    assert_eq!(run.calls.iter().map(|token| token.step.0).collect::<Vec<_>>(), [0]);
    assert_eq!(run.instance.status(), Status::StepExecuting);
    assert_eq!(run.succeed(0), [(1, Direction::Do)]);
    assert_eq!(run.succeed(1), [(2, Direction::Do)]);
    assert_eq!(run.succeed(2), []);
    assert_eq!(run.instance.ended(), Some(End::Completed));
}

#[test]
fn steps_that_do_not_depend_on_each_other_run_beside_each_other_in_both_directions() {
    let step = |name: &str, after: &[u8]| call(name, Kind::Compensatable, after);
    let steps = vec![step("a", &[]), step("b", &[0]), step("c", &[0]), step("d", &[1, 2])];
    let mut run = Run::begin(Saga::new(definition(steps)).unwrap());
    assert_eq!(run.succeed(0), [(1, Direction::Do), (2, Direction::Do)]);
    run.succeed(1);
    assert_eq!(run.succeed(2), [(3, Direction::Do)]);
    assert_eq!(run.fail(3, Outcome::Refused), [(1, Direction::Undo), (2, Direction::Undo)]);
    assert_eq!(run.succeed(2), [], "the first is not undone before all that depends on it");
    assert_eq!(run.succeed(1), [(0, Direction::Undo)]);
    run.succeed(0);
    assert_eq!(run.instance.ended(), Some(End::Compensated));
}

#[test]
fn a_refused_step_is_not_undone_and_one_that_may_have_run_is() {
    let mut refused = Run::begin(three());
    refused.succeed(0);
    assert_eq!(refused.fail(1, Outcome::Refused), [(0, Direction::Undo)]);
    let mut unknown = Run::begin(three());
    unknown.succeed(0);
    assert_eq!(unknown.exhaust(1, Outcome::Unknown), [(1, Direction::Undo)]);
    let mut unsent = Run::begin(three());
    unsent.succeed(0);
    assert_eq!(unsent.exhaust(1, Outcome::Unsent), [(0, Direction::Undo)]);
}

#[test]
fn a_refusal_after_a_try_of_which_nobody_knows_is_undone_as_what_may_have_run() {
    let mut run = Run::begin(three());
    run.fail(0, Outcome::Unknown);
    run.wait();
    assert_eq!(run.fail(0, Outcome::Refused), [(0, Direction::Undo)]);
}

#[test]
fn an_answer_that_does_not_come_in_time_is_unknown_and_the_call_is_repeated_under_its_key() {
    let mut run = Run::begin(three());
    let first = run.token(0);
    assert_eq!(run.wait(), []);
    assert!(matches!(run.instance.at(StepIx(0)), At::DoLater { .. }));
    assert_eq!(run.wait(), [(0, Direction::Do)]);
    assert_eq!((run.instance.round(first), run.token(0).attempt), (0, 2));
    assert_eq!(
        run.step(Input::Succeeded { token: first, output: None }),
        [(1, Direction::Do)],
        "a late success counts: it is of the same key"
    );
}

#[test]
fn late_and_repeated_answers_change_nothing() {
    let mut run = Run::begin(three());
    let first = run.token(0);
    run.succeed(0);
    for outcome in [Outcome::Refused, Outcome::Unknown] {
        assert_eq!(run.try_step(Input::failed(first, outcome)).unwrap(), Output::default());
    }
    let again = Input::Succeeded { token: first, output: None };
    assert_eq!(run.try_step(again).unwrap(), Output::default());
}

#[test]
fn what_is_under_way_when_the_saga_turns_back_is_waited_for_and_undone_if_it_was_done() {
    let step = |name: &str, after: &[u8]| call(name, Kind::Compensatable, after);
    let mut run = Run::begin(Saga::new(definition(vec![step("a", &[]), step("b", &[])])).unwrap());
    assert_eq!(run.fail(0, Outcome::Refused), []);
    assert_eq!(run.instance.status(), Status::StepFailed);
    assert_eq!(run.succeed(1), [(1, Direction::Undo)]);
    assert_eq!(run.instance.status(), Status::Compensating);
}

#[test]
fn doing_and_undoing_have_budgets_of_their_own() {
    let mut run = Run::begin(three());
    run.succeed(0);
    run.fail(1, Outcome::Unsent);
    run.wait();
    run.succeed(1);
    run.fail(2, Outcome::Refused);
    assert_eq!(run.instance.progress(StepIx(1)).unwrap().tries, 1, "undoing begins anew");
    assert_eq!(run.fail(1, Outcome::Unknown), []);
    assert_eq!(run.wait(), [(1, Direction::Undo)]);
}

#[test]
fn a_step_that_cannot_be_undone_is_parked_while_the_others_are_undone() {
    let mut run = Run::begin(three());
    run.succeed(0);
    run.succeed(1);
    run.fail(2, Outcome::Refused);
    assert_eq!(run.exhaust(1, Outcome::Unknown), [(0, Direction::Undo)]);
    assert_eq!(run.instance.status(), Status::Compensating);
    run.succeed(0);
    assert_eq!(run.instance.status(), Status::Parked);
    assert_eq!(run.step(Input::Operator(Operator::Retry(StepIx(1)))), [(1, Direction::Undo)]);
    run.succeed(1);
    assert_eq!(run.instance.ended(), Some(End::Compensated));
}

fn three_with(policy: OnUndoFailure) -> Run {
    let mut definition = three().definition().clone();
    definition.steps.iter_mut().for_each(|step| step.undo = Some(undo(1, policy)));
    let mut run = Run::begin(Saga::new(definition).unwrap());
    run.succeed(0);
    run.succeed(1);
    run.fail(2, Outcome::Refused);
    run
}

#[test]
fn by_policy_a_step_is_left_behind_and_the_saga_fails() {
    let mut run = three_with(OnUndoFailure::Skip);
    assert_eq!(run.exhaust(1, Outcome::Unknown), [(0, Direction::Undo)]);
    run.succeed(0);
    assert_eq!(run.instance.ended(), Some(End::Failed));
}

#[test]
fn by_policy_a_step_that_cannot_be_undone_holds_up_the_others() {
    let mut run = three_with(OnUndoFailure::Escalate);
    assert_eq!(run.exhaust(1, Outcome::Unknown), []);
    assert_eq!(run.instance.status(), Status::Parked);
    assert_eq!(run.step(Input::Operator(Operator::MarkDone(StepIx(1), None))), [(0, Direction::Undo)]);
    run.succeed(0);
    assert_eq!(run.instance.ended(), Some(End::Compensated));
}

#[test]
fn behind_the_pivot_a_refused_step_is_tried_again_under_a_new_key_and_then_parked() {
    let mut run = Run::begin(with_pivot());
    run.succeed(0);
    run.succeed(1);
    run.fail(2, Outcome::Refused);
    run.wait();
    assert_eq!(run.instance.round(run.token(2)), 1);
    run.fail(2, Outcome::Refused);
    assert_eq!(run.instance.status(), Status::Parked);
    assert_eq!(run.try_step(Input::Cancel { cause: Cause::Cancelled }), Err(Illegal::Committed));
    let edited = Operator::Edit(StepIx(2), Data::new("{}"));
    assert_eq!(run.step(Input::Operator(edited)), [(2, Direction::Do)]);
    run.succeed(2);
    assert_eq!(run.instance.ended(), Some(End::Completed));
}

#[test]
fn a_pivot_of_which_nobody_knows_is_neither_done_nor_undone() {
    let mut run = Run::begin(with_pivot());
    run.succeed(0);
    run.exhaust(1, Outcome::Unknown);
    assert_eq!(run.instance.status(), Status::Parked);
    assert_eq!(run.try_step(Input::Operator(Operator::Skip(StepIx(1)))), Err(Illegal::Pivot(StepIx(1))));
    assert_eq!(run.step(Input::Operator(Operator::Compensate)), [(0, Direction::Undo)]);
    run.succeed(0);
    assert_eq!(run.instance.ended(), Some(End::Compensated));
}

#[test]
fn a_cancellation_waits_for_the_pivot() {
    for (outcome, end) in [(None, End::Completed), (Some(Outcome::Refused), End::Compensated)] {
        let mut run = Run::begin(with_pivot());
        run.succeed(0);
        assert_eq!(run.step(Input::Cancel { cause: Cause::Cancelled }), []);
        match outcome {
            None => {
                run.succeed(1);
                run.succeed(2);
            }
            Some(outcome) => {
                run.fail(1, outcome);
                run.succeed(0);
            }
        }
        assert_eq!(run.instance.ended(), Some(end));
    }
}

#[test]
fn a_cancelled_pivot_that_never_arrived_is_not_tried_again() {
    let mut run = Run::begin(with_pivot());
    run.succeed(0);
    run.step(Input::Cancel { cause: Cause::Cancelled });
    assert_eq!(run.fail(1, Outcome::Unsent), [(0, Direction::Undo)]);
    assert_eq!(run.instance.goal(), Goal::Back(Cause::Cancelled));
}

#[test]
fn a_deadline_turns_the_saga_back_and_after_the_pivot_only_tells() {
    let mut definition = with_pivot().definition().clone();
    definition.deadline = Some(std::time::Duration::from_millis(500));
    let saga = Saga::new(definition).unwrap();
    let mut run = Run::begin(saga.clone());
    run.wait();
    assert_eq!(run.instance.goal(), Goal::Back(Cause::Deadline));
    let mut run = Run::begin(saga);
    run.succeed(0);
    run.succeed(1);
    run.wait();
    assert!(run.instance.is_overdue());
    assert_eq!(run.instance.goal(), Goal::Forward);
}

#[test]
fn signals_are_kept_until_they_are_waited_for_and_the_first_counts() {
    let name = SignalName::new("approved").unwrap();
    let mut approval = call("approval", Kind::Compensatable, &[0]);
    let timeout = Some(std::time::Duration::from_secs(60));
    approval.work = Work::Signal { name: name.clone(), timeout, late: Late::Fail };
    approval.undo = None;
    let saga = Saga::new(definition(vec![call("ask", Kind::Compensatable, &[]), approval])).unwrap();
    let signal = |text: &str| Input::Signal { name: name.clone(), data: Data::new(text) };
    let mut early = Run::begin(saga.clone());
    early.step(signal("yes"));
    early.step(signal("no"));
    early.succeed(0);
    assert_eq!(early.instance.ended(), Some(End::Completed));
    assert_eq!(early.instance.progress(StepIx(1)).unwrap().output, Some(Data::new("yes")));
    let mut late = Run::begin(saga);
    late.succeed(0);
    assert_eq!(late.wait(), [(0, Direction::Undo)], "without the signal the saga turns back");
}

#[test]
fn a_queued_saga_begins_when_it_is_admitted() {
    let beginning = Beginning { version: Version::default(), input: Data::new("{}"), seed: 7, queued: true };
    let (instance, output) = start(&three(), beginning, NOW);
    assert_eq!((output.calls.len(), instance.status()), (0, Status::Started));
    let admitted = step(&three(), &instance, Input::Admitted, NOW).unwrap();
    assert_eq!(admitted.calls.len(), 1);
    let cancelled = step(&three(), &instance, Input::Cancel { cause: Cause::Cancelled }, NOW).unwrap();
    assert_eq!(cancelled.events.last(), Some(&Event::Ended { end: End::Compensated }));
}

#[test]
fn a_child_that_runs_or_has_completed_is_reverted() {
    let mut run = Run::begin(three());
    for step in 0..3 {
        run.succeed(step);
    }
    assert_eq!(run.try_step(Input::Cancel { cause: Cause::Cancelled }), Err(Illegal::Ended));
    assert_eq!(run.step(Input::Revert), [(2, Direction::Undo)]);
    for step in [2, 1, 0] {
        run.succeed(step);
    }
    assert_eq!(run.instance.ended(), Some(End::Compensated));
    assert_eq!(run.try_step(Input::Revert).unwrap(), Output::default());
}

#[test]
fn what_a_child_left_behind_is_left_whatever_the_policy() {
    for policy in [OnUndoFailure::Park, OnUndoFailure::Skip, OnUndoFailure::Escalate] {
        let mut child = call("pack", Kind::Compensatable, &[0]);
        child.work = Work::Child(SagaName::new("pack").unwrap());
        child.undo = Some(Undo { work: UndoWork::Revert, ..undo(3, policy) });
        let steps =
            vec![call("order", Kind::Compensatable, &[]), child, call("pay", Kind::Compensatable, &[1])];
        let saga = Saga::new(definition(steps)).unwrap();
        let mut fails = Run::begin(saga.clone());
        fails.succeed(0);
        assert_eq!(fails.fail(1, Outcome::LeftBehind), [(1, Direction::Undo)], "it is over: no other try");
        let mut reverted = Run::begin(saga);
        reverted.succeed(0);
        reverted.succeed(1);
        assert_eq!(reverted.fail(2, Outcome::Refused), [(1, Direction::Undo)]);
        for mut run in [fails, reverted] {
            assert_eq!(run.fail(1, Outcome::LeftBehind), [(0, Direction::Undo)], "{policy:?}");
            run.succeed(0);
            assert_eq!(run.instance.ended(), Some(End::Failed));
        }
    }
    let mut of_service = Run::begin(three());
    of_service.fail(0, Outcome::LeftBehind);
    assert!(of_service.instance.progress(StepIx(0)).unwrap().unsure, "no service says so");
}

#[test]
fn after_a_crash_calls_are_repeated_as_new_attempts_and_spend_no_try() {
    let mut run = Run::begin(three());
    let before = run.token(0);
    assert_eq!(run.step(Input::Recovered), [(0, Direction::Do)]);
    let progress = run.instance.progress(StepIx(0)).unwrap();
    assert_eq!((progress.attempt, progress.tries, progress.round), (2, 1, 0));
    let late = Input::failed(before, Outcome::Refused);
    assert_eq!(run.try_step(late).unwrap(), Output::default());
}
