//! Sagas that cannot be taken up, and keep no other from it.

use super::super::journal::{Writing, append, unchanged};
use super::super::names::{ids_of, stream_of, version_of};
use super::*;
use bytes::Bytes;
use prost::Message;
use tenon_api::saga::{Beginning, Record, v1};
use tenon_core::EventType;
use tenon_core::saga::{Expr, InputOf, start};
use tenon_store::{Log, NewEvent};

async fn define(log: &Arc<dyn Log>, event_type: &str, data: Bytes) {
    let stream = tenon_core::StreamName::new("$tenon/sagas/definitions").unwrap();
    let event = NewEvent::new(Namespace::default(), stream, EventType::new(event_type).unwrap(), data);
    log.append(vec![event], None).await.unwrap();
}

/// A definition as another version of Tenon may have taken it: of its expressions, one is none that this one reads.
fn refused() -> Definition {
    let output = InputOf::Whole(Expr::new("input.total +").unwrap());
    Definition { name: SagaName::new("refused").unwrap(), output, ..five() }
}

/// Defines it, as another version of Tenon may write it down, and begins one of it, as another server would.
async fn by_hand(log: &Arc<dyn Log>, definition: Definition, write: fn(&mut Value)) -> SagaId {
    let version = version_of(&definition);
    let (namespace, name) = (definition.namespace.clone(), definition.name.clone());
    let record = Record::Defined { version, definition: Box::new(definition), declared: false };
    let (event_type, data) = record.encode();
    let mut message = v1::SagaDefined::decode(data).unwrap();
    let mut document = serde_json::from_slice(&message.definition).unwrap();
    write(&mut document);
    message.definition = document.to_string().into();
    define(log, event_type, message.encode_to_vec().into()).await;
    let [id, _] = ids_of(&namespace, &name, "1");
    let begins = tenon_core::saga::Beginning { version, input: Data::new("{}"), seed: 1, queued: false };
    let (_, output) = start(&Saga::new(five()).unwrap(), begins, system_clock()());
    let key = Some("1".to_owned());
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
    append(log, writing.to_events(), unchanged(&[id], Position::START)).await.unwrap();
    id
}

#[tokio::test]
async fn a_version_that_is_refused_by_now_is_told_and_keeps_no_other_from_running() {
    only_its_own_sagas_wait(refused(), |_| {}, "input.total +").await;
}

#[tokio::test]
async fn a_version_that_cannot_even_be_read_is_told_and_keeps_no_other_from_running() {
    let named = || Definition { name: SagaName::new("refused").unwrap(), ..five() };
    only_its_own_sagas_wait(named(), |document| document["deadline_ms"] = json!(0), "deadline").await;
    only_its_own_sagas_wait(named(), |document| document["of_tomorrow"] = json!(1), "of_tomorrow").await;
}

async fn only_its_own_sagas_wait(definition: Definition, write: fn(&mut Value), why: &str) {
    let (fixture, shop) = (Fixture::new(), Arc::new(Shop::default()));
    let early = driven(&fixture, &shop).await;
    early.define(five(), false, None).await.unwrap();
    let id = by_hand(fixture.store.log(), definition, write).await;
    let late = driven(&fixture, &shop).await;
    // Both where it comes while the server runs, and where it is there before.
    for sagas in [&early, &late] {
        let view = sagas.view(id).await.unwrap();
        assert_eq!((view.instance.ended(), view.saga.definition().name.as_str()), (None, "refused"));
        let run = sagas.begin(begin("order", None)).await.unwrap().view.id;
        assert_eq!(end_of(sagas, run).await.instance.status(), Status::Completed);
        let refusal = sagas.begin(begin("refused", None)).await.unwrap_err();
        assert_eq!(refusal.code, Code::SagaInvalid);
        assert!(refusal.detail.contains(why), "{refusal}");
        let told = sagas.tell(id, Input::Cancel { cause: Cause::Cancelled }, None).await.unwrap_err();
        assert_eq!(told.code, Code::SagaInvalid);
    }
    assert!(shop.done(id).is_empty());
    assert!(late.metrics().contains("tenon_sagas_put_off 1\n"), "{}", late.metrics());
    let open = Filter { states: OPEN.into(), limit: 10, ..Filter::default() };
    let listed = late.list(open).await.unwrap().sagas;
    assert!(listed.iter().any(|it| it.id == id && it.put_off.as_ref().is_some_and(|it| it.contains(why))));
    // What is defined anew can be run.
    let anew = Definition { name: SagaName::new("refused").unwrap(), ..five() };
    late.define(anew, false, None).await.unwrap();
    let run = late.begin(begin("refused", None)).await.unwrap().view.id;
    assert_eq!(end_of(&late, run).await.instance.status(), Status::Completed);
}

