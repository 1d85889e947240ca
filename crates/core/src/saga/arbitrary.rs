//! Definitions for tests.

use super::*;
use crate::manifest::{HttpMethod, PathPattern};
use crate::priority::Priority;
use crate::retry::{Backoff, Delay, Jitter};
use crate::{Namespace, ServiceName, ServiceRef};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) fn retry(tries: u32) -> Retry {
    let delay = Delay::Fixed(Duration::from_millis(100));
    Retry { tries, backoff: Backoff { delay, jitter: Jitter::Full, max_delay: Duration::from_secs(1) } }
}

pub(super) fn action() -> Action {
    let service = ServiceRef::local(ServiceName::new("payment").unwrap());
    let call =
        Call::Http { method: HttpMethod::new("POST").unwrap(), path: PathPattern::new("/payments").unwrap() };
    Action { service, call }
}

pub(super) fn undo(tries: u32, on_failure: OnUndoFailure) -> Undo {
    let work = UndoWork::Call { action: action(), timeout: Duration::from_secs(1) };
    Undo { work, input: InputOf::Nothing, retry: retry(tries), on_failure }
}

/// A step that calls; one that can be undone is.
pub(super) fn call(name: &str, kind: Kind, after: &[u8]) -> Step {
    Step {
        name: StepName::new(name).unwrap(),
        after: after.iter().copied().map(StepIx).collect(),
        kind,
        work: Work::Call { action: action(), timeout: Duration::from_secs(1) },
        input: InputOf::Nothing,
        output: None,
        retry: retry(2),
        undo: (kind == Kind::Compensatable).then(|| undo(2, OnUndoFailure::Park)),
    }
}

pub(super) fn definition(steps: Vec<Step>) -> Definition {
    Definition {
        namespace: Namespace::default(),
        name: SagaName::new("order").unwrap(),
        steps,
        input: None,
        deadline: None,
        priority: Priority::Default,
        serialize_by: None,
        output: InputOf::Nothing,
        protos: BTreeMap::new(),
    }
}

/// Three steps that can be undone, one after the other.
pub(super) fn three() -> Saga {
    let step = |name: &str, after: &[u8]| call(name, Kind::Compensatable, after);
    Saga::new(definition(vec![step("order", &[]), step("payment", &[0]), step("stock", &[1])])).unwrap()
}

/// One that can be undone, the pivot, and one behind it.
pub(super) fn with_pivot() -> Saga {
    let steps = vec![
        call("reserve", Kind::Compensatable, &[]),
        call("pay", Kind::Pivot, &[0]),
        call("ship", Kind::Retriable, &[1]),
    ];
    Saga::new(definition(steps)).unwrap()
}

/// What a step of an arbitrary saga is made of: which earlier ones it depends on, and more choices.
type Choices = (u8, u8, u32, u32, u8);

/// Any saga of up to six steps, with all that there is.
pub(super) fn sagas() -> impl Strategy<Value = Saga> {
    let choices = (any::<u8>(), any::<u8>(), 1..4u32, 1..4u32, 0..3u8);
    let steps = prop::collection::vec(choices, 1..7);
    (steps, prop::option::of(0..6usize), prop::option::of(1..20u64)).prop_map(|(steps, pivot, deadline)| {
        let pivot = pivot.filter(|pivot| *pivot < steps.len());
        let steps = steps
            .into_iter()
            .enumerate()
            .map(|(number, choices)| arbitrary(number, pivot, choices))
            .collect();
        let deadline = deadline.map(|seconds| Duration::from_millis(seconds * 300));
        Saga::new(Definition { deadline, ..definition(steps) }).unwrap()
    })
}

fn arbitrary(number: usize, pivot: Option<usize>, (after, work, tries, undo_tries, policy): Choices) -> Step {
    let kind = match pivot {
        Some(pivot) if number == pivot => Kind::Pivot,
        Some(pivot) if number > pivot => Kind::Retriable,
        _ => Kind::Compensatable,
    };
    let mut after: Vec<u8> = (0..number as u8).filter(|other| after & (1 << other) != 0).collect();
    if kind == Kind::Retriable {
        after.extend(pivot.map(|pivot| pivot as u8));
    }
    let policy = [OnUndoFailure::Park, OnUndoFailure::Skip, OnUndoFailure::Escalate][usize::from(policy)];
    let mut step = call(&format!("step{number}"), kind, &after);
    step.retry = retry(tries);
    step.undo = (kind == Kind::Compensatable).then(|| undo(undo_tries, policy));
    let late = if kind == Kind::Retriable || work % 2 == 0 { Late::Continue } else { Late::Fail };
    match (kind, work % 8) {
        (Kind::Compensatable | Kind::Retriable, 0) => {
            let name = SignalName::new(&format!("signal{number}")).unwrap();
            let timeout = (work < 128).then_some(Duration::from_secs(2));
            step.work = Work::Signal { name, timeout, late };
            step.undo = None;
        }
        (Kind::Compensatable | Kind::Retriable, 1) => {
            step.work = Work::Timer(Duration::from_secs(1));
            step.undo = None;
        }
        (Kind::Compensatable, 2) => {
            step.work = Work::Child(SagaName::new("child").unwrap());
            step.undo = Some(Undo { work: UndoWork::Revert, ..undo(undo_tries, policy) });
        }
        (Kind::Compensatable, 3) => step.undo = None,
        _ => {}
    }
    step
}
