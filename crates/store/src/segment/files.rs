//! Names of the log's files, and a bounded number of open ones.

use super::cache::Cache;
use super::disk::{Disk, DiskFile};
use super::packed::PackedFile;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tenon_core::Position;

/// How many sealed files are kept open: well below the usual limit of 1,024 for a process.
const MOST_OPEN: usize = 384;

/// How the name of a segment ends.
pub(crate) const SEGMENT: &str = ".seg";
/// How the name of a scavenged segment ends, which takes the place of the segment of the same number.
pub(crate) const KEPT: &str = ".kept";
/// How the name of a segment ends from which deleted streams were taken out; before it stands, after the segment's number,
/// up to which position deletions were regarded. It takes the place of the segment of the same number.
pub(crate) const LESS: &str = ".less";
/// How the name of a segment ends that is compressed, after the whole name of what it is in the place of.
pub(crate) const PACKED: &str = ".lz4";
/// How the name of an index ends, after the whole name of its segment.
pub(crate) const INDEX: &str = ".idx";
/// How the name of a file with the keys of some segments ends.
pub(crate) const KEYS: &str = ".keys";
/// How the name of a file with the names of the streams of some segments ends.
pub(crate) const NAMES: &str = ".names";
/// How the name of a file ends that is not in use yet, and is removed when the log is opened.
pub(crate) const TEMPORARY: &str = ".tmp";
/// The name of a file that is there while the log is made of a copy: until then it is none.
pub(crate) const RESTORING: &str = "RESTORING";
/// How the name of a snapshot ends.
pub(crate) const SNAPSHOT: &str = ".snapshot";

/// The name of a segment.
pub(crate) fn segment(sequence: u64, ending: &str) -> String {
    format!("{sequence:020}{ending}")
}

/// The name of a segment from which was taken out what had been deleted up to a position.
pub(crate) fn less(sequence: u64, through: Position) -> String {
    format!("{sequence:020}-{:020}{LESS}", through.0)
}

/// What a segment has gone through. A later form takes the place of those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// As it was written.
    Whole,
    /// Without what had been deleted up to a position.
    Less(Position),
    /// Reserved streams only.
    Kept,
}

/// The name of a segment that is not compressed.
pub(crate) fn unpacked(name: &str) -> &str {
    name.strip_suffix(PACKED).unwrap_or(name)
}

/// The number of a segment by its name, and its form; none for other files.
pub(crate) fn form(name: &str) -> Option<(u64, Form)> {
    let name = unpacked(name);
    if let Some(number) = name.strip_suffix(SEGMENT) {
        return Some((number.parse().ok()?, Form::Whole));
    }
    if let Some(number) = name.strip_suffix(KEPT) {
        return Some((number.parse().ok()?, Form::Kept));
    }
    let (number, through) = name.strip_suffix(LESS)?.split_once('-')?;
    Some((number.parse().ok()?, Form::Less(Position(through.parse().ok()?))))
}

/// Opens files by name and keeps the last used ones open; and keeps what was read of them lately.
#[derive(Debug)]
pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    open: Mutex<Open>,
    cache: Cache,
}

#[derive(Debug, Default)]
struct Open {
    files: HashMap<String, Kept>,
    uses: u64,
}

#[derive(Debug)]
struct Kept {
    file: Arc<dyn DiskFile>,
    used: u64,
}

impl Files {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, open: Mutex::default(), cache: Cache::default() }
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    pub(crate) fn get(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        // What is under the lock is whole between any two lines, so a panic elsewhere does no harm.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.uses += 1;
        let used = open.uses;
        if let Some(kept) = open.files.get_mut(name) {
            kept.used = used;
            return Ok(Arc::clone(&kept.file));
        }
        let mut file = self.disk.open(name)?;
        if name.ends_with(PACKED) {
            file = Arc::new(PackedFile::open(file)?);
        }
        open.files.insert(name.to_owned(), Kept { file: Arc::clone(&file), used });
        if open.files.len() > MOST_OPEN {
            // Many at a time, as each is looked at.
            let latest = used.saturating_sub(MOST_OPEN as u64 * 3 / 4);
            open.files.retain(|_, kept| kept.used > latest);
        }
        Ok(file)
    }

    /// Closes a file that is about to be replaced or removed.
    pub(crate) fn forget(&self, name: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).files.remove(name);
    }
}