#[tokio::test]
async fn what_tells_nothing_of_definitions_is_passed_over() {
    let driven = Driven::with(vec![five()]).await;
    let log = driven.fixture.store.log();
    define(log, "tenon.saga.Later.v9", Bytes::new()).await;
    define(log, "tenon.saga.SagaDefined.v1", Bytes::from_static(b"\xff")).await;
    define(log, "tenon.saga.SagaRetired.v1", Bytes::new()).await;
    driven.sagas.define(with_an_approval(), false, None).await.unwrap();
    driven.sagas.define(five(), false, None).await.unwrap();
    let late = self::driven(&driven.fixture, &driven.shop).await;
    for sagas in [&driven.sagas, &late] {
        let id = sagas.begin(begin("order", None)).await.unwrap().view.id;
        assert_eq!(end_of(sagas, id).await.instance.status(), Status::Completed);
    }
}

fn with_an_approval() -> Definition {
    saga("order", json!({"steps": [{"name": "approval", "work": {"signal": {"name": "approved"}}}]}))
}

#[tokio::test]
async fn a_saga_that_cannot_be_read_keeps_no_other_from_being_taken_up() {
    let (fixture, shop) = (Fixture::new(), Arc::new(Shop::default()));
    let early = driven(&fixture, &shop).await;
    early.define(with_an_approval(), false, None).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(early.begin(begin("order", None)).await.unwrap().view.id);
    }
    early.stop().await;
    let event_type = names::event_type(tenon_api::saga::STEPPED);
    let damaged =
        NewEvent::new(Namespace::default(), stream_of(ids[1]), event_type, Bytes::from_static(b"\xff"));
    fixture.log.append(vec![damaged], None).await.unwrap();
    let late = driven(&fixture, &shop).await;
    assert_eq!(late.running(), 2);
    assert!(late.metrics().contains("tenon_sagas_put_off 1\n"), "{}", late.metrics());
    let approved = Input::Signal { name: SignalName::new("approved").unwrap(), data: Data::new("1") };
    late.tell(ids[0], approved, None).await.unwrap();
    assert_eq!(end_of(&late, ids[0]).await.instance.status(), Status::Completed);
}

#[tokio::test]
async fn one_that_has_begun_is_found_by_its_key_when_there_is_no_room_for_another() {
    let (fixture, shop) = (Fixture::new(), Arc::new(Shop::default()));
    let sagas = Sagas::start_most(&fixture.store, shop, alone(), 1).await.unwrap();
    sagas.define(with_an_approval(), false, None).await.unwrap();
    let first = sagas.begin(begin("order", Some("first"))).await.unwrap();
    let again = sagas.begin(begin("order", Some("first"))).await.unwrap();
    assert_eq!((again.view.id, again.existed), (first.view.id, true));
    let other = sagas.begin(begin("order", Some("second"))).await.unwrap_err();
    assert_eq!(other.code, Code::ServerOverloaded);
}

#[tokio::test(start_paused = true)]
async fn sagas_for_which_there_is_no_room_run_as_soon_as_there_is() {
    let (fixture, shop) = (Fixture::new(), Arc::new(Shop::default()));
    let early = driven(&fixture, &shop).await;
    early.define(with_an_approval(), false, None).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(early.begin(begin("order", None)).await.unwrap().view.id);
    }
    early.stop().await;
    let late = Sagas::start_most(&fixture.store, shop, alone(), 2).await.unwrap();
    assert_eq!(late.running(), 2);
    assert!(late.metrics().contains("tenon_sagas_put_off 3\n"), "{}", late.metrics());
    let refusal = late.begin(begin("order", None)).await.unwrap_err();
    assert_eq!(refusal.code, Code::ServerOverloaded);
    let approved = || Input::Signal { name: SignalName::new("approved").unwrap(), data: Data::new("1") };
    while let Some(place) = ids.iter().position(|id| late.shared.handle(*id).is_some()) {
        let id = ids.remove(place);
        late.tell(id, approved(), None).await.unwrap();
        assert_eq!(end_of(&late, id).await.instance.status(), Status::Completed);
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert!(ids.is_empty());
    assert!(late.metrics().contains("tenon_sagas_put_off 0\n"), "{}", late.metrics());
}

#[tokio::test(start_paused = true)]
async fn what_was_defined_is_so_though_it_cannot_be_said_which_run_on_as_before() {
    let (log, store) = log::Slow::new(Duration::ZERO);
    let shop = Arc::new(Shop::default());
    let early = servers::started(&store, &shop, alone()).await;
    early.define(with_an_approval(), false, None).await.unwrap();
    let id = early.begin(begin("order", None)).await.unwrap().view.id;
    early.stop().await;
    let late = Sagas::start_most(&store, shop, alone(), 0).await.unwrap();
    *log.unreadable.lock().unwrap() = Some(stream_of(id));
    let redefined = late.define(five(), false, None).await.unwrap();
    assert!(redefined.changed && redefined.former.is_empty() && redefined.more);
    *log.unreadable.lock().unwrap() = None;
    let anew = Definition { deadline: Some(Duration::from_secs(9)), ..five() };
    let redefined = late.define(anew, false, None).await.unwrap();
    assert_eq!((redefined.former.len(), redefined.more), (1, false));
}
