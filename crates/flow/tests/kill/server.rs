//! A server of sagas in a process of its own, on a log on disk or in PostgreSQL; it may be told at which of its appends or calls to die.

use crate::{Result, say};
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tenon_api::saga::Progress;
use tenon_api::system::SagaDoc;
use tenon_backends::{PostgresLog, PostgresOptions};
use tenon_core::saga::{self, Definition, End, SagaName};
use tenon_core::{LogId, Namespace, Position, ServerId, StreamName};
use tenon_flow::saga::Begin;
use tenon_flow::saga::participants::{
    Called, GrpcAnswer, HttpAnswer, HttpCall, OverHttp, Participants, Request, Unanswered, Web,
};
use tenon_flow::{EventStore, EventStoreOptions, SagaOptions, Sagas};
use tenon_store::log::{StreamPage, StreamsQuery};
use tenon_store::segment::DirectoryDisk;
use tenon_store::{
    AppendError, Appended, BoxFuture, Condition, Direction, Event, Leases, Log, NewEvent, Page, Query,
    ReadError, SchemaHash, SegmentLog, SegmentOptions, Snapshot, SnapshotError, SnapshotKey, TruncateError,
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
    /// It does not die, but stands still there until it is told to continue.
    pub(crate) stands_still: bool,
}

/// What a server says before it stands still.
pub(crate) const STANDS_STILL: &str = "stands still";

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
    say(&format!("server {server}"))?;
    say("ready")?;
    match task {
        Task::One(number) => {
            let id = sagas.begin(begin(number)?).await?.view.id;
            let view = sagas.wait(id, LONGEST).await?;
            say(&format!("ended {number} {id} {:?}", view.instance.status()))?;
            Ok(())
        }
        Task::Load { from, rate } => load(&sagas, from, rate).await,
        Task::Settle => settle(&*log).await,
    }
}

async fn open(log: &str) -> Result<(Arc<dyn Log>, Option<Arc<dyn Leases>>)> {
    if log.starts_with("postgres") {
        let patience = Duration::from_secs(120);
        let log = PostgresLog::open(log, PostgresOptions { patience, ..PostgresOptions::default() }).await?;
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
        kept: None,
        actor: None,
    })
}

async fn load(sagas: &Sagas, from: u64, rate: u64) -> Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / rate.max(1)));
    for number in from.. {
        ticks.tick().await;
        if number % rate == 0 {
            say(&format!("running {}", sagas.running()))?;
        }
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

/// Waits for every saga's end, and tells them, and how long sagas waited for another server.
async fn settle(log: &dyn Log) -> Result<()> {
    let mut told = Instant::now();
    let (mut sagas, mut from, mut moved) =
        (HashMap::<StreamName, Seen>::new(), Position::START, Instant::now());
    loop {
        let page = log.read(Query::reserved(), from, Direction::Forward, usize::MAX).await?;
        for event in page.events.iter().filter(|it| it.stream.as_str().starts_with(RUNS)) {
            moved = Instant::now();
            sagas.entry(event.stream.clone()).or_default().takes(event)?;
        }
        from = page.next;
        let has_ended = || sagas.values().all(|seen| seen.end.is_some());
        if page.at_end && has_ended() {
            break;
        }
        if told.elapsed() > Duration::from_secs(5) {
            told = Instant::now();
            let open = sagas.values().filter(|seen| seen.end.is_none()).count();
            eprintln!("settling: {open} of {} sagas are open at position {from}", sagas.len());
        }
        if moved.elapsed() > LONGEST {
            return Err("some sagas do not end".into());
        }
        if page.at_end {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    for (stream, seen) in sagas {
        let id = stream.as_str().strip_prefix(RUNS).unwrap_or_default();
        for Moved { from, last, first } in seen.moved {
            say(&format!("moved {from} {last} {first}"))?;
        }
        if let Some(end) = seen.end {
            say(&format!("ended {} {id} {end:?}", seen.key))?;
        }
    }
    Ok(())
}

const RUNS: &str = "$tenon/sagas/runs/";

/// What the log has of a saga.
#[derive(Default)]
struct Seen {
    key: String,
    end: Option<End>,
    /// Which server wrote last, and when.
    last: Option<(ServerId, u64)>,
    moved: Vec<Moved>,
}

/// A saga went from one server to another: the last that the one did with it, and the first that the other did; in microseconds of UTC.
struct Moved {
    from: ServerId,
    last: u64,
    first: u64,
}

impl Seen {
    fn takes(&mut self, event: &Event) -> Result<()> {
        let progress = Progress::decode(&event.data)?;
        self.key = progress.beginning.and_then(|it| it.key).unwrap_or(std::mem::take(&mut self.key));
        if let Some(saga::Event::Ended { end }) = progress.events.last() {
            self.end = Some(*end);
        }
        // What nobody's server wrote is for the owner.
        if progress.server != ServerId::from_bytes([0; 16]) {
            let first = event.time.as_micros();
            let before = self.last.replace((progress.server, first));
            let of_another = before.filter(|(server, _)| *server != progress.server);
            self.moved.extend(of_another.map(|(from, last)| Moved { from, last, first }));
        }
        Ok(())
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
        let Some(death) = self.death else { return };
        if (death.append, death.before, death.at) != (append, before, at) {
            return;
        }
        if !death.stands_still || say(STANDS_STILL).is_err() {
            std::process::abort();
        }
        // The whole process, as if the machine had paused it.
        _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
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
            if !events.iter().any(|event| event.stream.as_str().starts_with(RUNS)) {
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

    fn call_grpc(&self, _: HttpCall, _: usize) -> BoxFuture<'_, Result<GrpcAnswer, Unanswered>> {
        Box::pin(async { Err(Unanswered::Unsent("the bank does not speak gRPC".to_owned())) })
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
    json!([death.append, death.before, death.at, death.stands_still])
}

/// What [`written`] wrote.
pub(crate) fn read(text: &str) -> Result<Death> {
    let (append, before, at, stands_still) = serde_json::from_str(text)?;
    Ok(Death { append, before, at, stands_still })
}
