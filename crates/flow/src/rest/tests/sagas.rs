use super::{Api, send};
use crate::saga::participants::{Called, Failure, Participants, Request};
use crate::testing::instance;
use reqwest::Method;
use serde_json::{Value, json};
use tenon_core::saga::{Data, Outcome};
use tenon_store::log::BoxFuture;

/// Refuses whatever is asked to `fail`, says nothing to what is to be lost, and does everything else.
pub(super) struct Willing;

impl Participants for Willing {
    fn call(&self, request: Request) -> BoxFuture<'_, Called> {
        let is_asked = |to: &str| request.input.as_ref().is_some_and(|input| input[to] == true);
        let answer = match (is_asked("fail"), is_asked("lose")) {
            (true, _) => Err(Failure::saying(Outcome::Refused, "it cannot be done")),
            (_, true) => Err(Outcome::Unknown.into()),
            _ => Ok(Some(Data::new("{\"id\":1}"))),
        };
        Box::pin(async { answer })
    }
}

fn definition() -> Value {
    let action = json!({"service": "order", "method": "POST", "path": "/orders"});
    let call = json!({"action": action, "timeout_ms": 60_000});
    let backoff = json!({"delay": {"fixed": {"delay_ms": 1}}, "jitter": "none", "max_delay_ms": 1});
    let once = json!({"tries": 1, "backoff": backoff});
    let steps = json!([
        {"name": "order", "work": {"call": call}, "undo": call},
        {"name": "approval", "after": ["order"], "work": {"signal": {"name": "approved"}}},
        {"name": "confirm", "kind": "pivot", "after": ["approval"], "work": {"call": call}, "input": "input", "retry": once},
        {
            "name": "mail", "kind": "retriable", "after": ["confirm"], "work": {"call": call},
            "input": {"fail": "input.bounce"}, "retry": once
        },
    ]);
    json!({"steps": steps, "output": {"order": "steps.order.id"}})
}

impl Api {
    async fn define_saga(&self) {
        let put = self.request(Method::PUT, "/v1/saga-definitions/order").json(&definition());
        assert_eq!(send(put).await.ok()["changed"], true);
    }

    async fn start_saga(&self, input: Value) -> String {
        let started = send(self.post("/v1/sagas/order", &json!({"input": input}))).await.ok();
        started["id"].as_str().unwrap().to_owned()
    }

    async fn approve(&self, id: &str) -> super::Reply {
        send(self.post(&format!("/v1/sagas/{id}/signals/approved"), &json!({"data": "yes"}))).await
    }
}

#[tokio::test]
async fn a_saga_is_defined_started_signalled_waited_for_and_told() {
    let api = Api::start().await;
    api.define_saga().await;
    let start = || api.post("/v1/sagas/order", &json!({"input": {"bounce": false}}));
    let first = send(start().header("idempotency-key", "7")).await.ok();
    let again = send(start().header("idempotency-key", "7")).await.ok();
    assert_eq!((&first["existed"], &again["existed"]), (&json!(false), &json!(true)));
    assert_eq!((&first["id"], &first["key"]), (&again["id"], &json!("7")));
    let two = api.post("/v1/sagas/order", &json!({"input": {}, "key": "8"})).header("idempotency-key", "7");
    assert_eq!(send(two).await.code(), "request.invalid");
    let id = first["id"].as_str().unwrap();
    assert_eq!(api.approve(id).await.ok()["id"], id);
    let ended = api.get(&format!("/v1/sagas/{id}?wait_ms=25000")).await.ok();
    assert_eq!((&ended["state"], &ended["output"]), (&json!("completed"), &json!({"order": 1})));
    assert_eq!(ended["steps"][1]["output"], "yes");
    let history = api.get(&format!("/v1/sagas/{id}/history")).await.ok();
    assert_eq!(
        (&history["events"][0]["event"], &history["events"][0]["actor"]),
        (&json!("Started"), &json!("cli:ada"))
    );
    assert_eq!(api.approve(id).await.code(), "saga.illegal");
    let list = api.get("/v1/sagas?name=order&state=completed").await.ok();
    assert_eq!(list["sagas"][0]["id"], id);
    assert_eq!(api.get("/v1/sagas?state=done").await.code(), "request.invalid");
}

#[tokio::test]
async fn what_undoes_a_call_is_stated_even_if_it_is_nothing() {
    let api = Api::start().await;
    let put = |undo: Option<Value>| {
        let mut definition = definition();
        let step = definition["steps"][0].as_object_mut().unwrap();
        match undo {
            Some(undo) => step.insert("undo".to_owned(), undo),
            None => step.remove("undo"),
        };
        send(api.request(Method::PUT, "/v1/saga-definitions/order").json(&definition))
    };
    for forgotten in [None, Some(Value::Null)] {
        let refused = put(forgotten).await;
        assert_eq!(refused.code(), "saga.invalid");
    }
    assert_eq!(put(Some(json!("none"))).await.code(), "request.invalid");
    put(Some(json!("nothing"))).await.ok();
    let shown = api.get("/v1/saga-definitions").await.ok()["definitions"][0]["definition"].clone();
    assert_eq!(shown["steps"][0]["undo"], "nothing");
    let again = send(api.request(Method::PUT, "/v1/saga-definitions/order").json(&shown)).await.ok();
    assert_eq!(again["changed"], false);
}

