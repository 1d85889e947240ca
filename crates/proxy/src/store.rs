//! The last snapshot on disk, from which a data plane can start when no server answers.
//!
//! Written beside its place and then moved there, so that a crash leaves the old one or the new one. It holds digests of
//! credentials, so only its owner may read it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use tenon_api::snapshot::{Stored, StoredError};

/// Why there is no snapshot to start from.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The file cannot be read.
    #[error("the snapshot cannot be read")]
    Unreadable(#[from] io::Error),
    /// It does not hold a snapshot that this program knows.
    #[error("the snapshot is not used")]
    Unusable(#[from] StoredError),
}

/// The snapshot in this file; `None` if there is none yet.
pub(crate) fn load(path: &Path) -> Result<Option<Stored>, LoadError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(Stored::from_bytes(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Puts a snapshot of these pieces in this file, durably. On an error the file is as it was.
///
/// Between pieces it steps back, so that it is in nobody's way for long who has to do with requests.
pub(crate) fn save(path: &Path, pieces: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    for piece in pieces {
        file.write_all(&piece)?;
        std::thread::yield_now();
    }
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests;
