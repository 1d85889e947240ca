//! Typed events: how a service's own enum becomes events of the log, and comes back from it.
//!
//! A variant of the enum is a *fact*. Its type in the log is `AREA.Fact.vN`, for example
//! `shop.order.Shipped.v1`: [`Events::AREA`], the fact's name, and the version that [`Events::FACTS`] gives it.
//! What the bytes are is up to the [`Codec`]; [`Json`] suits enums that derive serde's traits as they are.
//!
//! A fact only ever gains optional fields. When that does not suffice, its version is raised and
//! [`Events::upcast`] says what the data of the former versions means now.

mod json;

pub use json::Json;

use crate::command::{Call, CommandError, Ids};
use bytes::Bytes;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use tenon_core::{EventType, InvalidName, Namespace, StreamName, Tag};
use tenon_store::{Event, Metadata, NewEvent};

/// The name in an event's metadata of why the event store does not tell its data, and the reason that its subject
/// has been forgotten.
const WITHHELD: &str = "tenon.withheld";
const FORGOTTEN: &str = "forgotten";

/// The name in an event's metadata of whom its payload is about.
const SUBJECT: &str = "tenon.subject";

/// The names in the metadata of a notice: its key, which CloudEvents calls the subject, and what its data is.
const CE_SUBJECT: &str = "ce-subject";
const CONTENT_TYPE: &str = "content-type";

/// A service's events: an enum, one variant for each fact.
pub trait Events: Clone + fmt::Debug + Send + Sync + Sized + 'static {
    /// How they are written; [`Json`] unless there is a reason.
    type Codec: Codec<Self>;

    /// How their types begin, `owner.area`.
    const AREA: &'static str;

    /// Every fact there is, with the version that is written now.
    const FACTS: &'static [Fact];

    /// What the event is about, for commands and projections that look across streams. No personal data.
    fn tags(&self) -> BTreeSet<Tag> {
        BTreeSet::new()
    }

    /// Whom the event is about, if it holds personal data: it is kept under a key of this subject's, and once the subject
    /// is forgotten it is passed over. A pseudonym, because it is not encrypted itself.
    fn subject(&self) -> Option<&str> {
        None
    }

    /// What others are told of it: events of topics, which are appended with it, all or nothing. No personal data.
    ///
    /// # Errors
    /// [`EventsError`] if a notice cannot be written.
    fn notices(&self) -> Result<Vec<Notice>, EventsError> {
        Ok(Vec::new())
    }

    /// What the data of a former version means now; none if there never was such a fact or version.
    fn upcast(old: &Old<'_>) -> Option<Current> {
        let _ = old;
        None
    }
}

/// A fact that can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fact {
    /// Its name: with [`Json`] that of the variant.
    pub name: &'static str,
    /// The version of its data, from 1.
    pub version: u32,
}

/// A fact as a former version wrote it, or one that is written no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Old<'a> {
    /// The fact's name then.
    pub name: &'a str,
    /// The version of the data.
    pub version: u32,
    /// The data.
    pub data: &'a [u8],
}

/// What an old fact means now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// The fact's name.
    pub name: &'static str,
    /// Its data as the present version writes it.
    pub data: Bytes,
}

/// What others are told of an event: an event of a topic, in a stream of the topic's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The topic: its type.
    pub topic: EventType,
    /// What it happened to: notices of one key keep their order.
    pub key: String,
    /// What it is about.
    pub tags: BTreeSet<Tag>,
    /// JSON.
    pub data: Bytes,
}

impl Notice {
    /// One with this data.
    ///
    /// # Errors
    /// [`EventsError`] if the topic has no name that an event type can have, or the data is not to be written as JSON.
    pub fn json(topic: &str, key: &str, data: &impl Serialize) -> Result<Self, EventsError> {
        let unwritable = |error: serde_json::Error| EventsError::Notice(error.to_string());
        let data = serde_json::to_vec(data).map_err(unwritable)?.into();
        Ok(Self { topic: EventType::new(topic)?, key: key.to_owned(), tags: BTreeSet::new(), data })
    }

    /// The same with a tag.
    ///
    /// # Errors
    /// [`EventsError::Name`] if the text is no tag.
    pub fn tagged(mut self, tag: &str) -> Result<Self, EventsError> {
        self.tags.insert(Tag::new(tag)?);
        Ok(self)
    }

    fn into_new(self, namespace: &Namespace) -> Result<NewEvent, EventsError> {
        let Self { topic, key, tags, data } = self;
        let stream = StreamName::new(&format!("topics/{topic}/{key}"))?;
        let mut new = NewEvent::new(namespace.clone(), stream, topic, data);
        new.tags = tags.into();
        let told = [(CE_SUBJECT, key), (CONTENT_TYPE, "application/json".to_owned())];
        new.metadata.other.extend(told.map(|(name, value)| (name.to_owned(), value)));
        Ok(new)
    }
}

/// How events are written as bytes.
pub trait Codec<E> {
    /// The name of the event's fact, and its data.
    ///
    /// # Errors
    /// [`EventsError`] if the event cannot be written.
    fn encode(event: &E) -> Result<(String, Bytes), EventsError>;

    /// The event of a fact's name and its data.
    ///
    /// # Errors
    /// [`EventsError::Data`] if the data is not such as the fact has.
    fn decode(name: &str, data: &[u8]) -> Result<E, EventsError>;
}

