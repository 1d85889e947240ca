//! Sagas that are steps of others.

use super::super::journal::{Writing, append, unchanged};
use super::super::names::{ids_of, version_of};
use super::*;
use tenon_api::saga::Beginning;
use tenon_core::saga::start;

/// A saga that runs another as its second step, before the pivot.
fn outer() -> Definition {
    let child = json!({"name": "pack", "after": ["order"], "work": {"saga": {"name": "pack"}}, "input": "input", "undo": {}});
    let steps = [call("order", &[], "compensatable"), child, call("confirm", &["pack"], "pivot")];
    saga("outer", json!({"steps": steps}))
}

/// A saga that leaves its first step as it is where undoing that fails.
fn careless() -> Definition {
    let mut boxed = call("box", &[], "compensatable");
    boxed["undo"]["retry"]["tries"] = json!(1);
    boxed["undo"]["on_failure"] = json!("skip");
    saga("pack", json!({"steps": [boxed, call("label", &["box"], "compensatable")]}))
}

#[tokio::test]
async fn what_a_child_leaves_behind_as_it_fails_is_left_by_its_parent() {
    let driven = Driven::with(vec![careless(), outer()]).await;
    driven.shop.order("label/do", &[Order::Refuse]);
    driven.shop.order("box/undo", &[Order::Refuse]);
    let view = end_of(&driven.sagas, driven.begin("outer").await).await;
    assert_eq!(view.instance.status(), Status::Failed);
    assert!(driven.shop.done(view.id).is_empty(), "the parent's own steps are undone");
    assert_eq!(view.instance.at(StepIx(1)), At::LeftBehind);
    let problem = format!("{:?}", view.problems);
    assert!(problem.contains("saga `pack`") && problem.contains("it left something as it is"), "{problem}");
    let history = driven.sagas.history(view.id).await.unwrap();
    let outcomes = history.iter().filter_map(|entry| match entry.event {
        Event::GaveUp { outcome, may_have_run, .. } => Some((outcome, may_have_run)),
        Event::LeftBehind { outcome, .. } => Some((outcome, true)),
        _ => None,
    });
    assert_eq!(outcomes.collect::<Vec<_>>(), [(Outcome::LeftBehind, true); 2]);
}

#[tokio::test]
async fn what_a_child_leaves_behind_as_it_is_reverted_is_left_by_its_parent() {
    let driven = Driven::with(vec![careless(), outer()]).await;
    driven.shop.order("confirm/do", &[Order::Refuse]);
    driven.shop.order("box/undo", &[Order::Refuse]);
    let view = end_of(&driven.sagas, driven.begin("outer").await).await;
    assert_eq!(view.instance.status(), Status::Failed);
    assert!(driven.shop.done(view.id).is_empty());
    let calls = driven.shop.calls();
    assert_eq!(calls.last(), Some(&("order".to_owned(), Direction::Undo)), "{calls:?}");
}

