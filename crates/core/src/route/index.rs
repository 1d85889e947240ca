//! A hash table from text to a number, built once and then only read.
//!
//! Why one of our own: a lookup must find all prefixes of a path in one walk over it, for which the hash has
//! to grow byte by byte; and iteration order must not depend on a random seed. Keys come from configuration,
//! never from requests, so nobody outside can fill it with collisions.

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
        ((self.0 ^ self.0 >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & mask
    }
}

/// Entries that are found by the hash of their key.
#[derive(Debug, Clone)]
pub(super) struct Index<E> {
    /// An entry's number plus one, or 0; at most half are taken.
    slots: Vec<u32>,
    entries: Vec<(Hash, E)>,
}

impl<E> Index<E> {
    /// An index with room for `count` entries.
    pub(super) fn with_room_for(count: usize) -> Self {
        Self { slots: vec![0; (2 * count + 2).next_power_of_two()], entries: Vec::new() }
    }

    /// Whether it has no entries.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry with this hash that `is_it` holds for.
    pub(super) fn find(&self, hash: Hash, is_it: impl Fn(&E) -> bool) -> Option<&E> {
        self.probe(hash).find_map(|slot| self.entry(slot, hash).filter(|entry| is_it(entry)))
    }

    /// The entry with this hash that `is_it` holds for; `make` makes it if there is none. The index never
    /// gets more entries than it was made for: the caller has counted them.
    pub(super) fn find_or_insert(
        &mut self,
        hash: Hash,
        is_it: impl Fn(&E) -> bool,
        make: impl FnOnce() -> E,
    ) -> &mut E {
        let known = self.probe(hash).find(|slot| self.entry(*slot, hash).is_some_and(&is_it));
        let number = known.map_or(self.entries.len(), |slot| slot as usize - 1);
        if known.is_none() {
            self.insert(hash, make());
        }
        let (_, entry) = &mut self.entries[number]; // of a slot, or pushed just now
        entry
    }

    /// All entries, in the order in which they came.
    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = &mut E> {
        self.entries.iter_mut().map(|(_, entry)| entry)
    }

    fn insert(&mut self, hash: Hash, entry: E) {
        self.entries.push((hash, entry));
        let number = self.entries.len() as u32;
        let mask = self.slots.len() - 1;
        let mut place = hash.place(mask);
        // Ends, because at least half of the slots are free.
        while self.slots[place] != 0 {
            place = (place + 1) & mask;
        }
        self.slots[place] = number;
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
