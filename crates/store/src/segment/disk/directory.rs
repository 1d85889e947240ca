//! A folder of the file system, locked for one process.

use super::{Disk, DiskFile};
use crate::log::OpenError;
use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name of the file that the lock is on. It holds the process id of the owner.
const LOCK: &str = "LOCK";

/// A folder of the file system. It is locked for as long as this value exists; the kernel lets go of the
/// lock however the process ends.
#[derive(Debug)]
pub struct DirectoryDisk {
    path: PathBuf,
    directory: File,
    /// None if the folder is only looked at.
    lock: Option<File>,
}

impl DirectoryDisk {
    /// Locks a folder, making it (mode 0700) if it is not there.
    ///
    /// # Errors
    /// [`OpenError::Locked`] names the process that uses it; [`OpenError::Io`] says what failed.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |doing| move |source| OpenError::Io { doing, path: path.to_owned(), source };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed("make the folder of the log"))?;
        let lock = take_lock(path)?;
        let directory = File::open(path).map_err(failed("open the folder of the log"))?;
        Ok(Self { path: path.to_owned(), directory, lock: Some(lock) })
    }

    /// Looks at a folder that is there, without a lock: files can be read, and nothing else.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub fn look_at(path: &Path) -> Result<Self, OpenError> {
        let directory = File::open(path).map_err(|source| OpenError::Io {
            doing: "open the folder of the log",
            path: path.to_owned(),
            source,
        })?;
        Ok(Self { path: path.to_owned(), directory, lock: None })
    }

    fn check_locked(&self) -> io::Result<()> {
        let refusal = || io::Error::new(io::ErrorKind::PermissionDenied, "the folder is only looked at");
        if self.lock.is_some() { Ok(()) } else { Err(refusal()) }
    }
}

impl Disk for DirectoryDisk {
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        fs::read_dir(&self.path)?.map(name).collect()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(self.lock.is_some()).open(self.path.join(name))?;
        Ok(Arc::new(DirectoryFile(file)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.check_locked()?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        Ok(Arc::new(DirectoryFile(options.open(self.path.join(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check_locked()?;
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.check_locked()?;
        fs::remove_file(self.path.join(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.directory.sync_all()
    }
}

#[derive(Debug)]
struct DirectoryFile(File);

impl DiskFile for DirectoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match FileExt::read_at(&self.0, rest, offset + read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        let cached = |buffer: &mut [u8], offset| -> io::Result<Option<usize>> {
            let mut buffers = [io::IoSliceMut::new(buffer)];
            match preadv2(&self.0, &mut buffers, offset, ReadWriteFlags::NOWAIT) {
                Ok(read) => Ok(Some(read)),
                Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(None),
                Err(errno) => Err(errno.into()),
            }
        };
        let Some(read) = cached(buffer, offset)? else { return Ok(None) };
        match buffer.get_mut(read..) {
            // Either the file ends here, or only so much of it is in memory.
            Some(rest) if !rest.is_empty() => {
                Ok(cached(rest, offset + read as u64)?.filter(|more| *more == 0).map(|_| read))
            }
            _ => Ok(Some(read)),
        }
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

/// Lets go of the lock at once: a process that is just being forked has the same open file until it runs its program.
impl Drop for DirectoryDisk {
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            // It goes with the file otherwise.
            let _ = flock(lock, FlockOperation::Unlock);
        }
    }
}

fn take_lock(path: &Path) -> Result<File, OpenError> {
    let file_path = path.join(LOCK);
    let failed = |doing| {
        let path = file_path.clone();
        move |source| OpenError::Io { doing, path, source }
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(&file_path).map_err(failed("open the lock"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut owner = String::new();
            // Whether the owner can be named or not, the refusal is the same.
            let _ = file.read_to_string(&mut owner);
            return Err(OpenError::Locked { path: path.to_owned(), owner: owner.trim().parse().ok() });
        }
        Err(errno) => return Err(failed("take the lock")(errno.into())),
    }
    let owner = format!("{}\n", std::process::id());
    file.set_len(0).and_then(|()| file.write_all(owner.as_bytes())).map_err(failed("write the lock"))?;
    Ok(file)
}

#[cfg(test)]
mod tests;