/// Where somebody decides about the child's step, that is decided of the parent's as well.
#[tokio::test]
async fn what_somebody_leaves_behind_of_a_child_is_left_by_its_parent() {
    let mut inner = careless();
    inner.steps[0].undo.as_mut().unwrap().on_failure = tenon_core::saga::OnUndoFailure::Park;
    let driven = Driven::with(vec![inner, outer()]).await;
    driven.shop.order("confirm/do", &[Order::Refuse]);
    driven.shop.order("box/undo", &[Order::Refuse]);
    let id = driven.begin("outer").await;
    let parked = Filter { states: [Status::Parked].into(), limit: 1, ..Filter::default() };
    let child = loop {
        if let Some(child) = driven.sagas.list(parked.clone()).await.unwrap().sagas.first() {
            break child.id;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_ne!(child, id);
    assert_eq!(driven.sagas.view(id).await.unwrap().instance.status(), Status::Compensating);
    driven.sagas.tell(child, Input::Operator(Operator::Skip(StepIx(0))), None).await.unwrap();
    assert_eq!(end_of(&driven.sagas, id).await.instance.status(), Status::Failed);
}

/// A saga that runs another as its only step.
fn runs(name: &str, child: &str) -> Definition {
    let child = json!({"name": "child", "work": {"saga": {"name": child}}, "input": "input", "undo": {}});
    saga(name, json!({"steps": [child]}))
}

fn with_pivot(name: &str) -> Definition {
    saga(name, json!({"steps": [call("order", &[], "compensatable"), call("pay", &["order"], "pivot")]}))
}

fn without_pivot(name: &str) -> Definition {
    saga(name, json!({"steps": [call("order", &[], "compensatable")]}))
}

#[tokio::test]
async fn a_saga_that_could_not_be_reverted_is_no_step() {
    let driven = Driven::with(vec![with_pivot("pays"), runs("outer", "later")]).await;
    let define = |definition| driven.sagas.define(definition, false, None);
    let refusal = define(runs("other", "pays")).await.unwrap_err();
    assert_eq!(refusal.code, Code::SagaInvalid);
    assert!(refusal.detail.contains("step `child` runs saga `pays`, which has a pivot"), "{refusal}");
    let refusal = define(with_pivot("later")).await.unwrap_err();
    assert_eq!(refusal.code, Code::SagaInvalid);
    assert!(refusal.detail.contains("step `child` of saga `outer` runs it"), "{refusal}");
    define(without_pivot("later")).await.unwrap();
    assert_eq!(define(with_pivot("later")).await.unwrap_err().code, Code::SagaInvalid);
    // As soon as nobody runs it, it may have one.
    define(runs("outer", "else")).await.unwrap();
    define(with_pivot("later")).await.unwrap();
}

/// A manifest was checked as a whole, but not with what else there is.
#[tokio::test]
async fn one_that_has_come_to_have_a_pivot_is_not_begun_as_a_step() {
    let driven = Driven::with(vec![runs("outer", "inner")]).await;
    driven.sagas.define(with_pivot("inner"), true, None).await.unwrap();
    let view = end_of(&driven.sagas, driven.begin("outer").await).await;
    assert_eq!(view.instance.status(), Status::Compensated);
    assert!(driven.shop.calls().is_empty());
    assert!(format!("{:?}", view.problems).contains("has a pivot"), "{:?}", view.problems);
}

/// A saga that waits until it is told to go on, and then runs another.
fn waits(name: &str, child: &str) -> Definition {
    let wait = json!({"name": "wait", "work": {"signal": {"name": "go"}}});
    let run = json!({
        "name": "child", "after": ["wait"], "work": {"saga": {"name": child}}, "input": "input", "undo": {}
    });
    saga(name, json!({"steps": [wait, run]}))
}

async fn goes_on(sagas: &Sagas, id: SagaId) -> Option<End> {
    let go = Input::Signal { name: SignalName::new("go").unwrap(), data: Data::new("1") };
    sagas.tell(id, go, None).await.unwrap();
    end_of(sagas, id).await.instance.ended()
}

async fn retire(sagas: &Sagas, names: &[&str]) {
    for name in names {
        sagas.retire(&Namespace::default(), &SagaName::new(name).unwrap(), None).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_saga_runs_is_as_it_was_when_that_saga_began() {
    let definitions = [without_pivot("inner"), runs("middle", "inner"), waits("outer", "middle")];
    let driven = Driven::with(definitions.to_vec()).await;
    let (first, second) = (driven.begin("outer").await, driven.begin("outer").await);
    let other = saga("inner", json!({"steps": [call("other", &[], "compensatable")]}));
    driven.sagas.define(other, false, None).await.unwrap();
    retire(&driven.sagas, &["middle"]).await;
    assert_eq!(goes_on(&driven.sagas, first).await, Some(End::Completed));
    retire(&driven.sagas, &["inner", "outer"]).await;
    driven.sagas.stop().await;
    let sagas = self::driven(&driven.fixture, &driven.shop).await;
    assert_eq!(goes_on(&sagas, second).await, Some(End::Completed));
    let done = ("order".to_owned(), Direction::Do);
    assert_eq!(driven.shop.calls(), [done.clone(), done.clone()]);
    // Those that begin later have what there is then.
    let [inner, middle, outer] = definitions;
    sagas
        .define(saga("inner", json!({"steps": [call("other", &[], "compensatable")]})), false, None)
        .await
        .unwrap();
    for definition in [middle, outer] {
        sagas.define(definition, false, None).await.unwrap();
    }
    let third = sagas.begin(begin("outer", None)).await.unwrap().view.id;
    sagas.define(inner, false, None).await.unwrap();
    assert_eq!(goes_on(&sagas, third).await, Some(End::Completed));
    assert_eq!(driven.shop.calls().last(), Some(&("other".to_owned(), Direction::Do)));
}

#[tokio::test]
async fn what_an_earlier_version_of_tenon_has_begun_runs_what_there_was_by_then() {
    let outer = waits("outer", "inner");
    let driven = Driven::with(vec![without_pivot("inner"), outer.clone()]).await;
    driven.sagas.stop().await;
    let (namespace, name) = (Namespace::default(), outer.name.clone());
    let [id, _] = ids_of(&namespace, &name, "1");
    let (key, version) = (Some("1".to_owned()), version_of(&outer));
    let begins = tenon_core::saga::Beginning { version, input: Data::new("{}"), seed: 1, queued: false };
    let (_, output) = start(&Saga::new(outer).unwrap(), begins, system_clock()());
    let beginning =
        Beginning { namespace, name, key, turn: None, parent: None, trace: 1, kept: None, defined_at: None };
    let writing = Writing {
        id,
        beginning: &beginning,
        first: true,
        events: &output.events,
        server: None,
        told: false,
        actor: None,
        problem: None,
    };
    append(driven.fixture.store.log(), writing.to_events(), unchanged(&[id], Position::START)).await.unwrap();
    let sagas = self::driven(&driven.fixture, &driven.shop).await;
    retire(&sagas, &["inner", "outer"]).await;
    assert_eq!(goes_on(&sagas, id).await, Some(End::Completed));
}
