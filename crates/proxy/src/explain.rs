//! The last requests that were refused, retried or seen to fail, kept for whoever asks why.
//!
//! Each worker has a ring of its own behind a lock that it takes only when there is something to remember; nobody
//! else takes it but a reader on the admin address.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tenon_api::explain::{Explanation, Hop};
use tenon_core::RequestId;

/// One worker's memory of hops. When full it forgets the oldest.
pub(crate) struct Ring {
    capacity: usize,
    hops: Mutex<VecDeque<(RequestId, Hop)>>,
}

impl Ring {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), hops: Mutex::default() }
    }

    /// Remembers what happened to a request.
    pub(crate) fn push(&self, request: RequestId, hop: Hop) {
        let mut hops = self.hops.lock().unwrap_or_else(PoisonError::into_inner);
        if hops.len() >= self.capacity {
            hops.pop_front();
        }
        hops.push_back((request, hop));
    }

    fn of(&self, request: RequestId) -> Vec<Hop> {
        let hops = self.hops.lock().unwrap_or_else(PoisonError::into_inner);
        hops.iter().filter(|(id, _)| *id == request).map(|(_, hop)| hop.clone()).collect()
    }
}

/// All that the rings remember of a request, by time; `None` if that is nothing.
pub(crate) fn explain<'a>(rings: impl Iterator<Item = &'a Ring>, request: RequestId) -> Option<Explanation> {
    let mut hops: Vec<_> = rings.flat_map(|ring| ring.of(request)).collect();
    hops.sort_by_key(|hop| hop.at);
    (!hops.is_empty()).then_some(Explanation { request_id: request, hops })
}

#[cfg(test)]
mod tests;
