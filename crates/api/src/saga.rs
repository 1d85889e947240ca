//! What is kept of sagas in the log (`proto/tenon/saga/v1/record.proto`), and sagas over gRPC (`saga.proto`).
//!
//! What is kept must be readable for ever: it only ever gains optional fields.

mod happened;
pub mod protos;
mod served;

pub use crate::proto::saga::v1;
pub use served::json;
pub use v1::saga_service_client::SagaServiceClient;
pub use v1::saga_service_server::{SagaService, SagaServiceServer};

use crate::InvalidMessage;
use crate::invalid::{Checked, each, parsed};
use crate::system::SagaDoc;
use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};
use tenon_core::saga::{Definition, Event, SagaName, Version};
use tenon_core::{Namespace, Position, SagaId, ServerId};

/// How the paths of the service begin.
pub const PATHS: &str = "/tenon.saga.v1.SagaService/";

/// The most bytes of one message.
pub const MAX_MESSAGE_BYTES: usize = crate::eventstore::MAX_MESSAGE_BYTES;

/// An event about what sagas there are, in the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A version of a definition, of which sagas begin from now on.
    Defined {
        /// The hash of what it is.
        version: Version,
        /// What it is.
        definition: Box<Definition>,
        /// Whether it is the manifest's.
        declared: bool,
    },
    /// No more sagas of a name begin.
    Retired {
        /// The namespace.
        namespace: Namespace,
        /// The name.
        name: SagaName,
    },
}

/// What can be told of a definition that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Its version.
    pub version: Version,
    /// Where it is.
    pub namespace: Namespace,
    /// Its name there.
    pub name: SagaName,
    /// Whether it is the manifest's.
    pub declared: bool,
}

/// What happened to one saga.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// In its first record: what began.
    pub beginning: Option<Beginning>,
    /// What happened. None in the record of one that was reverted before it began, and never will.
    pub events: Vec<Event>,
    /// The server that wrote it.
    pub server: ServerId,
    /// If the first event is that an attempt failed: what was answered, or why there is no answer. JSON.
    pub problem: Option<String>,
}

/// What began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    /// Its namespace.
    pub namespace: Namespace,
    /// The saga that it is one of.
    pub name: SagaName,
    /// By which starting it again is recognised.
    pub key: Option<String>,
    /// Those with the same run one after the other.
    pub turn: Option<String>,
    /// The saga that it is a step of.
    pub parent: Option<SagaId>,
    /// The trace that it is part of.
    pub trace: u128,
    /// Whether whoever began the trace keeps it; none if it began here.
    pub kept: Option<bool>,
    /// As of which event of the definitions it began: the sagas that are its steps are as they were then, and theirs too. None in what
    /// earlier versions wrote.
    pub defined_at: Option<Position>,
}

/// Why an event about sagas cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// No event of this type is known.
    #[error("no event about sagas has the type {0}; was it written by a later version?")]
    UnknownType(String),
    /// The payload is no message of the type.
    #[error("the payload is damaged")]
    Damaged(#[from] prost::DecodeError),
    /// A field does not hold what it must.
    #[error(transparent)]
    Invalid(#[from] InvalidMessage),
    /// A definition is no JSON document of the form.
    #[error("the definition cannot be read: {0}")]
    Definition(#[from] serde_json::Error),
}

/// The type of events that define a saga.
const DEFINED: &str = "tenon.saga.SagaDefined.v1";
/// The type of events after which no more sagas of a name begin.
const RETIRED: &str = "tenon.saga.SagaRetired.v1";
/// The type of a saga's first event.
pub const STARTED: &str = "tenon.saga.SagaStarted.v1";
/// The type of events by which a saga goes on.
pub const STEPPED: &str = "tenon.saga.SagaStepped.v1";
/// The type of events by which somebody other than a saga's owner changed it.
pub const TOLD: &str = "tenon.saga.SagaTold.v1";
/// The type of events with which a saga ends.
pub const ENDED: &str = "tenon.saga.SagaEnded.v1";

impl Record {
    /// The type and the payload.
    pub fn encode(&self) -> (&'static str, Bytes) {
        match self {
            Self::Defined { version, definition, declared } => {
                let message = v1::SagaDefined {
                    version: Bytes::copy_from_slice(&version.0),
                    namespace: definition.namespace.to_string(),
                    name: definition.name.to_string(),
                    definition: written(definition),
                    declared: *declared,
                };
                (DEFINED, message.encode_to_vec().into())
            }
            Self::Retired { namespace, name } => {
                let message = v1::SagaRetired { namespace: namespace.to_string(), name: name.to_string() };
                (RETIRED, message.encode_to_vec().into())
            }
        }
    }

    /// Reads what [`Record::encode`] wrote.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn decode(event_type: &str, payload: &[u8]) -> Result<Self, RecordError> {
        match event_type {
            DEFINED => {
                let message = v1::SagaDefined::decode(payload)?;
                let document: SagaDoc = serde_json::from_slice(&message.definition)?;
                let namespace = parsed("namespace", &message.namespace)?;
                let definition = document.to_definition(namespace, parsed("name", &message.name)?)?;
                let (version, declared) = (version("version", &message.version)?, message.declared);
                Ok(Self::Defined { version, definition: Box::new(definition), declared })
            }
            RETIRED => {
                let message = v1::SagaRetired::decode(payload)?;
                let namespace = parsed("namespace", &message.namespace)?;
                Ok(Self::Retired { namespace, name: parsed("name", &message.name)? })
            }
            other => Err(RecordError::UnknownType(other.to_owned())),
        }
    }
}

impl Unread {
    /// What can be told of an event that [`Record::decode`] refuses; none if it may be about anything.
    pub fn of(event_type: &str, payload: &[u8]) -> Option<Self> {
        let message = v1::SagaDefined::decode(payload).ok().filter(|_| event_type == DEFINED)?;
        Some(Self {
            version: version("version", &message.version).ok()?,
            namespace: message.namespace.parse().ok()?,
            name: message.name.parse().ok()?,
            declared: message.declared,
        })
    }
}

impl Progress {
    fn message(&self) -> v1::SagaProgress {
        v1::SagaProgress {
            beginning: self.beginning.as_ref().map(Into::into),
            events: self.events.iter().map(Into::into).collect(),
            server: Bytes::copy_from_slice(self.server.as_bytes()),
            problem: self.problem.clone(),
        }
    }

    /// The bytes.
    pub fn encode(&self) -> Bytes {
        self.message().encode_to_vec().into()
    }

    /// Reads what [`Progress::encode`] wrote.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn decode(payload: &[u8]) -> Result<Self, RecordError> {
        let message = v1::SagaProgress::decode(payload)?;
        let beginning = message.beginning.map(Beginning::try_from).transpose()?;
        let events = each("events", message.events, Event::try_from)?;
        let server = ServerId::from_bytes(sixteen("server", &message.server)?);
        Ok(Self { beginning, events, server, problem: message.problem })
    }
}

