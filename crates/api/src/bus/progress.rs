//! What is kept of subscriptions in the log.

use super::definition::namespace_of;
use super::v1;
use crate::InvalidMessage;
use crate::invalid::{Checked, nested, parsed, required};
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;
use tenon_core::group::{Cause, Checkpoint, Definition, Key, Open, Parked};
use tenon_core::{EventId, Namespace, Position, ServerId, SubscriptionName, Timestamp};

/// An event about subscriptions, in the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// One was made or changed.
    Defined {
        /// As it was asked for.
        definition: Box<Definition>,
        /// After which position it began when it was made.
        from: Position,
        /// Drawn when it was made.
        id: EventId,
    },
    /// One was deleted.
    Deleted {
        /// Its namespace.
        namespace: Namespace,
        /// Its name.
        name: SubscriptionName,
    },
    /// How far a group is.
    Progress(Progress),
}

/// How far a group is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The subscription's.
    pub id: EventId,
    /// A time during which one server drives the group.
    pub epoch: u64,
    /// That server.
    pub server: ServerId,
    /// In a snapshot: how many events of progress were written in this epoch before.
    pub number: u64,
    /// What is kept.
    pub checkpoint: Checkpoint,
}

/// Why an event about subscriptions cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// No event of this type is known.
    #[error("no event about subscriptions has the type {0}; was it written by a later version?")]
    UnknownType(String),
    /// The payload is no message of the type.
    #[error("the payload is damaged")]
    Damaged(#[from] prost::DecodeError),
    /// A field does not hold what it must.
    #[error(transparent)]
    Invalid(#[from] InvalidMessage),
}

const DEFINED: &str = "tenon.bus.SubscriptionDefined.v1";
const DELETED: &str = "tenon.bus.SubscriptionDeleted.v1";
const PROGRESS: &str = "tenon.bus.GroupProgress.v1";

impl Record {
    /// The type and the payload.
    pub fn encode(&self) -> (&'static str, Bytes) {
        match self {
            Self::Defined { definition, from, id } => {
                let message = v1::SubscriptionDefined {
                    definition: Some((&**definition).into()),
                    from: from.0,
                    id: Bytes::copy_from_slice(id.as_bytes()),
                };
                (DEFINED, message.encode_to_vec().into())
            }
            Self::Deleted { namespace, name } => {
                let message =
                    v1::SubscriptionDeleted { namespace: namespace.to_string(), name: name.to_string() };
                (DELETED, message.encode_to_vec().into())
            }
            Self::Progress(progress) => (PROGRESS, progress.encode()),
        }
    }

    /// Reads what [`Record::encode`] wrote.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn decode(event_type: &str, payload: &[u8]) -> Result<Self, RecordError> {
        match event_type {
            DEFINED => {
                let message = v1::SubscriptionDefined::decode(payload)?;
                Ok(Self::Defined {
                    definition: Box::new(nested("definition", message.definition)?),
                    from: Position(message.from),
                    id: id("id", &message.id)?,
                })
            }
            DELETED => {
                let message = v1::SubscriptionDeleted::decode(payload)?;
                let namespace = namespace_of(&message.namespace)?;
                Ok(Self::Deleted { namespace, name: parsed("name", &message.name)? })
            }
            PROGRESS => Ok(Self::Progress(Progress::decode(payload)?)),
            other => Err(RecordError::UnknownType(other.to_owned())),
        }
    }
}

impl Progress {
    /// The bytes, for a snapshot.
    pub fn encode(&self) -> Bytes {
        let message = v1::GroupProgress {
            id: Bytes::copy_from_slice(self.id.as_bytes()),
            epoch: self.epoch,
            server: Bytes::copy_from_slice(self.server.as_bytes()),
            number: self.number,
            checkpoint: Some((&self.checkpoint).into()),
        };
        message.encode_to_vec().into()
    }

    /// Reads what [`Progress::encode`] wrote.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn decode(payload: &[u8]) -> Result<Self, RecordError> {
        let message = v1::GroupProgress::decode(payload)?;
        let server = <[u8; 16]>::try_from(&message.server[..]);
        let server = server.map_err(|_| InvalidMessage::new("server", "must have 16 bytes"))?;
        Ok(Self {
            id: id("id", &message.id)?,
            epoch: message.epoch,
            server: ServerId::from_bytes(server),
            number: message.number,
            checkpoint: nested("checkpoint", message.checkpoint)?,
        })
    }
}

