//! The commit queue: bounded by bytes, reserved streams first; a committer takes all that waits at once.
//!
//! Each of the two lines has its own bound, so that users who fill theirs do not hold up Tenon's own events. There is one
//! committer: a thread ([`Queue::take`]), or a task ([`Queue::next_group`]).
//!
//! Public for engines outside of this crate; whoever uses a log needs nothing of it.

use crate::log::{AppendError, Appended, Condition, NewEvent};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tenon_core::Position;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

/// The unit in which the bound is counted, in bytes.
const UNIT: usize = 1_024;
/// A group is closed when it has this many bytes.
const MAX_GROUP_BYTES: usize = 4 << 20;
/// A group that others are expected to join is waited for no longer than this.
const MOST_WAIT: Duration = Duration::from_micros(500);

/// An append as it was asked for; its bounds have been checked.
#[derive(Debug, Clone)]
pub struct Request {
    /// The events.
    pub events: Vec<NewEvent>,
    /// What must hold.
    pub condition: Option<Condition>,
}

/// What waits for the committer.
#[derive(Debug)]
pub struct Queue {
    lines: Mutex<Lines>,
    most_events: usize,
    /// How long a group that others are expected to join is waited for at most.
    patience: Duration,
    /// For a thread that waits, and for a task.
    filled: Condvar,
    told: Notify,
    reserved_room: Arc<Semaphore>,
    user_room: Arc<Semaphore>,
}

/// A group of appends, or a mark.
#[derive(Debug)]
pub enum Work {
    /// Appends, to be committed together.
    Appends(Vec<Queued>),
    /// A mark, and where the answer goes.
    Mark(Position, oneshot::Sender<Result<(), AppendError>>),
}

/// An append, and where its answer goes.
#[derive(Debug)]
pub struct Queued {
    /// The append.
    pub request: Request,
    /// Where its answer goes.
    pub answer: oneshot::Sender<Result<Appended, AppendError>>,
    /// Its room in the queue, given back when it is answered.
    pub room: OwnedSemaphorePermit,
}

#[derive(Debug, Default)]
struct Lines {
    marks: VecDeque<(Position, oneshot::Sender<Result<(), AppendError>>)>,
    reserved: VecDeque<Queued>,
    user: VecDeque<Queued>,
    closed: bool,
    /// With how many appends waiting the thread is to be woken; none while it does not wait.
    wake_at: Option<usize>,
    /// How many appends the thread took last, and when.
    last: Option<(usize, Instant)>,
}

impl Queue {
    /// A queue whose two lines hold this many bytes each. A group is closed when it has so many events.
    pub fn new(bytes: usize, most_events: usize) -> Self {
        let room = || Arc::new(Semaphore::new((bytes / UNIT).max(1)));
        Self {
            lines: Mutex::new(Lines::default()),
            most_events,
            patience: MOST_WAIT,
            filled: Condvar::new(),
            told: Notify::new(),
            reserved_room: room(),
            user_room: room(),
        }
    }

    /// Puts an append in its line, when there is room, and waits for its answer.
    ///
    /// # Errors
    /// [`AppendError`]: the committer's, or that there is none any more.
    pub async fn append(&self, request: Request) -> Result<Appended, AppendError> {
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
            let line = if reserved { &mut lines.reserved } else { &mut lines.user };
            line.push_back(queued);
            // Waking a thread costs more than adding to what it will take anyway.
            let waiting = lines.appends();
            if lines.wake_at.take_if(|at| waiting >= *at).is_some() {
                self.filled.notify_one();
            }
        }
        self.told.notify_one();
        answered.await.unwrap_or(Err(AppendError::Unknown("the writer ended")))
    }

    /// Asks for a mark and waits until it is set.
    ///
    /// # Errors
    /// As [`Queue::append`].
    pub async fn set_mark(&self, first: Position) -> Result<(), AppendError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut lines = self.lines();
            if lines.closed {
                return Err(closed());
            }
            lines.marks.push_back((first, answer));
        }
        self.wake();
        answered.await.unwrap_or(Err(AppendError::Unknown("the writer ended")))
    }

    /// Accepts nothing more. What is queued is still done.
    pub fn close(&self) {
        self.lines().closed = true;
        self.reserved_room.close();
        self.user_room.close();
        self.wake();
    }

    /// Forgets what is queued; whoever waits for it learns that the answer was lost.
    pub fn clear(&self) {
        let mut lines = self.lines();
        lines.marks.clear();
        lines.reserved.clear();
        lines.user.clear();
    }

    /// What is to be done next; blocks until there is something. None when the queue is closed and empty.
    ///
    /// Those who append again and again come back when they were answered. So a group is waited for until it is as large as
    /// the last one was, and for no longer than that one took: syncing twice for half of them each takes all of them longer.
    /// Whoever appends alone waits for nobody.
    pub fn take(&self) -> Option<Work> {
        let mut lines = self.lines();
        let last = lines.last.filter(|(last, _)| *last > 1);
        let last = last.map(|(last, taken)| (last, taken.elapsed().min(self.patience)));
        while lines.is_empty() && !lines.closed {
            lines = self.sleep(lines, 1, None);
        }
        if let Some((last, took)) = last {
            let ends = Instant::now() + took;
            while !lines.closed && lines.marks.is_empty() && lines.appends() < last && Instant::now() < ends {
                lines = self.sleep(lines, last, Some(ends));
            }
        }
        if let Some((first, answer)) = lines.marks.pop_front() {
            return Some(Work::Mark(first, answer));
        }
        let group = lines.take_group(self.most_events);
        lines.last = Some((group.len(), Instant::now()));
        if group.is_empty() { None } else { Some(Work::Appends(group)) }
    }

    /// Lets the thread sleep until so many appends wait, or until then, or a little less.
    fn sleep<'a>(
        &'a self,
        mut lines: MutexGuard<'a, Lines>,
        appends: usize,
        until: Option<Instant>,
    ) -> MutexGuard<'a, Lines> {
        lines.wake_at = Some(appends);
        let mut lines = match until.map(|until| until.saturating_duration_since(Instant::now())) {
            None => self.filled.wait(lines).unwrap_or_else(PoisonError::into_inner),
            Some(most) => self.filled.wait_timeout(lines, most).unwrap_or_else(PoisonError::into_inner).0,
        };
        lines.wake_at = None;
        lines
    }

    /// The appends that are to be committed next, together; waits until there are some. None when the queue is closed and
    /// empty.
    pub async fn next_group(&self) -> Option<Vec<Queued>> {
        loop {
            {
                let mut lines = self.lines();
                let group = lines.take_group(self.most_events);
                if !group.is_empty() {
                    return Some(group);
                }
                if lines.closed {
                    return None;
                }
            }
            // A permit that was left while nobody waited wakes this at once.
            self.told.notified().await;
        }
    }

    /// Whether nothing more is accepted.
    pub fn is_closed(&self) -> bool {
        self.lines().closed
    }

    fn wake(&self) {
        self.filled.notify_one();
        self.told.notify_one();
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        // The lines are whole between any two lines of code here.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.appends() == 0
    }

    fn appends(&self) -> usize {
        self.reserved.len() + self.user.len()
    }

    fn take_group(&mut self, most_events: usize) -> Vec<Queued> {
        let mut group = Vec::new();
        let (mut bytes, mut events) = (0, 0);
        while bytes < MAX_GROUP_BYTES
            && events < most_events
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

fn closed() -> AppendError {
    AppendError::Closed("it was shut down")
}

#[cfg(test)]
mod tests;
