//! CloudEvents 1.0 (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>): events in the form that
//! other systems send and expect.
//!
//! A [`CloudEvent`] is valid: whatever format it is read from, the same checks are made once, and an error names the
//! attribute.
//!
//! - `json`: the JSON format, single ([`CloudEvent::from_json`]) and in batches.
//! - `protobuf`: the protobuf format ([`CloudEvent::from_protobuf`]), the specification's own messages.
//! - [`http`]: binary, structured and batched messages over HTTP.
//!
//! Stricter than the specification: attributes and their number are bounded, a point in time lies after 1969 and is cut to
//! microseconds, and an attribute that is given twice is refused. Data that is empty is no data.

pub mod http;
mod json;
mod protobuf;

use crate::InvalidMessage;
use crate::invalid::{Checked, required};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use tenon_core::Timestamp;

/// The media type of an event in the JSON format.
pub const JSON: &str = "application/cloudevents+json";
/// The media type of a batch in the JSON format.
pub const JSON_BATCH: &str = "application/cloudevents-batch+json";
/// The media type of an event in the protobuf format.
pub const PROTOBUF: &str = "application/cloudevents+protobuf";
/// The media type of a batch in the protobuf format.
pub const PROTOBUF_BATCH: &str = "application/cloudevents-batch+protobuf";

/// The WebSocket subprotocol of events in the JSON format, one a message.
pub const WEBSOCKET_JSON: &str = "cloudevents.json";

/// The most events of a batch: as many as one append has.
pub const MAX_BATCH: usize = 1_024;
/// The most extension attributes of an event.
pub const MAX_EXTENSIONS: usize = 64;
/// The most bytes of an attribute's value.
pub const MAX_VALUE_BYTES: usize = 2_048;
/// The most characters of an attribute's name.
const MAX_NAME: usize = 64;

/// What is no name of an extension.
const RESERVED: [&str; 9] =
    ["id", "source", "specversion", "type", "subject", "time", "datacontenttype", "dataschema", "data"];

/// The version of the specification.
const VERSION: &str = "1.0";

/// An event as CloudEvents has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudEvent {
    /// Names the event within its source.
    pub id: String,
    /// Where it happened: a URI reference.
    pub source: String,
    /// What happened. Tenon's topics are these.
    pub event_type: String,
    /// What it happened to, within the source.
    pub subject: Option<String>,
    /// When it happened.
    pub time: Option<Timestamp>,
    /// The media type of the data.
    pub content_type: Option<String>,
    /// The schema of the data: a URI.
    pub schema: Option<String>,
    /// Everything else, by name.
    pub extensions: BTreeMap<String, Attribute>,
    /// The payload; empty if there is none.
    pub data: Bytes,
}

/// The value of an extension attribute. URIs, points in time and binary values are the texts that stand for them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// True or false.
    Boolean(bool),
    /// A number of 32 bits.
    Integer(i32),
    /// A text.
    Text(String),
}

/// The value as a text, which is how HTTP has it.
impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
        }
    }
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// The attributes of an event as they came, the version among them.
#[derive(Debug, Default)]
struct Attributes(BTreeMap<String, Attribute>);

impl Attributes {
    fn insert(&mut self, name: &str, value: Attribute) -> Checked<()> {
        check_name(name)?;
        match self.0.insert(name.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(InvalidMessage::new(name, "is given twice")),
        }
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).map(|value| value.to_string())
    }

    fn required(&mut self, name: &str) -> Checked<String> {
        let value = required(name, self.take(name))?;
        if value.is_empty() { Err(InvalidMessage::new(name, "must not be empty")) } else { Ok(value) }
    }
}

