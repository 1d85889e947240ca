//! Sagas that run one after the other by a key (`serialize_by`).

use std::collections::{HashMap, VecDeque};
use tenon_api::saga::Beginning;
use tenon_core::Namespace;
use tenon_core::SagaId;
use tenon_core::saga::SagaName;

/// Who is before whom. All of a saga's are at one owner, which knows them all.
#[derive(Default)]
pub(super) struct Turns(HashMap<(Namespace, SagaName, String), VecDeque<SagaId>>);

impl Turns {
    /// Takes a place behind all others. Whether there are others.
    pub(super) fn enter(&mut self, id: SagaId, of: &Beginning) -> bool {
        let Some(key) = key(of) else { return false };
        let queue = self.0.entry(key).or_default();
        if !queue.contains(&id) {
            queue.push_back(id);
        }
        queue.front() != Some(&id)
    }

    /// Gives the place up. Whose turn it is then, if that is somebody else than before.
    pub(super) fn leave(&mut self, id: SagaId, of: &Beginning) -> Option<SagaId> {
        let key = key(of)?;
        let queue = self.0.get_mut(&key)?;
        let was_first = queue.front() == Some(&id);
        queue.retain(|other| *other != id);
        let next = queue.front().copied();
        if next.is_none() {
            self.0.remove(&key);
        }
        next.filter(|_| was_first)
    }

    /// Forgets those that are another owner's now.
    pub(super) fn forget(&mut self, is_others: impl Fn(SagaId) -> bool) {
        self.0.retain(|_, queue| {
            queue.retain(|id| !is_others(*id));
            !queue.is_empty()
        });
    }

    /// Whether it is somebody's turn.
    pub(super) fn is_first(&self, id: SagaId, of: &Beginning) -> bool {
        key(of).is_none_or(|key| self.0.get(&key).is_none_or(|queue| queue.front() == Some(&id)))
    }
}

fn key(of: &Beginning) -> Option<(Namespace, SagaName, String)> {
    Some((of.namespace.clone(), of.name.clone(), of.turn.clone()?))
}
