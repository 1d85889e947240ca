use crate::bus::{Bus, BusOptions};
use crate::testing::{Fixture, admin, instance};
use axum::Extension;
use tenon_api::bus::{BusServiceClient, v1};
use tenon_api::caller::Caller;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};

async fn serve(fixture: &Fixture, caller: Caller) -> BusServiceClient<Channel> {
    let bus = Bus::start(&fixture.store, BusOptions::default()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = bus.router().layer(Extension(caller));
    tokio::spawn(async move { axum::serve(listener, router).await });
    BusServiceClient::new(Endpoint::from_shared(address).unwrap().connect().await.unwrap())
}

async fn define(client: &mut BusServiceClient<Channel>) {
    let start = Some(v1::Start { at: Some(v1::start::At::Beginning(v1::Nothing {})) });
    let definition = v1::Definition { name: "all".to_owned(), start, ..v1::Definition::default() };
    client.define(v1::DefineRequest { definition: Some(definition) }).await.unwrap();
}

async fn pull(
    client: &mut BusServiceClient<Channel>,
    most: u32,
) -> (mpsc::Sender<v1::PullRequest>, Streaming<v1::PullResponse>) {
    let (requests, stream) = mpsc::channel(8);
    let join = Some(v1::Join { name: "all".to_owned(), ..v1::Join::default() });
    requests.send(v1::PullRequest { join, most: Some(most), ..v1::PullRequest::default() }).await.unwrap();
    let answers = client.pull(ReceiverStream::new(stream)).await.unwrap().into_inner();
    (requests, answers)
}

async fn take(answers: &mut Streaming<v1::PullResponse>, count: usize) -> Vec<v1::Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.extend(answers.message().await.unwrap().unwrap().deliveries);
    }
    taken
}

fn tickets(deliveries: &[v1::Delivery]) -> Vec<u64> {
    deliveries.iter().map(|delivery| delivery.ticket).collect()
}

fn describe() -> v1::DescribeRequest {
    v1::DescribeRequest { name: "all".to_owned(), ..v1::DescribeRequest::default() }
}

#[tokio::test]
async fn events_are_pulled_and_settled_on_one_stream() {
    let fixture = Fixture::new();
    fixture.append(&["a", "b", "c"]).await;
    let mut client = serve(&fixture, admin()).await;
    define(&mut client).await;
    let (requests, mut answers) = pull(&mut client, 2).await;
    let given = take(&mut answers, 2).await;
    let nack = v1::Nack { ticket: given[0].ticket, delay_micros: Some(0) };
    let settled =
        v1::PullRequest { acks: vec![given[1].ticket], nacks: vec![nack], ..v1::PullRequest::default() };
    requests.send(settled).await.unwrap();
    let more = take(&mut answers, 2).await;
    let first = more.iter().find(|it| it.event.as_ref().unwrap().position.0 == 1).unwrap();
    assert_eq!((more.len(), first.attempt), (2, 2));
    requests.send(v1::PullRequest { acks: tickets(&more), ..v1::PullRequest::default() }).await.unwrap();
    loop {
        let status = client.describe(describe()).await.unwrap().into_inner().status.unwrap();
        if status.counts.unwrap().acked == 3 {
            assert!(status.low >= 3 && status.members == 1);
            break;
        }
    }
}

#[tokio::test]
async fn what_a_caller_leaves_behind_is_given_to_another() {
    let fixture = Fixture::new();
    fixture.append(&["a"]).await;
    let mut client = serve(&fixture, admin()).await;
    define(&mut client).await;
    let (requests, mut answers) = pull(&mut client, 2).await;
    take(&mut answers, 1).await;
    let (_more, mut others) = pull(&mut client, 2).await;
    // It sends no more.
    drop(requests);
    assert_eq!(take(&mut others, 1).await[0].attempt, 2);
    assert!(answers.message().await.unwrap().is_none());
}

#[tokio::test]
async fn refusals_have_their_codes_and_an_instance_sees_its_own_namespace() {
    let fixture = Fixture::new();
    let mut client = serve(&fixture, instance("order.shop")).await;
    let unknown = client.describe(describe()).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert_eq!(unknown.metadata().get("tenon-error").unwrap(), "subscription.unknown");
    assert_eq!(unknown.message(), "there is no subscription all.shop");
    let other = v1::Definition { name: "all".to_owned(), namespace: "bank".to_owned(), ..Default::default() };
    let refused = client.define(v1::DefineRequest { definition: Some(other) }).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    define(&mut client).await;
    let listed = client.list(v1::ListRequest::default()).await.unwrap().into_inner().subscriptions;
    assert_eq!((listed.len(), listed[0].namespace.as_str()), (1, "shop"));
    let settings = Some(v1::Settings { in_flight: Some(0), ..Default::default() });
    let bad = v1::Definition { name: "bad".to_owned(), settings, ..Default::default() };
    let refused = client.define(v1::DefineRequest { definition: Some(bad) }).await.unwrap_err();
    assert_eq!(refused.message(), "the number in flight is 0; it may be from 1 to 65536");
    let later = client.pull(tokio_stream::iter([v1::PullRequest::default()])).await.unwrap_err();
    assert_eq!(later.message(), "join: must come with the first request");
}

#[tokio::test]
async fn a_stream_ends_with_its_subscription() {
    let fixture = Fixture::new();
    let mut client = serve(&fixture, admin()).await;
    define(&mut client).await;
    let (_requests, mut answers) = pull(&mut client, 2).await;
    client.delete(v1::DeleteRequest { name: "all".to_owned(), ..Default::default() }).await.unwrap();
    let ended = answers.message().await.unwrap_err();
    assert_eq!(ended.metadata().get("tenon-error").unwrap(), "subscription.ended");
}
