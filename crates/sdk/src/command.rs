//! What commands have in common, whether they are of one aggregate or of several states: who calls, how a
//! repeat is recognised, what comes back, and why there may be nothing.

mod ids;

pub(crate) use ids::Ids;

use crate::events::EventsError;
use std::fmt;
use tenon_core::{Actor, Code, InvalidName, Namespace, Position};
use tenon_store::{AppendError, Metadata, ReadError};

/// How often a command is decided anew because somebody else was quicker.
pub(crate) const MOST_CONFLICTS: usize = 16;
/// How often an append is sent whose answer was lost.
pub(crate) const MOST_SENDS: usize = 3;

/// The longest idempotency key, in bytes.
const MAX_KEY: usize = 255;

/// Names a command, so that it may be given again and have its effect once. A key counts for one stream (or one
/// kind of [`Decision`](crate::decision::Decision)) of one namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(String);

/// What comes with a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// Names the command, if it may be given again.
    pub key: Option<Key>,
    /// The version that the caller has seen: the position of the stream's last event,
    /// [`Position::START`] for a stream without events. The command is refused if there is another.
    pub expected: Option<Position>,
    /// Stands in every event that the command leads to.
    pub metadata: Metadata,
}

/// What a command led to. A repeated command has the outcome of the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<S, E> {
    /// The state after the command.
    pub state: S,
    /// The events; none if there was nothing to change.
    pub events: Vec<E>,
    /// The position of the last event that the state is folded from: the stream's version.
    pub version: Position,
    /// Whether the command had been given before, with this key.
    pub repeated: bool,
}

/// Why a command led to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CommandError<R: std::error::Error> {
    /// The rules refuse it.
    #[error(transparent)]
    Refused(R),
    /// The decider's state is final, yet it gave events.
    #[error("{0} is in a final state, in which no command may lead to an event; mend decide or is_terminal")]
    Ended(String),
    /// The caller has seen another version.
    #[error("version {expected} was expected, but it is {found}; read it again")]
    Stale {
        /// What the caller has seen.
        expected: Position,
        /// What there is.
        found: Position,
    },
    /// Somebody else was quicker each time.
    #[error("others were quicker {0} times; give the command again")]
    Conflict(usize),
    /// An id, key or tag makes no name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// An event could not be written or read.
    #[error(transparent)]
    Events(#[from] EventsError),
    /// The log did not take the events.
    #[error(transparent)]
    Append(AppendError),
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Key {
    /// Reads and checks a key.
    ///
    /// # Errors
    /// [`InvalidKey`] says what is expected.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidKey> {
        let text = text.into();
        if text.is_empty() || text.len() > MAX_KEY { Err(InvalidKey) } else { Ok(Self(text)) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An id that follows from the key, a UUID: for the aggregate that a command creates, so that the same command
    /// always creates the same one. Other scopes have other ids.
    pub fn derived_id(&self, scope: &str) -> String {
        Ids::new(&Namespace::default(), scope, Some(self)).id(0).to_string()
    }
}

/// A text that is no idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key must have 1 to {MAX_KEY} bytes")]
pub struct InvalidKey;

impl Call {
    /// A command that has its effect once however often it is given.
    pub fn once(key: Key) -> Self {
        Self { key: Some(key), ..Self::default() }
    }

    /// The same, for the version that the caller has seen.
    #[must_use]
    pub fn expecting(mut self, version: Position) -> Self {
        self.expected = Some(version);
        self
    }

    /// The same, by this actor.
    #[must_use]
    pub fn by(mut self, actor: Actor) -> Self {
        self.metadata.actor = Some(actor);
        self
    }
}

impl<R: std::error::Error> CommandError<R> {
    /// The stable code; none for a refusal, whose meaning is the decider's.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(_) => None,
            Self::Ended(_) | Self::Events(_) => Some(Code::Internal),
            Self::Stale { .. } | Self::Conflict(_) => Some(Code::LogConflict),
            Self::Name(_) => Some(Code::LogInvalid),
            Self::Append(error) => Some(error.code()),
            Self::Read(error) => Some(error.code()),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
