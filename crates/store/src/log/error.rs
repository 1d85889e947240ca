//! Why an operation of the log failed: an enum for each operation, each saying whether anything changed.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tenon_core::{Code, EventId, Position, StreamName};

/// Input that a log does not accept. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInput {
    /// Something is larger than its bound.
    #[error("too many {what}: {found}, at most {most} are accepted")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// An append without events.
    #[error("an append must hold at least one event")]
    NoEvents,
    /// The same id twice in one append.
    #[error("event id {0} occurs twice in one append")]
    RepeatedId(EventId),
    /// An item of a condition that names neither a stream nor a tag.
    #[error("each item of a condition must name a stream or a tag, or it would depend on the whole log")]
    UnboundedCondition,
    /// A stream that cannot be deleted, or not so.
    #[error("stream {stream} cannot be deleted: {problem}")]
    Deletion {
        /// The stream.
        stream: StreamName,
        /// Why.
        problem: &'static str,
    },
    /// A key for a snapshot that is not one.
    #[error(
        "snapshot key {0:?} must have 1 to 100 characters of a-z, 0-9, '.', '-' and '_', and not begin with '.'"
    )]
    SnapshotKey(String),
    /// What the server that keeps the log does not accept, in its own words.
    #[error("{0}")]
    Refused(String),
    /// An event about a subject that was forgotten.
    #[error("subject {0:?} was forgotten, which is final; no event about it is taken")]
    Forgotten(String),
    /// A scavenge mark beyond the end of the log.
    #[error("position {first} is beyond the end of the log, which is at {head}")]
    BeyondHead {
        /// The mark asked for.
        first: Position,
        /// The last position of the log.
        head: Position,
    },
}

impl InvalidInput {
    pub(crate) fn check(what: &'static str, found: usize, most: usize) -> Result<(), Self> {
        if found > most { Err(Self::TooMany { what, found, most }) } else { Ok(()) }
    }
}

/// Where a log's files are damaged. Nothing is served from there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("file {file} is damaged at byte {offset}, after position {after}: {problem}")]
pub struct Damage {
    /// The file.
    pub file: String,
    /// The byte in the file where the damaged part begins.
    pub offset: u64,
    /// The last position before the damage.
    pub after: Position,
    /// What was found.
    pub problem: &'static str,
}

/// Whether a failed operation changed the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Changed {
    /// Nothing was changed.
    No,
    /// The answer was lost; append again with the same ids to learn the outcome.
    Unknown,
}

/// Why an append failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The events or the condition are not such as a log accepts.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// An event that matches the condition was appended after its position.
    #[error("the condition does not hold: the event at position {at} matches it; read on and decide again")]
    Conflict {
        /// The first event that matches.
        at: Position,
    },
    /// An id belongs to an event of another append.
    #[error(
        "event id {id} belongs to the event at position {at} of another append; give each event an id of its own"
    )]
    DuplicateId {
        /// The id.
        id: EventId,
        /// The event which has it.
        at: Position,
    },
    /// The condition looks at events that have been scavenged.
    #[error("the condition looks at events before position {first}, which have been scavenged")]
    Truncated {
        /// The lowest position that is still served.
        first: Position,
    },
    /// No space is left. Appends succeed again when there is room.
    #[error("no space is left for the log; free some and append again")]
    Full,
    /// Checking the condition came upon damage.
    #[error("the condition cannot be checked")]
    Corrupt(#[from] Damage),
    /// Storage failed before anything was written.
    #[error("storage failed; nothing was appended")]
    Io(#[source] Arc<io::Error>),
    /// The server that keeps the log could not be reached in time, or is not ready.
    #[error("the log cannot be reached; nothing was appended, try again later")]
    Unavailable(#[source] Arc<io::Error>),
    /// The log is closed, or its writer failed earlier.
    #[error("the log is closed to appends: {0}")]
    Closed(&'static str),
    /// The answer was lost, because the writer failed or ended while it had this append.
    #[error("the answer to the append was lost: {0}; append again with the same ids to learn the outcome")]
    Unknown(&'static str),
}

impl AppendError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid(InvalidInput::Forgotten(_)) => Code::SubjectForgotten,
            Self::Invalid(_) | Self::DuplicateId { .. } => Code::LogInvalid,
            Self::Conflict { .. } => Code::LogConflict,
            Self::Truncated { .. } => Code::LogTruncated,
            Self::Full => Code::LogFull,
            Self::Corrupt(_) => Code::LogCorrupt,
            Self::Io(_) => Code::Internal,
            Self::Unavailable(_) => Code::LogUnavailable,
            Self::Closed(_) | Self::Unknown(_) => Code::LogClosed,
        }
    }

    /// Whether the failed append changed the log.
    pub fn changed(&self) -> Changed {
        if matches!(self, Self::Unknown(_)) { Changed::Unknown } else { Changed::No }
    }
}

/// Why a read or a subscription failed. Reading changes nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The query is not one that a log accepts.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// The events asked for have been scavenged.
    #[error("events before position {first} have been scavenged; read from there on")]
    Truncated {
        /// The lowest position that is still served.
        first: Position,
    },
    /// The log is damaged where the read came to.
    #[error("the log is damaged")]
    Corrupt(#[from] Damage),
    /// Storage failed.
    #[error("storage failed while reading")]
    Io(#[source] Arc<io::Error>),
    /// The server that keeps the log could not be reached in time, or is not ready.
    #[error("the log cannot be reached; try again later")]
    Unavailable(#[source] Arc<io::Error>),
    /// The log is closed.
    #[error("the log is closed")]
    Closed,
}

impl ReadError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::LogInvalid,
            Self::Truncated { .. } => Code::LogTruncated,
            Self::Corrupt(_) => Code::LogCorrupt,
            Self::Io(_) => Code::Internal,
            Self::Unavailable(_) => Code::LogUnavailable,
            Self::Closed => Code::LogClosed,
        }
    }

    /// Never: reading changes nothing.
    pub fn changed(&self) -> Changed {
        Changed::No
    }
}

