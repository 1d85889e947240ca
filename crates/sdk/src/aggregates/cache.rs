//! The states that were used last, each behind a lock that commands to its aggregate take in turn.

use super::Loaded;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use tenon_core::StreamName;

/// A place for a state; empty while none was read, or while a command has it.
pub(super) type Slot<S> = Arc<tokio::sync::Mutex<Option<Loaded<S>>>>;

/// At most so many states: the one that was not used for longest goes first.
#[derive(Debug)]
pub(super) struct Cache<S> {
    most: usize,
    slots: Mutex<Slots<S>>,
}

#[derive(Debug)]
struct Slots<S> {
    by_stream: HashMap<StreamName, (Slot<S>, u64)>,
    by_use: BTreeMap<u64, StreamName>,
    uses: u64,
}

impl<S> Cache<S> {
    pub(super) fn new(most: usize) -> Self {
        let slots = Slots { by_stream: HashMap::new(), by_use: BTreeMap::new(), uses: 0 };
        Self { most, slots: Mutex::new(slots) }
    }

    /// The place of a stream's state. A place that is in use when it goes is only forgotten: whoever has it goes
    /// on, and the log's own condition keeps two that decide at a time apart.
    pub(super) fn slot(&self, stream: &StreamName) -> Slot<S> {
        // Every change under the lock is complete before anything in it could panic.
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.touch(stream);
        while slots.by_use.len() > self.most {
            slots.drop_oldest();
        }
        slot
    }

    /// Forgets a stream's state. A command that has it goes on with it.
    pub(super) fn remove(&self, stream: &StreamName) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, used)) = slots.by_stream.remove(stream) {
            slots.by_use.remove(&used);
        }
    }
}

impl<S> Slots<S> {
    fn touch(&mut self, stream: &StreamName) -> Slot<S> {
        self.uses += 1;
        let entry = self.by_stream.entry(stream.clone()).or_default();
        self.by_use.remove(&entry.1);
        entry.1 = self.uses;
        self.by_use.insert(self.uses, stream.clone());
        Arc::clone(&entry.0)
    }

    fn drop_oldest(&mut self) {
        if let Some((_, stream)) = self.by_use.pop_first() {
            self.by_stream.remove(&stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> StreamName {
        StreamName::new(text).unwrap()
    }

    #[test]
    fn the_state_that_was_not_used_for_longest_goes_first() {
        let cache = Cache::<()>::new(2);
        let [a, b] = ["a", "b"].map(|text| cache.slot(&name(text)));
        assert!(Arc::ptr_eq(&a, &cache.slot(&name("a"))));
        cache.slot(&name("c"));
        assert!(Arc::ptr_eq(&a, &cache.slot(&name("a"))));
        assert!(!Arc::ptr_eq(&b, &cache.slot(&name("b"))));
        let slots = cache.slots.lock().unwrap();
        assert_eq!((slots.by_stream.len(), slots.by_use.len()), (2, 2));
    }

    #[test]
    fn a_cache_of_none_keeps_none() {
        let cache = Cache::<()>::new(0);
        cache.slot(&name("a"));
        assert!(cache.slots.lock().unwrap().by_stream.is_empty());
    }
}
