//! A server of sagas in a process of its own, on a log on disk or in PostgreSQL; it may be told at which of its appends or calls to die.

use crate::{Result, say};
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tenon_api::saga::Progress;
use tenon_api::system::SagaDoc;
use tenon_backends::{PostgresLog, PostgresOptions};
use tenon_core::saga::{Definition, SagaName};
use tenon_core::{LogId, Namespace, Position, ServerId};
use tenon_flow::saga::participants::{
    Called, HttpAnswer, HttpCall, OverHttp, Participants, Request, Unanswered, Web,
};
use tenon_flow::saga::{Begin, Filter};
use tenon_flow::{EventStore, EventStoreOptions, SagaOptions, Sagas};
use tenon_store::log::{StreamPage, StreamsQuery};
use tenon_store::segment::DirectoryDisk;
use tenon_store::{
    AppendError, Appended, BoxFuture, Condition, Direction, Leases, Log, NewEvent, Page, Query, ReadError,
    SchemaHash, SegmentLog, SegmentOptions, Snapshot, SnapshotError, SnapshotKey, TruncateError,
    new_event_id, system_clock,
};
use tokio::sync::watch;

/// How long a saga may take on a machine with much else to do.
const LONGEST: Duration = Duration::from_secs(180);

/// What a server is to do.
#[derive(Debug, Clone)]
pub(crate) enum Task {
    /// Run one saga to its end.
    One(u64),
    /// Begin so many sagas a second, from this number on, until it is killed.
    Load { from: u64, rate: u64 },
    /// Run whatever is open to its end, and tell all ends.
    Settle,
}

/// Where a server dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Death {
    /// At an append, or else at a call.
    pub(crate) append: bool,
    /// Before it, or else after it.
    pub(crate) before: bool,
    /// Which one, counted from 0.
    pub(crate) at: usize,
}

/// Serves, and tells on its output what it has begun and what has ended.
pub(crate) async fn serve(log: &str, bank: &str, task: Task, death: Option<Death>) -> Result<()> {
    let (log, leases) = open(log).await?;
    let counted = Arc::new(AtomicUsize::new(0));
    let log = Arc::new(Dying { inner: log, death, count: Arc::clone(&counted) });
    let store = EventStore::new(Arc::clone(&log) as _, EventStoreOptions::default());
    let client = reqwest::Client::builder().no_proxy().build()?;
    let services = OverHttp(OverReqwest { client, base: format!("http://127.0.0.1:{bank}") });
    let services = Dying { inner: services, death, count: Arc::default() };
    let server = ServerId::from_bytes(*new_event_id().as_bytes());
    let options = SagaOptions { leases, server, clock: system_clock() };
    let sagas = Sagas::start(&store, Arc::new(services), options).await?;
    sagas.define(order()?, false, None).await?;
    say("ready")?;
    match task {
        Task::One(number) => {
            let id = sagas.begin(begin(number)?).await?.view.id;
            let view = sagas.wait(id, LONGEST).await?;
            say(&format!("ended {number} {id} {:?}", view.instance.status()))?;
            Ok(())
        }
        Task::Load { from, rate } => load(&sagas, from, rate).await,
        Task::Settle => settle(&sagas, &*log).await,
    }
}

async fn open(log: &str) -> Result<(Arc<dyn Log>, Option<Arc<dyn Leases>>)> {
    if log.starts_with("postgres") {
        let log = PostgresLog::open(log, PostgresOptions::default()).await?;
        return Ok((log.clone().into_log(), Some(Arc::new(log))));
    }
    let disk = Arc::new(DirectoryDisk::open(log.as_ref())?);
    Ok((Arc::new(SegmentLog::open_with(disk, SegmentOptions::default())?.0), None))
}

/// Two beside each other, one after them, the pivot, and one behind it.
fn order() -> Result<Definition> {
    let backoff = json!({"delay": {"fixed": {"delay_ms": 100}}, "jitter": "none", "max_delay_ms": 100});
    let retry = json!({"tries": 500, "backoff": backoff});
    let step = |name: &str, after: &[&str], kind: &str| {
        let action = json!({"service": "bank", "method": "POST", "path": format!("/{name}")});
        let mut step = json!({
            "name": name, "after": after, "kind": kind, "input": "input", "retry": retry,
            "work": {"call": {"action": action, "timeout_ms": 5_000}},
        });
        if kind == "compensatable" {
            step["undo"] = json!({"action": action, "timeout_ms": 5_000, "input": "input", "retry": retry});
        }
        step
    };
    let document: SagaDoc = serde_json::from_value(json!({"steps": [
        step("order", &[], "compensatable"),
        step("payment", &[], "compensatable"),
        step("stock", &["order", "payment"], "compensatable"),
        step("confirm", &[], "pivot"),
        step("mail", &["confirm"], "retriable"),
    ]}))?;
    Ok(document.to_definition(Namespace::default(), SagaName::new("order")?)?)
}

/// What the saga of a number moves.
pub(crate) fn amount(number: u64) -> u64 {
    1 + number % 97
}

/// Whether the saga of a number is to complete: of five, one is refused at the pivot and one before it.
pub(crate) fn completes(number: u64) -> bool {
    number % 5 > 1
}

fn begin(number: u64) -> Result<Begin> {
    let mut input = json!({"amount": amount(number)});
    match number % 5 {
        0 => input["refuse"] = json!("confirm"),
        1 => input["refuse"] = json!("stock"),
        2 => input["lose"] = json!("payment"),
        _ => {}
    }
    Ok(Begin {
        namespace: Namespace::default(),
        name: SagaName::new("order")?,
        input,
        key: Some(number.to_string()),
        trace: None,
        actor: None,
    })
}