#[tokio::test]
async fn somebody_decides_about_a_step_that_waits() {
    let api = Api::start().await;
    api.define_saga().await;
    let id = api.start_saga(json!({"bounce": true})).await;
    api.approve(&id).await.ok();
    let parked = loop {
        let saga = api.get(&format!("/v1/sagas/{id}")).await.ok();
        if saga["state"] == "parked" {
            break saga;
        }
    };
    assert_eq!(
        (&parked["steps"][3]["state"], &parked["steps"][3]["parked"]),
        (&json!("parked"), &json!("spent"))
    );
    let said = json!({"detail": "it cannot be done"});
    assert_eq!(parked["steps"][3]["problem"], said);
    let history = api.get(&format!("/v1/sagas/{id}/history")).await.ok();
    let last = history["events"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["event"], &last["data"]), (&json!("Parked"), &said));
    let decide = |decision: Value| send(api.post(&format!("/v1/sagas/{id}/decisions"), &decision));
    assert_eq!(decide(json!({"decision": "retry"})).await.code(), "request.invalid");
    assert_eq!(decide(json!({"decision": "retry", "step": "order"})).await.code(), "saga.illegal");
    let large = json!({"decision": "edit", "step": "mail", "data": "x".repeat(300_000)});
    let refused = decide(large).await;
    assert_eq!(refused.code(), "request.invalid");
    let edit = json!({"decision": "edit", "step": "mail", "data": {"fail": false}});
    decide(edit).await.ok();
    let ended = api.get(&format!("/v1/sagas/{id}?wait_ms=25000")).await.ok();
    assert_eq!(ended["state"], "completed");
    assert_eq!(ended["steps"][3].get("problem"), None);
}

impl Api {
    /// Sagas that wait for somebody, in the order in which they began.
    async fn parked(&self, inputs: &[Value]) -> Vec<String> {
        let mut ids = Vec::new();
        for input in inputs {
            let id = self.start_saga(input.clone()).await;
            self.approve(&id).await.ok();
            while self.get(&format!("/v1/sagas/{id}")).await.ok()["state"] != "parked" {}
            ids.push(id);
        }
        ids
    }

    async fn decide_all(&self, about: Value) -> super::Reply {
        send(self.post("/v1/saga-decisions", &about)).await
    }

    async fn ended(&self, id: &str) -> Value {
        self.get(&format!("/v1/sagas/{id}?wait_ms=25000")).await.ok()
    }
}

#[tokio::test]
async fn every_decision_is_taken_about_many_sagas_page_by_page() {
    let api = Api::start().await;
    api.define_saga().await;
    let bounce = json!({"bounce": true});
    let ids = api.parked(&[bounce.clone(), bounce.clone(), bounce]).await;
    let edit = json!({"decision": "edit", "name": "order", "step": "mail", "limit": 2});
    assert_eq!(api.decide_all(edit.clone()).await.code(), "request.invalid", "it has no input");
    let mut edit = edit;
    edit["data"] = json!({"fail": false});
    // The last to have begun come first; the rest is the next page.
    let first = api.decide_all(edit.clone()).await.ok();
    let of = |id: &str| json!({"id": id, "step": "mail"});
    assert_eq!(first["decided"], json!([of(&ids[2]), of(&ids[1])]));
    edit["before"] = first["next"].clone();
    assert_eq!(api.decide_all(edit).await.ok(), json!({"decided": [of(&ids[0])], "next": null}));
    for id in &ids {
        assert_eq!(api.ended(id).await["state"], "completed");
    }
}

#[tokio::test]
async fn deciding_about_many_says_of_each_what_was_done_and_what_was_refused() {
    let api = Api::start().await;
    api.define_saga().await;
    let ids = api.parked(&[json!({"lose": true, "bounce": false}), json!({"bounce": true})]).await;
    // Behind the pivot there is no way back.
    let told = api.decide_all(json!({"decision": "compensate"})).await.ok();
    let (behind, before) = (&told["decided"][0], &told["decided"][1]);
    assert_eq!((&behind["id"], &behind["code"]), (&json!(ids[1]), &json!("saga.illegal")));
    assert_eq!(before, &json!({"id": ids[0]}));
    assert_eq!(api.ended(&ids[0]).await["state"], "compensated");
    let none = json!({"decision": "done", "step": "confirm"});
    assert_eq!(api.decide_all(none).await.ok()["decided"], json!([]));
    let none = json!({"decision": "done", "until": "2000-01-01T00:00:00Z"});
    assert_eq!(api.decide_all(none).await.ok()["decided"], json!([]));
    let done = json!({"decision": "done", "states": ["parked"], "data": {"by": "post"}});
    assert_eq!(api.decide_all(done).await.ok()["decided"], json!([{"id": ids[1], "step": "mail"}]));
    let ended = api.ended(&ids[1]).await;
    assert_eq!(
        (&ended["state"], &ended["steps"][3]["output"]),
        (&json!("completed"), &json!({"by": "post"}))
    );
}

