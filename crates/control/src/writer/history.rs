//! The last events, for whoever wants to know what came after a position.

use std::collections::VecDeque;
use std::sync::Arc;
use tenon_core::platform::{Changes, Event};
use tenon_core::registry::Instance;
use tenon_core::{Position, Stamp};

/// At most so many events are kept …
const MOST_EVENTS: usize = 8_192;

/// … and at most so many bytes of them, as the log counts.
const MOST_BYTES: usize = 16 << 20;

/// An event that was folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// Where, when and by whom.
    pub(crate) stamp: Stamp,
    /// What.
    pub(crate) event: Event,
    /// What it changed.
    pub(crate) changes: Changes,
    /// The instance that was registered or updated, after that.
    pub(crate) instance: Option<Instance>,
}

/// The last events in order. When there are too many, the oldest are forgotten.
#[derive(Debug, Default)]
pub(crate) struct History {
    recent: VecDeque<(Arc<Recorded>, usize)>,
    bytes: usize,
    /// The last event that was forgotten.
    forgotten: Position,
}

impl History {
    /// Everything after `position`, oldest first; `None` if some of it has been forgotten.
    pub(crate) fn after(&self, position: Position) -> Option<impl Iterator<Item = &Arc<Recorded>>> {
        if position < self.forgotten {
            return None;
        }
        let first = self.recent.partition_point(|(recorded, _)| recorded.stamp.position <= position);
        Some(self.recent.iter().skip(first).map(|(recorded, _)| recorded))
    }

    /// The event at a position, if it is one and has not been forgotten.
    pub(crate) fn at(&self, position: Position) -> Option<&Arc<Recorded>> {
        let index =
            self.recent.binary_search_by_key(&position, |(recorded, _)| recorded.stamp.position).ok()?;
        self.recent.get(index).map(|(recorded, _)| recorded)
    }

    /// What all events after `position` changed together; `None` if some have been forgotten.
    pub(crate) fn changes_after(&self, position: Position) -> Option<Changes> {
        let mut changes = Changes { position, ..Changes::default() };
        self.after(position)?.for_each(|recorded| changes.merge(recorded.changes.clone()));
        Some(changes)
    }

    /// Adds an event, later than all others, of so many bytes.
    pub(crate) fn push(&mut self, recorded: Recorded, bytes: usize) {
        self.recent.push_back((Arc::new(recorded), bytes));
        self.bytes += bytes;
        while self.recent.len() > MOST_EVENTS || self.bytes > MOST_BYTES {
            let Some((oldest, bytes)) = self.recent.pop_front() else { return };
            self.forgotten = oldest.stamp.position;
            self.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests;
