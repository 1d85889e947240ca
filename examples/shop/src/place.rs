//! Where a service's events are kept, as the environment says.
//!
//! Under Tenon they are in the platform's event store, so that replicas share them. Otherwise, with a data folder,
//! they are in a log of the service's own there, which one process uses at a time; without one they last as long as
//! the process. Nothing else of the service knows which: a log is a log.

use crate::problem::Problem;
use crate::service::{Platform, Settings};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tenon_sdk::CommandError;
use tenon_sdk::remote::{RemoteLog, RemoteOptions};
use tenon_sdk::store::{AppendError, Log, MemoryLog, ReadError, SegmentLog};

/// How long the service waits for a former process to let go of the log, or for the event store to be there.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a request waits for the event store to be there again.
const MOMENT: Duration = Duration::from_millis(1_500);

/// The code of problems that are over when the event store is there again.
pub const AWAY: &str = "storage.away";

/// How long it waits in between.
const PAUSE: Duration = Duration::from_millis(100);

/// The log and a folder for read models.
pub struct Place {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The folder.
    pub models: PathBuf,
    /// Removed with this value.
    _temporary: Option<TempDir>,
}

/// Opens what the settings name.
///
/// # Errors
/// A problem (503) if it cannot be opened within a while.
pub async fn open(settings: &Settings) -> Result<Place, Problem> {
    match (&settings.platform, &settings.data) {
        (Some(platform), _) => temporary(remote(platform).await?),
        (None, Some(data)) => {
            let log = segments(&data.join("log")).await?;
            Ok(Place { log, models: data.join("models"), _temporary: None })
        }
        (None, None) => temporary(MemoryLog::default().into_log()),
    }
}

/// Read models of this process alone, made anew when it starts.
fn temporary(log: Arc<dyn Log>) -> Result<Place, Problem> {
    let folder = tempfile::tempdir().map_err(unavailable)?;
    Ok(Place { log, models: folder.path().to_owned(), _temporary: Some(folder) })
}

async fn remote(platform: &Platform) -> Result<Arc<dyn Log>, Problem> {
    let Platform { address, token } = platform.clone();
    let options = RemoteOptions { address, token };
    let log =
        patiently(|| async { RemoteLog::connect(&options).await.map_err(unavailable) }).await?.into_log();
    tracing::info!(log = %log.id(), head = %log.head(), "connected to the event store");
    Ok(log)
}

async fn segments(folder: &Path) -> Result<Arc<dyn Log>, Problem> {
    std::fs::create_dir_all(folder).map_err(unavailable)?;
    let (log, report) = patiently(|| async { SegmentLog::open(folder).map_err(unavailable) }).await?;
    tracing::info!(log = %report.log, head = %report.head, "opened");
    Ok(log.into_log())
}

/// Tries until it succeeds, or the patience is over.
async fn patiently<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, Problem>
where
    F: Future<Output = Result<T, Problem>>,
{
    let start = Instant::now();
    loop {
        match attempt().await {
            Err(problem) if start.elapsed() < PATIENCE => {
                tracing::info!(%problem, "waiting");
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// While the event store is away a request waits, for a moment: its server may be started again.
#[derive(Debug)]
pub struct Moment(Instant);

impl Moment {
    /// It begins now.
    pub fn begin() -> Self {
        Self(Instant::now())
    }

    /// Whether to try again after this outcome; waits before it says so.
    pub fn again<T>(&self, outcome: &Result<T, Problem>) -> impl Future<Output = bool> + use<T> {
        let wait = matches!(outcome, Err(problem) if problem.code == AWAY) && self.0.elapsed() < MOMENT;
        async move {
            if wait {
                tokio::time::sleep(PAUSE / 4).await;
            }
            wait
        }
    }
}

/// Tries again while the event store is away, for a moment.
macro_rules! when_back {
    ($attempt:expr) => {{
        let moment = $crate::place::Moment::begin();
        loop {
            let outcome = $attempt;
            if !moment.again(&outcome).await {
                break outcome;
            }
        }
    }};
}
pub(crate) use when_back;

/// Why a command or a read came to nothing that was not refused.
pub fn problem<R: std::error::Error>(error: &CommandError<R>) -> Problem {
    let away = matches!(
        error,
        CommandError::Read(ReadError::Unavailable(_))
            | CommandError::Append(AppendError::Unavailable(_) | AppendError::Unknown(_))
    );
    let detail = format!("the service's data cannot be used now: {error}");
    Problem::new(503, if away { AWAY } else { "storage.unavailable" }, detail)
}

fn unavailable(error: impl Display) -> Problem {
    Problem::new(503, "storage.unavailable", format!("the service's log cannot be opened: {error}"))
}
