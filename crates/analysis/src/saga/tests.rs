use super::machine::Orchestrator;
use super::*;
use std::collections::BTreeMap;
use tenon_core::manifest::{HttpMethod, PathPattern};
use tenon_core::priority::Priority;
use tenon_core::saga::{
    self, Action, Call, Definition, Direction, Event, Illegal, Input, InputOf, Instance, Kind, OnUndoFailure,
    Outcome, Output, Retry, SagaName, Step, StepIx, Undo, UndoWork, Work,
};
use tenon_core::{Namespace, ServiceName, ServiceRef, Timestamp};

mod owners;
mod planted;
mod troubles;

fn action() -> Action {
    let service = ServiceRef::local(ServiceName::new("payment").unwrap());
    let call =
        Call::Http { method: HttpMethod::new("POST").unwrap(), path: PathPattern::new("/payments").unwrap() };
    Action { service, call }
}

fn call(name: &str, kind: Kind, after: &[u8]) -> Step {
    let work = UndoWork::Call { action: action(), timeout: Duration::from_secs(1) };
    let undo =
        Undo { work, input: InputOf::Nothing, retry: Retry::default(), on_failure: OnUndoFailure::Park };
    Step {
        name: StepName::new(name).unwrap(),
        after: after.iter().copied().map(StepIx).collect(),
        kind,
        work: Work::Call { action: action(), timeout: Duration::from_secs(1) },
        input: InputOf::Nothing,
        output: None,
        retry: Retry::default(),
        undo: (kind == Kind::Compensatable).then_some(undo),
    }
}

fn saga(steps: Vec<Step>) -> Saga {
    let definition = Definition {
        namespace: Namespace::default(),
        name: SagaName::new("order").unwrap(),
        steps,
        input: None,
        deadline: None,
        priority: Priority::Default,
        serialize_by: None,
        output: InputOf::Nothing,
        protos: BTreeMap::new(),
    };
    Saga::new(definition).unwrap()
}

fn in_a_row() -> Saga {
    let step = |name: &str, after: &[u8]| call(name, Kind::Compensatable, after);
    saga(vec![step("create_order", &[]), step("take_payment", &[0]), step("reserve_stock", &[1])])
}

fn child(name: &str, after: &[u8]) -> Step {
    let mut child = call(name, Kind::Compensatable, after);
    child.work = Work::Child(SagaName::new("other").unwrap());
    child.undo = child.undo.map(|undo| Undo { work: UndoWork::Revert, ..undo });
    child
}

fn with_child() -> Saga {
    saga(vec![call("order", Kind::Compensatable, &[]), child("pack", &[0])])
}

fn with_deadline(saga: &Saga) -> Saga {
    let deadline = Some(Duration::from_secs(60));
    Saga::new(Definition { deadline, ..saga.definition().clone() }).unwrap()
}

fn check(saga: &Saga, scope: &Scope) -> Report {
    let report = verify(saga, scope, &mut |_| {});
    eprintln!("{:?}: {} states, depth {}, {:?}", report.verdict, report.states, report.depth, report.took);
    report
}

fn assert_verified(report: &Report) {
    match &report.verdict {
        Verdict::Verified => {}
        Verdict::Bounded => panic!("bounded: {} states", report.states),
        Verdict::Broken(story) => panic!("{story}"),
    }
}

#[test]
fn steps_in_a_row_are_verified() {
    let report = check(&in_a_row(), &Scope { faults: 3, ..Scope::default() });
    assert_verified(&report);
    assert_eq!(report.ends, [End::Completed, End::Compensated].into());
    let undo_spent = |name: &str| (StepName::new(name).unwrap(), Why::UndoSpent);
    assert_eq!(report.parks, ["create_order", "take_payment", "reserve_stock"].map(undo_spent).into());
}