impl From<ReadError> for AppendError {
    /// What a failed check of a condition means to the append: nothing was written.
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Invalid(invalid) => Self::Invalid(invalid),
            ReadError::Truncated { first } => Self::Truncated { first },
            ReadError::Corrupt(damage) => Self::Corrupt(damage),
            ReadError::Io(error) => Self::Io(error),
            ReadError::Unavailable(error) => Self::Unavailable(error),
            ReadError::Closed => Self::Closed("it was shut down"),
        }
    }
}

/// Why a log could not be opened. What is in it was not changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses the log.
    #[error("{} is in use by process {}; stop it first", path.display(), owner.map_or_else(|| "(unknown)".to_owned(), |pid| pid.to_string()))]
    Locked {
        /// The folder of the log.
        path: PathBuf,
        /// The process that holds it, as it noted itself.
        owner: Option<u32>,
    },
    /// The files were written by a newer version.
    #[error("{file} has format version {found}, this program reads up to {supported}; use a newer Tenon")]
    NewerVersion {
        /// The file.
        file: String,
        /// Its version.
        found: u32,
        /// The newest version that is understood.
        supported: u32,
    },
    /// What had been durable is damaged.
    #[error("the log is damaged; restore its files from a copy")]
    Corrupt(#[from] Damage),
    /// The log is being made of a copy, or that was interrupted.
    #[error("the log in {} was not restored to its end; restore it again", path.display())]
    Unfinished {
        /// The folder.
        path: PathBuf,
    },
    /// No space is left for the first segment or the mark of opening.
    #[error("no space is left for the log; free some and start again")]
    Full,
    /// Storage failed.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Locked { .. } => Code::LogLocked,
            Self::NewerVersion { .. } => Code::DataNewerVersion,
            Self::Corrupt(_) | Self::Unfinished { .. } => Code::LogCorrupt,
            Self::Full => Code::LogFull,
            Self::Io { .. } => Code::Internal,
        }
    }

    /// Never, as far as events are concerned: opening cuts only what was not acknowledged.
    pub fn changed(&self) -> Changed {
        Changed::No
    }
}

/// Why scavenging failed. The mark may have moved; moving it again is harmless.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TruncateError {
    /// The mark is not one that this log can have.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// The mark could not be made durable.
    #[error("the scavenge mark was not moved")]
    Append(#[from] AppendError),
    /// The mark was moved, but space was not given back everywhere.
    #[error("the scavenge mark was moved, but space could not be given back; scavenge again")]
    Read(#[from] ReadError),
}

impl TruncateError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::LogInvalid,
            Self::Append(error) => error.code(),
            Self::Read(error) => error.code(),
        }
    }

    /// Whether the mark moved.
    pub fn changed(&self) -> Changed {
        match self {
            Self::Invalid(_) => Changed::No,
            Self::Append(error) => error.changed(),
            Self::Read(_) => Changed::Unknown,
        }
    }
}

/// Why a snapshot could not be kept or fetched.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SnapshotError {
    /// The snapshot is too large.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// No space is left.
    #[error("no space is left for the snapshot")]
    Full,
    /// The log is closed.
    #[error("the log is closed")]
    Closed,
    /// Storage failed.
    #[error("storage failed")]
    Io(#[source] Arc<io::Error>),
    /// The server that keeps the log could not be reached in time, or is not ready.
    #[error("the log cannot be reached; try again later")]
    Unavailable(#[source] Arc<io::Error>),
}

impl SnapshotError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::LogInvalid,
            Self::Full => Code::LogFull,
            Self::Closed => Code::LogClosed,
            Self::Io(_) => Code::Internal,
            Self::Unavailable(_) => Code::LogUnavailable,
        }
    }

    /// Never: a snapshot that was not kept changes nothing that matters.
    pub fn changed(&self) -> Changed {
        Changed::No
    }
}
