//! The seam between the segment engine and storage: one folder of flat files.
//!
//! [`DirectoryDisk`] is a folder of the file system. [`SimDisk`] keeps its files in memory and does what a
//! real disk is allowed to do, when it is told: lose what was not synced, tear a write, fail a sync, run
//! full, flip a bit.

mod directory;
mod sim;

pub use directory::DirectoryDisk;
pub use sim::{SimDisk, SimFaults};

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// A folder of files. Names are plain: no separators.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Where this is, for messages.
    fn path(&self) -> PathBuf;

    /// The names of all files, in any order.
    ///
    /// # Errors
    /// Whatever storage reports.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens an existing file to read and write.
    ///
    /// # Errors
    /// `NotFound`, and whatever storage reports.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes an empty file, in place of one of that name. Its name is durable after
    /// [`Disk::sync_directory`] only.
    ///
    /// # Errors
    /// Whatever storage reports.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, in place of one of that name, atomically; durable after
    /// [`Disk::sync_directory`] only.
    ///
    /// # Errors
    /// Whatever storage reports.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Handles to it stay usable.
    ///
    /// # Errors
    /// `NotFound`, and whatever storage reports.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names of all files durable.
    ///
    /// # Errors
    /// Whatever storage reports; what is durable is unknown then.
    fn sync_directory(&self) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads from an offset until the buffer is full or the file ends; answers how much was read.
    ///
    /// # Errors
    /// Whatever storage reports.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// As [`DiskFile::read_at`], if what is asked for is in memory already; none if it would have to be waited for, or if
    /// that cannot be told.
    ///
    /// # Errors
    /// Whatever storage reports.
    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        self.read_at(buffer, offset).map(Some)
    }

    /// Writes all of the data at an offset, making the file longer if need be. Durable after
    /// [`DiskFile::sync_data`] only; until then any part of it may be lost in a crash, to the sector.
    ///
    /// # Errors
    /// Whatever storage reports; any part may have been written then.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;

    /// Makes everything written, and the length, durable (`fdatasync`).
    ///
    /// # Errors
    /// Whatever storage reports. What is durable is unknown then, and trying again proves nothing: the
    /// kernel may have dropped what it could not write.
    fn sync_data(&self) -> io::Result<()>;

    /// How many bytes the file has.
    ///
    /// # Errors
    /// Whatever storage reports.
    fn size(&self) -> io::Result<u64>;
}

/// Whether an error means that there is no room, as opposed to storage being broken.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Reads exactly this part of a file.
pub(crate) fn read_exact_at(file: &dyn DiskFile, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; len];
    let read = file.read_at(&mut buffer, offset)?;
    if read < len { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(buffer) }
}

/// Reads a file from an offset to its end.
pub(crate) fn read_to_end_at(file: &dyn DiskFile, offset: u64) -> io::Result<Vec<u8>> {
    let len = file.size()?.saturating_sub(offset);
    read_exact_at(file, offset, usize::try_from(len).map_err(io::Error::other)?)
}
