use super::participants::{Called, Participants, Request};
use super::*;
use crate::EventStoreOptions;
use crate::testing::Fixture;
use serde_json::json;
use std::collections::BTreeMap;
use tenon_api::system::SagaDoc;
use tenon_core::Timestamp;
use tenon_core::saga::barrier::{Ask as Asked, Record, Verdict, arrive, settle};
use tenon_core::saga::{At, Cause, Data, Direction, Event, Operator, Outcome, SignalName, Status};
use tenon_store::lease::MemoryLeases;
use tenon_store::log::BoxFuture;
use tenon_store::system_clock;

mod children;
mod crashes;
mod falls;
mod forgotten;
mod held_up;
mod later;
mod load;
mod log;
mod servers;
mod turns;

/// Services that keep the barrier, and a ledger of what they did.
#[derive(Default)]
pub(super) struct Shop {
    state: Mutex<ShopState>,
    changed: tokio::sync::Notify,
}

#[derive(Default)]
struct ShopState {
    records: BTreeMap<(SagaId, String), Record>,
    calls: Vec<(String, Direction, Option<Value>)>,
    /// The spans that calls came from.
    parents: Vec<u64>,
    /// How the next calls of a step end, instead of with success.
    orders: BTreeMap<String, Vec<Order>>,
}

/// What is to become of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Refuse,
    Unsent,
    /// It is done, and the answer is lost.
    LoseAnswer,
    /// It never arrives, and nobody answers.
    Swallow,
    /// Making the call panics.
    Panic,
}

impl Shop {
    pub(super) fn order(&self, step: &str, orders: &[Order]) {
        let mut state = self.state.lock().unwrap();
        state.orders.entry(step.to_owned()).or_default().extend(orders.iter().rev());
    }

    /// Which steps of a saga are done, in the services' own ledgers.
    pub(super) fn done(&self, id: SagaId) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let done = state.records.iter().filter(|((of, _), record)| *of == id && **record == Record::Done);
        done.map(|((_, step), _)| step.clone()).collect()
    }

    pub(super) fn calls(&self) -> Vec<(String, Direction)> {
        let state = self.state.lock().unwrap();
        state.calls.iter().map(|(step, direction, _)| (step.clone(), *direction)).collect()
    }

    pub(super) fn parents(&self) -> Vec<u64> {
        self.state.lock().unwrap().parents.clone()
    }

    pub(super) async fn called_to_do(&self, step: &str) {
        self.called(step, Direction::Do).await;
    }

    fn sent(&self, step: &str, direction: Direction) -> Option<Value> {
        let state = self.state.lock().unwrap();
        let found = state.calls.iter().rev().find(|(of, way, _)| of == step && *way == direction);
        found.and_then(|(_, _, input)| input.clone())
    }

    async fn called(&self, step: &str, direction: Direction) {
        loop {
            let changed = self.changed.notified();
            if self.calls().contains(&(step.to_owned(), direction)) {
                return;
            }
            changed.await;
        }
    }

    fn answer(&self, request: &Request) -> Option<Called> {
        let mut state = self.state.lock().unwrap();
        let step = request.step.to_string();
        state.parents.push(request.parent.span);
        state.calls.push((step.clone(), request.direction, request.input.clone()));
        self.changed.notify_waiters();
        let key = format!("{step}/{}", request.direction);
        let order = state.orders.get_mut(&key).or(None).and_then(Vec::pop);
        match order {
            Some(Order::Unsent) => return Some(Err(Outcome::Unsent.into())),
            Some(Order::Swallow) => return None,
            Some(Order::Panic) => {
                drop(state);
                panic!("planted");
            }
            _ => {}
        }
        let record = state.records.entry((request.saga, step.clone())).or_default();
        let ask = match request.direction {
            Direction::Do => Asked::Do(request.round),
            Direction::Undo => Asked::Undo,
        };
        let ok = match arrive(*record, ask) {
            Verdict::Run => order != Some(Order::Refuse),
            Verdict::Repeat | Verdict::NothingToUndo => true,
            Verdict::RepeatRefusal | Verdict::Hanging => false,
        };
        *record = settle(*record, ask, ok);
        match (order, ok) {
            (Some(Order::LoseAnswer), _) => Some(Err(Outcome::Unknown.into())),
            (_, true) => Some(Ok(Some(Data::new(&json!({"id": format!("{step}-1")}).to_string())))),
            (_, false) => Some(Err(Outcome::Refused.into())),
        }
    }
}

