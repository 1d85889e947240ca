//! A hash table from text to what is said of it, in many small parts of which a change replaces one and a clone shares all.
//!
//! Why one of our own: a lookup must find all prefixes of a path in one walk over it, for which the hash has
//! to grow byte by byte; and iteration order must not depend on a random seed. Keys come from configuration,
//! never from requests, so nobody outside can fill it with collisions.

use std::sync::Arc;

/// A hash that grows byte by byte (FNV-1a, 64 bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash(u64);

impl Hash {
    /// The hash of nothing, within one of several sets of keys that share an index.
    pub(super) fn new(set: u32) -> Self {
        set.to_le_bytes().into_iter().fold(Self(0xcbf2_9ce4_8422_2325), Self::then)
    }

    /// The hash with one byte more.
    pub(super) const fn then(self, byte: u8) -> Self {
        Self((self.0 ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3))
    }

    /// A place in a table of a power of two of places: the bits are mixed first, since FNV's low bits depend
    /// on the input's low bits only (multiplication by 2^64 over the golden ratio; Knuth, TAOCP 3, 6.4).
    const fn place(self, mask: usize) -> usize {
        (self.mixed() >> 32) as usize & mask
    }

    /// Which of a power of two of parts: by bits that do not decide about the place in it.
    const fn part(self, mask: usize) -> usize {
        (self.mixed() >> 12) as usize & mask
    }

    const fn mixed(self) -> u64 {
        (self.0 ^ self.0 >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// The most parts, and how many entries there are to be in each.
const MOST_PARTS: usize = 1_024;
const PER_PART: usize = 32;

/// Entries that are found by the hash of their key.
#[derive(Debug, Clone)]
pub(super) struct Parts<E> {
    parts: Vec<Arc<Index<E>>>,
    /// Whether there never was an entry.
    empty: bool,
}

impl<E: Clone> Parts<E> {
    /// Parts for so many entries; there may be more.
    pub(super) fn for_about(count: usize) -> Self {
        let parts = (count / PER_PART).next_power_of_two().min(MOST_PARTS);
        Self { parts: (0..parts).map(|_| Arc::default()).collect(), empty: true }
    }

    /// Whether there never was an entry.
    pub(super) fn is_empty(&self) -> bool {
        self.empty
    }

    /// The entry with this hash that `is_it` holds for.
    pub(super) fn find(&self, hash: Hash, is_it: impl Fn(&E) -> bool) -> Option<&E> {
        self.parts.get(hash.part(self.parts.len() - 1))?.find(hash, is_it)
    }

    /// The entry with this hash that `is_it` holds for; `make` makes it if there is none.
    pub(super) fn find_or_insert(
        &mut self,
        hash: Hash,
        is_it: impl Fn(&E) -> bool,
        make: impl FnOnce() -> E,
    ) -> &mut E {
        self.empty = false;
        Arc::make_mut(self.part_mut(hash)).find_or_insert(hash, is_it, make)
    }

    /// Takes out the entries that `is_kept` does not hold for, of those with this hash.
    pub(super) fn retain(&mut self, hash: Hash, is_kept: impl Fn(&E) -> bool) {
        Arc::make_mut(self.part_mut(hash)).retain(hash, is_kept);
    }

    /// All entries.
    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = &mut E> {
        self.parts.iter_mut().flat_map(|part| Arc::make_mut(part).entries.iter_mut().map(|(_, entry)| entry))
    }

    fn part_mut(&mut self, hash: Hash) -> &mut Arc<Index<E>> {
        let mask = self.parts.len() - 1;
        &mut self.parts[hash.part(mask)] // of a power of two of parts
    }
}

/// One part.
#[derive(Debug, Clone)]
struct Index<E> {
    /// An entry's number plus one, or 0; at most half are taken.
    slots: Vec<u32>,
    entries: Vec<(Hash, E)>,
}

impl<E> Default for Index<E> {
    fn default() -> Self {
        Self { slots: vec![0; 2], entries: Vec::new() }
    }
}

impl<E> Index<E> {
    /// The entry with this hash that `is_it` holds for.
    fn find(&self, hash: Hash, is_it: impl Fn(&E) -> bool) -> Option<&E> {
        self.probe(hash).find_map(|slot| self.entry(slot, hash).filter(|entry| is_it(entry)))
    }

    /// The entry with this hash that `is_it` holds for; `make` makes it if there is none.
    fn find_or_insert(&mut self, hash: Hash, is_it: impl Fn(&E) -> bool, make: impl FnOnce() -> E) -> &mut E {
        let known = self.probe(hash).find(|slot| self.entry(*slot, hash).is_some_and(&is_it));
        let number = known.map_or(self.entries.len(), |slot| slot as usize - 1);
        if known.is_none() {
            self.insert(hash, make());
        }
        let (_, entry) = &mut self.entries[number]; // of a slot, or pushed just now
        entry
    }

    fn insert(&mut self, hash: Hash, entry: E) {
        self.entries.push((hash, entry));
        if 2 * self.entries.len() > self.slots.len() {
            self.arrange();
        } else {
            self.place(hash, self.entries.len() as u32);
        }
    }

    /// Takes out the entries that `is_kept` does not hold for, of those with this hash.
    fn retain(&mut self, hash: Hash, is_kept: impl Fn(&E) -> bool) {
        let before = self.entries.len();
        self.entries.retain(|(own, entry)| *own != hash || is_kept(entry));
        if self.entries.len() != before {
            self.arrange();
        }
    }

    /// Gives every entry a slot.
    fn arrange(&mut self) {
        self.slots = vec![0; (2 * self.entries.len() + 2).next_power_of_two()];
        for number in 0..self.entries.len() {
            let (hash, _) = &self.entries[number];
            self.place(*hash, number as u32 + 1);
        }
    }

    fn place(&mut self, hash: Hash, slot: u32) {
        let mask = self.slots.len() - 1;
        let mut place = hash.place(mask);
        // Ends, because at least half of the slots are free.
        while self.slots[place] != 0 {
            place = (place + 1) & mask;
        }
        self.slots[place] = slot;
    }

    /// The taken slots in which an entry with this hash may be.
    fn probe(&self, hash: Hash) -> impl Iterator<Item = u32> + '_ {
        let mask = self.slots.len() - 1;
        let start = hash.place(mask);
        (0..self.slots.len()).map_while(move |step| match self.slots.get((start + step) & mask) {
            None | Some(0) => None,
            Some(slot) => Some(*slot),
        })
    }

    fn entry(&self, slot: u32, hash: Hash) -> Option<&E> {
        let (own, entry) = self.entries.get(slot as usize - 1)?;
        (*own == hash).then_some(entry)
    }
}
