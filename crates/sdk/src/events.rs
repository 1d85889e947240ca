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

use bytes::Bytes;
use std::collections::BTreeSet;
use std::fmt;
use tenon_core::{EventType, InvalidName, Namespace, StreamName, Tag};
use tenon_store::{Event, NewEvent};

/// The name in an event's metadata of why the event store does not tell its data, and the reason that its subject
/// has been forgotten.
const WITHHELD: &str = "tenon.withheld";
const FORGOTTEN: &str = "forgotten";

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
    let new = NewEvent::new(namespace.clone(), stream.clone(), event_type, data);
    Ok(NewEvent { tags: event.tags().into(), ..new })
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
