//! What became of the last requests, kept for whoever asks why.
//!
//! Each worker has a [`Ring`] with two shelves, so that a flood of requests that went well does not push out the few that
//! did not. A [`Record`] holds what the request's story held; it becomes text when somebody asks. A worker never waits for
//! a reader: while one looks, what is to be remembered waits beside the shelf, and the next who comes there, worker or reader,
//! puts it in.

use crate::correlation::Trace;
use crate::metrics::Labels;
use http::Method;
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;
use tenon_api::explain::{Attempt, Explanation, Hop};
use tenon_core::{Address, Code, InstanceId, RequestId, Revision, Timestamp};

/// Characters of a text from outside that are remembered.
const LONGEST_TEXT: usize = 200;

/// What may wait while a reader looks; what comes after it is forgotten.
const MOST_WAITING: usize = 1_024;

/// What is remembered of one request at one gateway or sidecar.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) trace: Trace,
    /// Whether it took so long that its span is kept in any case.
    pub(crate) slow: bool,
    /// Of the response's body.
    pub(crate) bytes: u64,
    pub(crate) labels: Labels,
    pub(crate) sidecar: Option<InstanceId>,
    pub(crate) at: Timestamp,
    pub(crate) duration: Duration,
    pub(crate) method: Method,
    pub(crate) status: u16,
    pub(crate) why: Why,
    pub(crate) policy: Option<Cow<'static, str>>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) revision: Option<Revision>,
    /// Every attempt, if one went wrong.
    pub(crate) attempts: Vec<Attempt>,
    /// The only attempt, if it went well.
    pub(crate) served: Option<Served>,
}

/// Why a request ended as it did.
#[derive(Debug, Clone)]
pub(crate) enum Why {
    /// The service answered with this status, and this one of gRPC.
    Answered { status: u16, grpc: Option<u8> },
    /// Tenon refused it or gave it up.
    Failed { code: Code, reason: String },
    /// The caller went away before the end.
    CallerLeft,
}

/// An attempt that went well at once.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) instance: Option<InstanceId>,
    pub(crate) address: Address,
    pub(crate) after: Duration,
    pub(crate) duration: Duration,
    pub(crate) status: u16,
}

/// One worker's memory of requests.
pub(crate) struct Ring {
    /// Those that were refused, retried, failed or given up by their callers, or were slow.
    remarkable: Shared,
    /// The others.
    ordinary: Shared,
}

/// A shelf of a worker and of those who look.
struct Shared {
    shelf: Mutex<Shelf>,
    /// What came while somebody looked. Locked for no longer than to put something there or to take it all.
    late: Mutex<Vec<Entry>>,
    has_late: AtomicBool,
}

/// The last so many; the oldest makes room for the newest.
#[derive(Debug)]
struct Shelf {
    capacity: usize,
    slots: Vec<Entry>,
    /// Where the next goes once all slots are in use.
    oldest: usize,
    /// How many were ever put there.
    count: u64,
}

/// A record with what it is found by.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) request: RequestId,
    pub(crate) record: Record,
    /// On a shelf, its room is used again by the next record in the same place.
    pub(crate) path: String,
}

/// A worker's side of its ring.
pub(crate) struct Recorder {
    ring: Arc<Ring>,
}

impl Record {
    /// Whether whoever looks for what went wrong would want to see it.
    pub(crate) fn is_remarkable(&self) -> bool {
        let well = matches!(self.why, Why::Answered { .. }) && self.status < 500 && self.attempts.len() <= 1;
        self.slow || !well
    }

    /// Whether it is a span that is kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.trace.sampled || self.is_remarkable()
    }

    pub(crate) fn to_hop(&self, path: &str) -> Hop {
        let mut attempts = self.attempts.clone();
        if attempts.is_empty() {
            attempts.extend(self.served.as_ref().map(Served::to_attempt));
        }
        Hop {
            component: self.labels.component,
            sidecar: self.sidecar.clone(),
            at: self.at,
            duration: self.duration,
            source: self.labels.source.clone(),
            destination: self.labels.destination.clone(),
            method: cut(self.method.as_str()).to_owned(),
            path: path.to_owned(),
            status: self.status,
            code: self.why.code(),
            reason: self.why.to_string(),
            route: self.labels.route.as_ref().map(ToString::to_string),
            policy: self.policy.as_deref().map(Into::into),
            timeout: self.timeout,
            revision: self.revision,
            attempts,
        }
    }
}

impl Why {
    fn code(&self) -> Option<Code> {
        match self {
            Self::Failed { code, .. } => Some(*code),
            Self::Answered { .. } | Self::CallerLeft => None,
        }
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answered { status, grpc: None } => write!(f, "the service answered {status}"),
            Self::Answered { grpc: Some(grpc), .. } => write!(f, "the service answered gRPC status {grpc}"),
            Self::Failed { reason, .. } => f.write_str(reason),
            Self::CallerLeft => f.write_str("the caller went away before the answer had ended"),
        }
    }
}

