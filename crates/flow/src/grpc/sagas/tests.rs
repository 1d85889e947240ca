use crate::bus::BusOptions;
use crate::saga::participants::{Called, Participants, Request as Call};
use crate::testing::{Fixture, admin, instance};
use crate::{SagaOptions, Sagas};
use axum::Extension;
use serde_json::{Value, json};
use std::sync::Arc;
use tenon_api::caller::Caller;
use tenon_api::http::{SagaEvent, SagaState, SagaView, StepState};
use tenon_api::saga::{SagaServiceClient, v1};
use tenon_core::saga::{Data, Outcome};
use tenon_store::log::BoxFuture;
use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// Refuses whatever is asked to `fail`, and does everything else.
struct Willing;

impl Participants for Willing {
    fn call(&self, request: Call) -> BoxFuture<'_, Called> {
        let fails = request.input.as_ref().is_some_and(|input| input["fail"] == true);
        Box::pin(async move {
            if fails { Err(Outcome::Refused.into()) } else { Ok(Some(Data::new("{\"id\":1}"))) }
        })
    }
}

/// Sagas that are served, and clients of them.
struct Served {
    address: String,
    grpc: SagaServiceClient<Channel>,
}

impl Served {
    async fn start(sagas: &Sagas, caller: Caller) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = sagas.router().layer(Extension(caller));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let channel = Endpoint::from_shared(address.clone()).unwrap().connect().await.unwrap();
        Self { address, grpc: SagaServiceClient::new(channel) }
    }

    async fn http(&self, path: &str) -> Value {
        reqwest::get(format!("{}{path}", self.address)).await.unwrap().json().await.unwrap()
    }

    async fn define(&mut self) -> v1::DefineResponse {
        let define =
            v1::DefineRequest { name: "order".into(), definition: definition(), ..Default::default() };
        self.grpc.define(define).await.unwrap().into_inner()
    }

    async fn start_one(&mut self, start: v1::StartRequest) -> v1::StartResponse {
        self.grpc.start(start).await.unwrap().into_inner()
    }

    async fn signal(&mut self, id: &str) -> Result<SagaView, Status> {
        let signal = v1::SignalRequest { id: id.into(), signal: "approved".into(), data: "\"yes\"".into() };
        Ok(told(self.grpc.signal(signal).await?.into_inner().saga))
    }

    async fn ended(&mut self, id: &str) -> SagaView {
        let get = v1::GetRequest { id: id.into(), wait_micros: 10_000_000 };
        told(self.grpc.get(get).await.unwrap().into_inner().saga)
    }
}

async fn sagas(fixture: &Fixture) -> Sagas {
    let server = BusOptions::default().server;
    let options = SagaOptions { leases: None, server, clock: tenon_store::system_clock() };
    Sagas::start(&fixture.store, Arc::new(Willing), options).await.unwrap()
}

fn definition() -> String {
    let action = json!({"service": "order", "method": "POST", "path": "/orders"});
    let call = json!({"action": action, "timeout_ms": 60_000});
    let backoff = json!({"delay": {"fixed": {"delay_ms": 1}}, "jitter": "none", "max_delay_ms": 1});
    let steps = json!([
        {"name": "order", "work": {"call": call}, "undo": call},
        {"name": "approval", "after": ["order"], "work": {"signal": {"name": "approved"}}},
        {"name": "confirm", "kind": "pivot", "work": {"call": call}},
        {
            "name": "mail", "kind": "retriable", "after": ["confirm"], "work": {"call": call},
            "input": {"fail": "input.bounce"}, "retry": {"tries": 1, "backoff": backoff}
        },
    ]);
    json!({"steps": steps, "output": {"order": "steps.order.id"}}).to_string()
}

fn start(bounce: bool) -> v1::StartRequest {
    let input = json!({ "bounce": bounce }).to_string();
    v1::StartRequest { name: "order".into(), input, ..Default::default() }
}

fn told(saga: Option<v1::Saga>) -> SagaView {
    saga.unwrap().try_into().unwrap()
}

fn id_of(started: &v1::StartResponse) -> String {
    told(started.saga.clone()).of.id.to_string()
}

fn code_of(status: &Status) -> &str {
    status.metadata().get("tenon-error").unwrap().to_str().unwrap()
}

