use super::super::tests::{Order, Shop, begin, call, driven, end_of, five, saga};
use super::super::{Begin, Sagas};
use crate::testing::Fixture;
use serde_json::json;
use std::sync::Arc;
use tenon_api::otlp::{Span, TracesData};
use tenon_core::manifest::Ratio;
use tenon_core::{Namespace, SagaId};

struct Driven {
    shop: Arc<Shop>,
    fixture: Fixture,
    sagas: Sagas,
}

async fn start() -> Driven {
    let (fixture, shop) = (Fixture::new(), Arc::new(Shop::default()));
    let sagas = driven(&fixture, &shop).await;
    sagas.define(five(), false, None).await.unwrap();
    Driven { shop, fixture, sagas }
}

impl Driven {
    async fn one(&self, begin: Begin) -> SagaId {
        end_of(&self.sagas, self.sagas.begin(begin).await.unwrap().view.id).await.id
    }

    async fn trace(&self, trace: u128) -> Vec<Span> {
        self.sagas.spans_of_trace(trace).await.unwrap().into_iter().flat_map(|it| it.spans).collect()
    }
}

fn own(id: SagaId) -> u128 {
    u128::from_be_bytes(*id.as_bytes())
}

fn attribute<'a>(span: &'a Span, key: &str) -> &'a str {
    span.attributes.iter().find(|it| it.key == key).map_or("", |it| it.text())
}

/// Each attempt with what came of it, in their order.
fn attempts(spans: &[Span]) -> Vec<(&str, &str)> {
    spans[1..].iter().map(|it| (it.name.as_str(), attribute(it, "tenon.saga.outcome"))).collect()
}

#[tokio::test]
async fn a_saga_is_a_span_and_its_attempts_are_below_it_with_the_ids_that_they_were_called_with() {
    let driven = start().await;
    driven.shop.order("payment/do", &[Order::Unsent]);
    driven.shop.order("confirm/do", &[Order::Refuse]);
    let id = driven.one(begin("order", Some("7"))).await;
    let spans = driven.trace(own(id)).await;
    let root = &spans[0];
    assert_eq!((root.name.as_str(), root.parent_span_id.as_str()), ("saga order", ""));
    assert_eq!(root.trace_id, format!("{:032x}", own(id)));
    assert_eq!(root.status.message, "step `confirm` failed");
    assert_eq!(attribute(root, "tenon.saga.key"), "7");
    assert!(root.events.iter().any(|event| event.name == "TurnedBack"));
    assert!(spans[1..].iter().all(|it| it.parent_span_id == root.span_id && it.trace_id == root.trace_id));
    assert!(spans[1..].iter().all(|it| it.end_time_unix_nano <= root.end_time_unix_nano));
    let told = attempts(&spans);
    for expected in [
        ("do payment", "not sent"),
        ("do payment", "done"),
        ("do confirm", "refused"),
        ("undo order", "done"),
    ] {
        assert!(told.contains(&expected), "{expected:?}: {told:?}");
    }
    let mut ids: Vec<&str> = spans.iter().map(|it| it.span_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), spans.len());
    // What was sent along to each participant.
    let mut sent: Vec<String> = driven.shop.parents().iter().map(|it| format!("{it:016x}")).collect();
    let mut shown: Vec<String> = spans[1..].iter().map(|it| it.span_id.clone()).collect();
    sent.sort();
    shown.sort();
    assert_eq!(sent, shown);
}

#[tokio::test]
async fn a_saga_keeps_its_trace_when_it_goes_on_elsewhere() {
    let driven_ = start().await;
    driven_.shop.order("stock/do", &[Order::Swallow]);
    let id = driven_.sagas.begin(begin("order", None)).await.unwrap().view.id;
    driven_.shop.called_to_do("stock").await;
    driven_.sagas.stop().await;
    let next = driven(&driven_.fixture, &driven_.shop).await;
    end_of(&next, id).await;
    let spans: Vec<Span> =
        next.spans_of_trace(own(id)).await.unwrap().into_iter().flat_map(|it| it.spans).collect();
    let told = attempts(&spans);
    assert!(told.contains(&("do stock", "interrupted")) && told.contains(&("do stock", "done")), "{told:?}");
    let again: TracesData = next.spans(id).await.unwrap();
    assert_eq!(again.spans().map(|(_, span)| span.clone()).collect::<Vec<_>>(), spans);
    assert!(again.spans().all(|(service, _)| service == "saga.tenon"));
}

#[tokio::test]
async fn sagas_within_a_trace_and_those_that_are_steps_are_found() {
    let driven = start().await;
    let outer = json!({"steps": [
        {"name": "inner", "work": {"saga": {"name": "pack"}}, "input": "input", "undo": {}},
    ]});
    let inner = saga("pack", json!({"steps": [call("box", &[], "compensatable")]}));
    driven.sagas.define(inner, false, None).await.unwrap();
    driven.sagas.define(saga("outer", outer), false, None).await.unwrap();
    let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
    driven.one(Begin { trace: Some(trace), ..begin("outer", None) }).await;
    driven.one(Begin { trace: Some(trace), ..begin("order", None) }).await;
    driven.one(begin("order", None)).await;
    let found = driven.sagas.spans_of_trace(trace).await.unwrap();
    assert!(found.iter().all(|it| it.namespace == Namespace::default()));
    let names: Vec<&str> = found.iter().map(|it| it.spans[0].name.as_str()).collect();
    assert_eq!(names, ["saga outer", "saga pack", "saga order"]);
    // The one that is a step is below the attempt that ran it.
    assert_eq!(found[1].spans[0].parent_span_id, found[0].spans[1].span_id);
    assert_eq!((found[2].spans[0].parent_span_id.as_str(), found[0].spans.len()), ("", 2));
}

#[tokio::test]
async fn what_is_exported_is_what_is_kept_and_what_failed() {
    let driven = start().await;
    driven.sagas.sample(Ratio::NONE);
    let exported = async |id| driven.sagas.spans_to_export(id).await.unwrap().spans().count();
    assert_eq!(exported(driven.one(begin("order", None)).await).await, 0);
    driven.shop.order("payment/do", &[Order::Unsent]);
    assert!(exported(driven.one(begin("order", None)).await).await > 0);
    // Whoever began the trace has decided.
    let of = |kept| Begin { trace: Some(7), kept: Some(kept), ..begin("order", None) };
    assert!(exported(driven.one(of(true)).await).await > 0);
    driven.sagas.sample(Ratio::ALL);
    assert_eq!(exported(driven.one(of(false)).await).await, 0);
    let own = driven.one(begin("order", None)).await;
    assert!(exported(own).await > 0);
    // What is asked for is shown all the same.
    assert!(!driven.trace(7).await.is_empty());
}