#[tokio::test]
async fn changing_a_definition_says_which_sagas_stay_with_the_former() {
    let api = Api::start().await;
    let put = |deadline: u64| {
        let mut changed = definition();
        changed["deadline_ms"] = json!(deadline);
        send(api.request(Method::PUT, "/v1/saga-definitions/order").json(&changed))
    };
    let first = put(60_000).await.ok();
    assert_eq!(first.get("running"), None);
    let id = api.start_saga(json!({})).await;
    let changed = put(70_000).await.ok();
    let former = &changed["running"][0];
    assert_eq!((&former["id"], &former["version"]), (&json!(id), &first["version"]));
    assert_eq!(changed["running"].as_array().unwrap().len(), 1);
    assert_eq!(put(70_000).await.ok().get("running"), None, "nothing changed");
    let view = api.get(&format!("/v1/sagas/{id}")).await.ok();
    assert_eq!(view["version"], first["version"]);
}

#[tokio::test]
async fn a_saga_that_is_cancelled_is_undone() {
    let api = Api::start().await;
    api.define_saga().await;
    let id = api.start_saga(json!({})).await;
    send(api.post(&format!("/v1/sagas/{id}/cancel"), &json!({}))).await.ok();
    let ended = api.get(&format!("/v1/sagas/{id}?wait_ms=25000")).await.ok();
    assert_eq!((&ended["state"], &ended["turned_back"]), (&json!("compensated"), &json!("it was cancelled")));
}

#[tokio::test]
async fn what_would_do_nothing_in_a_definition_is_refused() {
    let api = Api::start().await;
    let retry = definition()["steps"][3]["retry"].clone();
    let waits = "has no effect here: step `approval` waits for a signal; leave it out";
    let late = "has no effect here: without a `timeout_ms` the signal is never late";
    let passes = "has no effect here: step `approval` lets time pass; leave it out";
    for (change, place, key, why) in [
        (json!({"retry": retry}), "retry", "retry", waits),
        (json!({"input": "input"}), "input", "input", waits),
        (json!({"undo": "nothing"}), "undo", "undo", waits),
        (json!({"work": {"signal": {"name": "a", "late": "continue"}}}), "work.signal.late", "late", late),
        (json!({"work": {"timer": {"delay_ms": 1}}, "output": ["at"]}), "output", "output", passes),
    ] {
        let mut wrong = definition();
        let step = wrong["steps"][1].as_object_mut().unwrap();
        step.extend(change.as_object().unwrap().clone());
        let put = send(api.request(Method::PUT, "/v1/saga-definitions/order").json(&wrong)).await;
        assert_eq!(put.json["detail"], format!("steps[1].{place}: `{key}` {why}"));
        assert_eq!(put.code(), "saga.invalid");
    }
    // What is told of a definition can be given again.
    api.define_saga().await;
    let told = api.get("/v1/saga-definitions").await.ok();
    let again = api.request(Method::PUT, "/v1/saga-definitions/order");
    let again = send(again.json(&told["definitions"][0]["definition"])).await.ok();
    assert_eq!(again["changed"], false);
}

#[tokio::test]
async fn what_is_wrong_with_a_definition_is_said_and_operators_alone_define() {
    let api = Api::start().await;
    let mut wrong = definition();
    wrong["steps"][2]["input"] = json!("input +");
    let put =
        |api: &Api, body: &Value| send(api.request(Method::PUT, "/v1/saga-definitions/order").json(body));
    assert_eq!(put(&api, &wrong).await.code(), "saga.invalid");
    put(&api, &definition()).await.ok();
    let list = api.get("/v1/saga-definitions").await.ok();
    assert_eq!(list["definitions"][0]["definition"]["steps"][0]["name"], "order");
    send(api.request(Method::DELETE, "/v1/saga-definitions/order")).await.ok();
    assert_eq!(send(api.post("/v1/sagas/order", &json!({}))).await.code(), "saga.unknown");
    let mut stating = definition();
    stating["input"] = json!(["bounce", "lose?"]);
    put(&api, &stating).await.ok();
    assert_eq!(
        api.get("/v1/saga-definitions").await.ok()["definitions"][0]["definition"]["input"],
        stating["input"]
    );
    let refused = send(api.post("/v1/sagas/order", &json!({"input": {"bounc": true}}))).await;
    assert_eq!(refused.code(), "request.invalid");
    stating["input"] = json!(["no name"]);
    assert_eq!(put(&api, &stating).await.code(), "saga.invalid");
    let api = Api::as_caller(instance("order")).await;
    assert_eq!(put(&api, &definition()).await.code(), "access.forbidden");
}
