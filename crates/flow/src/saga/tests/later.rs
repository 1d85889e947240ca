//! Sagas that cannot be taken up, and keep no other from it.

use super::super::journal::{Writing, append, unchanged};
use super::super::names::{ids_of, stream_of, version_of};
use super::*;
use bytes::Bytes;
use tenon_api::saga::{Beginning, Record};
use tenon_core::EventType;
use tenon_core::saga::{Expr, InputOf, start};
use tenon_store::{Log, NewEvent};

/// A definition as another version of Tenon may have taken it: of its expressions, one is none that this one reads.
fn refused() -> Definition {
    let output = InputOf::Whole(Expr::new("input.total +").unwrap());
    Definition { name: SagaName::new("refused").unwrap(), output, ..five() }
}

/// Defines it, and begins one of it, as another server would.
async fn by_hand(log: &Arc<dyn Log>, definition: Definition) -> SagaId {
    let version = version_of(&definition);
    let (namespace, name) = (definition.namespace.clone(), definition.name.clone());
    let record = Record::Defined { version, definition: Box::new(definition), declared: false };
    let (event_type, data) = record.encode();
    let stream = tenon_core::StreamName::new("$tenon/sagas/definitions").unwrap();
    let event = NewEvent::new(Namespace::default(), stream, EventType::new(event_type).unwrap(), data);
    log.append(vec![event], None).await.unwrap();
    let [id, _] = ids_of(&namespace, &name, "1");
    let begins = tenon_core::saga::Beginning { version, input: Data::new("{}"), seed: 1, queued: false };
    let (_, output) = start(&Saga::new(five()).unwrap(), begins, system_clock()());
    let key = Some("1".to_owned());
    let beginning = Beginning { namespace, name, key, turn: None, parent: None, trace: 1, kept: None };
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
    let (fixture, shop) = (Fixture::new(), Arc::new(Shop::default()));
    let early = driven(&fixture, &shop).await;
    early.define(five(), false, None).await.unwrap();
    let id = by_hand(fixture.store.log(), refused()).await;
    let late = driven(&fixture, &shop).await;
    // Both where it comes while the server runs, and where it is there before.
    for sagas in [&early, &late] {
        let view = sagas.view(id).await.unwrap();
        assert_eq!((view.instance.ended(), view.saga.definition().name.as_str()), (None, "refused"));
        let run = sagas.begin(begin("order", None)).await.unwrap().view.id;
        assert_eq!(end_of(sagas, run).await.instance.status(), Status::Completed);
        let refusal = sagas.begin(begin("refused", None)).await.unwrap_err();
        assert_eq!(refusal.code, Code::SagaInvalid);
        assert!(refusal.detail.contains("input.total +"), "{refusal}");
        let told = sagas.tell(id, Input::Cancel { cause: Cause::Cancelled }, None).await.unwrap_err();
        assert_eq!(told.code, Code::SagaInvalid);
    }
    assert!(shop.done(id).is_empty());
    assert!(late.metrics().contains("tenon_sagas_put_off 1\n"), "{}", late.metrics());
}

#[tokio::test]
async fn nobody_waits_for_definitions_that_are_followed_no_further() {
    let driven = Driven::with(vec![five()]).await;
    let stream = tenon_core::StreamName::new("$tenon/sagas/definitions").unwrap();
    let event_type = EventType::new("tenon.saga.Later.v9").unwrap();
    let unknown = NewEvent::new(Namespace::default(), stream, event_type, Bytes::new());
    driven.fixture.log.append(vec![unknown], None).await.unwrap();
    let name = SagaName::new("order").unwrap();
    let refusal = driven.sagas.retire(&Namespace::default(), &name, None).await.unwrap_err();
    assert_eq!(refusal.code, Code::DataNewerVersion);
    let id = driven.begin("order").await;
    assert_eq!(end_of(&driven.sagas, id).await.instance.status(), Status::Completed);
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
