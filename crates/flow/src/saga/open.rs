//! Which sagas have begun and not ended: by a snapshot of them that is kept now and then, and what came after it.

use super::journal::unread;
use super::names::{event_type, id_of, shard};
use std::collections::BTreeSet;
use std::sync::Arc;
use tenon_api::saga::{ENDED, Progress, STARTED, STEPPED, TOLD, decode_running, encode_running};
use tenon_core::{Namespace, Position, Refusal, SagaId};
use tenon_store::{Direction, Event, Log, Query, QueryItem, SchemaHash, Snapshot, SnapshotKey};

const SCHEMA: SchemaHash = SchemaHash::of("tenon.saga.Running.v1");

/// Sagas that have begun and not ended, as far as the log was read.
#[derive(Debug, Default, Clone)]
pub(super) struct Open {
    ids: BTreeSet<SagaId>,
    pub(super) at: Position,
}

impl Open {
    /// Those of some shards that were noted last. Some have ended meanwhile.
    pub(super) async fn noted(log: &Arc<dyn Log>, shards: &BTreeSet<u8>) -> Self {
        let (mut ids, mut at) = (BTreeSet::new(), None);
        for number in shards {
            let kept = log.snapshot(key(*number), SCHEMA).await.ok().flatten();
            let noted = kept.and_then(|kept| Some((kept.position, decode_running(&kept.data).ok()?)));
            let (position, noted) = noted.unwrap_or_default();
            // Reading again what one of them knows already does no harm.
            at = Some(at.map_or(position, |at: Position| at.min(position)));
            ids.extend(noted);
        }
        Self { ids, at: at.unwrap_or_default() }
    }

    /// Reads on to the end of the log.
    pub(super) async fn catch_up(&mut self, log: &Arc<dyn Log>) -> Result<(), Refusal> {
        loop {
            let page = log.read(changes(), self.at, Direction::Forward, usize::MAX).await.map_err(unread)?;
            page.events.iter().for_each(|event| self.saw(event));
            self.at = page.next;
            if page.at_end {
                return Ok(());
            }
        }
    }

    /// Takes in an event of a saga.
    pub(super) fn saw(&mut self, event: &Event) {
        let Some(id) = id_of(&event.stream) else { return };
        match event.event_type.as_str() {
            ENDED => _ = self.ids.remove(&id),
            STARTED if begins_nothing(event) => {}
            STARTED | TOLD => _ = self.ids.insert(id),
            _ => {}
        }
    }

    /// The same, of some shards only.
    pub(super) fn within(&self, shards: &BTreeSet<u8>) -> Self {
        Self { ids: self.of(shards).collect(), at: self.at }
    }

    /// The sagas of some shards.
    pub(super) fn of(&self, shards: &BTreeSet<u8>) -> impl Iterator<Item = SagaId> {
        self.ids.iter().copied().filter(|id| shards.contains(&shard(*id)))
    }
}

/// Notes which sagas of a shard run, at least, and have not ended before a position.
pub(super) async fn note(log: &Arc<dyn Log>, number: u8, ids: Vec<SagaId>, position: Position) {
    let snapshot = Snapshot { key: key(number), position, schema: SCHEMA, data: encode_running(ids) };
    if let Err(error) = log.put_snapshot(snapshot).await {
        tracing::debug!(%error, "which sagas run was not noted");
    }
}

/// Whether it is of a saga that was reverted before it began, and never will.
fn begins_nothing(event: &Event) -> bool {
    Progress::decode(&event.data).is_ok_and(|progress| progress.events.is_empty())
}

/// What begins and ends sagas, and what was done to them from elsewhere.
fn changes() -> Query {
    of_types([STARTED, TOLD, ENDED].into())
}

/// All that is done to sagas.
pub(super) fn whatever_happens() -> Query {
    of_types([STARTED, STEPPED, TOLD, ENDED].into())
}

fn of_types(types: BTreeSet<&'static str>) -> Query {
    let types = types.into_iter().map(event_type).collect();
    Query::reserved().within(Namespace::default()).or(QueryItem { types, ..QueryItem::default() })
}

fn key(number: u8) -> SnapshotKey {
    match SnapshotKey::new(&format!("sagas.{number}")) {
        Ok(key) => key,
        Err(_) => unreachable!("a number is of the characters of a key"),
    }
}
