//! Snapshots: disposable blobs that spare a reader the beginning of the log.

use super::error::InvalidInput;
use bytes::Bytes;
use tenon_core::Position;

/// The most bytes of one snapshot.
pub const MAX_SNAPSHOT_BYTES: usize = 64 << 20;

/// What a snapshot is of: 1 to 100 characters of `a-z`, `0-9`, `.`, `-` and `_`, not beginning with `.`, so
/// that it can be the name of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotKey(String);

/// The hash of the schema that a snapshot was written with. A reader with another schema gets none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaHash(pub u64);

/// A state that was folded from a log, up to a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What it is of.
    pub key: SnapshotKey,
    /// The last position that was folded into it.
    pub position: Position,
    /// The schema it is written with.
    pub schema: SchemaHash,
    /// The state, at most [`MAX_SNAPSHOT_BYTES`].
    pub data: Bytes,
}

impl SnapshotKey {
    /// Reads and checks a key.
    ///
    /// # Errors
    /// [`InvalidInput::SnapshotKey`] says what is expected.
    pub fn new(text: &str) -> Result<Self, InvalidInput> {
        let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        if text.is_empty() || text.len() > 100 || text.starts_with('.') || !text.bytes().all(fits) {
            return Err(InvalidInput::SnapshotKey(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SchemaHash {
    /// The hash of a text that describes a schema: FNV-1a, 64 bits.
    pub const fn of(text: &str) -> Self {
        Self(fnv1a(FNV_OFFSET, text.as_bytes()))
    }
}

impl Snapshot {
    /// Checks the bound of a snapshot; for engines.
    ///
    /// # Errors
    /// [`InvalidInput`] if it is too large.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        InvalidInput::check("bytes of a snapshot", self.data.len(), MAX_SNAPSHOT_BYTES)
    }
}

/// Where FNV-1a begins.
pub(crate) const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a (Fowler, Noll, Vo; draft-eastlake-fnv): stable across versions and machines, so that it may be
/// kept on disk.
pub(crate) const fn fnv1a(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut rest = bytes;
    while let [byte, tail @ ..] = rest {
        hash = (hash ^ *byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
        rest = tail;
    }
    hash
}
