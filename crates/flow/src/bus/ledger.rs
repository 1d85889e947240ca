//! How far a group is, kept in the log.
//!
//! Progress is an event in the group's own stream, and besides, more often, a snapshot, which replaces the one before.
//! Events are durable and stay for ever; a snapshot is cheap and may be lost, then the last event holds. A driver begins
//! an epoch with an event, and every further one is appended only if none of another driver came in between: so one that
//! does not know yet that its time is over can record nothing any more, and a snapshot of an earlier epoch is not believed.

use crate::EventStore;
use bytes::Bytes;
use tenon_api::bus::{Progress, Record};
use tenon_core::group::{Checkpoint, GroupName};
use tenon_core::{EventId, EventType, Namespace, Position, Refusal, ServerId, StreamName};
use tenon_store::log::{Changed, END};
use tenon_store::{
    AppendError, Condition, Direction, NewEvent, Query, ReadError, SchemaHash, Snapshot, SnapshotKey,
};

/// The schema of snapshots.
const SCHEMA: SchemaHash = SchemaHash::of("tenon.bus.GroupProgress.v1");

/// How often an append is repeated whose answer was lost.
const REPEATS: u32 = 5;

/// Where one driver keeps the progress of its group.
pub(super) struct Ledger {
    store: EventStore,
    stream: StreamName,
    snapshot: SnapshotKey,
    id: EventId,
    epoch: u64,
    server: ServerId,
    /// How many events were written in this epoch.
    number: u64,
    /// Where the last one is.
    last: Position,
}

/// Why progress is not kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum LedgerError {
    /// Another driver began an epoch.
    #[error("another driver has taken the group over")]
    TakenOver,
    /// The log does not append.
    #[error("the log does not take a group's progress")]
    Append(#[from] AppendError),
    /// The log cannot be read.
    #[error("a group's progress cannot be read")]
    Read(#[from] ReadError),
    /// What is there cannot be understood.
    #[error("a group's progress cannot be understood: {0}")]
    Unreadable(String),
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Self {
        use tenon_core::Code;
        let code = match &error {
            LedgerError::TakenOver => Code::ServerOffDuty,
            LedgerError::Append(error) => error.code(),
            LedgerError::Read(error) => error.code(),
            LedgerError::Unreadable(_) => Code::DataNewerVersion,
        };
        let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
        Self::new(code, format!("{error}{}", source.unwrap_or_default()))
    }
}

impl Ledger {
    /// Begins an epoch, and answers how far the group is. A subscription that has no progress begins after `from`.
    pub(super) async fn take(
        store: EventStore,
        name: &GroupName,
        id: EventId,
        from: Position,
        server: ServerId,
    ) -> Result<(Self, Checkpoint), LedgerError> {
        let stream = stream_of(name);
        let query = Query::stream(Namespace::default(), stream.clone());
        let page = store.log().read(query, END, Direction::Backward, 1).await?;
        let last = page.events.first();
        let position = last.map_or(Position::START, |event| event.position);
        let kept = match last {
            None => None,
            Some(event) => match Record::decode(event.event_type.as_str(), &event.data) {
                Ok(Record::Progress(progress)) => Some(progress),
                Ok(_) => None,
                Err(error) => return Err(LedgerError::Unreadable(error.to_string())),
            },
        };
        let epoch = kept.as_ref().map_or(0, |progress| progress.epoch) + 1;
        let snapshot = snapshot_key(name);
        let mut ledger = Self { store, stream, snapshot, id, epoch, server, number: 0, last: position };
        let checkpoint = match kept.filter(|progress| progress.id == id) {
            None => Checkpoint::at(from),
            Some(progress) => ledger.newer(&progress).await.unwrap_or(progress.checkpoint),
        };
        ledger.keep(checkpoint.clone()).await?;
        Ok((ledger, checkpoint))
    }

    /// The epoch that was begun.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What a snapshot says, if it is of the same epoch as an event and was taken after it.
    async fn newer(&self, progress: &Progress) -> Option<Checkpoint> {
        let snapshot = self.store.log().snapshot(self.snapshot.clone(), SCHEMA).await.ok()??;
        let kept = Progress::decode(&snapshot.data).ok()?;
        let same = (kept.id, kept.epoch, kept.number) == (progress.id, progress.epoch, progress.number);
        same.then_some(kept.checkpoint)
    }

    /// Appends how far the group is.
    pub(super) async fn keep(&mut self, checkpoint: Checkpoint) -> Result<(), LedgerError> {
        let record = Record::Progress(self.progress(self.number + 1, checkpoint));
        let (event_type, data) = record.encode();
        let event = new_event(&self.stream, event_type, data);
        let condition = Condition::stream_unchanged(Namespace::default(), self.stream.clone(), self.last);
        let mut repeats = 0;
        let appended = loop {
            match self.store.log().append(vec![event.clone()], Some(condition.clone())).await {
                Ok(appended) => break appended,
                Err(AppendError::Conflict { .. }) => return Err(LedgerError::TakenOver),
                Err(error) if error.changed() == Changed::Unknown && repeats < REPEATS => repeats += 1,
                Err(error) => return Err(error.into()),
            }
        };
        self.last = appended.last();
        self.number += 1;
        Ok(())
    }

    /// Keeps it as a snapshot: nothing is lost if that fails.
    pub(super) async fn note(&self, checkpoint: Checkpoint) {
        let data = self.progress(self.number, checkpoint).encode();
        let (key, position, schema) = (self.snapshot.clone(), self.last, SCHEMA);
        let kept = self.store.log().put_snapshot(Snapshot { key, position, schema, data }).await;
        if let Err(error) = kept {
            tracing::debug!(%error, stream = %self.stream, "a group's progress was not noted");
        }
    }

    fn progress(&self, number: u64, checkpoint: Checkpoint) -> Progress {
        Progress { id: self.id, epoch: self.epoch, server: self.server, number, checkpoint }
    }
}

/// An event of Tenon's own.
pub(super) fn new_event(stream: &StreamName, event_type: &str, data: Bytes) -> NewEvent {
    let Ok(event_type) = EventType::new(event_type) else { unreachable!("the type is a constant") };
    NewEvent::new(Namespace::default(), stream.clone(), event_type, data)
}

fn stream_of(name: &GroupName) -> StreamName {
    match StreamName::new(&format!("$tenon/groups/{}/{}", name.namespace, name.name)) {
        Ok(stream) => stream,
        Err(_) => unreachable!("two DNS labels are at most 126 bytes"),
    }
}

/// A long name is shortened: a snapshot that is another's is not believed.
fn snapshot_key(name: &GroupName) -> SnapshotKey {
    let text = format!("bus.{}.{}", name.namespace, name.name);
    let text = text.get(..text.len().min(100)).unwrap_or("bus");
    match SnapshotKey::new(text) {
        Ok(key) => key,
        Err(_) => unreachable!("labels are of the characters of a key"),
    }
}
