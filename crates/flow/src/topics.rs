//! Topics: a topic is an event type, nothing more. To publish is to append an event of that type, so it may stand in the
//! same append as a change of state; to follow a topic is to read the log by type.
//!
//! What is published and told here are CloudEvents; [`event`] says how they lie in the log.
//!
//! Left out on purpose: consumer groups, which read the same events.

pub(crate) mod event;

use crate::events::EventStore;
use crate::events::error::Error;
use crate::events::rights::Rights;
use std::collections::{HashMap, HashSet};
use tenon_core::Position;
use tenon_store::{AppendError, NewEvent};

/// What became of an event that was to be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) position: Position,
    /// Whether it had been published before.
    pub(crate) duplicate: bool,
}

impl EventStore {
    /// Appends events, each of them once: what had been published before is answered with where it is. New events are
    /// appended all or none, unless some of the others had been published before.
    pub(crate) async fn publish(
        &self,
        rights: &Rights,
        events: Vec<NewEvent>,
    ) -> Result<Vec<Outcome>, Error> {
        events.iter().try_for_each(|event| self.check_room(event))?;
        let ids: Vec<_> = events.iter().map(|event| event.id).collect();
        let mut seen = HashSet::new();
        let distinct: Vec<_> = events.into_iter().filter(|event| seen.insert(event.id)).collect();
        let mut known = HashMap::new();
        for outcome in self.publish_distinct(rights, distinct).await? {
            known.insert(outcome.0, outcome.1);
        }
        let outcome = |id| {
            // Whatever comes again in the same batch was published by what came first.
            let found = known.get(&id).copied();
            if let Some(outcome) = known.get_mut(&id) {
                outcome.duplicate = true;
            }
            found
        };
        Ok(ids.into_iter().filter_map(outcome).collect())
    }

    async fn publish_distinct(
        &self,
        rights: &Rights,
        events: Vec<NewEvent>,
    ) -> Result<Vec<(tenon_core::EventId, Outcome)>, Error> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let error = match self.append_all(rights, events.clone()).await {
            Err(error @ Error::Append(AppendError::DuplicateId { .. })) if events.len() > 1 => error,
            outcome => return outcome,
        };
        tracing::debug!(%error, "some of a batch had been published before; its events are published one by one");
        let mut outcomes = Vec::with_capacity(events.len());
        for event in events {
            outcomes.extend(self.append_all(rights, vec![event]).await?);
        }
        Ok(outcomes)
    }

    async fn append_all(
        &self,
        rights: &Rights,
        events: Vec<NewEvent>,
    ) -> Result<Vec<(tenon_core::EventId, Outcome)>, Error> {
        let ids: Vec<_> = events.iter().map(|event| event.id).collect();
        let admitted = self.admit(rights, events, Vec::new(), None)?;
        let appended = self.append(admitted).await?;
        let duplicate = appended.duplicate;
        let outcome = |position| Outcome { position, duplicate };
        Ok(ids.into_iter().zip(appended.positions.into_iter().map(outcome)).collect())
    }
}

#[cfg(test)]
mod tests;