impl CloudEvent {
    /// An event with the attributes that every one has.
    ///
    /// # Errors
    /// [`InvalidMessage`] names the attribute that is not as it must be.
    pub fn new(id: &str, source: &str, event_type: &str) -> Result<Self, InvalidMessage> {
        let attributes = [("id", id), ("source", source), ("type", event_type)];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.into()));
        Self::from_attributes(attributes, Bytes::new())
    }

    /// An event of these attributes, which may be any, and this data.
    ///
    /// # Errors
    /// [`InvalidMessage`] names the attribute that is not as it must be.
    pub fn from_attributes(
        attributes: impl IntoIterator<Item = (String, Attribute)>,
        data: Bytes,
    ) -> Result<Self, InvalidMessage> {
        let mut all = Attributes::default();
        all.insert("specversion", VERSION.into())?;
        attributes.into_iter().try_for_each(|(name, value)| all.insert(&name, value))?;
        Self::read(all, data)
    }

    /// The event's extension attribute as a text.
    pub fn extension(&self, name: &str) -> Option<String> {
        self.extensions.get(name).map(ToString::to_string)
    }

    /// Whether the data is JSON by its media type.
    pub fn is_json(&self) -> bool {
        self.content_type.as_deref().is_some_and(is_json)
    }

    fn read(mut attributes: Attributes, data: Bytes) -> Checked<Self> {
        for (name, value) in &attributes.0 {
            check_value(name, value)?;
        }
        let version = attributes.required("specversion")?;
        if version != VERSION {
            return Err(InvalidMessage::new(
                "specversion",
                format_args!("{version:?} is not a version that is known here; send {VERSION:?}"),
            ));
        }
        let source = attributes.required("source")?;
        check_uri_reference("source", &source)?;
        let schema = attributes.take("dataschema");
        if let Some(schema) = &schema {
            check_uri("dataschema", schema)?;
        }
        let content_type = attributes.take("datacontenttype");
        if let Some(content_type) = &content_type {
            check_media_type(content_type)?;
        }
        let time = attributes.take("time").map(|text| crate::time::parse(&text));
        let time = time.transpose().map_err(|error| InvalidMessage::new("time", error))?;
        let subject = attributes.take("subject");
        if subject.as_deref() == Some("") {
            return Err(InvalidMessage::new("subject", "must not be empty; leave it out"));
        }
        let id = attributes.required("id")?;
        let event_type = attributes.required("type")?;
        let extensions = attributes.0;
        if extensions.contains_key("data") {
            return Err(InvalidMessage::new("data", "is no attribute"));
        }
        if extensions.len() > MAX_EXTENSIONS {
            let count = extensions.len();
            return Err(InvalidMessage::new(
                "",
                format_args!("{count} extension attributes; at most {MAX_EXTENSIONS} are accepted"),
            ));
        }
        Ok(Self { id, source, event_type, subject, time, content_type, schema, extensions, data })
    }

    /// What has a value and is neither the version, nor the media type of the data.
    fn attributes(&self) -> impl Iterator<Item = (&str, Attribute)> {
        let required = [("id", &self.id), ("source", &self.source), ("type", &self.event_type)];
        let required = required.into_iter().map(|(name, value)| (name, value.as_str().into()));
        let extensions = self.extensions.iter().map(|(name, value)| (name.as_str(), value.clone()));
        required.chain(self.optional()).chain(extensions)
    }

    fn optional(&self) -> impl Iterator<Item = (&str, Attribute)> {
        let subject = self.subject.as_deref().map(Attribute::from);
        let time = self.time.map(|time| Attribute::Text(time.to_string()));
        let schema = self.schema.as_deref().map(Attribute::from);
        let optional = [("subject", subject), ("time", time), ("dataschema", schema)];
        optional.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    /// The data as a text, if its media type says that it is one, and it is.
    fn text(&self) -> Option<&str> {
        let is_text = self.content_type.as_deref().is_some_and(|it| is_text(it) || is_json(it));
        std::str::from_utf8(&self.data).ok().filter(|_| is_text)
    }
}

/// Whether this can be an extension attribute of an event.
pub fn is_extension(name: &str, value: &Attribute) -> bool {
    check_name(name).and_then(|()| check_value(name, value)).is_ok() && !RESERVED.contains(&name)
}

/// Whether a media type is one of JSON.
pub fn is_json(content_type: &str) -> bool {
    let subtype = essence(content_type).rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    subtype == "json" || subtype.ends_with("+json")
}

fn is_text(content_type: &str) -> bool {
    let essence = essence(content_type).to_ascii_lowercase();
    essence.starts_with("text/") || essence.ends_with("/xml") || essence.ends_with("+xml")
}

/// A media type without its parameters.
fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

fn check_name(name: &str) -> Checked<()> {
    let shown = || name.chars().take(80).collect::<String>();
    if name.is_empty() || name.len() > MAX_NAME {
        let problem = format_args!("an attribute's name has 1 to {MAX_NAME} characters").to_string();
        return Err(InvalidMessage::new(shown(), problem));
    }
    if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        Ok(())
    } else {
        Err(InvalidMessage::new(shown(), "an attribute's name has lower-case letters and digits only"))
    }
}

fn check_value(name: &str, value: &Attribute) -> Checked<()> {
    let Attribute::Text(text) = value else { return Ok(()) };
    if text.len() > MAX_VALUE_BYTES {
        return Err(InvalidMessage::new(
            name,
            format_args!("{} bytes; at most {MAX_VALUE_BYTES} are accepted", text.len()),
        ));
    }
    let forbidden = |c: &char| c.is_control() || matches!(u32::from(*c) & 0xffff, 0xfffe | 0xffff);
    match text.chars().find(forbidden) {
        Some(found) => Err(InvalidMessage::new(name, format_args!("has the character {found:?}"))),
        None => Ok(()),
    }
}

/// By the characters alone (RFC 3986, 2): what they mean is their owner's affair.
fn check_uri_reference(name: &str, text: &str) -> Checked<()> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let is_valid = match byte {
            b'%' => bytes
                .next()
                .zip(bytes.next())
                .is_some_and(|(high, low)| high.is_ascii_hexdigit() && low.is_ascii_hexdigit()),
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => false,
            other => other.is_ascii_graphic(),
        };
        if !is_valid {
            return Err(InvalidMessage::new(
                name,
                format_args!(
                    "{text:?} is not a URI reference (RFC 3986): write {:?} as %XX",
                    char::from(byte)
                ),
            ));
        }
    }
    Ok(())
}

fn check_uri(name: &str, text: &str) -> Checked<()> {
    check_uri_reference(name, text)?;
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    match text.split_once(':') {
        Some((scheme, _)) if is_scheme(scheme) => Ok(()),
        _ => Err(InvalidMessage::new(name, format_args!("{text:?} is not a URI: it has no scheme"))),
    }
}

fn check_media_type(text: &str) -> Checked<()> {
    let token = |part: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !part.is_empty() && part.bytes().all(fits)
    };
    let is_valid = essence(text).split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype));
    if is_valid && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(InvalidMessage::new("datacontenttype", format_args!("{text:?} is not a media type")))
    }
}

/// Binary data as JSON has it.
fn decode_base64(name: &str, text: &str) -> Checked<Bytes> {
    let decoded = BASE64_STANDARD.decode(text);
    decoded
        .map(Bytes::from)
        .map_err(|error| InvalidMessage::new(name, format_args!("is not Base64: {error}")))
}

fn encode_base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests;
