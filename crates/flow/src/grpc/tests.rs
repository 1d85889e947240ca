use crate::testing::{Fixture, admin, event, instance};
use crate::{EventStore, EventStoreOptions};
use axum::Extension;
use tenon_api::caller::Caller;
use tenon_api::eventstore::v1::append_result::Result as Answer;
use tenon_api::eventstore::{Event, EventStoreServiceClient, LOG_HEADER, v1};
use tenon_core::Position;
use tenon_store::{Log, new_event_id};
use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

type Client = EventStoreServiceClient<Channel>;

async fn serve(store: &EventStore, caller: Option<Caller>) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = match caller {
        Some(caller) => store.router().layer(Extension(caller)),
        None => store.router(),
    };
    tokio::spawn(async move { axum::serve(listener, router).await });
    EventStoreServiceClient::new(Endpoint::from_shared(address).unwrap().connect().await.unwrap())
}

fn new(stream: &str) -> Event {
    Event {
        id: Some(new_event_id()),
        stream: Some(stream.parse().unwrap()),
        event_type: Some("test.Happened.v1".parse().unwrap()),
        data: "{}".into(),
        ..Event::default()
    }
}

fn append(events: Vec<Event>) -> v1::AppendRequest {
    v1::AppendRequest { events, ..v1::AppendRequest::default() }
}

fn of_streams(prefix: &str) -> Option<v1::Query> {
    let item = v1::QueryItem { prefix: prefix.into(), ..v1::QueryItem::default() };
    Some(v1::Query { items: vec![item], ..v1::Query::default() })
}

async fn read(client: &mut Client, request: v1::ReadRequest) -> Vec<u64> {
    let mut pages = client.read(request).await.unwrap().into_inner();
    let mut positions = Vec::new();
    while let Some(page) = pages.message().await.unwrap() {
        positions.extend(page.events.iter().map(|event| event.position.0));
    }
    positions
}

#[tokio::test]
async fn an_append_expects_versions_and_is_refused_with_code_and_position() {
    let fixture = Fixture::new();
    let mut client = serve(&fixture.store, Some(admin())).await;
    let none = v1::Expected {
        stream: "order/1".into(),
        version: Some(v1::expected::Version::None(v1::Nothing {})),
        ..v1::Expected::default()
    };
    let placing = |event| v1::AppendRequest { expected: vec![none.clone()], ..append(vec![event]) };
    let first = new("order/1");
    let placed = client.append(placing(first.clone())).await.unwrap().into_inner();
    assert_eq!((placed.first, placed.last, placed.duplicate), (1, 1, false));
    assert!(client.append(placing(first)).await.unwrap().into_inner().duplicate);
    let refused = client.append(placing(new("order/1"))).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);
    assert_eq!(refused.metadata().get("tenon-error").unwrap(), "log.conflict");
    assert_eq!(refused.metadata().get("tenon-position").unwrap(), "1");
    let mut bad = new("order/1");
    bad.stream = None;
    let refused = client.append(append(vec![bad])).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "event.stream: is missing"));
}

#[tokio::test]
async fn a_stream_of_appends_is_answered_in_order_each_for_itself() {
    let fixture = Fixture::new();
    let mut client = serve(&fixture.store, Some(admin())).await;
    let (requests, taken) = tokio::sync::mpsc::channel(4);
    let mut answers = client.append_stream(ReceiverStream::new(taken)).await.unwrap().into_inner();
    let sending = tokio::spawn(async move {
        for number in 0..300 {
            // Every seventh is none that is taken.
            let stream = if number % 7 == 0 { "$tenon/no".to_owned() } else { format!("order/{number}") };
            let appends = vec![append(vec![new(&stream)]), append(vec![new("all"), new("all")])];
            requests.send(v1::AppendStreamRequest { appends }).await.unwrap();
        }
    });
    let mut results = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        assert_eq!(answer.sequence, results.len() as u64);
        results.extend(answer.results.into_iter().map(|it| it.result.unwrap()));
    }
    sending.await.unwrap();
    assert_eq!(results.len(), 600);
    let mut last = 0;
    for (number, result) in results.iter().enumerate() {
        match result {
            Answer::Failed(failure) => {
                assert_eq!((number % 14, failure.code.as_str()), (0, "access.forbidden"));
                assert!(!failure.unknown);
            }
            Answer::Appended(appended) => {
                assert_eq!(appended.first, last + 1);
                last = appended.last;
            }
        }
    }
    assert_eq!(Position(last), fixture.log.head());
}

