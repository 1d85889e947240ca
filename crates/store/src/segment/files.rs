//! Names of the log's files, and a bounded number of open ones.

use super::disk::{Disk, DiskFile};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// How many sealed files are kept open: well below the usual limit of 1,024 for a process.
const MOST_OPEN: usize = 128;

/// How the name of a segment ends.
pub(crate) const SEGMENT: &str = ".seg";
/// How the name of a scavenged segment ends, which takes the place of the segment of the same number.
pub(crate) const KEPT: &str = ".kept";
/// How the name of an index ends, after the whole name of its segment.
pub(crate) const INDEX: &str = ".idx";
/// How the name of a file ends that is not in use yet, and is removed when the log is opened.
pub(crate) const TEMPORARY: &str = ".tmp";
/// How the name of a snapshot ends.
pub(crate) const SNAPSHOT: &str = ".snapshot";

/// The name of a segment.
pub(crate) fn segment(sequence: u64, ending: &str) -> String {
    format!("{sequence:020}{ending}")
}

/// The number in the name of a segment with this ending.
pub(crate) fn sequence(name: &str, ending: &str) -> Option<u64> {
    name.strip_suffix(ending)?.parse().ok()
}

/// Opens files by name and keeps the last used ones open.
#[derive(Debug)]
pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    open: Mutex<VecDeque<(String, Arc<dyn DiskFile>)>>,
}

impl Files {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, open: Mutex::new(VecDeque::new()) }
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(crate) fn get(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        // What is under the lock is whole between any two lines, so a panic elsewhere does no harm.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let found = open.iter().position(|(known, _)| known == name).and_then(|at| open.remove(at));
        let entry = match found {
            Some(entry) => entry,
            None => (name.to_owned(), self.disk.open(name)?),
        };
        let file = Arc::clone(&entry.1);
        open.push_back(entry);
        if open.len() > MOST_OPEN {
            open.pop_front();
        }
        Ok(file)
    }

    /// Closes a file that is about to be replaced or removed.
    pub(crate) fn forget(&self, name: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, _)| known != name);
    }
}
