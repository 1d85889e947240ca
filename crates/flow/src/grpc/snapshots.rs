//! Snapshots over gRPC, in parts: one can be larger than a message.
//!
//! Those of users are kept under keys of their own, by namespace, so that nobody comes by another's or by Tenon's.

use super::wire::invalid;
use crate::events::error::Error;
use crate::events::rights::Rights;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use tenon_api::eventstore::v1;
use tenon_core::{Code, Position, Refusal};
use tenon_store::log::MAX_SNAPSHOT_BYTES;
use tenon_store::{Log, SchemaHash, Snapshot, SnapshotError, SnapshotKey};
use tokio::sync::Semaphore;
use tonic::Streaming;

/// The most bytes of one part.
const PART: usize = 1 << 20;

/// How many snapshots are taken in at once, as each is held whole.
const MOST: usize = 4;

/// Takes in and gives out snapshots.
#[derive(Debug, Clone)]
pub(super) struct Snapshots {
    room: Arc<Semaphore>,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(MOST)) }
    }
}

impl Snapshots {
    /// Keeps a snapshot.
    pub(super) async fn put(
        &self,
        log: &Arc<dyn Log>,
        rights: &Rights,
        mut parts: Streaming<v1::Snapshot>,
    ) -> Result<(), Error> {
        let closed = || Refusal::new(Code::LogClosed, "the server is ending");
        let _permit = self.room.acquire().await.map_err(|_| closed())?;
        let broken = |status: tonic::Status| Refusal::new(Code::RequestInvalid, status.message());
        let first = parts.message().await.map_err(broken)?;
        let first = first.ok_or_else(|| invalid("snapshot", "is missing"))?;
        let mut data = BytesMut::from(&first.data[..]);
        while let Some(part) = parts.message().await.map_err(broken)? {
            if data.len() + part.data.len() > MAX_SNAPSHOT_BYTES {
                let detail = format!("a snapshot may have {MAX_SNAPSHOT_BYTES} bytes");
                return Err(Refusal::new(Code::RequestTooLarge, detail).into());
            }
            data.extend_from_slice(&part.data);
        }
        let snapshot = Snapshot {
            key: key(rights, &first.key)?,
            position: Position(first.position),
            schema: SchemaHash(first.schema),
            data: data.freeze(),
        };
        Ok(log.put_snapshot(snapshot).await?)
    }

    /// A snapshot in parts; no part if there is none.
    pub(super) async fn get(
        &self,
        log: &Arc<dyn Log>,
        rights: &Rights,
        request: &v1::GetSnapshotRequest,
    ) -> Result<impl Iterator<Item = v1::Snapshot> + Send + use<>, Error> {
        let found = log.snapshot(key(rights, &request.key)?, SchemaHash(request.schema)).await?;
        let asked = request.key.clone();
        Ok(found.into_iter().flat_map(move |snapshot| {
            let asked = asked.clone();
            let (position, schema) = (snapshot.position.0, snapshot.schema.0);
            split(snapshot.data).map(move |data| v1::Snapshot { key: asked.clone(), position, schema, data })
        }))
    }
}

/// The data in parts, one at least.
fn split(mut data: Bytes) -> impl Iterator<Item = Bytes> {
    let first = data.split_to(data.len().min(PART));
    let rest = std::iter::from_fn(move || {
        let part = data.split_to(data.len().min(PART));
        (!part.is_empty()).then_some(part)
    });
    std::iter::once(first).chain(rest)
}

fn key(rights: &Rights, text: &str) -> Result<SnapshotKey, Error> {
    // The caller's own key must be one; what is put before it never makes it one.
    let valid = SnapshotKey::new(text).map_err(SnapshotError::from)?;
    let kept = format!("user.{}.{}", rights.namespace(), valid.as_str());
    Ok(SnapshotKey::new(&kept).map_err(SnapshotError::from)?)
}