#[tokio::test]
async fn a_saga_is_told_over_grpc_as_over_http() {
    let fixture = Fixture::new();
    let mut served = Served::start(&sagas(&fixture).await, admin()).await;
    assert!(served.define().await.changed);
    let begin = || {
        let mut request = Request::new(start(false));
        let metadata = request.metadata_mut();
        metadata.insert("idempotency-key", "7".parse().unwrap());
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        metadata.insert("traceparent", trace.parse().unwrap());
        request
    };
    let first = served.grpc.start(begin()).await.unwrap().into_inner();
    let again = served.grpc.start(begin()).await.unwrap().into_inner();
    assert_eq!((first.existed, again.existed), (false, true));
    let id = id_of(&first);
    assert_eq!(id_of(&again), id);
    served.signal(&id).await.unwrap();
    let ended = served.ended(&id).await;
    assert_eq!((ended.of.state, &ended.of.key), (SagaState::Completed, &Some("7".to_owned())));
    assert_eq!(ended.trace, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(serde_json::to_value(&ended).unwrap(), served.http(&format!("/v1/sagas/{id}")).await);
    let mut history = served.grpc.history(v1::HistoryRequest { id: id.clone() }).await.unwrap().into_inner();
    let mut events: Vec<SagaEvent> = Vec::new();
    while let Some(page) = history.message().await.unwrap() {
        events.extend(page.events.into_iter().map(|event| SagaEvent::try_from(event).unwrap()));
    }
    assert_eq!(json!({ "events": events }), served.http(&format!("/v1/sagas/{id}/history")).await);
    let list = v1::ListRequest {
        name: "order".into(),
        states: vec![v1::State::Completed.into(), v1::State::Parked.into()],
        ..Default::default()
    };
    let list = served.grpc.list(list).await.unwrap().into_inner();
    assert_eq!((list.sagas.len(), list.sagas[0].id.as_str()), (1, id.as_str()));
    assert_eq!(code_of(&served.signal(&id).await.unwrap_err()), "saga.illegal");
}

#[tokio::test]
async fn a_key_and_a_header_that_differ_are_refused_as_over_http() {
    let fixture = Fixture::new();
    let mut served = Served::start(&sagas(&fixture).await, admin()).await;
    served.define().await;
    let begin = |key: &str, header: &'static str| {
        let mut request = Request::new(v1::StartRequest { key: key.into(), ..start(false) });
        request.metadata_mut().insert("idempotency-key", header.parse().unwrap());
        request
    };
    let refused = served.grpc.start(begin("8", "7")).await.unwrap_err();
    assert_eq!((refused.code(), code_of(&refused)), (Code::InvalidArgument, "request.invalid"));
    let http = reqwest::Client::new().post(format!("{}/v1/sagas/order", served.address));
    let http = http.header("idempotency-key", "7").body("{\"input\":{},\"key\":\"8\"}");
    let problem: Value = http.send().await.unwrap().json().await.unwrap();
    assert_eq!(problem["detail"], refused.message());
    let first = served.grpc.start(begin("7", "7")).await.unwrap().into_inner();
    let again = served.grpc.start(begin("", "\"7\"")).await.unwrap().into_inner();
    assert_eq!((first.existed, again.existed), (false, true), "quotes are the header's form");
}

#[tokio::test]
async fn somebody_decides_about_one_step_or_about_all_that_wait() {
    let fixture = Fixture::new();
    let mut served = Served::start(&sagas(&fixture).await, admin()).await;
    served.define().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = id_of(&served.start_one(start(true)).await);
        served.signal(&id).await.unwrap();
        ids.push(id);
    }
    let parked = v1::ListRequest { states: vec![v1::State::Parked.into()], ..Default::default() };
    while served.grpc.list(parked.clone()).await.unwrap().into_inner().sagas.len() < ids.len() {
        tokio::task::yield_now().await;
    }
    let decide = |decision: v1::Decision, data: Option<&str>| v1::DecideRequest {
        id: ids[0].clone(),
        decision: decision.into(),
        step: "mail".into(),
        data: data.map(str::to_owned),
    };
    let missing = served.grpc.decide(decide(v1::Decision::Edit, None)).await.unwrap_err();
    assert_eq!((missing.code(), code_of(&missing)), (Code::InvalidArgument, "request.invalid"));
    served.grpc.decide(decide(v1::Decision::Edit, Some("{\"fail\":false}"))).await.unwrap();
    assert_eq!(served.ended(&ids[0]).await.of.state, SagaState::Completed);
    let mut all = v1::DecideAllRequest {
        decision: v1::Decision::Skip.into(),
        name: "order".into(),
        ..Default::default()
    };
    let decided = served.grpc.decide_all(all.clone()).await.unwrap().into_inner().decided;
    assert_eq!(decided.len(), 2);
    assert!(decided.iter().all(|it| it.step == "mail" && it.code.is_empty()));
    for id in &ids[1..] {
        let ended = served.ended(id).await;
        assert_eq!((ended.of.state, ended.steps[3].state), (SagaState::Completed, StepState::LeftOut));
    }
    all.decision = v1::Decision::Edit.into();
    assert_eq!(code_of(&served.grpc.decide_all(all.clone()).await.unwrap_err()), "request.invalid");
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(id_of(&served.start_one(start(true)).await));
        served.signal(&ids[ids.len() - 1]).await.unwrap();
    }
    while served.grpc.list(parked.clone()).await.unwrap().into_inner().sagas.len() < ids.len() {
        tokio::task::yield_now().await;
    }
    all.decision = v1::Decision::Compensate.into();
    all.states = vec![v1::State::Parked.into()];
    let refused = served.grpc.decide_all(all.clone()).await.unwrap().into_inner().decided;
    assert!(refused.iter().all(|it| it.step.is_empty() && it.code == "saga.illegal"), "{refused:?}");
    assert_eq!(refused.len(), 2);
    (all.decision, all.data, all.limit) = (v1::Decision::Done.into(), Some("7".into()), 1);
    let first = served.grpc.decide_all(all.clone()).await.unwrap().into_inner();
    assert_eq!((first.decided.len(), &first.decided[0].id), (1, &ids[1]));
    all.before = first.next;
    let rest = served.grpc.decide_all(all).await.unwrap().into_inner();
    assert_eq!((rest.decided.len(), &rest.decided[0].id, rest.next), (1, &ids[0], None));
    assert_eq!(served.ended(&ids[0]).await.steps[3].output, Some(json!(7)));
}

