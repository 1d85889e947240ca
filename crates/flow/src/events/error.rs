//! Why the event store did not do what it was asked.

use crate::vault::VaultError;
use tenon_core::{Code, EventId, Position, Refusal};
use tenon_store::log::Changed;
use tenon_store::{AppendError, ReadError, SnapshotError, TruncateError};

/// Why the event store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It is not to be done.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The log refused or failed to append.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The log refused or failed to read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A subject could not be forgotten.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The log refused or failed to move its mark.
    #[error(transparent)]
    Truncate(#[from] TruncateError),
    /// The log refused or failed to keep or find a snapshot.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl Error {
    /// The stable code.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Refused(refusal) => refusal.code,
            Self::Append(error) => error.code(),
            Self::Read(error) => error.code(),
            Self::Vault(error) => error.code(),
            Self::Truncate(error) => error.code(),
            Self::Snapshot(error) => error.code(),
        }
    }

    /// The position that says more, if there is one.
    pub(crate) fn position(&self) -> Option<Position> {
        match self {
            Self::Append(
                AppendError::Conflict { at: position }
                | AppendError::DuplicateId { at: position, .. }
                | AppendError::Truncated { first: position },
            )
            | Self::Read(ReadError::Truncated { first: position })
            | Self::Truncate(TruncateError::Read(ReadError::Truncated { first: position })) => {
                Some(*position)
            }
            _ => None,
        }
    }

    /// The id that another event has already, if that is what is wrong.
    pub(crate) fn id(&self) -> Option<EventId> {
        match self {
            Self::Append(AppendError::DuplicateId { id, .. }) => Some(*id),
            _ => None,
        }
    }

    /// Whether it is unknown if anything was changed.
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self, Self::Append(error) if error.changed() == Changed::Unknown)
    }

    /// What happened and why, in one line.
    pub(crate) fn detail(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        text
    }
}

/// For those who need to know no more than a code and a sentence.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => refusal,
            other => Self::new(other.code(), other.detail()),
        }
    }
}
