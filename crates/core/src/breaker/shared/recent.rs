//! A breaker's window, as many threads fill it at once: a ring of outcomes, or of buckets, each in an atomic word.
//!
//! When no thread is inside, it shows exactly what was recorded, as [`super::super::Recent`] does. While some are, what they
//! bring may be missing from what another sees. A thread that was stopped in the middle since before the breaker last
//! opened adds nothing to the present generation; at worst it takes the place of one outcome, or empties one bucket.

use super::super::window::{Counts, Window};
use super::super::{Generation, Outcome};
use crate::atomic::{self, AtomicU64, Ordering};
use crate::time::Timestamp;
use std::time::Duration;

/// The calls that a window looks back at.
#[derive(Debug, Default)]
pub(super) enum Recent {
    /// None.
    #[default]
    Nothing,
    Count(Ring),
    Time(Buckets),
}

impl Recent {
    pub(super) fn new(window: Window) -> Self {
        match window {
            Window::Consecutive => Self::Nothing,
            Window::Count { size } => Self::Count(Ring::new(Window::size(size))),
            Window::Time { span } => Self::Time(Buckets::new(span)),
        }
    }

    /// The window that it was made for.
    pub(super) fn window(&self) -> Window {
        match self {
            Self::Nothing => Window::Consecutive,
            Self::Count(ring) => Window::Count { size: ring.slots.len() as u32 },
            Self::Time(buckets) => Window::Time { span: buckets.span },
        }
    }

    /// Adds a call of this generation, and says what the window shows.
    pub(super) fn record(&self, generation: Generation, outcome: Outcome, now: Timestamp) -> Counts {
        match self {
            Self::Nothing => Counts::default(),
            Self::Count(ring) => ring.record(generation, outcome),
            Self::Time(buckets) => buckets.record(generation, outcome, now),
        }
    }
}

/// The last so many calls. What is in the slots is the truth; the counts are kept beside them, so that nobody need add up.
#[derive(Debug)]
pub(super) struct Ring {
    /// Where the next call goes, modulo the number of slots.
    cursor: AtomicU64,
    /// A generation and what its slots add up to.
    counts: AtomicU64,
    slots: Box<[AtomicU64]>,
}

/// What a slot holds, in one word: the generation, whether there is a call, and what became of it.
struct Slot(u64);

impl Slot {
    const PRESENT: u64 = 0b100;

    const fn new(generation: Generation, outcome: Outcome) -> Self {
        let bits = Self::PRESENT | (outcome.failed as u64) << 1 | outcome.slow as u64;
        Self(generation.0 << 3 | bits)
    }

    const fn generation(&self) -> u64 {
        self.0 >> 3
    }

    const fn outcome(&self) -> Option<Outcome> {
        if self.0 & Self::PRESENT == 0 {
            return None;
        }
        Some(Outcome { failed: self.0 & 0b10 != 0, slow: self.0 & 1 != 0 })
    }
}

impl Ring {
    /// Of each of the three counts. They add up modulo their common width, so that one that is missing for a moment is
    /// only missing.
    const BITS: u32 = 7;
    const MASK: u64 = (1 << (3 * Self::BITS)) - 1;

    fn new(size: u32) -> Self {
        let slots = (0..size).map(|_| AtomicU64::new(0)).collect();
        Self { cursor: AtomicU64::new(0), counts: AtomicU64::new(0), slots }
    }

    fn record(&self, generation: Generation, outcome: Outcome) -> Counts {
        let place = self.cursor.fetch_add(1, Ordering::AcqRel) % self.slots.len().max(1) as u64;
        let Some(slot) = self.slots.get(place as usize) else { return Counts::default() };
        let replaced = atomic::update(slot, |word| {
            let old = Slot(word);
            if old.generation() > generation.0 {
                return (word, None);
            }
            (Slot::new(generation, outcome).0, Some(old))
        });
        // The slot belongs to a later generation: this call is of before the breaker opened.
        let Some(old) = replaced else { return Counts::default() };
        let evicted = old.outcome().filter(|_| old.generation() == generation.0);
        let change = Self::packed(outcome).wrapping_sub(evicted.map_or(0, Self::packed));
        atomic::update(&self.counts, |word| {
            let of = word >> (3 * Self::BITS);
            if of > generation.0 {
                return (word, Counts::default());
            }
            let before = if of == generation.0 { word & Self::MASK } else { 0 };
            let after = before.wrapping_add(change) & Self::MASK;
            (generation.0 << (3 * Self::BITS) | after, self.unpacked(after))
        })
    }

    const fn packed(outcome: Outcome) -> u64 {
        1 << (2 * Self::BITS) | (outcome.failed as u64) << Self::BITS | outcome.slow as u64
    }

    fn unpacked(&self, word: u64) -> Counts {
        let part = |number: u32| (word >> (number * Self::BITS) & ((1 << Self::BITS) - 1)) as u32;
        let counts = Counts { calls: part(2), failed: part(1), slow: part(0) };
        // Another thread's part is missing: the next one to look decides.
        let is_whole =
            counts.calls as usize <= self.slots.len() && counts.failed.max(counts.slow) <= counts.calls;
        if is_whole { counts } else { Counts::default() }
    }
}

/// The calls of some time.
#[derive(Debug)]
pub(super) struct Buckets {
    span: Duration,
    buckets: [AtomicU64; Window::BUCKETS as usize],
}

/// What a bucket holds, in one word: which one it is, and the counts.
struct Bucket;

impl Bucket {
    const BITS: u32 = 14;
    const GENERATION_BITS: u32 = 12;
    const NUMBER_BITS: u32 = 10;

    /// Which bucket: the last bits of its generation and of its number there. One that is as old as these go around is
    /// replaced long before, unless hardly anybody calls.
    const fn tag(generation: Generation, number: u64) -> u64 {
        (generation.0 & ((1 << Self::GENERATION_BITS) - 1)) << Self::NUMBER_BITS
            | number & ((1 << Self::NUMBER_BITS) - 1)
    }

    const fn pack(tag: u64, counts: Counts) -> u64 {
        ((tag << Self::BITS | counts.calls as u64) << Self::BITS | counts.failed as u64) << Self::BITS
            | counts.slow as u64
    }

    /// The counts of a word, if it is of this bucket; none otherwise.
    const fn unpack(word: u64, tag: u64) -> Counts {
        if word >> (3 * Self::BITS) != tag {
            return Counts { calls: 0, failed: 0, slow: 0 };
        }
        let mask = (1 << Self::BITS) - 1;
        Counts {
            calls: (word >> (2 * Self::BITS) & mask) as u32,
            failed: (word >> Self::BITS & mask) as u32,
            slow: (word & mask) as u32,
        }
    }
}

impl Buckets {
    fn new(span: Duration) -> Self {
        Self { span, buckets: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    fn record(&self, generation: Generation, outcome: Outcome, now: Timestamp) -> Counts {
        let present = Window::bucket(self.span, generation, now);
        let tag = Bucket::tag(generation, present);
        let place = |number: u64| self.buckets.get((number % Window::BUCKETS) as usize);
        if let Some(bucket) = place(present) {
            atomic::update(bucket, |word| {
                (Bucket::pack(tag, Bucket::unpack(word, tag).in_bucket(outcome)), ())
            });
        }
        let numbers = (present.saturating_sub(Window::BUCKETS - 1)..=present).rev();
        let counts = numbers.filter_map(|number| {
            let word = place(number)?.load(Ordering::Acquire);
            Some(Bucket::unpack(word, Bucket::tag(generation, number)))
        });
        counts.fold(Counts::default(), Counts::plus)
    }
}