fn id(field: &str, bytes: &[u8]) -> Checked<EventId> {
    let bytes = <[u8; 16]>::try_from(bytes);
    bytes.map(EventId::from_bytes).map_err(|_| InvalidMessage::new(field, "must have 16 bytes"))
}

/// Positions as differences to the one before.
fn differences(positions: impl Iterator<Item = Position>) -> Vec<u64> {
    let mut last = 0;
    positions.map(|at| at.0 - std::mem::replace(&mut last, at.0)).collect()
}

fn positions(differences: &[u64]) -> impl Iterator<Item = Position> {
    differences.iter().scan(0_u64, |last, difference| {
        *last = last.saturating_add(*difference);
        Some(Position(*last))
    })
}

impl From<&Checkpoint> for v1::Checkpoint {
    fn from(checkpoint: &Checkpoint) -> Self {
        let Checkpoint { to, open, parked, counts } = checkpoint;
        let key = |key: Option<Key>| key.map_or(0, |key| key.0);
        Self {
            to: to.0,
            open_at: differences(open.iter().map(|open| open.at)),
            open_key: open.iter().map(|open| key(open.key)).collect(),
            open_attempts: open.iter().map(|open| open.attempts).collect(),
            open_due_micros: open.iter().map(|open| open.due.as_micros()).collect(),
            parked_at: differences(parked.keys().copied()),
            parked_key: parked.values().map(|parked| key(parked.key)).collect(),
            parked_attempts: parked.values().map(|parked| parked.attempts).collect(),
            parked_since_micros: parked.values().map(|parked| parked.since.as_micros()).collect(),
            parked_cause: parked.values().map(|parked| v1::Cause::from(parked.cause).into()).collect(),
            counts: Some((*counts).into()),
        }
    }
}

impl TryFrom<v1::Checkpoint> for Checkpoint {
    type Error = InvalidMessage;

    fn try_from(message: v1::Checkpoint) -> Checked<Self> {
        let key = |key: u64| Some(Key(key)).filter(|key| key.0 != 0);
        let lengths = [message.open_key.len(), message.open_attempts.len(), message.open_due_micros.len()];
        same_lengths("open_at", message.open_at.len(), &lengths)?;
        let rest = message.open_key.iter().zip(&message.open_attempts).zip(&message.open_due_micros);
        let open = positions(&message.open_at).zip(rest).map(|(at, ((of, attempts), due))| Open {
            at,
            key: key(*of),
            attempts: *attempts,
            due: Timestamp::from_micros(*due),
        });
        let lengths = [
            message.parked_key.len(),
            message.parked_attempts.len(),
            message.parked_since_micros.len(),
            message.parked_cause.len(),
        ];
        same_lengths("parked_at", message.parked_at.len(), &lengths)?;
        let rest = message.parked_key.iter().zip(&message.parked_attempts);
        let rest = rest.zip(&message.parked_since_micros).zip(&message.parked_cause);
        let mut parked = BTreeMap::new();
        for (at, (((of, attempts), since), cause)) in positions(&message.parked_at).zip(rest) {
            let known = v1::Cause::try_from(*cause).ok().and_then(v1::Cause::known);
            let cause = required("parked_cause", known)?;
            let since = Timestamp::from_micros(*since);
            parked.insert(at, Parked { key: key(*of), attempts: *attempts, since, cause });
        }
        let counts = message.counts.unwrap_or_default().into();
        Ok(Self { to: Position(message.to), open: open.collect(), parked, counts })
    }
}

fn same_lengths(field: &str, length: usize, others: &[usize]) -> Checked<()> {
    match others.iter().all(|other| *other == length) {
        true => Ok(()),
        false => Err(InvalidMessage::new(field, "and its columns differ in length")),
    }
}

impl From<Cause> for v1::Cause {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Refused => Self::Refused,
            Cause::Overdue => Self::Overdue,
            Cause::Left => Self::Left,
        }
    }
}

impl v1::Cause {
    fn known(self) -> Option<Cause> {
        match self {
            Self::Unspecified => None,
            Self::Refused => Some(Cause::Refused),
            Self::Overdue => Some(Cause::Overdue),
            Self::Left => Some(Cause::Left),
        }
    }
}
