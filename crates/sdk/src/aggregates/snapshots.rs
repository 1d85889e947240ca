//! Snapshots of aggregates: a state every so many events, so that a long stream is not read from its beginning.
//!
//! A state with events about somebody who may be forgotten is neither kept as a snapshot nor cached, so that forgetting
//! reaches everything that there is.
//!
//! A snapshot is disposable. It is written behind the command, one at a time; when the last one is still being
//! written the next command tries again. One that cannot be read, was written with another schema or is of
//! another log is as good as none.

use super::{Aggregates, Decider, Loaded};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use tenon_core::{InvalidName, Namespace, Position, StreamName};
use tenon_store::{InvalidInput, SchemaHash, Snapshot, SnapshotError, SnapshotKey};
use tokio::sync::Semaphore;

/// When snapshots are made, and what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshots {
    /// After how many events of a stream one is made; at least 1.
    pub every: usize,
    /// Describes the form of the state, for example `order.v2`. Change it with the state's type: snapshots of
    /// another schema are passed over.
    pub schema: &'static str,
}

/// Why what is kept of an aggregate could not be dropped.
#[derive(Debug, thiserror::Error)]
pub enum DiscardError {
    /// The id makes no stream name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The snapshot is still there.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// Writes and reads snapshots, whatever the type of the state.
pub(super) struct Keeper<S> {
    every: usize,
    schema: SchemaHash,
    encode: fn(&S, Position) -> serde_json::Result<Vec<u8>>,
    decode: fn(&[u8]) -> serde_json::Result<(S, Position)>,
    writing: Arc<Semaphore>,
}

impl<S> fmt::Debug for Keeper<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("every", &self.every).finish_non_exhaustive()
    }
}

impl<D: Decider> Aggregates<D>
where
    D::State: Serialize + DeserializeOwned,
{
    /// The same with snapshots.
    #[must_use]
    pub fn with_snapshots(mut self, policy: Snapshots) -> Self {
        self.snapshots = Some(Arc::new(Keeper {
            every: policy.every.max(1),
            schema: SchemaHash::of(policy.schema),
            encode: |state, version| serde_json::to_vec(&(state, version.0)),
            decode: |data| {
                let (state, version) = serde_json::from_slice(data)?;
                Ok((state, Position(version)))
            },
            writing: Arc::new(Semaphore::new(1)),
        }));
        self
    }
}

impl<D: Decider> Aggregates<D> {
    /// Drops what is kept of an aggregate besides its events: the cached state and the snapshot.
    ///
    /// # Errors
    /// [`DiscardError`]; the snapshot may still be there.
    pub async fn discard(&self, id: &str) -> Result<(), DiscardError> {
        let stream = self.stream(id)?;
        self.cache.remove(&stream);
        let key = key(&self.namespace, &stream).map_err(SnapshotError::from)?;
        // In its place: a snapshot of nothing, in nobody's schema.
        let nothing =
            Snapshot { key, position: Position::START, schema: SchemaHash::of(""), data: Bytes::new() };
        Ok(self.log.put_snapshot(nothing).await?)
    }

    /// The last snapshot of a stream, if there is one that can be used.
    pub(super) async fn load_snapshot(&self, stream: &StreamName) -> Option<Loaded<D::State>> {
        let keeper = self.snapshots.as_ref()?;
        let key = key(&self.namespace, stream).ok()?;
        let snapshot = match self.log.snapshot(key, keeper.schema).await {
            Ok(snapshot) => snapshot?,
            Err(error) => {
                tracing::debug!(%stream, %error, "no snapshot; the stream is read from its beginning");
                return None;
            }
        };
        match (keeper.decode)(&snapshot.data) {
            Ok((state, version)) => Some(Loaded::new(state, version, snapshot.position, false)),
            Err(error) => {
                tracing::warn!(%stream, %error, "a snapshot does not have the form of its schema");
                None
            }
        }
    }

    /// Makes a snapshot in the background if it is time.
    pub(super) fn keep_snapshot(&self, stream: &StreamName, loaded: &mut Loaded<D::State>) {
        let Some(keeper) = &self.snapshots else { return };
        if loaded.since_snapshot < keeper.every || loaded.is_personal {
            return;
        }
        let Ok(permit) = Arc::clone(&keeper.writing).try_acquire_owned() else { return };
        let (Ok(key), Ok(data)) =
            (key(&self.namespace, stream), (keeper.encode)(&loaded.state, loaded.version))
        else {
            tracing::warn!(%stream, "the state cannot be written as JSON; no snapshot");
            return;
        };
        loaded.since_snapshot = 0;
        let snapshot = Snapshot { key, position: loaded.read_to, schema: keeper.schema, data: data.into() };
        let log = Arc::clone(&self.log);
        tokio::spawn(async move {
            if let Err(error) = log.put_snapshot(snapshot).await {
                tracing::warn!(%error, "a snapshot was not kept");
            }
            drop(permit);
        });
    }
}

/// A name for the snapshots of a stream that any stream's name fits in.
fn key(namespace: &Namespace, stream: &StreamName) -> Result<SnapshotKey, InvalidInput> {
    let mut hash = Sha256::new();
    hash.update(namespace.as_str());
    hash.update([0]);
    hash.update(stream.as_str());
    let digits: String = hash.finalize().iter().take(20).map(|byte| format!("{byte:02x}")).collect();
    SnapshotKey::new(&format!("aggregate.{digits}"))
}