impl Participants for Shop {
    fn call(&self, request: Request) -> BoxFuture<'_, Called> {
        Box::pin(async move {
            match self.answer(&request) {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }
}

/// A call with what undoes it, both tried often and at once.
pub(super) fn call(name: &str, after: &[&str], kind: &str) -> Value {
    let action = json!({"service": name, "method": "POST", "path": format!("/{name}")});
    let call = json!({"action": action, "timeout_ms": 60_000});
    let retry = json!({
        "tries": 4,
        "backoff": {"delay": {"fixed": {"delay_ms": 1}}, "jitter": "none", "max_delay_ms": 1}
    });
    let mut step = json!({
        "name": name, "after": after, "kind": kind, "work": {"call": call}, "input": "input", "retry": retry,
    });
    if kind == "compensatable" {
        step["undo"] =
            json!({"action": action, "timeout_ms": 60_000, "input": {"id": "output.id"}, "retry": retry});
    }
    step
}

pub(super) fn saga(name: &str, document: Value) -> Definition {
    let document: SagaDoc = serde_json::from_value(document).unwrap();
    document.to_definition(Namespace::default(), SagaName::new(name).unwrap()).unwrap()
}

/// Two in parallel, then one, the pivot, and one behind it.
pub(super) fn five() -> Definition {
    saga("order", five_steps())
}

pub(super) fn five_steps() -> Value {
    json!({"output": {"order": "steps.order.id", "total": "input.total * 2"}, "steps": [
        call("order", &[], "compensatable"),
        call("payment", &["order"], "compensatable"),
        call("stock", &["order"], "compensatable"),
        call("confirm", &[], "pivot"),
        call("mail", &["confirm"], "retriable"),
    ]})
}

pub(super) fn begin(name: &str, key: Option<&str>) -> Begin {
    Begin {
        namespace: Namespace::default(),
        name: SagaName::new(name).unwrap(),
        input: json!({"total": 7, "customer": "ada"}),
        key: key.map(str::to_owned),
        trace: None,
        kept: None,
        actor: Some(Actor::new("cli:ada").unwrap()),
    }
}

pub(super) fn alone() -> SagaOptions {
    SagaOptions { leases: None, server: ServerId::from_bytes([1; 16]), clock: system_clock() }
}

pub(super) async fn driven(fixture: &Fixture, shop: &Arc<Shop>) -> Sagas {
    let participants: Arc<dyn Participants> = Arc::clone(shop) as _;
    Sagas::start(&fixture.store, participants, alone()).await.unwrap()
}

pub(super) async fn end_of(sagas: &Sagas, id: SagaId) -> View {
    let view = sagas.wait(id, Duration::from_secs(120)).await.unwrap();
    assert!(view.instance.ended().is_some(), "{:?}", view.instance);
    view
}

struct Driven {
    fixture: Fixture,
    shop: Arc<Shop>,
    sagas: Sagas,
}

impl Driven {
    async fn with(definitions: Vec<Definition>) -> Self {
        let (fixture, shop) = (Fixture::new(), Arc::new(Shop::default()));
        let sagas = driven(&fixture, &shop).await;
        for definition in definitions {
            sagas.define(definition, false, None).await.unwrap();
        }
        Self { fixture, shop, sagas }
    }

    async fn begin(&self, name: &str) -> SagaId {
        self.sagas.begin(begin(name, None)).await.unwrap().view.id
    }
}

#[tokio::test]
async fn a_saga_does_all_its_steps_and_answers() {
    let driven = Driven::with(vec![five()]).await;
    let view = end_of(&driven.sagas, driven.begin("order").await).await;
    assert_eq!(view.instance.status(), Status::Completed);
    assert_eq!(view.output, Some(json!({"order": "order-1", "total": 14})));
    assert_eq!(driven.shop.done(view.id), ["confirm", "mail", "order", "payment", "stock"]);
    assert_eq!(driven.sagas.running(), 0);
    let metrics = driven.sagas.metrics();
    let ended = "tenon_sagas_ended_total{saga=\"order\",outcome=\"completed\"} 1";
    assert!(
        metrics.contains("tenon_sagas_started_total{saga=\"order\"} 1") && metrics.contains(ended),
        "{metrics}"
    );
}

#[tokio::test]
async fn what_was_done_is_undone_when_a_step_is_refused_and_gets_what_was_answered() {
    let driven = Driven::with(vec![five()]).await;
    driven.shop.order("confirm/do", &[Order::Refuse]);
    let view = end_of(&driven.sagas, driven.begin("order").await).await;
    assert_eq!(view.instance.status(), Status::Compensated);
    assert!(driven.shop.done(view.id).is_empty());
    let calls = driven.shop.calls();
    assert_eq!(calls.last().unwrap(), &("order".to_owned(), Direction::Undo));
    assert!(!calls.contains(&("mail".to_owned(), Direction::Do)));
    assert_eq!(driven.shop.sent("payment", Direction::Undo), Some(json!({"id": "payment-1"})));
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again_and_a_step_that_may_have_run_is_undone() {
    let driven = Driven::with(vec![five()]).await;
    driven.shop.order("stock/do", &[Order::LoseAnswer, Order::Unsent]);
    let view = end_of(&driven.sagas, driven.begin("order").await).await;
    assert_eq!(view.instance.status(), Status::Completed);
    driven.shop.order("stock/do", &[Order::LoseAnswer; 4]);
    let view = end_of(&driven.sagas, driven.begin("order").await).await;
    assert_eq!(view.instance.status(), Status::Compensated);
    assert!(driven.shop.done(view.id).is_empty());
    assert_eq!(driven.shop.sent("stock", Direction::Undo), Some(json!({"id": null})));
}

#[tokio::test]
async fn starting_again_with_the_same_key_finds_the_first() {
    let driven = Driven::with(vec![five()]).await;
    let first = driven.sagas.begin(begin("order", Some("7"))).await.unwrap();
    let again = driven.sagas.begin(begin("order", Some("7"))).await.unwrap();
    end_of(&driven.sagas, first.view.id).await;
    let late = driven.sagas.begin(begin("order", Some("7"))).await.unwrap();
    assert_eq!((first.existed, again.existed, late.existed), (false, true, true));
    assert_eq!([again.view.id, late.view.id], [first.view.id; 2]);
    assert_eq!(driven.shop.calls().len(), 5);
    let other = driven.sagas.begin(begin("order", Some("8"))).await.unwrap();
    assert_ne!(other.view.id, first.view.id);
}

#[tokio::test]
async fn starting_again_with_the_same_key_and_another_input_is_refused() {
    let driven = Driven::with(vec![five()]).await;
    let with = |input: Value| Begin { input, ..begin("order", Some("7")) };
    let first = driven.sagas.begin(with(json!({"a": 1, "b": 2}))).await.unwrap();
    let same = driven.sagas.begin(with(json!({"b": 2, "a": 1}))).await.unwrap();
    assert_eq!((same.existed, same.view.id), (true, first.view.id));
    let other = driven.sagas.begin(with(json!({"a": 1, "b": 3}))).await.unwrap_err();
    assert_eq!(other.code, Code::SagaIllegal);
    assert!(other.detail.contains("another input"), "{}", other.detail);
}

#[tokio::test]
async fn of_many_that_start_with_one_key_at_once_one_does() {
    let driven = Driven::with(vec![five()]).await;
    let starts = (0..20).map(|_| driven.sagas.begin(begin("order", Some("7"))));
    let begun = futures_util::future::join_all(starts).await;
    let begun: Vec<Begun> = begun.into_iter().map(Result::unwrap).collect();
    assert_eq!(begun.iter().filter(|begun| !begun.existed).count(), 1);
    assert!(begun.iter().all(|it| it.view.id == begun[0].view.id));
}

#[tokio::test]
async fn a_signal_is_waited_for_and_cancelling_undoes() {
    let wait = json!({"name": "approval", "after": ["order"], "work": {"signal": {"name": "approved"}}});
    let steps = json!({"steps": [call("order", &[], "compensatable"), wait], "output": "steps.approval"});
    let driven = Driven::with(vec![saga("order", steps)]).await;
    let name = SignalName::new("approved").unwrap();
    let id = driven.begin("order").await;
    let signal = Input::Signal { name: name.clone(), data: Data::new("{\"by\":\"bob\"}") };
    driven.sagas.tell(id, signal.clone(), None).await.unwrap();
    assert_eq!(end_of(&driven.sagas, id).await.output, Some(json!({"by": "bob"})));
    let late = driven.sagas.tell(id, signal, None).await.unwrap_err();
    assert_eq!(late.code, Code::SagaIllegal);
    let id = driven.begin("order").await;
    driven.sagas.tell(id, Input::Cancel { cause: Cause::Cancelled }, None).await.unwrap();
    assert_eq!(end_of(&driven.sagas, id).await.instance.status(), Status::Compensated);
    assert!(driven.shop.done(id).is_empty());
    let unknown = driven.sagas.view(SagaId::from_bytes([9; 16])).await.unwrap_err();
    assert_eq!(unknown.code, Code::SagaUnknown);
}

#[tokio::test]
async fn a_parked_step_waits_for_somebody_whose_name_is_kept() {
    let driven = Driven::with(vec![five()]).await;
    driven.shop.order("mail/do", &[Order::Refuse; 4]);
    let id = driven.begin("order").await;
    let parked = loop {
        driven.shop.called("mail", Direction::Do).await;
        let view = driven.sagas.view(id).await.unwrap();
        if view.instance.is_parked() {
            break view;
        }
        tokio::task::yield_now().await;
    };
    let step = parked.saga.named("mail").unwrap();
    let page = driven.sagas.list(Filter { states: [Status::Parked].into(), limit: 10, ..Filter::default() });
    assert_eq!(page.await.unwrap().sagas.len(), 1);
    let ada = Actor::new("cli:ada").unwrap();
    let retry = Input::Operator(Operator::Retry(step));
    driven.sagas.tell(id, retry, Some(ada.clone())).await.unwrap();
    assert_eq!(end_of(&driven.sagas, id).await.instance.status(), Status::Completed);
    let history = driven.sagas.history(id).await.unwrap();
    let by_hand = history.iter().find(|entry| matches!(entry.event, Event::Retried { .. })).unwrap();
    assert_eq!(by_hand.actor, Some(ada));
}

#[tokio::test]
async fn what_a_step_that_was_done_by_hand_answers_is_no_longer_than_other_answers() {
    let driven = Driven::with(vec![five()]).await;
    driven.shop.order("mail/do", &[Order::Refuse; 4]);
    let id = driven.begin("order").await;
    while !driven.sagas.view(id).await.unwrap().instance.is_parked() {
        tokio::task::yield_now().await;
    }
    let step = driven.sagas.view(id).await.unwrap().saga.named("mail").unwrap();
    let done = async |bytes: usize| {
        let output = Data::new(&json!("x".repeat(bytes - 2)).to_string());
        driven.sagas.tell(id, Input::Operator(Operator::MarkDone(step, Some(output))), None).await
    };
    let before = driven.sagas.history(id).await.unwrap().len();
    for bytes in [MAX_DATA + 1, 2 << 20] {
        let refusal = done(bytes).await.unwrap_err();
        assert_eq!(refusal.code, Code::RequestInvalid);
        assert_eq!(refusal.detail, format!("data: it has {bytes} bytes; 262144 is the most"));
    }
    assert_eq!(driven.sagas.history(id).await.unwrap().len(), before);
    done(MAX_DATA).await.unwrap();
    assert_eq!(end_of(&driven.sagas, id).await.instance.status(), Status::Completed);
}

#[tokio::test]
async fn a_saga_that_is_a_step_is_run_and_reverted() {
    let child = json!({"name": "pack", "work": {"saga": {"name": "pack"}}, "input": "input", "undo": {}});
    let outer = json!({"steps": [child, call("confirm", &["pack"], "pivot")], "output": "steps.pack.at"});
    let inner = json!({"steps": [call("box", &[], "compensatable")], "output": {"at": "steps.box.id"}});
    let driven = Driven::with(vec![saga("outer", outer), saga("pack", inner)]).await;
    let id = driven.begin("outer").await;
    assert_eq!(end_of(&driven.sagas, id).await.output, Some(json!("box-1")));
    driven.shop.order("confirm/do", &[Order::Refuse]);
    let id = driven.begin("outer").await;
    assert_eq!(end_of(&driven.sagas, id).await.instance.status(), Status::Compensated);
    let filter = Filter { limit: 10, ..Filter::default() };
    let all = driven.sagas.list(filter).await.unwrap().sagas;
    let of = |state: Status| all.iter().filter(|it| it.instance.status() == state).count();
    assert_eq!((all.len(), of(Status::Completed), of(Status::Compensated)), (4, 2, 2));
}

#[tokio::test]
async fn a_saga_that_is_expected_is_waited_for() {
    let driven = Driven::with(Vec::new()).await;
    driven.sagas.expect(Box::new(|_, name| name.as_str() == "order"));
    let starting = |name| {
        let sagas = driven.sagas.clone();
        tokio::spawn(async move { sagas.begin(begin(name, None)).await })
    };
    let (expected, other) = (starting("order"), starting("other"));
    assert_eq!(other.await.unwrap().unwrap_err().code, Code::SagaUnknown);
    driven.sagas.define(five(), true, None).await.unwrap();
    let begun = expected.await.unwrap().unwrap();
    assert_eq!(end_of(&driven.sagas, begun.view.id).await.instance.status(), Status::Completed);
}

#[tokio::test]
async fn sagas_with_the_same_value_run_one_after_the_other() {
    let mut document =
        json!({"serialize_by": "input.customer", "steps": [call("order", &[], "compensatable")]});
    document["steps"][0]["after"] = json!([]);
    let driven = Driven::with(vec![saga("order", document)]).await;
    driven.shop.order("order/do", &[Order::Swallow]);
    let first = driven.begin("order").await;
    driven.shop.called("order", Direction::Do).await;
    let second = driven.begin("order").await;
    let other = Begin { input: json!({"customer": "bob"}), ..begin("order", None) };
    end_of(&driven.sagas, driven.sagas.begin(other).await.unwrap().view.id).await;
    assert!(driven.sagas.view(second).await.unwrap().instance.is_queued());
    driven.sagas.tell(first, Input::Cancel { cause: Cause::Cancelled }, None).await.unwrap();
    // Its call is still under way, and nobody knows of it, until a new owner asks again.
    driven.sagas.stop().await;
    let sagas = self::driven(&driven.fixture, &driven.shop).await;
    end_of(&sagas, first).await;
    assert_eq!(end_of(&sagas, second).await.instance.status(), Status::Completed);
}

#[tokio::test]
async fn a_definition_that_changes_leaves_what_runs_as_it_is() {
    let driven = Driven::with(vec![five()]).await;
    driven.shop.order("mail/do", &[Order::Swallow]);
    let old = driven.begin("order").await;
    driven.shop.called("mail", Direction::Do).await;
    let short = saga("order", json!({"steps": [call("order", &[], "compensatable")]}));
    assert!(driven.sagas.define(short.clone(), false, None).await.unwrap().changed);
    assert!(!driven.sagas.define(short, false, None).await.unwrap().changed);
    driven.sagas.stop().await;
    let sagas = self::driven(&driven.fixture, &driven.shop).await;
    assert_eq!(end_of(&sagas, old).await.saga.len(), 5);
    let new = sagas.begin(begin("order", None)).await.unwrap().view;
    assert_eq!(new.saga.len(), 1);
    let name = SagaName::new("order").unwrap();
    sagas.retire(&Namespace::default(), &name, None).await.unwrap();
    assert_eq!(sagas.begin(begin("order", None)).await.unwrap_err().code, Code::SagaUnknown);
}

#[tokio::test]
async fn one_that_runs_is_found_behind_many_that_began_later() {
    let waits = |signal: &str| {
        let wait = json!({"name": "wait", "work": {"signal": {"name": signal}}});
        saga("order", json!({"steps": [wait]}))
    };
    let driven = Driven::with(vec![waits("old")]).await;
    let old = driven.begin("order").await;
    driven
        .sagas
        .define(saga("order", json!({"steps": [call("a", &[], "compensatable")]})), false, None)
        .await
        .unwrap();
    for _ in 0..10 {
        end_of(&driven.sagas, driven.begin("order").await).await;
    }
    let version = driven.sagas.define(waits("new"), false, None).await.unwrap().version;
    let mut all = vec![old];
    for _ in 0..1_001 {
        all.push(driven.begin("order").await);
    }
    all.reverse();
    let name = SagaName::new("order").unwrap();
    let (former, more) = driven.sagas.former(&Namespace::default(), &name, Some(version)).await.unwrap();
    assert_eq!((former.iter().map(|it| it.id).collect::<Vec<_>>(), more), (vec![old], false));
    let (former, more) = driven.sagas.former(&Namespace::default(), &name, None).await.unwrap();
    assert_eq!((former.iter().map(|it| it.id).collect::<Vec<_>>(), more), (all[..1_000].to_vec(), true));
    let filter = Filter { states: OPEN.into(), limit: 600, ..Filter::default() };
    let page = driven.sagas.list(filter.clone()).await.unwrap();
    let rest = driven.sagas.list(Filter { before: page.next, ..filter }).await.unwrap();
    let found: Vec<SagaId> = page.sagas.iter().chain(&rest.sagas).map(|view| view.id).collect();
    assert_eq!((found == all, rest.next), (true, None));
}

#[tokio::test]
async fn what_cannot_be_made_or_called_is_refused_before_it_begins() {
    let driven = Driven::with(Vec::new()).await;
    let define = |step: Value| {
        let definition = saga("order", json!({"steps": [step]}));
        driven.sagas.define(definition, false, None)
    };
    let mut step = call("order", &[], "compensatable");
    step["input"] = json!("input.");
    let refusal = define(step).await.unwrap_err();
    assert_eq!(refusal.code, Code::SagaInvalid);
    assert!(refusal.detail.starts_with("the input of step `order`: the expression `input.`"), "{refusal}");
    let grpc = json!({"name": "a", "work": {"call": {"action": {"service": "a", "grpc": "a.A/B"}, "timeout_ms": 1}}});
    assert!(define(grpc).await.unwrap_err().detail.contains("`protos` has nothing for `a`"));
}

#[tokio::test]
async fn a_saga_that_would_run_itself_in_the_end_is_refused() {
    let driven = Driven::with(Vec::new()).await;
    let define = |name: &str, child: &str, declared: bool| {
        let step = json!({"name": "child", "work": {"saga": {"name": child}}, "input": "input", "undo": {}});
        driven.sagas.define(saga(name, json!({"steps": [step]})), declared, None)
    };
    assert_eq!(define("a", "a", false).await.unwrap_err().code, Code::SagaInvalid);
    define("a", "b", false).await.unwrap();
    define("b", "c", false).await.unwrap();
    let refusal = define("c", "a", false).await.unwrap_err();
    assert!(refusal.detail.contains("step `child` runs saga `a`, which in the end runs `c`"), "{refusal}");
    define("a", "other", false).await.unwrap();
    define("c", "a", false).await.unwrap();
    // While a manifest is applied, former ones are among new ones.
    define("other", "c", true).await.unwrap();
}

#[tokio::test]
async fn sagas_are_found_by_name_state_key_and_time() {
    let driven =
        Driven::with(vec![five(), saga("other", json!({"steps": [call("a", &[], "compensatable")]}))]).await;
    driven.shop.order("confirm/do", &[Order::Refuse]);
    let undone = driven.begin("order").await;
    end_of(&driven.sagas, undone).await;
    let keyed = driven.sagas.begin(begin("order", Some("k"))).await.unwrap().view.id;
    end_of(&driven.sagas, keyed).await;
    end_of(&driven.sagas, driven.begin("other").await).await;
    let name = || Some(SagaName::new("order").unwrap());
    let all = Filter { namespace: Some(Namespace::default()), limit: 10, ..Filter::default() };
    let ids = async |filter: Filter| -> Vec<SagaId> {
        driven.sagas.list(filter).await.unwrap().sagas.iter().map(|view| view.id).collect()
    };
    assert_eq!(ids(all.clone()).await.len(), 3);
    assert_eq!(ids(Filter { name: name(), ..all.clone() }).await, [keyed, undone]);
    assert_eq!(ids(Filter { name: name(), key: Some("k".to_owned()), ..all.clone() }).await, [keyed]);
    let compensated = Filter { states: [Status::Compensated].into(), ..all.clone() };
    assert_eq!(ids(compensated).await, [undone]);
    assert!(ids(Filter { until: Some(Timestamp::from_millis(1)), ..all.clone() }).await.is_empty());
    let page = driven.sagas.list(Filter { limit: 2, ..all.clone() }).await.unwrap();
    assert_eq!(ids(Filter { before: page.next, ..all.clone() }).await, [undone]);
    // Those that run are told in pages as well, the last to have begun first.
    driven.shop.order("order/do", &[Order::Swallow; 3]);
    let mut running = Vec::new();
    for _ in 0..3 {
        running.push(driven.begin("order").await);
    }
    running.reverse();
    let run = Filter { states: [Status::StepExecuting].into(), limit: 2, ..all };
    let page = driven.sagas.list(run.clone()).await.unwrap();
    assert_eq!(page.sagas.iter().map(|view| view.id).collect::<Vec<_>>(), running[..2]);
    assert_eq!(ids(Filter { before: page.next, ..run }).await, running[2..]);
}