#[test]
fn four_steps_with_a_pivot_and_branches_are_verified_with_three_faults() {
    let steps = vec![
        call("create_order", Kind::Compensatable, &[]),
        call("reserve_stock", Kind::Compensatable, &[0]),
        call("take_payment", Kind::Pivot, &[]),
        call("notify", Kind::Retriable, &[2]),
    ];
    let report = check(&saga(steps), &Scope { faults: 3, ..Scope::default() });
    assert_verified(&report);
    assert!(report.parks.contains(&(StepName::new("take_payment").unwrap(), Why::PivotUnknown)));
    assert!(report.parks.contains(&(StepName::new("notify").unwrap(), Why::Spent)));
}

#[test]
fn steps_beside_each_other_are_verified() {
    let step = |name: &str, after: &[u8]| call(name, Kind::Compensatable, after);
    let steps = vec![step("order", &[]), step("payment", &[]), step("stock", &[0, 1])];
    assert_verified(&check(&saga(steps), &Scope { faults: 1, ..Scope::default() }));
}

#[test]
fn signals_timers_and_children_are_verified() {
    let mut approval = call("approval", Kind::Compensatable, &[0]);
    let name = saga::SignalName::new("approved").unwrap();
    let timeout = Some(Duration::from_secs(60));
    (approval.work, approval.undo) = (Work::Signal { name, timeout, late: saga::Late::Fail }, None);
    let mut delay = call("delay", Kind::Compensatable, &[0]);
    (delay.work, delay.undo) = (Work::Timer(Duration::from_secs(1)), None);
    let steps = vec![call("order", Kind::Compensatable, &[]), approval, delay, child("child", &[1, 2])];
    assert_verified(&check(&saga(steps), &Scope { faults: 1, ..Scope::default() }));
}

#[test]
fn what_a_policy_leaves_behind_is_told() {
    let mut step = call("order", Kind::Compensatable, &[]);
    step.undo.iter_mut().for_each(|undo| undo.on_failure = OnUndoFailure::Skip);
    let report = check(&saga(vec![step, call("payment", Kind::Compensatable, &[0])]), &Scope::default());
    assert_verified(&report);
    assert!(report.ends.contains(&End::Failed));
}

#[test]
fn what_a_child_leaves_behind_is_told() {
    let report = check(&with_child(), &Scope { faults: 3, ..Scope::default() });
    assert_verified(&report);
    assert!(report.ends.contains(&End::Failed));
}

#[test]
fn with_more_states_than_the_budget_nothing_is_called_verified() {
    let scope = Scope { states: 500, walks: 50, ..Scope::default() };
    let report = check(&in_a_row(), &scope);
    assert!(matches!(report.verdict, Verdict::Bounded), "{:?}", report.verdict);
    assert!(report.states > 0);
    let all = check(&in_a_row(), &Scope::default()).states;
    let within = |states| check(&in_a_row(), &Scope { states, walks: 1, ..Scope::default() }).verdict;
    assert!(matches!(within(all + 1), Verdict::Verified));
    assert!(matches!(within(all), Verdict::Bounded));
}

#[test]
fn four_steps_beside_each_other_are_verified_with_two_faults() {
    let step = |name: &str, after: &[u8]| call(name, Kind::Compensatable, after);
    let steps = vec![step("a", &[]), step("b", &[]), step("c", &[]), step("d", &[0, 1, 2])];
    assert_verified(&check(&saga(steps), &Scope { faults: 2, ..Scope::default() }));
}

#[test]
fn progress_is_told() {
    let mut last = 0;
    verify(&in_a_row(), &Scope { faults: 1, ..Scope::default() }, &mut |progress| last = progress.states);
    assert!(last > 0);
}

#[cfg(feature = "manifest")]
fn shop() -> Vec<Saga> {
    let text = include_str!("../../../../examples/shop/tenon.yaml");
    let (system, _) = crate::manifest::read(text, "tenon.yaml");
    system.unwrap().sagas.into_values().map(|definition| Saga::new(definition).unwrap()).collect()
}

#[cfg(feature = "manifest")]
#[test]
fn the_shops_sagas_are_verified() {
    for saga in shop() {
        assert_verified(&check(&saga, &Scope::default()));
    }
}
