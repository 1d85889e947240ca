//! What is remembered of requests, carried on: to the access log and to an OpenTelemetry collector, where the manifest says
//! so. A thread beside the workers reads their rings again and again; so the rings are the bounded buffers, and what a ring
//! has forgotten before it was read is counted as lost. No request waits for a disk or a collector.

mod log;
mod otlp;

use crate::explain::Entry;
use crate::worker::Shared;
use log::AccessFile;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tenon_core::manifest::{AccessLog, Telemetry};
use tenon_telemetry::{Counter, Descriptor};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;

/// How often the rings are read: a ring of 5,000 then loses nothing up to 50,000 requests a second.
const EVERY: Duration = Duration::from_millis(100);

static LOST: Descriptor = Descriptor {
    name: "tenon_telemetry_lost_total",
    help: "Requests that came into neither the access log nor the export though they should, by where.",
    labels: &["to"],
};

/// The thread that reads the rings. Dropped, it lets the thread end by itself; what is not written by then is lost.
pub(crate) struct Followed {
    end: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// Begins to read the rings.
pub(crate) fn spawn(shared: Arc<Shared>) -> io::Result<Followed> {
    let (end, ends) = watch::channel(false);
    let thread = std::thread::Builder::new().name("tenon-proxy-follow".into()).spawn(move || {
        match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime.block_on(follow(shared, ends)),
            Err(error) => tracing::error!(%error, "there is neither an access log nor an export of spans"),
        }
    })?;
    Ok(Followed { end, thread })
}

impl Followed {
    /// The workers have ended: what they left is read, and written where that takes no more than a moment.
    pub(crate) fn finish(self) {
        self.end.send_replace(true);
        if self.thread.join().is_err() {
            tracing::error!("the thread of the access log had panicked");
        }
    }
}

async fn follow(shared: Arc<Shared>, mut ends: watch::Receiver<bool>) {
    let shard = shared.registry.shard();
    let lost = |to: &str| shard.counter(&LOST, &[to]);
    let mut follower = Follower {
        cursors: vec![(0, 0); shared.rings.len()],
        file: None,
        exporter: otlp::Exporter::default(),
        lost_to_log: lost("access-log"),
        lost_to_collector: lost("otlp"),
    };
    loop {
        // A sender that is gone lets it end as well.
        let over = tokio::time::timeout(EVERY, ends.wait_for(|over| *over)).await.is_ok();
        let telemetry = shared.view.load().telemetry();
        follower.read(&shared, &telemetry).await;
        if over {
            let lost = follower.exporter.finish(telemetry.otlp.as_deref()).await;
            return follower.lost_to_collector.add(lost);
        }
    }
}

struct Follower {
    /// How far each worker's shelves have been read.
    cursors: Vec<(u64, u64)>,
    file: Option<AccessFile>,
    exporter: otlp::Exporter,
    lost_to_log: Counter,
    lost_to_collector: Counter,
}

impl Follower {
    async fn read(&mut self, shared: &Shared, telemetry: &Telemetry) {
        let (logs, exports) = (telemetry.access_log != AccessLog::Off, telemetry.otlp.is_some());
        let mut entries = Vec::new();
        for (ring, cursor) in shared.rings.iter().zip(&mut self.cursors) {
            // Where nobody wants to know, the cursor moves on all the same.
            let missed = ring.since(cursor, logs || exports, &mut entries);
            self.lost_to_log.add(if logs { missed } else { 0 });
            self.lost_to_collector.add(if exports { missed } else { 0 });
        }
        entries.sort_by_key(|entry: &Entry| entry.record.at);
        if logs {
            self.write(shared, telemetry.access_log, &entries);
        }
        if let Some(collector) = &telemetry.otlp {
            entries.retain(|entry| entry.record.is_kept());
            let lost = self.exporter.send(collector, entries).await;
            self.lost_to_collector.add(lost);
        }
    }

    fn write(&mut self, shared: &Shared, which: AccessLog, entries: &[Entry]) {
        let Some(path) = &shared.config.access_log else { return };
        let mut wanted =
            entries.iter().filter(|it| which == AccessLog::All || it.record.is_remarkable()).peekable();
        if wanted.peek().is_none() {
            return;
        }
        let text: String = wanted.clone().map(log::line).collect();
        let written = match self.file.as_mut() {
            Some(file) => file.write(&text),
            None => AccessFile::open(path).and_then(|file| self.file.insert(file).write(&text)),
        };
        if let Err(error) = written {
            tracing::warn!(file = %path.display(), %error, "the access log cannot be written");
            self.file = None;
            self.lost_to_log.add(wanted.count() as u64);
        }
    }
}
