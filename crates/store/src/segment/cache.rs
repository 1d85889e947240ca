//! What was read from disk and found whole lately: pages of indexes, and batches. Bounded by bytes; what was not used since
//! it was looked at last goes first.

use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many bytes are kept.
const MOST_BYTES: usize = 12 << 20;
/// What an entry costs beside its content.
const OVERHEAD: usize = 96;

/// Whose it is, and which one.
pub(crate) type CacheKey = (u64, u64);

/// A bounded cache with second chances.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    state: Mutex<State>,
    tags: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<CacheKey, Entry>,
    order: VecDeque<CacheKey>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    content: Bytes,
    used: bool,
}

impl Cache {
    /// A number that nobody else has.
    pub(crate) fn tag(&self) -> u64 {
        self.tags.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn get(&self, key: CacheKey) -> Option<Bytes> {
        let mut state = self.state();
        let entry = state.entries.get_mut(&key)?;
        entry.used = true;
        Some(entry.content.clone())
    }

    pub(crate) fn put(&self, key: CacheKey, content: Bytes) {
        let mut state = self.state();
        state.bytes += content.len() + OVERHEAD;
        match state.entries.insert(key, Entry { content, used: false }) {
            Some(former) => state.bytes -= former.content.len() + OVERHEAD,
            None => state.order.push_back(key),
        }
        while state.bytes > MOST_BYTES
            && let Some(oldest) = state.order.pop_front()
        {
            state.look_at(oldest);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counts and entries agree between any two calls; a panic in one of them is a fault of the allocator.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn look_at(&mut self, oldest: CacheKey) {
        match self.entries.get_mut(&oldest) {
            Some(entry) if entry.used => {
                entry.used = false;
                self.order.push_back(oldest);
            }
            _ => {
                if let Some(gone) = self.entries.remove(&oldest) {
                    self.bytes -= gone.content.len() + OVERHEAD;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_bound_holds() {
        let cache = Cache::default();
        let content = Bytes::from(vec![0; 1 << 20]);
        cache.put((0, 0), content.clone());
        for number in 1..100 {
            assert!(cache.get((0, 0)).is_some(), "it was used all the time");
            cache.put((1, number), content.clone());
        }
        assert!(cache.state().bytes <= MOST_BYTES);
        assert!(cache.get((1, 1)).is_none());
    }
}
