//! Which requests have had their retries: what an answer's header says of that is lost where an application makes an
//! answer of its own out of the one that it got, so the hops of one process remember it for each other by the
//! request's id, which applications pass on more often.
//!
//! A table of a fixed size, one word for a place: a part of the id and when it was written. A later request
//! takes an earlier one's place, which costs a retry more at worst; an id is forgotten after [`KEPT`], so that an
//! application that uses one id for all its calls does not lose its retries for good. It is looked into only when a
//! request has failed.

use crate::atomic::{AtomicU64, Ordering};
use crate::id::RequestId;
use crate::time::Timestamp;
use std::fmt;
use std::time::Duration;

/// How long an id is known: as long as an application may take to pass a failure on.
pub const KEPT: Duration = Duration::from_secs(10);

/// The ids that many threads know of.
pub struct Shared {
    places: Box<[AtomicU64]>,
}

impl Shared {
    /// No id.
    pub fn new() -> Self {
        Self { places: (0..PLACES).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Retries have been spent for this request.
    pub fn note(&self, id: RequestId, now: Timestamp) {
        let (place, mark) = mark(id);
        if let Some(place) = self.places.get(place) {
            place.store(mark | seconds(now), Ordering::Relaxed);
        }
    }

    /// Whether retries were spent for this request a short time ago.
    pub fn knows(&self, id: RequestId, now: Timestamp) -> bool {
        let (place, mark) = mark(id);
        let word = self.places.get(place).map_or(0, |place| place.load(Ordering::Relaxed));
        let age = seconds(now).wrapping_sub(word) & SECONDS;
        word & !SECONDS == mark && age <= KEPT.as_secs()
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

const PLACES: usize = 4_096;
/// The lower bits of a word hold seconds; they begin again after 194 days.
const SECONDS: u64 = (1 << 24) - 1;

fn seconds(now: Timestamp) -> u64 {
    (now.as_micros() / 1_000_000) & SECONDS
}

/// The place of an id, and the part of it that is kept there, which is never zero.
fn mark(id: RequestId) -> (usize, u64) {
    let id = u128::from_be_bytes(*id.as_bytes());
    let (first, last) = ((id >> 64) as u64, id as u64);
    // An application's own ids may be made in any way; so all bytes count for both.
    let mixed = (first ^ last.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let kept = last.wrapping_add(mixed.rotate_left(17)) & !SECONDS;
    ((mixed >> 52) as usize % PLACES, kept | (SECONDS + 1))
}

#[cfg(test)]
mod tests;
