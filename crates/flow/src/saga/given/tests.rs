use super::super::tests::{Order, Shop, begin, call, driven, end_of, saga};
use super::super::{Begin, Sagas};
use crate::testing::Fixture;
use serde_json::{Value, json};
use std::sync::Arc;
use tenon_core::saga::{Data, Definition, Input, Operator, Status, StepIx};
use tenon_core::{Code, SagaId};

/// A saga of one step that states what it is given.
fn stating(name: &str, fields: &[&str]) -> Definition {
    saga(name, json!({"input": fields, "steps": [call("order", &[], "compensatable")]}))
}

async fn started(sagas: &Sagas, name: &str, key: Option<&str>, input: Value) -> Result<SagaId, String> {
    let begun = sagas.begin(Begin { input, ..begin(name, key) }).await;
    begun.map(|begun| begun.view.id).map_err(|refusal| {
        assert_eq!(refusal.code, Code::RequestInvalid);
        refusal.detail
    })
}

#[tokio::test]
async fn a_saga_is_started_with_what_it_states_and_with_nothing_else() {
    let fixture = Fixture::new();
    let sagas = driven(&fixture, &Arc::default()).await;
    sagas.define(stating("order", &["total", "note?"]), false, None).await.unwrap();
    for (input, problem) in [
        (json!({"note": "soon"}), "/total is missing"),
        (json!({"total": 1, "a/b": 2}), "/a~1b is not known"),
        (json!(7), "it is no object"),
        (Value::Null, "/total is missing"),
    ] {
        let refused = started(&sagas, "order", None, input).await.unwrap_err();
        assert_eq!(refused, format!("input: {problem}; saga `order` is given note?, total"));
    }
    for input in [json!({"total": 1}), json!({"total": null, "note": 2})] {
        let id = started(&sagas, "order", None, input).await.unwrap();
        assert_eq!(end_of(&sagas, id).await.instance.status(), Status::Completed);
    }
    sagas.define(stating("order", &[]), false, None).await.unwrap();
    started(&sagas, "order", None, Value::Null).await.unwrap();
    let refused = started(&sagas, "order", None, json!({"x": 1})).await.unwrap_err();
    assert_eq!(refused, "input: /x is not known; saga `order` is given no fields");
}

#[tokio::test]
async fn one_that_was_started_is_found_by_its_key_whatever_new_ones_are_given() {
    let fixture = Fixture::new();
    let sagas = driven(&fixture, &Arc::default()).await;
    sagas.define(stating("order", &["total"]), false, None).await.unwrap();
    let first = started(&sagas, "order", Some("7"), json!({"total": 1})).await.unwrap();
    sagas.define(stating("order", &["sum"]), false, None).await.unwrap();
    assert_eq!(started(&sagas, "order", Some("7"), json!({"total": 1})).await, Ok(first));
    assert!(started(&sagas, "order", Some("8"), json!({"total": 1})).await.is_err());
}

#[tokio::test]
async fn a_saga_that_is_a_step_is_refused_what_it_does_not_state() {
    let fixture = Fixture::new();
    let sagas = driven(&fixture, &Arc::default()).await;
    sagas.define(stating("child", &["sum"]), false, None).await.unwrap();
    let step = json!({"name": "child", "work": {"saga": {"name": "child"}}, "input": "input", "undo": {}});
    sagas.define(saga("parent", json!({"steps": [step]})), false, None).await.unwrap();
    let id = started(&sagas, "parent", None, json!({"total": 1})).await.unwrap();
    let view = end_of(&sagas, id).await;
    assert_eq!(view.instance.status(), Status::Compensated);
    let said = view.problems.values().next().unwrap().as_str();
    assert!(said.contains("/sum is missing; saga `child` is given sum"), "{said}");
}

#[tokio::test]
async fn a_step_that_waits_is_not_given_what_could_never_be_sent() {
    let (fixture, shop) = (Fixture::new(), Arc::<Shop>::default());
    let sagas = driven(&fixture, &shop).await;
    let mut mail = call("mail", &["confirm"], "retriable");
    mail["retry"]["tries"] = json!(1);
    mail["input"] = json!({"id": "input.id"});
    mail["work"]["call"]["action"]["path"] = json!("/mail/{id}");
    sagas
        .define(saga("order", json!({"steps": [call("confirm", &[], "pivot"), mail]})), false, None)
        .await
        .unwrap();
    shop.order("mail/do", &[Order::Refuse]);
    let id = started(&sagas, "order", None, json!({"id": 1})).await.unwrap();
    while !sagas.view(id).await.unwrap().instance.is_parked() {
        tokio::task::yield_now().await;
    }
    let edit = |data: Value| {
        let data = Data::new(&data.to_string());
        sagas.tell(id, Input::Operator(Operator::Edit(StepIx(1), data)), None)
    };
    for input in [json!({"id": null}), json!("mail"), json!({})] {
        let refused = edit(input).await.unwrap_err();
        let problem = "its path needs `id`, a text or a number";
        assert_eq!(refused.code, Code::RequestInvalid);
        assert_eq!(refused.detail, format!("data: {problem}, so step `mail` cannot be sent it"));
    }
    edit(json!({"id": 2})).await.unwrap();
    assert_eq!(end_of(&sagas, id).await.instance.status(), Status::Completed);
}
