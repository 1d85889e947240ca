//! A service's own data: a state that is folded from an append-only file which the replicas share.
//!
//! Replicas of one service must agree (or a payment that is tried again at another replica would be taken
//! twice), so every decision is made under an exclusive lock of the file (flock): read what the others
//! appended, decide, append one JSON line, sync it, and only then answer. The lock ends with its process, so
//! a killed replica blocks nobody; the half line that it may leave is cut off by the next one to write.
//!
//! Life cycle: opened once at start, when the whole file is replayed; afterwards only the tail is read.
//! Without a file the state is the process's own, lives as long as it does and is shared with nobody, which
//! is right for one replica only.
//!
//! Left out on purpose: compaction (the services bound how many entities they keep), several hosts (flock is
//! between processes of one), and fairness. A replica that is stopped while it holds the lock makes the
//! others answer 503 until it goes on or ends.

use crate::problem::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// A state that entries change.
pub trait Fold: Default + Send + 'static {
    /// One recorded decision. Its JSON has at most [`MAX_LINE`] bytes.
    type Entry: Serialize + DeserializeOwned + Send;

    /// Takes a recorded entry in. Never fails: what is recorded was decided against the same state.
    fn apply(&mut self, entry: Self::Entry);
}

/// The most bytes of an entry as a JSON line.
pub const MAX_LINE: u64 = 256 << 10;

/// The most operations that wait for the ledger in one process; further ones are refused with 503.
const MAX_WAITING: usize = 256;

/// How long an operation waits for other replicas to release the file.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// How long an operation may take with all its waiting.
const PATIENCE: Duration = Duration::from_secs(5);

/// A shared, durable state. Clones are the same ledger.
pub struct Ledger<S> {
    book: Arc<Mutex<Book<S>>>,
    waiting: Arc<Semaphore>,
}

impl<S> Clone for Ledger<S> {
    fn clone(&self) -> Self {
        Self { book: self.book.clone(), waiting: self.waiting.clone() }
    }
}

impl<S: Fold> Ledger<S> {
    /// Opens `FOLDER/NAME.jsonl`, which is made if it is not there, and replays it; or, without a folder, a
    /// ledger in memory only.
    ///
    /// # Errors
    /// A problem (503) if the file cannot be opened, or holds a line that is no entry.
    pub fn open(folder: Option<&Path>, name: &str) -> Result<Self, Problem> {
        let mut book = Book { state: S::default(), journal: None };
        if let Some(folder) = folder {
            let path = folder.join(format!("{name}.jsonl"));
            book.journal = Some(Journal::open(path).map_err(unavailable)?);
            book.catch_up()?;
        }
        Ok(Self { book: Arc::new(Mutex::new(book)), waiting: Arc::new(Semaphore::new(MAX_WAITING)) })
    }

    /// Shows the state as of now, with everything that any replica had recorded before the call.
    ///
    /// # Errors
    /// A problem (503) if the file cannot be read, or the ledger is too busy.
    pub async fn read<R: Send + 'static>(
        &self,
        view: impl FnOnce(&S) -> R + Send + 'static,
    ) -> Result<R, Problem> {
        self.run(|book| {
            book.catch_up()?;
            Ok(view(&book.state))
        })
        .await
    }

    /// Decides on the present state, records the entry (if the decision is one) and shows the state after.
    /// No replica decides in between. Durable when it returns.
    ///
    /// # Errors
    /// The refusal of `decide`: nothing was recorded. A problem with code `storage.unavailable` (503): the
    /// file failed or the wait was too long, and in the latter case the entry may still be recorded, so the
    /// caller must send the request again with the same idempotency key to know.
    pub async fn decide<R: Send + 'static>(
        &self,
        decide: impl FnOnce(&S) -> Result<Option<S::Entry>, Problem> + Send + 'static,
        view: impl FnOnce(&S) -> R + Send + 'static,
    ) -> Result<R, Problem> {
        self.run(|book| {
            book.decide(decide)?;
            Ok(view(&book.state))
        })
        .await
    }

    async fn run<R: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Book<S>) -> Result<R, Problem> + Send + 'static,
    ) -> Result<R, Problem> {
        let Ok(permit) = self.waiting.clone().try_acquire_owned() else {
            return Err(unavailable("too many requests wait for it"));
        };
        let book = self.book.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            // A panic between two entries leaves a state that is whole, so poison means nothing here.
            operation(&mut book.lock().unwrap_or_else(PoisonError::into_inner))
        });
        match tokio::time::timeout(PATIENCE, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(unavailable(panic)),
            Err(_) => Err(unavailable("it took too long")),
        }
    }
}