#[tokio::test]
async fn reads_go_both_ways_and_into_the_past() {
    let fixture = Fixture::new();
    let mut client = serve(&fixture.store, Some(admin())).await;
    // At one second, at two, and so on.
    for streams in [["a", "b"], ["b", "a"], ["a", "$tenon/x"], ["c", "a"]] {
        fixture.append(&streams).await;
    }
    let of = |prefix: &str| v1::ReadRequest { query: of_streams(prefix), ..v1::ReadRequest::default() };
    assert_eq!(read(&mut client, of("a")).await, [1, 4, 5, 8]);
    let all = v1::ReadRequest::default;
    assert_eq!(read(&mut client, all()).await, [1, 2, 3, 4, 5, 7, 8]);
    assert_eq!(read(&mut client, v1::ReadRequest { backward: true, limit: 2, ..of("a") }).await, [8, 5]);
    let backward = v1::ReadRequest { backward: true, from: Some(5), ..of("a") };
    assert_eq!(read(&mut client, backward).await, [4, 1]);
    let position = |position| Some(v1::read_request::At::AtPosition(position));
    let time = |seconds: u64| Some(v1::read_request::At::AtTimeMicros(1_000_000 * seconds));
    assert_eq!(read(&mut client, v1::ReadRequest { at: position(4), ..all() }).await, [1, 2, 3, 4]);
    assert_eq!(read(&mut client, v1::ReadRequest { at: time(2), ..all() }).await, [1, 2, 3, 4]);
    let then = v1::ReadRequest { at: time(3), backward: true, limit: 3, ..all() };
    assert_eq!(read(&mut client, then).await, [5, 4, 3]);
    assert!(
        read(&mut client, v1::ReadRequest { from: Some(8), at: position(4), ..of("zzz") }).await.is_empty()
    );
}

#[tokio::test]
async fn a_long_read_is_told_in_pages_without_a_gap() {
    let fixture = Fixture::new();
    for _ in 0..50 {
        fixture.append(&["a"; 100]).await;
    }
    let mut client = serve(&fixture.store, Some(admin())).await;
    let positions = read(&mut client, v1::ReadRequest::default()).await;
    assert!(positions.into_iter().eq(1..=5_000));
    let limited = v1::ReadRequest { limit: 2_500, backward: true, ..v1::ReadRequest::default() };
    assert!(read(&mut client, limited).await.into_iter().eq((2_501..=5_000).rev()));
}

#[tokio::test]
async fn a_subscription_catches_up_says_so_and_goes_on() {
    let fixture = Fixture::new();
    fixture.append(&["a", "b"]).await;
    let mut client = serve(&fixture.store, Some(admin())).await;
    let request = v1::SubscribeRequest { query: of_streams("a"), after: Some(0) };
    let mut events = client.subscribe(request).await.unwrap().into_inner();
    let first = events.message().await.unwrap().unwrap();
    assert_eq!(first.events.len(), 1);
    assert!(first.caught_up);
    assert_eq!(first.position, 2);
    fixture.append(&["b"]).await;
    fixture.append(&["a"]).await;
    let live = events.message().await.unwrap().unwrap();
    assert_eq!(live.events[0].position, Position(4));
    let from_now = v1::SubscribeRequest { query: None, after: None };
    let mut from_now = client.subscribe(from_now).await.unwrap().into_inner();
    let begun = from_now.message().await.unwrap().unwrap();
    assert_eq!((begun.events.len(), begun.position, begun.caught_up), (0, 4, true));
    fixture.store.stop();
    assert!(events.next().await.is_none());
    assert!(from_now.next().await.is_none());
}

