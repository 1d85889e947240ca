//! Sagas, driven in process: their steps are functions that say yes.

use crate::Outcome;
use crate::report::{Latencies, Report};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tenon_api::system::SagaDoc;
use tenon_core::saga::{Definition, SagaName};
use tenon_core::{Namespace, ServerId};
use tenon_flow::saga::participants::{Called, Participants, Request};
use tenon_flow::saga::{Begin, SagaOptions, Sagas};
use tenon_flow::{EventStore, EventStoreOptions};
use tenon_store::{BoxFuture, SegmentLog, system_clock};

/// How long a saga may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many sagas are begun at a time where none is measured.
const FILLERS: u64 = 256;

struct Yes;

impl Participants for Yes {
    fn call(&self, _: Request) -> BoxFuture<'_, Called> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

/// A log with sagas on it.
struct Driven {
    log: SegmentLog,
    sagas: Sagas,
}

impl Driven {
    async fn open(folder: &Path) -> Outcome<Self> {
        let (log, _) = SegmentLog::open(folder)?;
        let store = EventStore::new(log.clone().into_log(), EventStoreOptions::default());
        let options = SagaOptions { leases: None, server: ServerId::from_bytes([1; 16]), clock: system_clock() };
        let sagas = Sagas::start(&store, Arc::new(Yes), options).await.map_err(|it| it.to_string())?;
        Ok(Self { log, sagas })
    }

    async fn define(&self) -> Outcome<()> {
        for definition in [three()?, waiting()?] {
            self.sagas.define(definition, false, None).await.map_err(|it| it.to_string())?;
        }
        Ok(())
    }

    async fn close(self) {
        self.sagas.stop().await;
        self.log.close().await;
    }
}

/// Three steps, one after the other, each of which is given the number.
fn three() -> Outcome<Definition> {
    let step = |name: &str, after: &[&str]| {
        let action = |path: String| json!({"service": "trip", "method": "POST", "path": path});
        json!({
            "name": name,
            "after": after,
            "work": {"call": {"action": action(format!("/{name}")), "timeout_ms": 5_000}},
            "input": {"number": "input.number"},
            "undo": {"action": action(format!("/undo-{name}")), "timeout_ms": 5_000},
        })
    };
    let steps = json!([step("order", &[]), step("payment", &["order"]), step("stock", &["payment"])]);
    definition("trip", json!({"steps": steps}))
}

/// It waits for what never comes.
fn waiting() -> Outcome<Definition> {
    definition("waiting", json!({"steps": [{"name": "wait", "work": {"signal": {"name": "go"}}}]}))
}

fn definition(name: &str, document: Value) -> Outcome<Definition> {
    let document: SagaDoc = serde_json::from_value(document)?;
    Ok(document.to_definition(Namespace::default(), SagaName::new(name)?)?)
}

fn begin(name: &str, number: u64) -> Outcome<Begin> {
    Ok(Begin {
        namespace: Namespace::default(),
        name: SagaName::new(name)?,
        input: json!({"number": number}),
        key: None,
        trace: None,
        kept: None,
        actor: None,
    })
}

/// So many callers, each of which runs one saga after the other.
pub(crate) async fn run(folder: &Path, callers: u64, span: Duration) -> Outcome<Report> {
    let driven = Driven::open(folder).await?;
    driven.define().await?;
    let begun = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let calling: Vec<_> = (0..callers)
        .map(|_| {
            let (sagas, next) = (driven.sagas.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let mut latencies = Latencies::default();
                while begun.elapsed() < span {
                    let sent = Instant::now();
                    one(&sagas, next.fetch_add(1, Ordering::Relaxed)).await?;
                    latencies.add(sent.elapsed());
                }
                Outcome::Ok(latencies)
            })
        })
        .collect();
    let mut latencies = Latencies::default();
    for caller in calling {
        latencies.extend(caller.await??);
    }
    let report = Report::appended(next.load(Ordering::Relaxed), begun.elapsed(), latencies);
    driven.close().await;
    Ok(report)
}

async fn one(sagas: &Sagas, number: u64) -> Outcome<()> {
    let saga = sagas.begin(begin("trip", number)?).await.map_err(|it| it.to_string())?;
    let ended = sagas.wait(saga.view.id, PATIENCE).await.map_err(|it| it.to_string())?;
    if ended.instance.ended().is_some() { Ok(()) } else { Err("a saga does not end".into()) }
}

/// Runs so many sagas to their end, and leaves others that wait.
pub(crate) async fn fill(folder: &Path, finished: u64, waiting: u64) -> Outcome<Report> {
    let driven = Driven::open(folder).await?;
    driven.define().await?;
    let begun = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let filling: Vec<_> = (0..FILLERS)
        .map(|_| {
            let (sagas, next) = (driven.sagas.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    match next.fetch_add(1, Ordering::Relaxed) {
                        number if number < finished => one(&sagas, number).await?,
                        number if number < finished + waiting => {
                            sagas.begin(begin("waiting", number)?).await.map_err(|it| it.to_string())?;
                        }
                        _ => return Outcome::Ok(()),
                    }
                }
            })
        })
        .collect();
    for filler in filling {
        filler.await??;
    }
    let report = Report::of(finished + waiting, begun.elapsed());
    driven.close().await;
    Ok(report)
}

/// Opens a log with sagas on it, until all that run have been taken up.
pub(crate) async fn open(folder: &Path, running: usize) -> Outcome<Report> {
    let begun = Instant::now();
    let driven = Driven::open(folder).await?;
    while driven.sagas.running() < running {
        if begun.elapsed() > PATIENCE {
            return Err(format!("{} sagas run, of {running}", driven.sagas.running()).into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let report = Report::of(running as u64, begun.elapsed());
    driven.close().await;
    Ok(report)
}
