//! The protobuf format
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/protobuf-format.md>).
//!
//! Data that is a message (`proto_data`) becomes the bytes of that message, with its type as the schema of the data, and
//! is told as bytes from then on.

use super::json::check_batch;
use super::{Attribute, Attributes, CloudEvent, VERSION, encode_base64};
use crate::InvalidMessage;
use crate::invalid::{Checked, each, required};
use crate::proto::cloudevents::v1 as proto;
use bytes::Bytes;
use prost::Message;
use proto::cloud_event::cloud_event_attribute_value::Attr;
use proto::cloud_event::{CloudEventAttributeValue, Data};
use std::collections::HashMap;
use tenon_core::Timestamp;

impl CloudEvent {
    /// Reads an event in the protobuf format.
    ///
    /// # Errors
    /// [`InvalidMessage`] names the attribute that is not as it must be.
    pub fn from_protobuf(bytes: Bytes) -> Result<Self, InvalidMessage> {
        read(parse(bytes, "a CloudEvent")?)
    }

    /// Reads a batch in the protobuf format.
    ///
    /// # Errors
    /// [`InvalidMessage`] names the event, by its place in the batch, and the attribute.
    pub fn batch_from_protobuf(bytes: Bytes) -> Result<Vec<Self>, InvalidMessage> {
        let proto::CloudEventBatch { events } = parse(bytes, "a CloudEventBatch")?;
        check_batch(events.len())?;
        each("", events, read)
    }

    /// The event in the protobuf format.
    pub fn to_protobuf(&self) -> Vec<u8> {
        self.message().encode_to_vec()
    }

    /// Events in the protobuf format.
    pub fn batch_to_protobuf(events: &[Self]) -> Vec<u8> {
        proto::CloudEventBatch { events: events.iter().map(Self::message).collect() }.encode_to_vec()
    }

    fn message(&self) -> proto::CloudEvent {
        let value = |attr| CloudEventAttributeValue { attr: Some(attr) };
        let mut attributes: HashMap<String, CloudEventAttributeValue> = HashMap::new();
        let mut insert = |name: &str, attr| attributes.insert(name.to_owned(), value(attr));
        for (name, extension) in &self.extensions {
            insert(
                name,
                match extension {
                    Attribute::Boolean(value) => Attr::CeBoolean(*value),
                    Attribute::Integer(value) => Attr::CeInteger(*value),
                    Attribute::Text(value) => Attr::CeString(value.clone()),
                },
            );
        }
        if let Some(subject) = &self.subject {
            insert("subject", Attr::CeString(subject.clone()));
        }
        if let Some(schema) = &self.schema {
            insert("dataschema", Attr::CeUri(schema.clone()));
        }
        if let Some(content_type) = &self.content_type {
            insert("datacontenttype", Attr::CeString(content_type.clone()));
        }
        if let Some(time) = self.time {
            insert("time", Attr::CeTimestamp(timestamp(time)));
        }
        let data = match (self.data.is_empty(), self.text()) {
            (true, _) => None,
            (false, Some(text)) => Some(Data::TextData(text.to_owned())),
            (false, None) => Some(Data::BinaryData(self.data.clone())),
        };
        proto::CloudEvent {
            id: self.id.clone(),
            source: self.source.clone(),
            spec_version: VERSION.to_owned(),
            r#type: self.event_type.clone(),
            attributes,
            data,
        }
    }
}

fn parse<M: Message + Default>(bytes: Bytes, expected: &str) -> Checked<M> {
    M::decode(bytes).map_err(|error| InvalidMessage::new("body", format_args!("is not {expected}: {error}")))
}

fn read(message: proto::CloudEvent) -> Checked<CloudEvent> {
    let proto::CloudEvent { id, source, spec_version, r#type, attributes: given, data } = message;
    let mut attributes = Attributes::default();
    for (name, value) in [("id", id), ("source", source), ("specversion", spec_version), ("type", r#type)] {
        attributes.insert(name, Attribute::Text(value))?;
    }
    for (name, value) in given {
        let value = required(&name, value.attr)?;
        attributes.insert(&name, attribute(&name, value)?)?;
    }
    let data = match data {
        None => Bytes::new(),
        Some(Data::BinaryData(bytes)) => bytes,
        Some(Data::TextData(text)) => text.into(),
        Some(Data::ProtoData(proto::Any { type_url, value })) => {
            let stated = |name| attributes.0.contains_key(name);
            let (has_type, has_schema) = (stated("datacontenttype"), stated("dataschema"));
            if !has_type {
                attributes.insert("datacontenttype", "application/protobuf".into())?;
            }
            // A type's name is a URI if it says where it is defined.
            if !has_schema && type_url.contains(':') {
                attributes.insert("dataschema", Attribute::Text(type_url))?;
            }
            value
        }
    };
    CloudEvent::read(attributes, data)
}

fn attribute(name: &str, value: Attr) -> Checked<Attribute> {
    Ok(match value {
        Attr::CeBoolean(value) => Attribute::Boolean(value),
        Attr::CeInteger(value) => Attribute::Integer(value),
        Attr::CeString(text) | Attr::CeUri(text) | Attr::CeUriRef(text) => Attribute::Text(text),
        Attr::CeBytes(bytes) => Attribute::Text(encode_base64(&bytes)),
        Attr::CeTimestamp(time) => Attribute::Text(point(name, time)?.to_string()),
    })
}

fn timestamp(time: Timestamp) -> proto::Timestamp {
    let micros = time.as_micros();
    let nanos = i32::try_from(micros % 1_000_000 * 1_000).unwrap_or_default();
    proto::Timestamp { seconds: i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX), nanos }
}

fn point(name: &str, time: proto::Timestamp) -> Checked<Timestamp> {
    /// Where the specification's points in time end, with the year 9999.
    const END: u64 = 253_402_300_800;
    let seconds = u64::try_from(time.seconds).ok().filter(|seconds| *seconds < END);
    let nanos = u64::try_from(time.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let micros = seconds.zip(nanos).map(|(seconds, nanos)| seconds * 1_000_000 + nanos / 1_000);
    let problem = "is not a time from 1970 to the year 9999";
    micros.map(Timestamp::from_micros).ok_or_else(|| InvalidMessage::new(name, problem))
}
