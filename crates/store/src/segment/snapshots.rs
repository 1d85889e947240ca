//! Snapshots as files beside the segments. They are disposable, so they are written without a sync and
//! believed only if whole, of this log and not ahead of it.

use super::disk::{Disk, is_full, read_to_end_at};
use super::files::{SNAPSHOT, TEMPORARY};
use super::format::{Reader, Writer};
use crate::log::{MAX_SNAPSHOT_BYTES, SchemaHash, Snapshot, SnapshotError, SnapshotKey};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use tenon_core::{LogId, Position};

const MAGIC: [u8; 8] = *b"TENONSNP";
const VERSION: u32 = 1;
/// Magic, version, log, position, schema; the checksum comes last in the file.
const HEADER: usize = 8 + 4 + 16 + 8 + 8;
const CHECKSUM: usize = 4;

/// Keeps a snapshot. Must not run twice at a time.
pub(crate) fn put(disk: &dyn Disk, log: LogId, snapshot: &Snapshot) -> Result<(), SnapshotError> {
    snapshot.validate()?;
    let name = format!("{}{SNAPSHOT}", snapshot.key.as_str());
    let temporary = format!("{name}{TEMPORARY}");
    let written = disk
        .create(&temporary)
        .and_then(|file| file.write_at(&encode(log, snapshot), 0))
        .and_then(|()| disk.rename(&temporary, &name));
    written.map_err(|error| {
        // What cannot be removed now is removed when the log is opened.
        let _ = disk.remove(&temporary);
        if is_full(&error) { SnapshotError::Full } else { SnapshotError::Io(Arc::new(error)) }
    })
}

/// The snapshot of a key, if there is one that can be believed.
pub(crate) fn get(
    disk: &dyn Disk,
    log: LogId,
    head: Position,
    key: SnapshotKey,
    schema: SchemaHash,
) -> Result<Option<Snapshot>, SnapshotError> {
    let bytes = match read(disk, &format!("{}{SNAPSHOT}", key.as_str())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| SnapshotError::Io(Arc::new(error)))?,
    };
    let usable = |snapshot: &Snapshot| snapshot.schema == schema && snapshot.position <= head;
    Ok(bytes.and_then(|bytes| decode(log, key, &bytes)).filter(usable))
}

/// The bytes of a file, unless it is larger than any snapshot.
fn read(disk: &dyn Disk, name: &str) -> io::Result<Option<Bytes>> {
    let file = disk.open(name)?;
    if file.size()? > (HEADER + MAX_SNAPSHOT_BYTES + CHECKSUM) as u64 {
        return Ok(None);
    }
    Ok(Some(read_to_end_at(&*file, 0)?.into()))
}

fn encode(log: LogId, snapshot: &Snapshot) -> Vec<u8> {
    let mut writer = Writer(Vec::with_capacity(HEADER + snapshot.data.len() + CHECKSUM));
    writer.bytes(&MAGIC);
    writer.u32(VERSION);
    writer.bytes(log.as_bytes());
    writer.u64(snapshot.position.0);
    writer.u64(snapshot.schema.0);
    writer.bytes(&snapshot.data);
    writer.u32(crc32c::crc32c(&writer.0));
    writer.0
}

fn decode(log: LogId, key: SnapshotKey, bytes: &Bytes) -> Option<Snapshot> {
    let (covered, stored) = bytes.split_last_chunk::<CHECKSUM>()?;
    if crc32c::crc32c(covered) != u32::from_le_bytes(*stored) {
        return None;
    }
    let mut reader = Reader(covered);
    let known = reader.array() == Some(MAGIC) && reader.u32() == Some(VERSION);
    if !known || reader.array() != Some(*log.as_bytes()) {
        return None;
    }
    let (position, schema) = (Position(reader.u64()?), SchemaHash(reader.u64()?));
    Some(Snapshot { key, position, schema, data: bytes.slice(HEADER..bytes.len() - CHECKSUM) })
}
