//! The ids of the last events, so that a duplicate is known.

use crate::EventId;
use std::collections::{BTreeSet, VecDeque};

/// The last ids.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    ids: BTreeSet<EventId>,
    order: VecDeque<EventId>,
}

impl Seen {
    /// Remembers an id, and forgets the oldest beyond `most`. Whether it is a new one.
    pub(super) fn insert(&mut self, id: EventId, most: u32) -> bool {
        if most == 0 {
            return true;
        }
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back(id);
        while self.order.len() > most as usize {
            if let Some(oldest) = self.order.pop_front() {
                self.ids.remove(&oldest);
            }
        }
        true
    }
}
