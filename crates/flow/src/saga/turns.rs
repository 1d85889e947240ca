//! Sagas that run one after the other by a key (`serialize_by`).
//!
//! Who is next is decided by their owner. That it may begin is decided by the log, as there may be two that believe to be their
//! owner: the event with which a turn begins has a tag, and is appended on condition that no other with the tag came after the last one,
//! whose saga has ended. So turns come one after the other in the log, whoever lets them begin.

use super::journal::{Found, last_event, last_turn, load};
use super::{LOOK_EVERY, Shared};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tenon_api::saga::Beginning;
use tenon_core::saga::SagaName;
use tenon_core::{Namespace, Position, Refusal, SagaId};
use tenon_store::log::BoxFuture;

/// Whose turn it is, by the log.
pub(super) enum Turn {
    /// Nobody's, if nothing came after this position: no turn, and nothing to the saga that wants to have it.
    Free(Position),
    /// This one's, or it may be.
    Of(SagaId),
}

/// A saga may begin its turn.
pub(super) struct Free {
    /// If its last event is this,
    pub(super) last: Position,
    /// and nothing came after this.
    pub(super) after: Position,
}

/// Looks whose turn it is, for a saga that has one of these ids, the last event of which is `last`.
pub(super) async fn look(
    shared: &Shared,
    of: &Beginning,
    ids: &[SagaId],
    last: Position,
) -> Result<Turn, Refusal> {
    let log = shared.store.log();
    let Some((id, since)) = last_turn(log, of).await? else { return Ok(Turn::Free(last)) };
    if ids.contains(&id) {
        // It has changed: what is appended after its last event is refused.
        return Ok(Turn::Free(last));
    }
    let has_ended = shared.handle(id).is_none()
        && match load(log, id).await? {
            Found::Saga(loaded) => loaded.instance.ended().is_some(),
            Found::Never | Found::Nothing => true,
        };
    if !has_ended {
        return Ok(Turn::Of(id));
    }
    // What is read from here on shows all that came before that turn.
    let is_as_it_was = since <= last || last_event(log, ids).await? == last;
    Ok(Turn::Free(if is_as_it_was { since.max(last) } else { last }))
}

/// Waits until it is nobody's turn, for a saga that is first in the line here.
pub(super) fn comes(
    shared: Arc<Shared>,
    of: Arc<Beginning>,
    id: SagaId,
    last: Position,
) -> BoxFuture<'static, Free> {
    Box::pin(async move {
        loop {
            match look(&shared, &of, &[id], last).await {
                Ok(Turn::Free(after)) => return Free { last, after },
                Ok(Turn::Of(other)) => match shared.handle(other) {
                    Some(handle) => handle.over.gone.cancelled().await,
                    // It runs elsewhere, or will be taken up.
                    None => tokio::time::sleep(LOOK_EVERY).await,
                },
                Err(refusal) => {
                    tracing::debug!(saga = %id, %refusal, "a saga waits until it is known whose turn it is");
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }
    })
}

/// Who is before whom, as far as their owner knows.
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