struct Book<S> {
    state: S,
    journal: Option<Journal>,
}

impl<S: Fold> Book<S> {
    /// Takes in what other replicas appended.
    fn catch_up(&mut self) -> Result<(), Problem> {
        let Self { state, journal: Some(journal) } = self else { return Ok(()) };
        if !journal.has_grown().map_err(unavailable)? {
            return Ok(());
        }
        // Under a shared lock no append is half done; a half line is a killed replica's and is passed over.
        let _lock = Lock::shared(&journal.file, LOCK_PATIENCE).map_err(unavailable)?;
        journal.replay(state)
    }

    fn decide(
        &mut self,
        decide: impl FnOnce(&S) -> Result<Option<S::Entry>, Problem>,
    ) -> Result<(), Problem> {
        let Self { state, journal } = self;
        let Some(journal) = journal else {
            if let Some(entry) = decide(state)? {
                state.apply(entry);
            }
            return Ok(());
        };
        let _lock = Lock::exclusive(&journal.file, LOCK_PATIENCE).map_err(unavailable)?;
        journal.replay(state)?;
        if let Some(entry) = decide(state)? {
            journal.append(&entry).map_err(unavailable)?;
            state.apply(entry);
        }
        Ok(())
    }
}

/// The file and how far it has been replayed.
struct Journal {
    file: Arc<File>,
    path: PathBuf,
    replayed: u64,
}

impl Journal {
    fn open(path: PathBuf) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        // The file's name must be as durable as what is written to it.
        File::open(folder)?.sync_all()?;
        Ok(Self { file: Arc::new(file), path, replayed: 0 })
    }

    fn has_grown(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.len() != self.replayed)
    }

    /// Applies all whole lines from where the last replay ended. The caller holds the lock.
    fn replay<S: Fold>(&mut self, state: &mut S) -> Result<(), Problem> {
        if !self.has_grown().map_err(unavailable)? {
            return Ok(());
        }
        (&*self.file).seek(SeekFrom::Start(self.replayed)).map_err(unavailable)?;
        let mut reader = BufReader::new(&*self.file);
        let mut line = Vec::new();
        loop {
            line.clear();
            reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(unavailable)?;
            if line.last() != Some(&b'\n') && (line.len() as u64) < MAX_LINE {
                return Ok(());
            }
            let entry = serde_json::from_slice(&line).map_err(|error| self.corrupt(&error))?;
            state.apply(entry);
            self.replayed += line.len() as u64;
        }
    }

    /// Appends one line durably, or leaves the file as it was. The caller holds the exclusive lock and has
    /// replayed everything.
    fn append<E: Serialize>(&mut self, entry: &E) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        if line.len() as u64 > MAX_LINE {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the entry is too large"));
        }
        if self.has_grown()? {
            tracing::warn!(path = %self.path.display(), at = self.replayed, "cut off a half line");
            self.file.set_len(self.replayed)?;
        }
        let written = (&*self.file).write_all(&line).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Nobody may find a line that was never acknowledged; if this fails too, the half line is cut
            // by the next writer, and a whole one is a decision whose answer was lost.
            let _ = self.file.set_len(self.replayed);
            return Err(error);
        }
        self.replayed += line.len() as u64;
        Ok(())
    }

    fn corrupt(&self, error: &serde_json::Error) -> Problem {
        unavailable(format!("{} holds no entry at byte {}: {error}", self.path.display(), self.replayed))
    }
}

/// A lock of the file that ends with this value.
struct Lock(Arc<File>);

impl Lock {
    fn shared(file: &Arc<File>, patience: Duration) -> io::Result<Self> {
        Self::wait(file, patience, File::try_lock_shared)
    }

    fn exclusive(file: &Arc<File>, patience: Duration) -> io::Result<Self> {
        Self::wait(file, patience, File::try_lock)
    }

    /// Tries until the patience is over: flock itself can wait only without end.
    fn wait(
        file: &Arc<File>,
        patience: Duration,
        attempt: fn(&File) -> Result<(), TryLockError>,
    ) -> io::Result<Self> {
        let start = Instant::now();
        loop {
            match attempt(file) {
                Ok(()) => return Ok(Self(file.clone())),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if start.elapsed() < patience => {
                    std::thread::sleep(Duration::from_micros(200));
                }
                Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::error!(%error, "cannot unlock the ledger");
        }
    }
}

fn unavailable(error: impl std::fmt::Display) -> Problem {
    Problem::new(503, "storage.unavailable", format!("the service's ledger cannot be used now: {error}"))
}

#[cfg(test)]
mod tests;
