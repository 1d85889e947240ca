//! The commit queue: bounded by bytes, reserved streams first; a committer takes all that waits at once.
//!
//! Each of the two lines has its own bound, so that users who fill theirs do not hold up Tenon's own events.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tenon_store::{AppendError, Appended, Condition, NewEvent};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

/// The unit in which the bound is counted, in bytes.
const UNIT: usize = 1_024;
/// A group is closed when it has this many bytes or events.
const MAX_GROUP_BYTES: usize = 4 << 20;
const MAX_GROUP_EVENTS: usize = 4_096;

/// An append as it was asked for.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) events: Vec<NewEvent>,
    pub(super) condition: Option<Condition>,
}

/// An append that waits, and where its answer goes.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) request: Request,
    pub(super) answer: oneshot::Sender<Result<Appended, AppendError>>,
    /// Its room in the queue, given back when it is answered.
    pub(super) room: OwnedSemaphorePermit,
}

/// What waits for the committer.
#[derive(Debug)]
pub(super) struct Queue {
    lines: Mutex<Lines>,
    filled: Notify,
    reserved_room: Arc<Semaphore>,
    user_room: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Lines {
    reserved: VecDeque<Queued>,
    user: VecDeque<Queued>,
    closed: bool,
}

impl Queue {
    /// A queue whose two lines hold this many bytes each.
    pub(super) fn new(bytes: usize) -> Self {
        let room = || Arc::new(Semaphore::new((bytes / UNIT).max(1)));
        Self { lines: Mutex::default(), filled: Notify::new(), reserved_room: room(), user_room: room() }
    }

    /// Puts an append in its line, when there is room, and waits for its answer.
    pub(super) async fn append(&self, request: Request) -> Result<Appended, AppendError> {
        let reserved = request.events.iter().any(|event| event.stream.is_reserved());
        let room = if reserved { &self.reserved_room } else { &self.user_room };
        let units = size(&request).div_ceil(UNIT) as u32;
        let room = Arc::clone(room).acquire_many_owned(units).await.map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        {
            let mut lines = self.lines();
            if lines.closed {
                return Err(closed());
            }
            let queued = Queued { request, answer, room };
            if reserved { lines.reserved.push_back(queued) } else { lines.user.push_back(queued) }
        }
        self.filled.notify_one();
        answered.await.unwrap_or(Err(AppendError::Unknown("the writer ended")))
    }

    /// What is to be committed next, together; waits until there is something. None when the queue is closed and
    /// empty. For one committer.
    pub(super) async fn take(&self) -> Option<Vec<Queued>> {
        loop {
            {
                let mut lines = self.lines();
                let group = lines.take_group();
                if !group.is_empty() {
                    return Some(group);
                }
                if lines.closed {
                    return None;
                }
            }
            // A permit that was left while nobody waited wakes this at once.
            self.filled.notified().await;
        }
    }

    /// Accepts nothing more. What is queued is still done.
    pub(super) fn close(&self) {
        self.lines().closed = true;
        self.reserved_room.close();
        self.user_room.close();
        self.filled.notify_one();
    }

    /// Whether nothing more is accepted.
    pub(super) fn is_closed(&self) -> bool {
        self.lines().closed
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        // The lines are whole between any two lines of code here.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn take_group(&mut self) -> Vec<Queued> {
        let mut group = Vec::new();
        let (mut bytes, mut events) = (0, 0);
        while bytes < MAX_GROUP_BYTES
            && events < MAX_GROUP_EVENTS
            && let Some(queued) = self.reserved.pop_front().or_else(|| self.user.pop_front())
        {
            bytes += size(&queued.request);
            events += queued.request.events.len();
            group.push(queued);
        }
        group
    }
}

fn size(request: &Request) -> usize {
    request.events.iter().map(NewEvent::size).sum()
}

pub(super) fn closed() -> AppendError {
    AppendError::Closed("it was shut down")
}

#[cfg(test)]
mod tests;
