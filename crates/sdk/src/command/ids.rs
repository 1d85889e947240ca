//! The ids of a command's events. With an idempotency key they follow from it, so that the log itself
//! recognises a repeat, however much time and whichever process lies between.

use super::Key;
use sha2::{Digest, Sha256};
use tenon_core::{EventId, InvalidName, Namespace, Tag};
use tenon_store::new_event_id;

/// How the tag begins by which the first event of a command is found.
const TAG: &str = "command:";

/// The index of the first notice.
const NOTICES: usize = 1 << 20;

/// The ids of one command's events.
#[derive(Debug, Clone)]
pub(crate) struct Ids {
    /// The hash of namespace, scope and key; none without a key.
    seed: Option<[u8; 32]>,
}

impl Ids {
    /// The ids of the command that the key names in a scope.
    pub(crate) fn new(namespace: &Namespace, scope: &str, key: Option<&Key>) -> Self {
        let seed = |key: &Key| {
            let mut hash = Sha256::new();
            // Each part with its length, so that no two triples run together to the same bytes.
            for part in ["tenon.command.v1", namespace.as_str(), scope, key.as_str()] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part.as_bytes());
            }
            hash.finalize().into()
        };
        Self { seed: key.map(seed) }
    }

    /// Whether they follow from a key.
    pub(crate) fn are_derived(&self) -> bool {
        self.seed.is_some()
    }

    /// The id of the event with this index: with a key always the same, a UUID of version 8 (RFC 9562);
    /// without one a new one each time.
    pub(crate) fn id(&self, index: usize) -> EventId {
        let Some(seed) = self.seed else { return new_event_id() };
        let mut hash = Sha256::new();
        hash.update(seed);
        hash.update((index as u64).to_le_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        let mut id = [0; 16];
        id.copy_from_slice(hash.first_chunk::<16>().unwrap_or(&[0; 16]));
        EventId::from_bytes(uuid::Builder::from_custom_bytes(id).into_uuid().into_bytes())
    }

    /// The id of what others are told with this index.
    pub(crate) fn notice(&self, index: usize) -> EventId {
        // Far beyond the most events of an append.
        self.id(NOTICES + index)
    }

    /// The tag that the first event carries, if the ids follow from a key.
    pub(crate) fn tag(&self) -> Result<Option<Tag>, InvalidName> {
        self.are_derived().then(|| Tag::new(&format!("{TAG}{}", self.id(0)))).transpose()
    }

    /// Whether an event with these tags is the first of a command with a key.
    pub(crate) fn marks(tags: &[Tag]) -> bool {
        tags.iter().any(|tag| tag.as_str().starts_with(TAG))
    }
}
