//! Which streams were deleted, and where: what a reader must not see although it is still on disk.
//!
//! Looked at for each event that is older than the last deletion, so it answers without making names. A clone shares
//! all but the small part that changes next, as readers hold on to what they began with.

use crate::log::{Event, FNV_OFFSET, fnv1a};
use std::collections::HashMap;
use std::sync::Arc;
use tenon_core::{Namespace, Position, StreamName};

/// In how many parts streams are held.
const PARTS: usize = 64;

/// The most deleted streams that are remembered at a time, because events of theirs are still on disk.
pub(crate) const MOST_DELETED: usize = 1 << 16;

/// Streams that were deleted, by name and namespace, with the position of the last deletion.
#[derive(Debug, Default, Clone)]
pub(crate) struct Deleted {
    parts: Vec<Arc<Part>>,
    newest: Position,
    len: usize,
}

type Part = HashMap<Arc<[u8]>, Vec<(Namespace, Position)>>;

impl Deleted {
    /// Takes in an event, which may be a deletion.
    pub(crate) fn note(&mut self, event: &Event) {
        if !event.is_deletion() {
            return;
        }
        self.parts.resize_with(PARTS, Arc::default);
        self.newest = self.newest.max(event.position);
        let stream = event.stream.as_str().as_bytes();
        let Some(part) = self.parts.get_mut(part_of(stream)).map(Arc::make_mut) else { return };
        let known = part.entry(stream.into()).or_default();
        match known.iter_mut().find(|(namespace, _)| *namespace == event.namespace) {
            Some((_, at)) => *at = (*at).max(event.position),
            None => {
                known.push((event.namespace.clone(), event.position));
                self.len += 1;
            }
        }
    }

    /// Whether an event at a position was deleted with its stream.
    #[inline]
    pub(crate) fn hides(&self, position: Position, namespace: &[u8], stream: &[u8]) -> bool {
        position < self.newest && self.deleted_at(namespace, stream).is_some_and(|at| position < at)
    }

    /// As [`Deleted::hides`], as far as deletions up to a position go.
    pub(crate) fn hides_through(
        &self,
        through: Position,
        position: Position,
        namespace: &[u8],
        stream: &[u8],
    ) -> bool {
        let deleted_at = self.deleted_at(namespace, stream).filter(|at| *at <= through);
        deleted_at.is_some_and(|at| position < at)
    }

    /// The streams whose last deletion is at most at a position, with where it is.
    pub(crate) fn through(
        &self,
        through: Position,
    ) -> impl Iterator<Item = (Namespace, StreamName, Position)> {
        let known = self.parts.iter().flat_map(|part| part.iter());
        let named = known.filter_map(|(stream, known)| {
            let stream = StreamName::new(std::str::from_utf8(stream).ok()?).ok()?;
            Some(known.iter().map(move |(namespace, at)| (namespace.clone(), stream.clone(), *at)))
        });
        named.flatten().filter(move |(_, _, at)| *at <= through)
    }

    /// How many these are.
    pub(crate) fn count_through(&self, through: Position) -> usize {
        let known = self.parts.iter().flat_map(|part| part.values()).flatten();
        known.filter(|(_, at)| *at <= through).count()
    }

    /// Forgets them: nothing is left of what they deleted.
    pub(crate) fn forget(&mut self, through: Position) {
        for part in &mut self.parts {
            let part = Arc::make_mut(part);
            part.retain(|_, known| {
                known.retain(|(_, at)| *at > through);
                !known.is_empty()
            });
        }
        let left = || self.parts.iter().flat_map(|part| part.values()).flatten();
        self.len = left().count();
        self.newest = left().map(|(_, at)| *at).max().unwrap_or_default();
    }

    /// How many streams there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn deleted_at(&self, namespace: &[u8], stream: &[u8]) -> Option<Position> {
        let known = self.parts.get(part_of(stream))?.get(stream)?;
        let same = |(known, _): &&(Namespace, Position)| known.as_str().as_bytes() == namespace;
        known.iter().find(same).map(|(_, at)| *at)
    }
}

fn part_of(stream: &[u8]) -> usize {
    (fnv1a(FNV_OFFSET, stream) % PARTS as u64) as usize
}

#[cfg(test)]
mod tests;
