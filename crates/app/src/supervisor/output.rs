//! What services print, kept in files of bounded size.
//!
//! Each instance has `logs/INSTANCE.log` and, once that is full, `logs/INSTANCE.log.1` with what came before;
//! older output is dropped. A line is `TIME STREAM TEXT`: RFC 3339, `out` or `err`, and what was printed (cut
//! at [`MAX_LINE`] bytes, invalid UTF-8 replaced). Reading stops while a write is under way, so a service that
//! prints faster than the disk takes it is held back by its own pipe.

use crate::clock;
use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

/// Longer lines are broken here.
pub(crate) const MAX_LINE: u64 = 64 << 10;

/// A file is rotated once it has this many bytes; there are two, so an instance keeps at most twice this.
const MAX_FILE: u64 = 8 << 20;

/// How many instances that have ended keep their files.
const MOST_ENDED: usize = 64;

/// How the names of Tenon's own log files begin; instance ids have no dot.
const OWN_LOGS: &str = "tenon.";

/// One instance's log file.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
}

impl LogFile {
    /// Opens the file to add to it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::with_limit(path, MAX_FILE)
    }

    fn with_limit(path: &Path, limit: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, size, limit })
    }

    /// Adds one line, rotating first if the file is full.
    fn write_line(&mut self, stream: Stream, text: &str) -> io::Result<()> {
        if self.size >= self.limit {
            self.rotate()?;
        }
        let line = format!("{} {} {text}\n", clock::now(), stream.as_str());
        self.size += line.len() as u64;
        self.file.write_all(line.as_bytes())
    }

    fn rotate(&mut self) -> io::Result<()> {
        std::fs::rename(&self.path, rotated(&self.path))?;
        *self = Self::with_limit(&self.path, self.limit)?;
        Ok(())
    }
}

/// Deletes the log files of instances that have ended, but for the newest [`MOST_ENDED`], so that a service that
/// keeps failing does not fill the disk. `runs` says whose files are in use.
pub(crate) fn prune(folder: &Path, runs: impl Fn(&str) -> bool) -> io::Result<()> {
    let mut ended = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(instance) = name.strip_suffix(".log") else { continue };
        if !runs(instance) && !instance.starts_with(OWN_LOGS) {
            ended.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    ended.sort();
    let surplus = ended.len().saturating_sub(MOST_ENDED);
    for (_, path) in ended.into_iter().take(surplus) {
        std::fs::remove_file(rotated(&path)).or_else(ignore_missing)?;
        std::fs::remove_file(path).or_else(ignore_missing)?;
    }
    Ok(())
}

/// The last line in a log file, without its time and stream, if there is one.
pub(crate) fn last_line(log: &Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(2 * MAX_LINE))).ok()?;
    let mut tail = Vec::new();
    file.take(2 * MAX_LINE).read_to_end(&mut tail).ok()?;
    let text = String::from_utf8_lossy(&tail);
    let line = text.lines().rfind(|line| !line.trim().is_empty())?;
    let said = line.splitn(3, ' ').nth(2)?;
    Some(said.strip_prefix("tenon: ").unwrap_or(said).to_owned())
}

fn rotated(path: &Path) -> PathBuf {
    let mut previous = path.to_owned().into_os_string();
    previous.push(".1");
    previous.into()
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Which of a process's two streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Stream {
    fn as_str(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
        }
    }
}

/// Copies a stream into the log file, line by line, until it ends. A disk that fails costs the output, never
/// the service: reading goes on.
pub(crate) async fn capture(source: impl AsyncRead + Unpin, stream: Stream, log: Rc<RefCell<LogFile>>) {
    let mut source = BufReader::new(source);
    let mut line = Vec::new();
    let mut disk_failed = false;
    loop {
        line.clear();
        match (&mut source).take(MAX_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line));
        let written = log.borrow_mut().write_line(stream, &text);
        match written {
            Err(error) if !disk_failed => {
                tracing::error!(%error, "cannot write the output of a service; it is lost until this works again");
                disk_failed = true;
            }
            Err(_) => {}
            Ok(()) => disk_failed = false,
        }
    }
}

#[cfg(test)]
mod tests;
