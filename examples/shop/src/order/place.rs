//! Where the orders' events are kept, as the environment says.
//!
//! With a data folder they are in a log of the service's own, which one process uses at a time; without one they
//! last as long as the process. Nothing else of the service knows which: a log is a log.

use crate::problem::Problem;
use crate::service::Settings;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tenon_sdk::store::{Log, MemoryLog, OpenError, SegmentLog};

/// How long the service waits for a former process to let go of the log.
const PATIENCE: Duration = Duration::from_secs(10);

/// The log and a folder for read models.
pub(super) struct Place {
    pub(super) log: Arc<dyn Log>,
    pub(super) models: PathBuf,
    /// Removed with this value.
    _temporary: Option<TempDir>,
}

/// Opens what the settings name.
pub(super) async fn open(settings: &Settings) -> Result<Place, Problem> {
    match &settings.data {
        Some(data) => {
            let log = segments(&data.join("log")).await?;
            Ok(Place { log, models: data.join("models"), _temporary: None })
        }
        None => {
            let folder = tempfile::tempdir().map_err(unavailable)?;
            let (log, models) = (MemoryLog::default().into_log(), folder.path().to_owned());
            Ok(Place { log, models, _temporary: Some(folder) })
        }
    }
}

async fn segments(folder: &Path) -> Result<Arc<dyn Log>, Problem> {
    std::fs::create_dir_all(folder).map_err(unavailable)?;
    let start = Instant::now();
    loop {
        match SegmentLog::open(folder) {
            Ok((log, report)) => {
                tracing::info!(log = %report.log, head = %report.head, "opened");
                return Ok(log.into_log());
            }
            Err(OpenError::Locked { .. }) if start.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(unavailable(error)),
        }
    }
}

fn unavailable(error: impl Display) -> Problem {
    Problem::new(503, "storage.unavailable", format!("the orders' log cannot be opened: {error}"))
}
