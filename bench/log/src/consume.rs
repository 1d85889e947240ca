//! A group of consumers, and many subscribers, through a server, over gRPC.

use crate::Outcome;
use crate::events::{self, Random};
use crate::remote::Server;
use crate::report::{Latencies, Report};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tenon_api::bus::{BusServiceClient, v1};
use tenon_api::eventstore::EventStoreServiceClient;
use tenon_api::eventstore::v1::{Query, QueryItem, SubscribeRequest};
use tenon_core::{EventType, Namespace, StreamName};
use tenon_sdk::{Subscriber, SubscriberOptions};
use tenon_store::NewEvent;
use tokio::sync::{Notify, mpsc};

/// How many subscriptions share a connection; a server takes some two hundred streams on each.
const STREAMS: usize = 128;

/// Consumes what was appended by one group of one consumer, and acknowledges each event by itself.
pub(crate) async fn consume(folder: &Path, span: Duration) -> Outcome<Report> {
    let server = Server::start(folder)?;
    let options = server.options();
    let mut client = BusServiceClient::connect(options.address.clone()).await?;
    let of = |name: &str| v1::DeleteRequest { name: name.to_owned(), namespace: String::new() };
    let _ = client.delete(of("bench")).await;
    let start = Some(v1::Start { at: Some(v1::start::At::Beginning(v1::Nothing {})) });
    let definition = v1::Definition { name: "bench".to_owned(), start, ..v1::Definition::default() };
    client.define(v1::DefineRequest { definition: Some(definition) }).await?;
    let mut subscriber = Subscriber::new(&options, "bench", SubscriberOptions::default())?;
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < span {
        match tokio::time::timeout(Duration::from_millis(500), subscriber.recv()).await {
            Ok(delivery) => delivery?.ack(),
            Err(_) => break,
        }
        count += 1;
    }
    Ok(Report::of(count, begun.elapsed()))
}

/// Live subscriptions of one type each, `each` to a type, a hundred or so on a connection: how long from the append until a
/// subscriber has the event, at so many events a second.
pub(crate) async fn fan_out(
    folder: &Path,
    types: usize,
    each: usize,
    per_second: u64,
    span: Duration,
) -> Outcome<Report> {
    let server = Server::start(folder)?;
    let log = server.connect().await?.into_log();
    let (told, mut latencies) = mpsc::unbounded_channel();
    let (ready, all_ready) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let names = |number: usize| EventType::new(&format!("bench.topic-{number}"));
    let begun = Instant::now();
    let mut client = EventStoreServiceClient::connect(server.options().address).await?;
    for number in 0..types * each {
        if number % STREAMS == STREAMS - 1 {
            client = EventStoreServiceClient::connect(server.options().address).await?;
        }
        let item = QueryItem { types: vec![names(number % types)?.to_string()], ..QueryItem::default() };
        let query = Some(Query { items: vec![item], ..Query::default() });
        let mut feed = client.subscribe(SubscribeRequest { query, after: None }).await?.into_inner();
        let (told, ready, all_ready) = (told.clone(), Arc::clone(&ready), Arc::clone(&all_ready));
        tokio::spawn(async move {
            let mut caught_up = false;
            while let Ok(Some(page)) = feed.message().await {
                let is_first = page.caught_up && !std::mem::replace(&mut caught_up, true);
                if is_first && ready.fetch_add(1, Ordering::Relaxed) + 1 == types * each {
                    all_ready.notify_one();
                }
                for event in page.events {
                    let Some(sent) = event.data.get(..8).and_then(|it| it.try_into().ok()) else { continue };
                    let took = begun.elapsed().saturating_sub(Duration::from_nanos(u64::from_le_bytes(sent)));
                    let _ = told.send(took);
                }
            }
        });
    }
    all_ready.notified().await;
    let mut random = Random::new(7);
    let (stream, first) = (StreamName::new("bench/fan-out")?, Instant::now());
    let mut sent = 0_u64;
    while first.elapsed() < span {
        let due = (first.elapsed().as_secs_f64() * per_second as f64) as u64;
        let mut batch = Vec::new();
        while sent < due && batch.len() < 1_024 {
            let mut data = events::data(&mut random);
            let now = begun.elapsed().as_nanos() as u64;
            data.splice(..8, now.to_le_bytes());
            let event_type = names(sent as usize % types)?;
            batch.push(NewEvent::new(Namespace::default(), stream.clone(), event_type, data.into()));
            sent += 1;
        }
        if !batch.is_empty() {
            log.append(batch, None).await?;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (took, mut all, mut count) = (first.elapsed(), Latencies::default(), 0);
    let wanted = sent * each as u64;
    while count < wanted {
        let next = tokio::time::timeout(Duration::from_secs(5), latencies.recv()).await;
        let Ok(Some(latency)) = next else {
            return Err(format!("{count} of {wanted} deliveries came").into());
        };
        all.add(latency);
        count += 1;
    }
    Ok(Report::appended(count, took, all))
}
