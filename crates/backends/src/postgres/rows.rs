//! Events as rows.

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::collections::BTreeMap;
use tenon_core::{Actor, EventId, EventType, Namespace, Position, StreamName, Tag, Text, Timestamp};
use tenon_store::{Event, Metadata};
use uuid::Uuid;

/// The columns that [`read`] needs, of a table `e`.
pub(super) const COLUMNS: &str = "e.position, e.time_micros, e.id, e.namespace, e.stream, e.event_type, e.tags, \
                                  e.metadata::text AS metadata, e.data";

/// The metadata of an event as JSON. A key is never given another meaning; new ones are optional.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    actor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    traceparent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    causation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    correlation: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    other: BTreeMap<String, String>,
}

/// The metadata as it is stored; none if there is nothing.
pub(super) fn metadata(metadata: &Metadata) -> Result<Option<String>, serde_json::Error> {
    if *metadata == Metadata::default() {
        return Ok(None);
    }
    let stored = Stored {
        actor: metadata.actor.as_ref().map(ToString::to_string),
        traceparent: metadata.traceparent.clone().map(String::from),
        causation: metadata.causation.map(|id| Uuid::from_bytes(*id.as_bytes()).to_string()),
        correlation: metadata.correlation.clone().map(String::from),
        other: metadata.other.clone(),
    };
    serde_json::to_string(&stored).map(Some)
}

/// Why a row is no event.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// The row has not the columns.
    Row(sqlx::Error),
    /// What a column holds is nothing that was written by this engine.
    Content(&'static str),
}

impl From<sqlx::Error> for Unreadable {
    fn from(error: sqlx::Error) -> Self {
        Self::Row(error)
    }
}

/// The event of a row; none if the row says only where the log ends.
pub(super) fn read(row: &PgRow) -> Result<Option<Event>, Unreadable> {
    let Some(position) = row.try_get::<Option<i64>, _>("position")? else { return Ok(None) };
    let id: Uuid = row.try_get("id")?;
    let text = |column| row.try_get::<&str, _>(column);
    let tags: Vec<String> = row.try_get("tags")?;
    let time: i64 = row.try_get("time_micros")?;
    let data: Vec<u8> = row.try_get("data")?;
    Ok(Some(Event {
        position: Position(position.cast_unsigned()),
        time: Timestamp::from_micros(time.cast_unsigned()),
        id: EventId::from_bytes(id.into_bytes()),
        namespace: named("the namespace is not one", Namespace::new(text("namespace")?))?,
        stream: named("the stream is not one", StreamName::new(text("stream")?))?,
        event_type: named("the event type is not one", EventType::new(text("event_type")?))?,
        tags: named("a tag is not one", tags.iter().map(|tag| Tag::new(tag)).collect())?,
        data: data.into(),
        metadata: row.try_get::<Option<&str>, _>("metadata")?.map_or(Ok(Metadata::default()), parse)?,
    }))
}

fn parse(text: &str) -> Result<Metadata, Unreadable> {
    let stored: Stored = named("the metadata is not readable", serde_json::from_str(text))?;
    let actor = stored.actor.map(|actor| named("the actor is not one", Actor::new(&actor))).transpose()?;
    let causation = |text: String| named("the causation is no id", Uuid::parse_str(&text));
    let causation = stored.causation.map(causation).transpose()?;
    let causation = causation.map(|id| EventId::from_bytes(id.into_bytes()));
    Ok(Metadata {
        actor,
        traceparent: stored.traceparent.map(Text::from),
        causation,
        correlation: stored.correlation.map(Text::from),
        other: stored.other,
    })
}

fn named<T, E>(problem: &'static str, read: Result<T, E>) -> Result<T, Unreadable> {
    read.map_err(|_| Unreadable::Content(problem))
}
