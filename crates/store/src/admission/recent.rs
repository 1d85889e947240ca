//! The ids of the last events, in sixteen bytes each: a fingerprint of the id and the position. What is found by a
//! fingerprint may be another event; whoever asks looks at the event itself.

use crate::log::FNV_OFFSET;
use std::collections::VecDeque;
use tenon_core::{EventId, Position};

/// The fingerprint of an id. It is kept on disk, so it must never change.
pub(crate) fn fingerprint(id: &EventId) -> u32 {
    let value = u128::from_le_bytes(*id.as_bytes());
    let folded = (value as u64).wrapping_mul(FNV_OFFSET) ^ ((value >> 64) as u64).rotate_left(32);
    let mixed = (folded ^ (folded >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}

/// The ids of the last events. A hash table without pointers, whose slots are numbers of entries; collisions go to the
/// next free slot.
#[derive(Debug)]
pub(super) struct RecentIds {
    capacity: usize,
    entries: VecDeque<Entry>,
    /// How many entries have gone from the front.
    gone: u64,
    /// For each slot the number of its entry plus one, or 0. As many as a power of two.
    slots: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    fingerprint: u32,
    /// The last 32 bits of the position; the others are those of a position near by.
    position: u32,
}

/// Numbers of entries begin again after so many; there are never more entries than half of that.
const NUMBERS: u64 = 1 << 31;

impl RecentIds {
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.min(NUMBERS as usize / 4);
        Self { capacity, entries: VecDeque::new(), gone: 0, slots: vec![0; 64] }
    }

    /// The positions of the events that may have this id, given the last position.
    pub(super) fn candidates(&self, id: &EventId, last: Position) -> impl Iterator<Item = Position> {
        let wanted = fingerprint(id);
        let mut slot = self.home(wanted);
        std::iter::from_fn(move || {
            loop {
                let entry = self.entry_in(slot)?;
                slot = self.after(slot);
                if entry.fingerprint == wanted {
                    let behind = (last.0 as u32).wrapping_sub(entry.position);
                    return Some(Position(last.0.saturating_sub(u64::from(behind))));
                }
            }
        })
    }

    pub(super) fn push(&mut self, fingerprint: u32, position: Position) {
        if (self.entries.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let number = self.gone + self.entries.len() as u64;
        self.entries.push_back(Entry { fingerprint, position: position.0 as u32 });
        self.place(fingerprint, number);
    }

    /// Takes back what was pushed last, `count` ids.
    pub(super) fn pop(&mut self, count: u64) {
        for _ in 0..count {
            let number = self.gone + (self.entries.len() as u64).saturating_sub(1);
            if let Some(entry) = self.entries.pop_back() {
                self.free(entry.fingerprint, number);
            }
        }
    }

    /// Forgets the oldest ones beyond the capacity.
    pub(super) fn forget_old(&mut self) {
        while self.entries.len() > self.capacity {
            if let Some(entry) = self.entries.front().copied() {
                self.free(entry.fingerprint, self.gone);
                self.entries.pop_front();
                self.gone += 1;
            }
        }
    }

    fn home(&self, fingerprint: u32) -> usize {
        fingerprint as usize & (self.slots.len() - 1)
    }

    fn after(&self, slot: usize) -> usize {
        (slot + 1) & (self.slots.len() - 1)
    }

    /// The number of the entry in a slot, counted from the oldest that is left.
    fn index_in(&self, slot: usize) -> Option<usize> {
        let number = u64::from(self.slots.get(slot)?.checked_sub(1)?);
        Some((number.wrapping_sub(self.gone) & (NUMBERS - 1)) as usize)
    }

    fn entry_in(&self, slot: usize) -> Option<Entry> {
        self.entries.get(self.index_in(slot)?).copied()
    }

    fn place(&mut self, fingerprint: u32, number: u64) {
        let mut slot = self.home(fingerprint);
        while self.slots.get(slot).is_some_and(|taken| *taken != 0) {
            slot = self.after(slot);
        }
        if let Some(free) = self.slots.get_mut(slot) {
            *free = (number & (NUMBERS - 1)) as u32 + 1;
        }
    }

    /// Frees the slot of an entry and moves those behind it up that would no longer be found.
    fn free(&mut self, fingerprint: u32, number: u64) {
        let sought = (number & (NUMBERS - 1)) as u32 + 1;
        let mut slot = self.home(fingerprint);
        while let Some(taken) = self.slots.get(slot) {
            if *taken == sought {
                break;
            }
            if *taken == 0 {
                return;
            }
            slot = self.after(slot);
        }
        let mut next = self.after(slot);
        while let Some(entry) = self.entry_in(next) {
            let mask = self.slots.len() - 1;
            // How far each is from where its search begins.
            let stays = next.wrapping_sub(self.home(entry.fingerprint)) & mask;
            if stays >= next.wrapping_sub(slot) & mask {
                self.slots.swap(slot, next);
                slot = next;
            }
            next = self.after(next);
        }
        if let Some(freed) = self.slots.get_mut(slot) {
            *freed = 0;
        }
    }

    fn grow(&mut self) {
        self.slots = vec![0; self.slots.len() * 2];
        let numbered: Vec<(u32, u64)> =
            self.entries.iter().map(|entry| entry.fingerprint).zip(self.gone..).collect();
        numbered.into_iter().for_each(|(fingerprint, number)| self.place(fingerprint, number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn it_finds_what_a_list_would_find() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut recent = RecentIds::new(100);
        let mut model: VecDeque<(EventId, Position)> = VecDeque::new();
        let mut last = Position(u64::from(u32::MAX) - 500);
        // Few ids, so that many are there several times, and next to each other.
        let id = |number: u64| EventId::from_time(number, [0; 10]);
        for _ in 0..20_000 {
            match random.u8(..10) {
                0..6 => {
                    last = Position(last.0 + 1);
                    let id = id(random.u64(..300));
                    recent.push(fingerprint(&id), last);
                    model.push_back((id, last));
                }
                6 => {
                    let count = random.usize(..4).min(model.len());
                    recent.pop(count as u64);
                    model.truncate(model.len() - count);
                }
                _ => {
                    recent.forget_old();
                    model.drain(..model.len().saturating_sub(100));
                }
            }
            let sought = id(random.u64(..300));
            let mut found: Vec<Position> = recent.candidates(&sought, last).collect();
            found.sort();
            let expected: Vec<Position> =
                model.iter().filter(|(id, _)| *id == sought).map(|(_, position)| *position).collect();
            assert_eq!(found, expected);
        }
    }
}
