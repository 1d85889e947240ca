//! Sagas that are steps of others.

use super::*;

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