impl Served {
    fn to_attempt(&self) -> Attempt {
        Attempt {
            choice: None,
            instance: self.instance.clone(),
            address: Some(self.address.clone()),
            after: self.after,
            duration: self.duration,
            status: Some(self.status),
            outcome: self.status.to_string(),
            decision: "passed on".into(),
        }
    }
}

impl Ring {
    /// A ring that remembers so many of each kind.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { remarkable: Shared::new(capacity), ordinary: Shared::new(capacity) }
    }

    fn shelf_of(&self, record: &Record) -> &Shared {
        if record.is_remarkable() { &self.remarkable } else { &self.ordinary }
    }

    /// What is remembered and wanted.
    pub(crate) fn entries(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let of =
            |shared: &Shared| shared.look().slots.iter().filter(|it| wanted(it)).cloned().collect::<Vec<_>>();
        [of(&self.remarkable), of(&self.ordinary)].concat()
    }

    /// Adds what came since the cursor, if it is wanted, and moves the cursor on. How much had been forgotten by then.
    pub(crate) fn since(&self, cursor: &mut (u64, u64), wanted: bool, to: &mut Vec<Entry>) -> u64 {
        let missed = self.remarkable.look().since(&mut cursor.0, wanted, to);
        missed + self.ordinary.look().since(&mut cursor.1, wanted, to)
    }
}

impl Shared {
    fn new(capacity: usize) -> Self {
        let shelf = Shelf { capacity: capacity.max(1), slots: Vec::new(), oldest: 0, count: 0 };
        Self { shelf: Mutex::new(shelf), late: Mutex::default(), has_late: AtomicBool::new(false) }
    }

    /// The shelf with all that was to be put there, for a reader.
    fn look(&self) -> MutexGuard<'_, Shelf> {
        let mut shelf = lock(&self.shelf);
        self.put_late(&mut shelf);
        shelf
    }

    /// Puts a record there, or beside it while somebody looks.
    fn push(&self, request: RequestId, record: Record, path: &str) {
        let mut shelf = match self.shelf.try_lock() {
            Ok(shelf) => shelf,
            Err(TryLockError::Poisoned(shelf)) => shelf.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let mut late = lock(&self.late);
                if late.len() < MOST_WAITING {
                    late.push(Entry { request, record, path: cut(path).to_owned() });
                    self.has_late.store(true, Ordering::Release);
                }
                return;
            }
        };
        self.put_late(&mut shelf);
        shelf.push(request, record, path);
    }

    fn put_late(&self, shelf: &mut Shelf) {
        // A load first, which other threads need not be told of.
        if self.has_late.load(Ordering::Relaxed) && self.has_late.swap(false, Ordering::Acquire) {
            let late = std::mem::take(&mut *lock(&self.late));
            late.into_iter().for_each(|it| shelf.push(it.request, it.record, &it.path));
        }
    }
}

impl Shelf {
    fn push(&mut self, request: RequestId, record: Record, path: &str) {
        self.count += 1;
        if self.slots.len() < self.capacity {
            self.slots.push(Entry { request, record, path: cut(path).to_owned() });
            return;
        }
        if let Some(slot) = self.slots.get_mut(self.oldest) {
            slot.request = request;
            slot.record = record;
            slot.path.clear();
            slot.path.push_str(cut(path));
        }
        self.oldest = (self.oldest + 1) % self.capacity;
    }

    fn since(&self, cursor: &mut u64, wanted: bool, to: &mut Vec<Entry>) -> u64 {
        let new = self.count - std::mem::replace(cursor, self.count);
        let here = usize::try_from(new).unwrap_or(usize::MAX).min(self.slots.len());
        if wanted {
            // From the oldest on, which is the first while there is room.
            let (later, earlier) = self.slots.split_at_checked(self.oldest).unwrap_or_default();
            let all = earlier.iter().chain(later);
            to.extend(all.skip(self.slots.len() - here).cloned());
        }
        new - here as u64
    }
}

impl Recorder {
    pub(crate) fn new(ring: Arc<Ring>) -> Self {
        Self { ring }
    }

    /// Remembers what happened to a request.
    pub(crate) fn push(&self, request: RequestId, record: Record, path: &str) {
        self.ring.shelf_of(&record).push(request, record, path);
    }
}

/// All that the rings remember of a request, by time; `None` if that is nothing.
pub(crate) fn explain<'a>(rings: impl Iterator<Item = &'a Ring>, request: RequestId) -> Option<Explanation> {
    let entries = rings.flat_map(|ring| ring.entries(|entry| entry.request == request));
    let mut hops: Vec<_> = entries.map(|entry| entry.record.to_hop(&entry.path)).collect();
    hops.sort_by_key(|hop| hop.at);
    (!hops.is_empty()).then_some(Explanation { request_id: request, hops })
}

/// As much of a text from outside as is remembered.
pub(crate) fn cut(text: &str) -> &str {
    if text.len() <= LONGEST_TEXT {
        return text;
    }
    let end = text.char_indices().nth(LONGEST_TEXT).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or(text)
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests;
