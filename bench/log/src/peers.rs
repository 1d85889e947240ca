//! The peers, over TCP: JetStream and Redis streams.

use crate::Outcome;
use crate::events::{self, Random};
use crate::report::{Latencies, Report};
use async_nats::jetstream::{self, consumer, stream};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::future::Future;
use std::time::{Duration, Instant};

/// The name of the stream, and of its subjects' first word.
const STREAM: &str = "bench";

/// Keeps so many appends in flight from one task for a while.
async fn keep_in_flight<F: Future<Output = Outcome<()>>>(
    in_flight: usize,
    span: Duration,
    mut append: impl FnMut(u64, Vec<u8>) -> F,
) -> Outcome<Report> {
    let mut random = Random::new(7_777_777);
    let mut flying = FuturesUnordered::new();
    let mut latencies = Latencies::default();
    let (begun, mut sent, mut count) = (Instant::now(), 0, 0_u64);
    loop {
        while flying.len() < in_flight && begun.elapsed() < span {
            let appending = append(sent, events::data(&mut random));
            let at = Instant::now();
            flying.push(async move { appending.await.map(|()| at.elapsed()) });
            sent += 1;
        }
        let Some(took) = flying.next().await else { break };
        latencies.add(took?);
        count += 1;
    }
    Ok(Report::appended(count, begun.elapsed(), latencies))
}

/// Appends to a JetStream stream in files.
pub(crate) async fn jetstream_append(
    url: &str,
    in_flight: usize,
    span: Duration,
    streams: u64,
) -> Outcome<Report> {
    let client = async_nats::connect(url).await?;
    let context =
        jetstream::context::ContextBuilder::new().max_ack_inflight(in_flight.max(256)).build(client);
    let _ = context.delete_stream(STREAM).await;
    let config = stream::Config {
        name: STREAM.to_owned(),
        subjects: vec![format!("{STREAM}.>")],
        storage: stream::StorageType::File,
        ..stream::Config::default()
    };
    context.create_stream(config).await?;
    keep_in_flight(in_flight, span, |number, data| {
        let context = context.clone();
        async move {
            let subject = format!("{STREAM}.{}", events::stream_of(number, streams));
            context.publish(subject, data.into()).await?.await?;
            Ok(())
        }
    })
    .await
}

/// Reads all that was appended, in order.
pub(crate) async fn jetstream_replay(url: &str) -> Outcome<Report> {
    let context = jetstream::new(async_nats::connect(url).await?);
    let mut stream = context.get_stream(STREAM).await?;
    let wanted = stream.info().await?.state.messages;
    let consumer = stream.create_consumer(consumer::pull::OrderedConfig::default()).await?;
    let begun = Instant::now();
    let mut messages = consumer.messages().await?;
    let (mut count, mut bytes) = (0, 0);
    while count < wanted
        && let Some(message) = messages.next().await
    {
        bytes += message?.payload.len() as u64;
        count += 1;
    }
    Ok(Report { stored: bytes, ..Report::of(count, begun.elapsed()) })
}

/// Consumes what was appended with a durable pull consumer, and acknowledges each by itself.
pub(crate) async fn jetstream_consume(url: &str, span: Duration) -> Outcome<Report> {
    let context = jetstream::new(async_nats::connect(url).await?);
    let stream = context.get_stream(STREAM).await?;
    let _ = stream.delete_consumer("bench").await;
    let config = consumer::pull::Config {
        durable_name: Some("bench".to_owned()),
        ack_policy: consumer::AckPolicy::Explicit,
        max_ack_pending: 1_024,
        ..consumer::pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await?;
    let begun = Instant::now();
    let mut messages = consumer.stream().max_messages_per_batch(1_000).messages().await?;
    let mut count = 0;
    while begun.elapsed() < span {
        match tokio::time::timeout(Duration::from_millis(500), messages.next()).await {
            Ok(Some(message)) => message?.ack().await?,
            _ => break,
        }
        count += 1;
    }
    Ok(Report::of(count, begun.elapsed()))
}

/// Appends to a Redis stream.
pub(crate) async fn redis_append(
    url: &str,
    in_flight: usize,
    span: Duration,
    streams: u64,
) -> Outcome<Report> {
    let connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let _: () = redis::cmd("FLUSHALL").query_async(&mut connection.clone()).await?;
    keep_in_flight(in_flight, span, |number, data| {
        let mut connection = connection.clone();
        async move {
            let name = events::stream_of(number, streams);
            let mut command = redis::cmd("XADD");
            command
                .arg(STREAM)
                .arg("*")
                .arg("stream")
                .arg(name)
                .arg("type")
                .arg(events::TYPE)
                .arg("data")
                .arg(data);
            let _: String = command.query_async(&mut connection).await?;
            Ok(())
        }
    })
    .await
}

/// Reads all that was appended, a thousand at a time.
pub(crate) async fn redis_replay(url: &str) -> Outcome<Report> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let begun = Instant::now();
    let (mut count, mut from) = (0, "-".to_owned());
    loop {
        let mut command = redis::cmd("XRANGE");
        command.arg(STREAM).arg(&from).arg("+").arg("COUNT").arg(1_000);
        let page: Vec<(String, Vec<Vec<u8>>)> = command.query_async(&mut connection).await?;
        let Some((last, _)) = page.last() else { break };
        from = format!("({last}");
        count += page.len() as u64;
    }
    Ok(Report::of(count, begun.elapsed()))
}
