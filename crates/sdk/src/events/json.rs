//! Events as JSON, by serde's own form of an enum: `{"Fact": DATA}`, or `"Fact"` for one without data.
//!
//! The name goes into the event's type and the data, with `null` for none, is what the log holds, so that it
//! reads as JSON to everybody else too.

use super::{Codec, Events, EventsError};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// JSON, for enums that derive `Serialize` and `Deserialize` without `tag` or `untagged`.
#[derive(Debug, Clone, Copy)]
pub struct Json;

impl<E: Events + Serialize + DeserializeOwned> Codec<E> for Json {
    fn encode(event: &E) -> Result<(String, Bytes), EventsError> {
        let unwritable = |problem: String| EventsError::Unwritable { area: E::AREA, problem };
        let text = serde_json::to_vec(event).map_err(|error| unwritable(error.to_string()))?;
        split(&text).ok_or_else(|| unwritable("it is not written as an enum without tags is".into()))
    }

    fn decode(name: &str, data: &[u8]) -> Result<E, EventsError> {
        let mut text = Vec::with_capacity(name.len() + data.len() + 5);
        text.extend_from_slice(b"{\"");
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b"\":");
        text.extend_from_slice(data);
        text.push(b'}');
        serde_json::from_slice(&text)
            .map_err(|error| EventsError::Data { name: name.into(), problem: error.to_string() })
    }
}

/// The name and the data of `{"Name":DATA}` or `"Name"`.
fn split(text: &[u8]) -> Option<(String, Bytes)> {
    if let Some(name) = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) {
        return Some((plain(name)?, Bytes::from_static(b"null")));
    }
    let rest = text.strip_prefix(b"{\"")?.strip_suffix(b"}")?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    let (name, data) = rest.split_at_checked(end)?;
    Some((plain(name)?, Bytes::copy_from_slice(data.strip_prefix(b"\":")?)))
}

/// A name that stands in JSON as it is.
fn plain(name: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(name).ok()?;
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\' && byte != b'"';
    text.bytes().all(plain).then(|| text.to_owned())
}