/// Why an event could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventsError {
    /// The codec gave a fact that the list does not have.
    #[error("{area} has no fact {name:?}; add it to FACTS")]
    Unlisted {
        /// The area.
        area: &'static str,
        /// The name.
        name: String,
    },
    /// The log holds a fact of the area which nothing here understands.
    #[error(
        "cannot read an event of type {0}: it was written by a newer version, or FACTS and upcast miss it"
    )]
    Unknown(EventType),
    /// The codec cannot write the event.
    #[error("cannot write an event of {area}: {problem}")]
    Unwritable {
        /// The area.
        area: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The data does not have the form of its fact.
    #[error("the data of a fact {name:?} cannot be read: {problem}")]
    Data {
        /// The fact.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A notice cannot be written.
    #[error("cannot write what others are to be told: {0}")]
    Notice(String),
    /// Area and name make no event type.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl Fact {
    /// A fact whose data has never changed its form.
    pub const fn v1(name: &'static str) -> Self {
        Self { name, version: 1 }
    }

    /// The fact's type in an area.
    fn event_type(self, area: &str) -> Result<EventType, InvalidName> {
        EventType::new(&format!("{area}.{}.v{}", self.name, self.version))
    }
}

/// Writes an event for a stream, under a new id.
///
/// # Errors
/// [`EventsError`] if the event cannot be written.
pub fn encode<E: Events>(
    event: &E,
    namespace: &Namespace,
    stream: &StreamName,
) -> Result<NewEvent, EventsError> {
    let (name, data) = E::Codec::encode(event)?;
    let Some(fact) = E::FACTS.iter().find(|fact| fact.name == name) else {
        return Err(EventsError::Unlisted { area: E::AREA, name });
    };
    let event_type = fact.event_type(E::AREA)?;
    let mut new = NewEvent::new(namespace.clone(), stream.clone(), event_type, data);
    if let Some(subject) = event.subject() {
        new.metadata.other.insert(SUBJECT.to_owned(), subject.to_owned());
    }
    Ok(NewEvent { tags: event.tags().into(), ..new })
}

/// What is appended for the events of a command: what others are told of them, and then the events themselves, so that
/// the last position is theirs. `streams` says where each goes.
pub(crate) fn all_of<E: Events, R: std::error::Error>(
    events: &[E],
    namespace: &Namespace,
    call: &Call,
    ids: &Ids,
    stream: impl Fn(&E) -> Result<StreamName, InvalidName>,
) -> Result<Vec<NewEvent>, CommandError<R>> {
    let (mut notices, mut own) = (Vec::new(), Vec::with_capacity(events.len()));
    let mut tag = ids.tag()?;
    for (index, event) in events.iter().enumerate() {
        let mut new = encode(event, namespace, &stream(event)?)?;
        if ids.are_derived() {
            new.id = ids.id(index);
        }
        new.tags.extend(tag.take());
        own.push(with(new, &call.metadata));
        for notice in event.notices()? {
            let mut new = notice.into_new(namespace)?;
            if ids.are_derived() {
                new.id = ids.notice(notices.len());
            }
            notices.push(with(new, &call.metadata));
        }
    }
    notices.append(&mut own);
    Ok(notices)
}

/// Adds what comes with a command to what stands in its event already.
fn with(mut new: NewEvent, metadata: &Metadata) -> NewEvent {
    let own = std::mem::replace(&mut new.metadata, metadata.clone());
    new.metadata.other.extend(own.other);
    new
}

/// Whether an event's payload is about somebody who may be forgotten.
pub(crate) fn is_personal(metadata: &Metadata) -> bool {
    metadata.other.contains_key(SUBJECT)
}

/// Reads an event of the log; none if it is of another area, or about a subject that has been forgotten.
///
/// # Errors
/// [`EventsError`] if it is of this area and cannot be read.
pub fn decode<E: Events>(event: &Event) -> Result<Option<E>, EventsError> {
    let Some((name, version)) = split(E::AREA, event.event_type.as_str()) else { return Ok(None) };
    if event.metadata.other.get(WITHHELD).is_some_and(|why| why == FORGOTTEN) {
        return Ok(None);
    }
    if E::FACTS.contains(&Fact { name: known(E::FACTS, name), version }) {
        return E::Codec::decode(name, &event.data).map(Some);
    }
    let old = Old { name, version, data: &event.data };
    match E::upcast(&old) {
        Some(Current { name, data }) => E::Codec::decode(name, &data).map(Some),
        None => Err(EventsError::Unknown(event.event_type.clone())),
    }
}

/// The name of the fact that an event of the log is, if it is of this area.
pub(crate) fn fact<E: Events>(event: &Event) -> Option<&str> {
    split(E::AREA, event.event_type.as_str()).map(|(fact, _)| fact)
}

/// The types that are written now, of all facts, for queries. Old versions have types of their own.
///
/// # Errors
/// [`InvalidName`] if area and name make no event type.
pub fn types<E: Events>() -> Result<BTreeSet<EventType>, InvalidName> {
    E::FACTS.iter().map(|fact| fact.event_type(E::AREA)).collect()
}

/// The listed name that equals this one; one that no fact has if there is none.
fn known(facts: &'static [Fact], name: &str) -> &'static str {
    facts.iter().map(|fact| fact.name).find(|known| *known == name).unwrap_or("")
}

/// The fact's name and version in an event type of the area.
fn split<'a>(area: &str, event_type: &'a str) -> Option<(&'a str, u32)> {
    let fact = event_type.strip_prefix(area)?.strip_prefix('.')?;
    let (name, version) = fact.rsplit_once(".v")?;
    Some((name, version.parse().ok()?))
}

#[cfg(test)]
mod tests;
