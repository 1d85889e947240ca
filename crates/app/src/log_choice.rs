//! Which log a server works on: segment files in the data folder, or a PostgreSQL database.

use crate::cli;
use crate::failure::{Failure, chain};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use tenon_backends::{PostgresLog, PostgresOptions};
use tenon_core::Code;
use tenon_core::retention::Retention;
use tenon_store::segment::{DirectoryDisk, OpenReport, SegmentLog, SegmentOptions};
use tenon_store::{Leases, Log};

/// The variable that holds a database's URL. Neither services nor the data plane see it.
pub(crate) const LOG_URL: &str = "TENON_LOG_URL";

/// A database's URL, which may hold a password: it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct LogUrl(String);

impl LogUrl {
    /// What was chosen: by an option, else by the environment; none for the data folder.
    pub(crate) fn chosen(choice: &cli::LogChoice) -> Result<Option<Self>, Failure> {
        if let Some(url) = &choice.url {
            // Not while options are read: what is wrong with an option is shown with its value.
            check_without_password(url).map_err(|message| Failure::new(Code::RequestInvalid, message))?;
            return Ok(Some(Self(url.clone())));
        }
        if let Some(file) = &choice.file {
            let text = std::fs::read_to_string(file).map_err(|error| {
                let message = format!("cannot read the log's address from {}: {error}", file.display());
                Failure::new(Code::RequestInvalid, message)
            })?;
            return Ok(Some(Self(text.trim().to_owned())));
        }
        let url = std::env::var(LOG_URL).ok().filter(|url| !url.is_empty());
        Ok(url.map(Self))
    }

    /// A database's URL that was typed; none if it is a folder.
    pub(crate) fn given(text: &str) -> Result<Option<Self>, Failure> {
        if !text.contains("://") {
            return Ok(None);
        }
        let refused = "the URL holds a password, which everybody sees who may list processes; say it by PGPASSWORD or ~/.pgpass";
        check_without_password(text).map_err(|_| Failure::new(Code::RequestInvalid, refused.to_owned()))?;
        Ok(Some(Self(text.to_owned())))
    }

    /// The URL itself.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LogUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogUrl(…)")
    }
}

/// Refuses a URL that holds a password.
fn check_without_password(text: &str) -> Result<(), String> {
    let authority = text.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    let in_authority = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    if in_authority || text.contains("password=") {
        return Err(format!(
            "--log holds a password, which everybody sees who may list processes; say it by {LOG_URL} or --log-file"
        ));
    }
    Ok(())
}

/// An open log.
pub(crate) enum OpenLog {
    /// In the data folder; this server is alone on it.
    Segments(SegmentLog),
    /// In a database, maybe with other servers.
    Postgres(PostgresLog),
}

impl OpenLog {
    /// Opens what was chosen.
    pub(crate) async fn open(choice: &cli::LogChoice, folder: &Path) -> Result<Self, Failure> {
        match LogUrl::chosen(choice)? {
            None => open_segments(folder, choice.keep).map(Self::Segments),
            Some(_) if choice.keep.size.is_some() => {
                let message = "--keep-size is for a log in the data folder; one in a database is kept by age (--keep-for) or as a whole";
                Err(Failure::new(Code::RequestInvalid, message.to_owned()))
            }
            Some(url) => {
                let options = PostgresOptions { keep_for: choice.keep.age, ..PostgresOptions::default() };
                let opened = PostgresLog::open(url.secret(), options).await;
                opened.map(Self::Postgres).map_err(|error| Failure::new(error.code(), chain(&error)))
            }
        }
    }

    /// The log.
    pub(crate) fn port(&self) -> Arc<dyn Log> {
        match self {
            Self::Segments(log) => log.clone().into_log(),
            Self::Postgres(log) => log.clone().into_log(),
        }
    }

    /// Leases among the servers on it, where there may be others.
    pub(crate) fn leases(&self) -> Option<Arc<dyn Leases>> {
        match self {
            Self::Segments(_) => None,
            Self::Postgres(log) => Some(Arc::new(log.clone())),
        }
    }

    /// Finishes what is queued, and closes it.
    pub(crate) async fn close(&self) {
        match self {
            Self::Segments(log) => log.close().await,
            Self::Postgres(log) => log.close().await,
        }
    }
}

fn open_segments(folder: &Path, keep: cli::Keep) -> Result<SegmentLog, Failure> {
    let retention = Retention { age: keep.age, bytes: keep.size };
    let options = SegmentOptions { retention, compress_sealed: keep.compress, ..SegmentOptions::default() };
    let disk = Arc::new(DirectoryDisk::open(folder)?);
    let (log, report) = SegmentLog::open_with(disk, options)?;
    tell(&report);
    Ok(log)
}

fn tell(report: &OpenReport) {
    tracing::info!(segments = report.segments, head = %report.head, "the log is open");
    if let Some(cut) = &report.cut {
        tracing::warn!(
            file = cut.file,
            offset = cut.offset,
            bytes = cut.bytes,
            after = %cut.after,
            "a crash had left a torn tail, which was never acknowledged; it was cut"
        );
    }
}

#[cfg(test)]
mod tests;