async fn load(sagas: &Sagas, from: u64, rate: u64) -> Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / rate.max(1)));
    for number in from.. {
        ticks.tick().await;
        let (sagas, begin) = (sagas.clone(), begin(number)?);
        tokio::spawn(async move {
            if sagas.begin(begin).await.is_ok() {
                // Whoever listens may have gone.
                _ = say(&format!("begun {number}"));
            }
        });
    }
    Ok(())
}

/// Waits for every saga's end, and tells them.
async fn settle(sagas: &Sagas, log: &dyn Log) -> Result<()> {
    let mut filter = Filter { limit: 1_000, ..Filter::default() };
    loop {
        let page = sagas.list(filter.clone()).await?;
        for view in page.sagas {
            let view = sagas.wait(view.id, LONGEST).await?;
            let key = view.beginning.key.as_deref().unwrap_or_default();
            say(&format!("ended {key} {} {:?}", view.id, view.instance.status()))?;
        }
        match page.next {
            None => break,
            next => filter.before = next,
        }
    }
    for waited in waits(log).await? {
        say(&format!("taken over {waited}"))?;
    }
    Ok(())
}

/// How long sagas waited from the last that a server did with them to the first that another one did, in order.
async fn waits(log: &dyn Log) -> Result<Vec<u64>> {
    let (mut last, mut waits, mut from) = (HashMap::new(), Vec::new(), Position::START);
    loop {
        let page = log.read(Query::reserved(), from, Direction::Forward, usize::MAX).await?;
        for event in
            page.events.iter().filter(|event| event.stream.as_str().starts_with("$tenon/sagas/runs/"))
        {
            let by = Progress::decode(&event.data)?.server;
            // What nobody's server wrote is for the owner.
            if by == ServerId::from_bytes([0; 16]) {
                continue;
            }
            if let Some((before, at)) = last.insert(event.stream.clone(), (by, event.time))
                && before != by
            {
                waits.push(u64::try_from(event.time.since(at).as_millis())?);
            }
        }
        from = page.next;
        if page.at_end {
            waits.sort_unstable();
            return Ok(waits);
        }
    }
}

/// What counts what goes through it, and dies at one of it.
struct Dying<T> {
    inner: T,
    death: Option<Death>,
    count: Arc<AtomicUsize>,
}

impl<T> Dying<T> {
    /// Which one this is.
    fn next(&self) -> usize {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    fn passes(&self, append: bool, before: bool, at: usize) {
        if self.death == Some(Death { append, before, at }) {
            std::process::abort();
        }
    }
}

impl<P: Participants> Participants for Dying<P> {
    fn call(&self, request: Request) -> BoxFuture<'_, Called> {
        Box::pin(async move {
            let at = self.next();
            self.passes(false, true, at);
            let called = self.inner.call(request).await;
            self.passes(false, false, at);
            called
        })
    }
}

impl Log for Dying<Arc<dyn Log>> {
    fn id(&self) -> LogId {
        self.inner.id()
    }

    fn head(&self) -> Position {
        self.inner.head()
    }

    fn heads(&self) -> watch::Receiver<Position> {
        self.inner.heads()
    }

    fn first(&self) -> Position {
        self.inner.first()
    }

    fn append(
        &self,
        events: Vec<NewEvent>,
        condition: Option<Condition>,
    ) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async move {
            // What is defined is the same each time.
            if !events.iter().any(|event| event.stream.as_str().starts_with("$tenon/sagas/runs/")) {
                return self.inner.append(events, condition).await;
            }
            let at = self.next();
            self.passes(true, true, at);
            let appended = self.inner.append(events, condition).await;
            self.passes(true, false, at);
            appended
        })
    }

    fn read(
        &self,
        query: Query,
        from: Position,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        self.inner.read(query, from, direction, limit)
    }

    fn streams(&self, query: StreamsQuery, limit: usize) -> BoxFuture<'_, Result<StreamPage, ReadError>> {
        self.inner.streams(query, limit)
    }

    fn truncate_before(&self, first: Position) -> BoxFuture<'_, Result<(), TruncateError>> {
        self.inner.truncate_before(first)
    }

    fn put_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<(), SnapshotError>> {
        self.inner.put_snapshot(snapshot)
    }

    fn snapshot(
        &self,
        key: SnapshotKey,
        schema: SchemaHash,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, SnapshotError>> {
        self.inner.snapshot(key, schema)
    }
}

/// The bank, reached without a mesh.
struct OverReqwest {
    client: reqwest::Client,
    base: String,
}

impl Web for OverReqwest {
    fn call(&self, call: HttpCall, _: usize) -> BoxFuture<'_, Result<HttpAnswer, Unanswered>> {
        Box::pin(async move {
            let HttpCall { method, target, headers, body, within, .. } = call;
            let request = self.request(method, &target, headers, body).timeout(within);
            let unanswered = |error: reqwest::Error| match error.is_connect() {
                true => Unanswered::Unsent(error.to_string()),
                false => Unanswered::Lost(error.to_string()),
            };
            let answer = request.send().await.map_err(unanswered)?;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            let body = answer.bytes().await.map_err(unanswered)?;
            Ok(HttpAnswer { status, headers, body })
        })
    }
}

impl OverReqwest {
    fn request(
        &self,
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{target}", self.base)).headers(headers).body(body)
    }
}

/// A death as text, for the environment of a process.
pub(crate) fn written(death: Death) -> Value {
    json!([death.append, death.before, death.at])
}

/// What [`written`] wrote.
pub(crate) fn read(text: &str) -> Result<Death> {
    let (append, before, at) = serde_json::from_str(text)?;
    Ok(Death { append, before, at })
}
