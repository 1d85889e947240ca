//! What refusals of a server mean to whoever works on the log.

use std::io;
use std::sync::Arc;
use tenon_api::eventstore::{POSITION_HEADER, v1};
use tenon_api::headers;
use tenon_core::{Code, EventId, Position};
use tenon_store::{AppendError, InvalidInput, ReadError, SnapshotError, TruncateError};
use tonic::Status;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address or the token is not one that can be used.
    #[error("cannot connect to {address:?}: {problem}")]
    Invalid {
        /// The address as given.
        address: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Nothing answers, or what answers refuses.
    #[error("{address} does not serve the log: {}", .status.message())]
    Refused {
        /// The address.
        address: String,
        /// What it says.
        #[source]
        status: Box<Status>,
    },
}

impl ConnectError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid { .. } => Code::RequestInvalid,
            Self::Refused { status, .. } => code_of(status),
        }
    }
}

/// What the server of the log, or the way to it, says.
pub(crate) fn code_of(status: &Status) -> Code {
    let stated = status.metadata().get(headers::ERROR).and_then(|value| value.to_str().ok());
    // Tonic's own statuses have no code: the connection failed, or a message was none.
    stated.and_then(Code::parse).unwrap_or(match status.code() {
        tonic::Code::Unauthenticated => Code::AccessUnauthenticated,
        tonic::Code::PermissionDenied => Code::AccessForbidden,
        tonic::Code::Internal | tonic::Code::DataLoss => Code::Internal,
        _ => Code::LogUnavailable,
    })
}

fn position_of(status: &Status) -> Position {
    let stated = status.metadata().get(POSITION_HEADER).and_then(|value| value.to_str().ok());
    Position(stated.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Why a read failed.
pub(super) fn read(status: &Status) -> ReadError {
    let detail = || Arc::new(io::Error::other(status.message().to_owned()));
    match code_of(status) {
        Code::LogTruncated => ReadError::Truncated { first: position_of(status) },
        Code::LogOther => ReadError::Closed,
        Code::LogCorrupt | Code::Internal => ReadError::Io(detail()),
        Code::LogClosed
        | Code::LogUnavailable
        | Code::ServerUnavailable
        | Code::ServerOverloaded
        | Code::ServerTimeout => ReadError::Unavailable(detail()),
        _ => ReadError::Invalid(InvalidInput::Refused(status.message().to_owned())),
    }
}

/// A stream ended before it was complete.
pub(super) fn ended() -> ReadError {
    ReadError::Unavailable(Arc::new(io::Error::other("the server ended the answer; it may be restarting")))
}

/// Why an append failed that was never sent, or that the server answered by this.
pub(super) fn append(status: &Status) -> AppendError {
    read(status).into()
}

/// Why one append of many failed.
pub(super) fn failure(failure: v1::AppendFailure) -> AppendError {
    let v1::AppendFailure { code, detail, unknown, position, id } = failure;
    if unknown {
        return AppendError::Unknown("the server does not know it either");
    }
    let at = Position(position);
    let other = |detail: String| Arc::new(io::Error::other(detail));
    match Code::parse(&code).unwrap_or(Code::Internal) {
        Code::LogConflict => AppendError::Conflict { at },
        Code::LogTruncated => AppendError::Truncated { first: at },
        Code::LogFull => AppendError::Full,
        Code::SubjectForgotten => InvalidInput::Forgotten(detail).into(),
        Code::LogCorrupt | Code::Internal => AppendError::Io(other(detail)),
        Code::LogClosed
        | Code::LogUnavailable
        | Code::ServerUnavailable
        | Code::ServerOverloaded
        | Code::ServerTimeout => AppendError::Unavailable(other(detail)),
        _ => match <[u8; 16]>::try_from(&id[..]) {
            Ok(id) => AppendError::DuplicateId { id: EventId::from_bytes(id), at },
            Err(_) => InvalidInput::Refused(detail).into(),
        },
    }
}

/// Why the mark was not moved to `first`.
pub(super) fn truncate(status: &Status, first: Position, head: Position) -> TruncateError {
    match code_of(status) {
        Code::LogInvalid => InvalidInput::BeyondHead { first, head }.into(),
        _ => append(status).into(),
    }
}

/// Why a snapshot was not kept or found.
pub(super) fn snapshot(status: &Status) -> SnapshotError {
    match code_of(status) {
        Code::LogFull => SnapshotError::Full,
        Code::LogClosed | Code::LogOther => SnapshotError::Closed,
        Code::LogInvalid => SnapshotError::Invalid(InvalidInput::Refused(status.message().to_owned())),
        _ => SnapshotError::Io(Arc::new(io::Error::other(status.message().to_owned()))),
    }
}
