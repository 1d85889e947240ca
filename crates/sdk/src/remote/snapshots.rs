//! Snapshots, in parts.

use super::Client;
use super::error::snapshot as failed;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tenon_api::eventstore::v1;
use tenon_core::Position;
use tenon_store::log::MAX_SNAPSHOT_BYTES;
use tenon_store::{SchemaHash, Snapshot, SnapshotError, SnapshotKey};

/// The most bytes of one part.
const PART: usize = 1 << 20;

pub(super) async fn put(client: &Client, snapshot: Snapshot) -> Result<(), SnapshotError> {
    snapshot.validate()?;
    let Snapshot { key, position, schema, data } = snapshot;
    let first = v1::Snapshot {
        key: key.as_str().to_owned(),
        position: position.0,
        schema: schema.0,
        data: Bytes::new(),
    };
    let part = |mut data: Bytes| {
        let part = data.split_to(data.len().min(PART));
        (!part.is_empty()).then_some((v1::Snapshot { data: part, ..v1::Snapshot::default() }, data))
    };
    let rest = stream::unfold(data, move |data| std::future::ready(part(data)));
    let parts = futures_util::StreamExt::chain(stream::iter([first]), rest);
    client.clone().put_snapshot(parts).await.map_err(|status| failed(&status))?;
    Ok(())
}

pub(super) async fn get(
    client: &Client,
    key: SnapshotKey,
    schema: SchemaHash,
) -> Result<Option<Snapshot>, SnapshotError> {
    let request = v1::GetSnapshotRequest { key: key.as_str().to_owned(), schema: schema.0 };
    let answer = client.clone().get_snapshot(request).await;
    let mut parts = answer.map_err(|status| failed(&status))?.into_inner();
    let Some(first) = parts.message().await.map_err(|status| failed(&status))? else { return Ok(None) };
    let mut data = BytesMut::from(&first.data[..]);
    while let Some(part) = parts.message().await.map_err(|status| failed(&status))? {
        data.extend_from_slice(&part.data);
        if data.len() > MAX_SNAPSHOT_BYTES {
            let error = std::io::Error::other("the server sends more than a snapshot may have");
            return Err(SnapshotError::Io(std::sync::Arc::new(error)));
        }
    }
    Ok(Some(Snapshot { key, position: Position(first.position), schema, data: data.freeze() }))
}
