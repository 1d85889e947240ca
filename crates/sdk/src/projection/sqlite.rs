//! Read models in SQLite, which needs no server: one file for each generation, in a folder of the service's own.
//!
//! The files are in write-ahead mode, so that readers do not wait for the projector, and are not synced with
//! every transaction: after a loss of power a model may be a little further back, as a whole, and goes on from
//! there.

use super::generation::{Made, ReadModels, Room};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tenon_store::BoxFuture;

/// How many transactions read at a time, in each generation; further ones wait.
const READERS: u32 = 4;
/// How long a transaction waits for another's lock.
const PATIENCE: Duration = Duration::from_secs(5);

/// Read models in a folder. One process uses it at a time.
#[derive(Debug)]
pub struct SqliteModels {
    folder: PathBuf,
    scratches: AtomicU64,
}

/// One generation's file.
#[derive(Debug)]
pub struct SqliteRoom {
    file: PathBuf,
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteModels {
    /// Read models in this folder, which is made if it is not there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn in_folder(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder, scratches: AtomicU64::new(0) })
    }

    fn file(&self, name: &str, number: u32) -> PathBuf {
        self.folder.join(format!("{name}.{number}.sqlite"))
    }

    /// The files of a projection with what stands between its name and the ending.
    fn files(&self, name: &str) -> io::Result<Vec<(String, PathBuf)>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let file_name = entry.file_name();
            let middle = file_name.to_str().and_then(|text| {
                text.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(".sqlite").map(str::to_owned)
            });
            files.extend(middle.map(|middle| (middle, entry.path())));
        }
        Ok(files)
    }
}

impl ReadModels for SqliteModels {
    type Database = Sqlite;
    type Room = SqliteRoom;

    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, sqlx::Result<Vec<u32>>> {
        Box::pin(async move {
            let mut numbers = Vec::new();
            for (middle, file) in self.files(name)? {
                match middle.parse() {
                    Ok(number) if SqliteRoom::is_whole(&file).await? => numbers.push(number),
                    // Never committed, or a scratch of a process that ended.
                    _ => remove_files(&file)?,
                }
            }
            numbers.sort_unstable();
            Ok(numbers)
        })
    }

    fn open<'a>(&'a self, name: &'a str, number: u32) -> BoxFuture<'a, sqlx::Result<SqliteRoom>> {
        Box::pin(SqliteRoom::open(self.file(name, number), false))
    }

    fn make<'a>(&'a self, name: &'a str, number: u32) -> BoxFuture<'a, sqlx::Result<Made<SqliteRoom>>> {
        Box::pin(async move {
            let room = SqliteRoom::open(self.file(name, number), true).await?;
            let transaction = room.write().await?;
            Ok((room, transaction))
        })
    }

    fn scratch<'a>(&'a self, name: &'a str) -> BoxFuture<'a, sqlx::Result<Made<SqliteRoom>>> {
        Box::pin(async move {
            let number = self.scratches.fetch_add(1, Ordering::Relaxed);
            let file = self.folder.join(format!("{name}.past-{number}.sqlite"));
            let room = SqliteRoom::open(file, true).await?;
            let transaction = room.write().await?;
            Ok((room, transaction))
        })
    }
}

impl SqliteRoom {
    async fn open(file: PathBuf, create: bool) -> sqlx::Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(create)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(PATIENCE);
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        let options = options.create_if_missing(false).pragma("query_only", "on");
        let readers = SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options);
        Ok(Self { file, writer, readers })
    }

    /// Whether the tables in a file were ever committed.
    async fn is_whole(file: &Path) -> sqlx::Result<bool> {
        let room = Self::open(file.to_owned(), false).await?;
        let tables = sqlx::query("SELECT 1 FROM sqlite_master WHERE name = 'tenon_progress'");
        let found = tables.fetch_optional(&room.writer).await?;
        room.close().await;
        Ok(found.is_some())
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

impl Room for SqliteRoom {
    type Database = Sqlite;

    fn write(&self) -> BoxFuture<'_, sqlx::Result<Transaction<'static, Sqlite>>> {
        Box::pin(self.writer.begin_with("BEGIN IMMEDIATE"))
    }

    fn read(&self) -> BoxFuture<'_, sqlx::Result<Transaction<'static, Sqlite>>> {
        Box::pin(self.readers.begin())
    }

    fn remove(&self) -> BoxFuture<'_, sqlx::Result<()>> {
        Box::pin(async move {
            self.close().await;
            Ok(remove_files(&self.file)?)
        })
    }
}

/// A database's file, and those that SQLite keeps beside it.
fn remove_files(file: &Path) -> io::Result<()> {
    for ending in ["-wal", "-shm", "-journal", ""] {
        let mut path = file.as_os_str().to_owned();
        path.push(ending);
        match std::fs::remove_file(PathBuf::from(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