#[tokio::test]
async fn another_log_and_an_unknown_caller_are_refused() {
    let fixture = Fixture::new();
    let mut client = serve(&fixture.store, Some(admin())).await;
    let head = |log: String| {
        let mut request = Request::new(v1::HeadRequest {});
        request.metadata_mut().insert(LOG_HEADER, log.parse().unwrap());
        request
    };
    client.head(head(fixture.log.id().to_string())).await.unwrap();
    let other = client.head(head(tenon_store::new_log_id().to_string())).await.unwrap_err();
    assert_eq!(other.metadata().get("tenon-error").unwrap(), "log.other");
    let mut unknown = serve(&fixture.store, None).await;
    assert_eq!(unknown.head(v1::HeadRequest {}).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn an_instance_sees_its_namespace_only() {
    let fixture = Fixture::new();
    let events = ["default", "sales"]
        .map(|namespace| tenon_store::NewEvent { namespace: namespace.parse().unwrap(), ..event("a") });
    fixture.log.append(events.to_vec(), None).await.unwrap();
    let mut client = serve(&fixture.store, Some(instance("order.sales"))).await;
    assert_eq!(read(&mut client, v1::ReadRequest::default()).await, [2]);
    let query = Some(v1::Query { namespace: "default".into(), ..v1::Query::default() });
    let refused = client.read(v1::ReadRequest { query, ..v1::ReadRequest::default() }).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = client.truncate_before(v1::TruncateBeforeRequest { first: 1 }).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn streams_are_bounded() {
    let fixture = Fixture::with(EventStoreOptions { most_streams: 1, ..EventStoreOptions::default() });
    let mut client = serve(&fixture.store, Some(admin())).await;
    let subscribe = || v1::SubscribeRequest { query: None, after: None };
    let open = client.subscribe(subscribe()).await.unwrap();
    let refused = client.subscribe(subscribe()).await.unwrap_err();
    assert_eq!(refused.metadata().get("tenon-error").unwrap(), "server.overloaded");
    drop(open);
}

#[tokio::test]
async fn streams_are_deleted_and_subjects_forgotten() {
    let fixture = Fixture::new();
    let mut client = serve(&fixture.store, Some(admin())).await;
    fixture.append(&["a", "b"]).await;
    let of = |stream: &str| v1::Expected { stream: stream.into(), ..v1::Expected::default() };
    let deletion = |stream| v1::DeleteStreamRequest { stream: Some(stream) };
    let exact = v1::Expected { version: Some(v1::expected::Version::Exact(0)), ..of("a") };
    let refused = client.delete_stream(deletion(exact)).await.unwrap_err();
    assert_eq!(refused.metadata().get("tenon-error").unwrap(), "log.conflict");
    for duplicate in [false, true] {
        let deleted = client.delete_stream(deletion(of("a"))).await.unwrap().into_inner();
        assert_eq!((deleted.last, deleted.duplicate), (3, duplicate));
    }
    assert_eq!(read(&mut client, v1::ReadRequest::default()).await, [2, 3]);
    // The fixture keeps no keys.
    let forget = v1::ForgetSubjectRequest { subject: "c-7".into(), ..v1::ForgetSubjectRequest::default() };
    let refused = client.forget_subject(forget.clone()).await.unwrap_err();
    assert_eq!(refused.metadata().get("tenon-error").unwrap(), "request.invalid");
    let mut other = serve(&fixture.store, Some(instance("order.sales"))).await;
    assert_eq!(other.forget_subject(forget).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(
        other.delete_stream(deletion(of("b"))).await.unwrap_err().metadata().get("tenon-error").unwrap(),
        "access.forbidden"
    );
}
