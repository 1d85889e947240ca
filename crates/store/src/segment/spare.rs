//! Files for segments to come: filled with zeros and synced ahead, so that an append neither waits for
//! blocks nor runs out of them in the middle, and a sync need not write the file's metadata.
//!
//! Life cycle: the committer asks [`Spares::wants`] after each group and has one made by a thread of its own;
//! the roll-over takes it, or makes one itself. What is left over is removed when the log is opened.

use super::disk::{Disk, DiskFile};
use super::files::TEMPORARY;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much is written at a time.
const CHUNK: usize = 1 << 20;

/// At most one spare.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    state: Mutex<State>,
    made: AtomicU64,
}

/// A file full of zeros, durable but for its name.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) name: String,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) size: u64,
}

#[derive(Debug, Default)]
enum State {
    /// There is none.
    #[default]
    None,
    /// One is being made.
    Making,
    Ready(Spare),
    /// The last one could not be made; not to be tried again before the next roll-over.
    Failed,
}

impl Spares {
    /// Whether one should be made. If so the caller must make it.
    pub(crate) fn wants(&self) -> bool {
        let mut state = self.state();
        let wants = matches!(*state, State::None);
        if wants {
            *state = State::Making;
        }
        wants
    }

    /// Makes one, after [`Spares::wants`] answered yes.
    pub(crate) fn make_ahead(&self, disk: &dyn Disk, size: u64) {
        let made = self.make(disk, size);
        *self.state() = made.map_or_else(
            |error| {
                tracing::warn!(%error, "a segment cannot be made ahead; trying again when it is needed");
                State::Failed
            },
            State::Ready,
        );
    }

    /// Tells that the one asked for will not be made.
    pub(crate) fn give_up(&self) {
        *self.state() = State::Failed;
    }

    /// The spare if it is ready and of this size, otherwise a new one.
    pub(crate) fn take(&self, disk: &dyn Disk, size: u64) -> io::Result<Spare> {
        let ready = {
            let mut state = self.state();
            match std::mem::take(&mut *state) {
                State::Ready(spare) if spare.size == size => Some(spare),
                State::Failed => None,
                other => {
                    *state = other;
                    None
                }
            }
        };
        ready.map_or_else(|| self.make(disk, size), Ok)
    }

    fn make(&self, disk: &dyn Disk, size: u64) -> io::Result<Spare> {
        let name = format!("spare-{}{TEMPORARY}", self.made.fetch_add(1, Ordering::Relaxed));
        let made = disk.create(&name).and_then(|file| {
            fill(&*file, size)?;
            Ok(file)
        });
        match made {
            Ok(file) => Ok(Spare { name, file, size }),
            Err(error) => {
                // What cannot be removed now is removed when the log is opened.
                let _ = disk.remove(&name);
                Err(error)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A state is replaced as a whole, so a panic elsewhere leaves none behind that is half made.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fill(file: &dyn DiskFile, size: u64) -> io::Result<()> {
    let zeros = vec![0; CHUNK.min(usize::try_from(size).unwrap_or(CHUNK))];
    let mut at = 0;
    while at < size {
        let chunk = (size - at).min(zeros.len() as u64) as usize;
        file.write_at(zeros.get(..chunk).unwrap_or_default(), at)?;
        at += chunk as u64;
    }
    file.sync_data()
}