#[tokio::test]
async fn a_saga_is_cancelled_and_its_definition_retired() {
    let fixture = Fixture::new();
    let mut served = Served::start(&sagas(&fixture).await, admin()).await;
    served.define().await;
    let id = id_of(&served.start_one(start(false)).await);
    served.grpc.cancel(v1::CancelRequest { id: id.clone() }).await.unwrap();
    assert_eq!(served.ended(&id).await.of.state, SagaState::Compensated);
    let listed = || v1::ListDefinitionsRequest::default();
    let definitions = served.grpc.list_definitions(listed()).await.unwrap().into_inner().definitions;
    let over_http = &served.http("/v1/saga-definitions").await["definitions"][0];
    assert_eq!(definitions[0].version, over_http["version"]);
    assert_eq!(serde_json::from_str::<Value>(&definitions[0].definition).unwrap(), over_http["definition"]);
    let retire = v1::RetireRequest { name: "order".into(), ..Default::default() };
    served.grpc.retire(retire.clone()).await.unwrap();
    assert_eq!(code_of(&served.grpc.retire(retire).await.unwrap_err()), "saga.unknown");
    let none = served.grpc.start(start(false)).await.unwrap_err();
    assert_eq!((none.code(), code_of(&none)), (Code::NotFound, "saga.unknown"));
}

#[tokio::test]
async fn an_instance_has_its_namespace_only_and_defines_nothing() {
    let fixture = Fixture::new();
    let sagas = sagas(&fixture).await;
    let mut operator = Served::start(&sagas, admin()).await;
    operator.define().await;
    let id = id_of(&operator.start_one(start(false)).await);
    let mut other = Served::start(&sagas, instance("order.sales")).await;
    let get = || v1::GetRequest { id: id.clone(), wait_micros: 0 };
    let refused = other.grpc.get(get()).await.unwrap_err();
    assert_eq!((refused.code(), code_of(&refused)), (Code::PermissionDenied, "access.forbidden"));
    assert!(other.grpc.list(v1::ListRequest::default()).await.unwrap().into_inner().sagas.is_empty());
    let define = v1::DefineRequest { name: "order".into(), definition: definition(), ..Default::default() };
    assert_eq!(other.grpc.define(define).await.unwrap_err().code(), Code::PermissionDenied);
    let mut own = Served::start(&sagas, instance("order")).await;
    assert_eq!(told(own.grpc.get(get()).await.unwrap().into_inner().saga).of.id.to_string(), id);
}

#[tokio::test]
async fn what_is_malformed_names_the_field() {
    let fixture = Fixture::new();
    let mut served = Served::start(&sagas(&fixture).await, admin()).await;
    served.define().await;
    let input = v1::StartRequest { input: "{".into(), ..start(false) };
    assert!(served.grpc.start(input).await.unwrap_err().message().starts_with("input: is not JSON"));
    let get = v1::GetRequest { id: "7".into(), wait_micros: 0 };
    assert!(served.grpc.get(get).await.unwrap_err().message().starts_with("id: "));
    let list = v1::ListRequest { states: vec![99], ..Default::default() };
    assert_eq!(served.grpc.list(list).await.unwrap_err().message(), "states: 99 is not known");
}
