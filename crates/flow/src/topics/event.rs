//! How a CloudEvent lies in the log, and how any event of the log is told as one.
//!
//! | CloudEvent | event of the log |
//! |---|---|
//! | `source` and `id` | the id follows from them and the namespace; both are kept in metadata `ce-source`, `ce-id` |
//! | `type` | its type: the topic |
//! | `partitionkey`, or else `subject` | the end of its stream `topics/TYPE/KEY` |
//! | `subject`, `time`, `dataschema` | metadata `ce-subject`, `ce-time`, `ce-dataschema` |
//! | `datacontenttype` | metadata `content-type` |
//! | `traceparent`, `correlationid`, `causationid` | its trace, its correlation, its cause (if that is an id of an event) |
//! | `tenonstream`, `tenontags`, `tenonsubject` | its stream, its tags (with spaces in between), whom its data is about |
//! | any other extension | metadata of the same name |
//!
//! What was appended without any of this is told as well: its own id, its stream as the source, the time of its append.
//! Whatever is told also says where it is: `tenonposition`, `tenonstream`.

use crate::vault::{SUBJECT, WITHHELD};
use aws_lc_rs::digest;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::BTreeMap;
use std::fmt::Display;
use tenon_api::InvalidMessage;
use tenon_api::cloudevents::{Attribute, CloudEvent, is_extension};
use tenon_core::{EventId, EventType, Namespace, StreamName, Tag, Tags, Text};
use tenon_store::{Event, Metadata, NewEvent};

const ID: &str = "ce-id";
const SOURCE: &str = "ce-source";
const SCHEMA: &str = "ce-dataschema";
const TIME: &str = "ce-time";
const CE_SUBJECT: &str = "ce-subject";
const CONTENT_TYPE: &str = "content-type";
/// Which extensions are no texts: `NAME=boolean` and `NAME=integer`, with spaces in between.
const TYPES: &str = "ce-types";

const POSITION: &str = "tenonposition";
const STREAM: &str = "tenonstream";
const TAGS: &str = "tenontags";
const FOR_SUBJECT: &str = "tenonsubject";
const TOLD_WITHHELD: &str = "tenonwithheld";
/// What a delivery over WebSocket is settled with.
pub(crate) const TICKET: &str = "tenonticket";
/// How often an event that is delivered over WebSocket was given, this time included.
pub(crate) const ATTEMPT: &str = "tenonattempt";
/// How the names of extensions begin that are Tenon's own.
const OWN: &str = "tenon";

/// What a stream's name cannot have.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');
/// What a segment of a path cannot have, or would be surprising there.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where what is published goes, if it does not say so itself.
#[derive(Debug, Clone)]
pub(crate) struct Defaults {
    pub(crate) namespace: Namespace,
    pub(crate) stream: Option<StreamName>,
    pub(crate) key: Option<String>,
    pub(crate) traceparent: Option<String>,
}

/// The event to append for a CloudEvent.
pub(crate) fn to_append(mut event: CloudEvent, defaults: &Defaults) -> Result<NewEvent, InvalidMessage> {
    let Defaults { namespace, stream, key, traceparent } = defaults;
    let event_type = EventType::new(&event.event_type).map_err(|error| invalid("type", error))?;
    if let Some(key) = key {
        event.extensions.entry("partitionkey".to_owned()).or_insert_with(|| key.as_str().into());
    }
    let mut extensions = std::mem::take(&mut event.extensions);
    let mut take = |name: &str| extensions.remove(name).map(|value| value.to_string());
    let named = take(STREAM).map(|text| StreamName::new(&text).map_err(|error| invalid(STREAM, error)));
    let tags = take(TAGS).unwrap_or_default();
    let tag = |text: &str| Tag::new(text).map_err(|error| invalid(TAGS, error));
    let tags = tags.split(' ').filter(|tag| !tag.is_empty()).map(tag).collect::<Result<Tags, _>>()?;
    let subject = take(FOR_SUBJECT);
    // What another log, or a delivery, said of it is of no use here.
    let _ = [POSITION, TOLD_WITHHELD, TICKET, ATTEMPT].map(&mut take);
    let mut metadata = Metadata {
        actor: None,
        traceparent: take("traceparent").or_else(|| traceparent.clone()).map(Text::from),
        causation: None,
        correlation: take("correlationid").map(Text::from),
        other: BTreeMap::new(),
    };
    if let Some(id) = extensions.get("causationid").and_then(|id| id.to_string().parse().ok()) {
        metadata.causation = Some(id);
        extensions.remove("causationid");
    }
    if let Some(unknown) = extensions.keys().find(|name| name.starts_with(OWN)) {
        return Err(invalid(
            unknown,
            "is no attribute that is known here; names that begin with `tenon` are Tenon's own",
        ));
    }
    let stream = match named.transpose()?.or_else(|| stream.clone()) {
        Some(stream) => stream,
        None => stream_of(&event_type, extensions.get("partitionkey"), event.subject.as_deref())?,
    };
    let id = id_of(namespace, &event.source, &event.id);
    metadata.other = kept(event.id, event.source, extensions);
    let optional = [
        (CE_SUBJECT, event.subject),
        (TIME, event.time.map(|time| time.to_string())),
        (SCHEMA, event.schema),
        (CONTENT_TYPE, event.content_type),
        (SUBJECT, subject),
    ];
    let optional = optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    metadata.other.extend(optional);
    Ok(NewEvent { id, namespace: namespace.clone(), stream, event_type, tags, data: event.data, metadata })
}

