//! Tenon's log through a server, over gRPC: the server is a process of its own.

use crate::report::Report;
use crate::{Outcome, tenon};
use axum::Extension;
use axum::serve::ListenerExt;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tenon_api::caller::Caller;
use tenon_core::{Actor, Position};
use tenon_flow::{Bus, BusOptions, EventStore, EventStoreOptions};
use tenon_sdk::remote::{RemoteLog, RemoteOptions};
use tenon_store::{Direction, Query, SegmentLog};

/// Serves a log on a free port, which it prints, until standard input ends.
pub(crate) fn serve(folder: &Path) -> Outcome<()> {
    // As many threads as `tenon server` has.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (log, _) = SegmentLog::open(folder)?;
        let store = EventStore::new(log.clone().into_log(), EventStoreOptions::default());
        let bus = Bus::start(&store, BusOptions::default()).await?;
        let router = store.router().merge(bus.router()).layer(Extension(Caller::Admin(Actor::new("bench")?)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("http://{}", listener.local_addr()?);
        // As the server of Tenon does it.
        let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        bus.stop().await;
        serving.abort();
        log.close().await;
        Ok(())
    })
}

/// So many callers, each of which appends one event after the other.
pub(crate) async fn append(folder: &Path, callers: usize, span: Duration, streams: u64) -> Outcome<Report> {
    let server = Server::start(folder)?;
    let log = server.connect().await?.into_log();
    tenon::append_to(&log, callers, span, streams).await
}

/// Reads everything.
pub(crate) async fn replay(folder: &Path) -> Outcome<Report> {
    let server = Server::start(folder)?;
    let log = server.connect().await?;
    let begun = Instant::now();
    let mut pages = log.pages(Query::user(), Position::START, Direction::Forward, None).await?;
    let (mut count, mut bytes) = (0, 0);
    while let Some(page) = pages.next().await? {
        count += page.events.len() as u64;
        bytes += page.events.iter().map(|event| event.data.len() as u64).sum::<u64>();
    }
    Ok(Report { stored: bytes, ..Report::of(count, begun.elapsed()) })
}

/// A server, which ends with this.
pub(crate) struct Server {
    child: Child,
    address: String,
}

impl Server {
    pub(crate) fn start(folder: &Path) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("tenon-serve").arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut address = String::new();
        let out = child.stdout.take().ok_or("the server has no output")?;
        BufReader::new(out).read_line(&mut address)?;
        Ok(Self { child, address: address.trim().to_owned() })
    }

    pub(crate) fn options(&self) -> RemoteOptions {
        RemoteOptions { address: self.address.clone(), token: "bench".into() }
    }

    pub(crate) async fn connect(&self) -> Outcome<RemoteLog> {
        Ok(RemoteLog::connect(&self.options()).await?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its input tells it to end.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