impl From<&Beginning> for v1::Beginning {
    fn from(beginning: &Beginning) -> Self {
        let Beginning { namespace, name, key, turn, parent, trace, kept, defined_at } = beginning;
        Self {
            namespace: namespace.to_string(),
            name: name.to_string(),
            key: key.clone().unwrap_or_default(),
            turn: turn.clone().unwrap_or_default(),
            parent: parent.map(|parent| Bytes::copy_from_slice(parent.as_bytes())).unwrap_or_default(),
            trace: Bytes::copy_from_slice(&trace.to_be_bytes()),
            kept: *kept,
            defined_at: defined_at.map(|at| at.0),
        }
    }
}

impl TryFrom<v1::Beginning> for Beginning {
    type Error = InvalidMessage;

    fn try_from(message: v1::Beginning) -> Checked<Self> {
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        let parent = match message.parent.is_empty() {
            true => None,
            false => Some(SagaId::from_bytes(sixteen("parent", &message.parent)?)),
        };
        Ok(Self {
            namespace: parsed("namespace", &message.namespace)?,
            name: parsed("name", &message.name)?,
            key: text(message.key),
            turn: text(message.turn),
            parent,
            trace: u128::from_be_bytes(sixteen("trace", &message.trace)?),
            kept: message.kept,
            defined_at: message.defined_at.map(Position),
        })
    }
}

/// A definition as it is written down: what its version is the hash of.
pub fn written(definition: &Definition) -> Bytes {
    // The document is made of texts, numbers, lists and maps with texts as keys, which always serialise.
    serde_json::to_vec(&SagaDoc::from(definition)).unwrap_or_default().into()
}

/// The version of a definition: the hash of where it is and of how it is written down.
pub fn version_of(definition: &Definition) -> Version {
    let mut hash = Sha256::new();
    for part in ["definition", definition.namespace.as_str(), definition.name.as_str()] {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(written(definition));
    let mut version = [0; 16];
    version.copy_from_slice(&hash.finalize()[..16]);
    Version(version)
}

/// The sagas that run, for a snapshot.
pub fn encode_running(ids: impl IntoIterator<Item = SagaId>) -> Bytes {
    let ids: Vec<u8> = ids.into_iter().flat_map(|id| *id.as_bytes()).collect();
    v1::Running { ids: ids.into() }.encode_to_vec().into()
}

/// Reads what [`encode_running`] wrote.
///
/// # Errors
/// [`RecordError`].
pub fn decode_running(payload: &[u8]) -> Result<Vec<SagaId>, RecordError> {
    let message = v1::Running::decode(payload)?;
    let (ids, _) = message.ids.as_chunks::<16>();
    Ok(ids.iter().map(|id| SagaId::from_bytes(*id)).collect())
}

fn sixteen(field: &str, bytes: &[u8]) -> Checked<[u8; 16]> {
    bytes.try_into().map_err(|_| InvalidMessage::new(field, "must have 16 bytes"))
}

fn version(field: &str, bytes: &[u8]) -> Checked<Version> {
    sixteen(field, bytes).map(Version)
}

#[cfg(test)]
mod tests;