/// Any event of the log as a CloudEvent.
pub(crate) fn told(event: Event) -> CloudEvent {
    let data = event.data.clone();
    let attributes = attributes(&event);
    CloudEvent::from_attributes(attributes, data.clone())
        .or_else(|_| {
            // Somebody's metadata only look like attributes: what the log itself says is always valid.
            let bare = Event { metadata: Metadata::default(), tags: Tags::new(), ..event };
            CloudEvent::from_attributes(self::attributes(&bare), data)
        })
        .unwrap_or_else(|error| unreachable!("names and ids of the log are valid attributes: {error}"))
}

fn attributes(event: &Event) -> BTreeMap<String, Attribute> {
    let Event { position, time, id, namespace, stream, event_type, tags, data, metadata } = event;
    let Metadata { actor: _, traceparent, causation, correlation, other } = metadata;
    let mut attributes: BTreeMap<String, Attribute> = extensions(other).collect();
    let kept = |name: &str| other.get(name).cloned();
    let tags = (!tags.is_empty()).then(|| tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(" "));
    let optional = [
        (POSITION, Some(position.to_string())),
        (STREAM, Some(stream.to_string())),
        (TAGS, tags),
        (FOR_SUBJECT, kept(SUBJECT)),
        (TOLD_WITHHELD, kept(WITHHELD)),
        ("traceparent", traceparent.clone().map(String::from)),
        ("correlationid", correlation.clone().map(String::from)),
        ("causationid", causation.map(|id| id.to_string())),
    ];
    for (name, value) in optional {
        let value = value.map(Attribute::Text).filter(|value| is_extension(name, value));
        attributes.extend(value.map(|value| (name.to_owned(), value)));
    }
    let is_json = || !data.is_empty() && serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok();
    let published = [
        ("id", Some(kept(ID).unwrap_or_else(|| id.to_string()))),
        ("source", Some(kept(SOURCE).unwrap_or_else(|| source_of(namespace, stream)))),
        ("type", Some(event_type.to_string())),
        ("subject", kept(CE_SUBJECT)),
        ("time", Some(kept(TIME).unwrap_or_else(|| time.to_string()))),
        ("dataschema", kept(SCHEMA)),
        ("datacontenttype", kept(CONTENT_TYPE).or_else(|| is_json().then(|| "application/json".to_owned()))),
    ];
    let published = published.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    attributes.extend(published.map(|(name, value)| (name, Attribute::Text(value))));
    attributes
}

/// What of a CloudEvent is metadata, besides what is optional.
fn kept(id: String, source: String, extensions: BTreeMap<String, Attribute>) -> BTreeMap<String, String> {
    let kind = |(name, value): (&String, &Attribute)| match value {
        Attribute::Boolean(_) => Some(format!("{name}=boolean")),
        Attribute::Integer(_) => Some(format!("{name}=integer")),
        Attribute::Text(_) => None,
    };
    let types: Vec<String> = extensions.iter().filter_map(kind).collect();
    let mut metadata: BTreeMap<String, String> =
        extensions.into_iter().map(|(name, value)| (name, value.to_string())).collect();
    metadata.insert(ID.to_owned(), id);
    metadata.insert(SOURCE.to_owned(), source);
    if !types.is_empty() {
        metadata.insert(TYPES.to_owned(), types.join(" "));
    }
    metadata
}

/// What of the metadata are extension attributes: whatever has the name of one.
fn extensions(metadata: &BTreeMap<String, String>) -> impl Iterator<Item = (String, Attribute)> {
    let types = metadata.get(TYPES).map_or("", String::as_str);
    let kind = |name: &str| types.split(' ').find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
    let typed = move |name: &str, value: &str| match kind(name) {
        Some("boolean") => value.parse().ok().map(Attribute::Boolean),
        Some("integer") => value.parse().ok().map(Attribute::Integer),
        _ => None,
    };
    metadata.iter().filter_map(move |(name, value)| {
        let value = typed(name, value).unwrap_or_else(|| value.as_str().into());
        let is_ours = name.starts_with(OWN);
        (!is_ours && is_extension(name, &value)).then(|| (name.clone(), value))
    })
}

/// The id that follows from source and id, so that whoever publishes again publishes once: a UUID of version 8.
fn id_of(namespace: &Namespace, source: &str, id: &str) -> EventId {
    let mut hash = digest::Context::new(&digest::SHA256);
    // Each part with its length, so that no two lists run together to the same bytes.
    for part in ["tenon.cloudevent.v1", namespace.as_str(), source, id] {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let hash = hash.finish();
    let bytes = hash.as_ref().first_chunk::<16>().copied().unwrap_or_default();
    EventId::from_bytes(uuid::Builder::from_custom_bytes(bytes).into_uuid().into_bytes())
}

fn stream_of(
    event_type: &EventType,
    key: Option<&Attribute>,
    subject: Option<&str>,
) -> Result<StreamName, InvalidMessage> {
    let (name, key) = match (key, subject) {
        (Some(key), _) => ("partitionkey", Some(key.to_string())),
        (None, subject) => ("subject", subject.map(str::to_owned)),
    };
    let stream = match key.filter(|key| !key.is_empty()) {
        Some(key) => format!("topics/{event_type}/{}", utf8_percent_encode(&key, ENCODED)),
        None => format!("topics/{event_type}"),
    };
    let problem =
        |error| invalid(name, format_args!("makes the name of the stream `topics/TYPE/KEY`: {error}"));
    StreamName::new(&stream).map_err(problem)
}

/// The path at which the API has the stream.
fn source_of(namespace: &Namespace, stream: &StreamName) -> String {
    let stream = utf8_percent_encode(stream.as_str(), IN_PATH);
    if *namespace == Namespace::default() {
        format!("/v1/streams/{stream}")
    } else {
        format!("/v1/streams/{stream}?namespace={namespace}")
    }
}

fn invalid(field: &str, problem: impl Display) -> InvalidMessage {
    InvalidMessage { field: field.to_owned(), problem: problem.to_string() }
}
