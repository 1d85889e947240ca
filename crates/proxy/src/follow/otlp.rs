//! The export of spans to an OpenTelemetry collector: OTLP over HTTP with JSON, in batches.

use crate::explain::Entry;
use crate::pool::chain;
use crate::spans;
use bytes::Bytes;
use http::uri::Authority;
use http::{Request, header};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::error::Error;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// How many hops wait for a collector; the oldest are lost first.
const MOST_WAITING: usize = 20_000;
/// How many hops go in one request.
const BATCH: usize = 1_000;
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a collector that failed is left alone.
const PAUSE: Duration = Duration::from_secs(2);

/// How long the end of the data plane waits for a collector, and how often it looks.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
const LAST_LOOK: Duration = Duration::from_millis(5);

type Failed = Box<dyn Error + Send + Sync>;

/// What waits for a collector, and the request that is under way.
#[derive(Debug, Default)]
pub(super) struct Exporter {
    waiting: VecDeque<Entry>,
    sending: Option<JoinHandle<Result<(), usize>>>,
}

impl Exporter {
    /// Adds hops to what waits, and sends a batch if none is under way. How many hops were lost meanwhile.
    pub(super) async fn send(&mut self, collector: &str, entries: Vec<Entry>) -> u64 {
        self.waiting.extend(entries);
        let surplus = self.waiting.len().saturating_sub(MOST_WAITING);
        self.waiting.drain(..surplus);
        let mut lost = surplus;
        if let Some(sending) = self.sending.take_if(|it| it.is_finished()) {
            lost += sending.await.map_or(BATCH, |sent| sent.err().unwrap_or(0));
        }
        if self.sending.is_none() && !self.waiting.is_empty() {
            let batch: Vec<Entry> = self.waiting.drain(..self.waiting.len().min(BATCH)).collect();
            self.sending = Some(tokio::task::spawn_local(deliver(collector.to_owned(), batch)));
        }
        lost as u64
    }
}

impl Exporter {
    /// Sends what waits, as far as that takes no more than a moment. How many hops were lost.
    pub(super) async fn finish(&mut self, collector: Option<&str>) -> u64 {
        let Some(collector) = collector else { return 0 };
        let all = async {
            while self.sending.is_some() || !self.waiting.is_empty() {
                self.send(collector, Vec::new()).await;
                tokio::time::sleep(LAST_LOOK).await;
            }
        };
        match tokio::time::timeout(LAST_PATIENCE, all).await {
            Ok(()) => 0,
            Err(_) => self.waiting.len() as u64,
        }
    }
}

/// Sends a batch. One that fails is lost, and its size the error.
async fn deliver(collector: String, batch: Vec<Entry>) -> Result<(), usize> {
    let error = match tokio::time::timeout(TIMEOUT, post(&collector, &batch)).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => chain(&*error),
        Err(_) => "no answer in time".to_owned(),
    };
    tracing::warn!(collector, error, spans = batch.len(), "spans are lost: the collector does not take them");
    tokio::time::sleep(PAUSE).await;
    Err(batch.len())
}

async fn post(collector: &str, batch: &[Entry]) -> Result<(), Failed> {
    let authority: Authority = collector.trim_start_matches("http://").parse()?;
    let body = serde_json::to_vec(&spans::to_traces(batch))?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(connection);
    let request = Request::post("/v1/traces")
        .header(header::HOST, authority.as_str())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::from(body)))?;
    let status = sender.send_request(request).await?.status();
    if status.is_success() { Ok(()) } else { Err(format!("it answered {status}").into()) }
}
