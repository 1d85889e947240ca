//! What gRPC methods are given and answer, between JSON and protobuf.
//!
//! It is protobuf's own mapping to JSON, with these choices: a field may be given by its name in the `.proto` file or in lower camel
//! case, and is answered by the former, as expressions have it; every field is answered, one that has no value as null or by its
//! default; whole numbers of 64 bits are numbers, of which JSON has them too.
//!
//! Bounded: a message has at most [`MAX_DATA`] bytes, and so has its JSON. `google.protobuf.Any` is refused where a saga is defined.

use super::MAX_DATA;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor};
use prost_reflect::{ReflectMessage, SerializeOptions, Value as Held};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::sync::Arc;
use tenon_api::saga::protos::callable;
use tenon_core::saga::{Action, Call, Data, Definition, InputOf, Protos, Step, Work};
use tenon_core::{Code, Refusal, ServiceRef};

/// The gRPC methods that a definition calls, read.
#[derive(Default)]
pub(super) struct Methods(HashMap<(ServiceRef, Arc<str>), Arc<Method>>);

/// A gRPC method.
#[derive(Clone)]
pub struct Method {
    name: Arc<str>,
    input: MessageDescriptor,
    output: MessageDescriptor,
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Methods {
    /// Reads all methods that a definition calls.
    pub(super) fn of(definition: &Definition) -> Result<Self, Refusal> {
        let mut pools: HashMap<&ServiceRef, DescriptorPool> = HashMap::new();
        let mut methods = HashMap::new();
        for step in &definition.steps {
            for action in step.actions() {
                let Call::Grpc(name) = &action.call else { continue };
                let at = |problem: &str| {
                    let detail = format!("step `{}` calls `{name}`: {problem}", step.name);
                    Refusal::new(Code::SagaInvalid, detail)
                };
                if !pools.contains_key(&action.service) {
                    let protos = definition.protos.get(&action.service);
                    let protos = protos.ok_or_else(|| at("`protos` has nothing for its service"))?;
                    let pool = DescriptorPool::decode(protos.as_bytes());
                    let pool =
                        pool.map_err(|error| at(&format!("its protos do not fit together: {error}")))?;
                    pools.insert(&action.service, pool);
                }
                let method = pools.get(&action.service).and_then(|pool| Method::find(pool, name));
                let method = method.ok_or_else(|| at("there is no such method in its protos"))?;
                method.takes(input_of(step, action)).map_err(|problem| at(&problem))?;
                methods.insert((action.service.clone(), Arc::clone(name)), Arc::new(method));
            }
        }
        Ok(Self(methods))
    }

    /// The method that is called; none over HTTP.
    pub(super) fn called(&self, action: &Action) -> Option<Arc<Method>> {
        match &action.call {
            Call::Http { .. } => None,
            Call::Grpc(name) => self.0.get(&(action.service.clone(), Arc::clone(name))).cloned(),
        }
    }
}

/// What is sent by a call of a step.
fn input_of<'a>(step: &'a Step, action: &Action) -> &'a InputOf {
    match (&step.work, &step.undo) {
        (Work::Call { action: own, .. }, _) if std::ptr::eq(own, action) => &step.input,
        (_, Some(undo)) => &undo.input,
        (_, None) => &step.input,
    }
}

impl Method {
    /// A method, `package.Service/Method`, that a step can call.
    ///
    /// # Errors
    /// Why none can.
    pub fn of(protos: &Protos, name: &str) -> Result<Self, String> {
        callable(protos, name)?;
        let pool = DescriptorPool::decode(protos.as_bytes());
        let pool = pool.map_err(|error| format!("its protos do not fit together: {error}"))?;
        Self::find(&pool, &name.into()).ok_or_else(|| "there is no such method in its protos".to_owned())
    }

    fn find(pool: &DescriptorPool, name: &Arc<str>) -> Option<Self> {
        let (service, method) = name.split_once('/')?;
        let found = pool.get_service_by_name(service)?.methods().find(|it| it.name() == method)?;
        Some(Self { name: Arc::clone(name), input: found.input(), output: found.output() })
    }

    /// Whether the fields of an input are its message's, so far as they are known before it is made.
    fn takes(&self, input: &InputOf) -> Result<(), String> {
        let InputOf::Fields(fields) = input else { return Ok(()) };
        let is_known = |name: &str| {
            is_well_known(self.input.full_name())
                || self.input.get_field_by_name(name).is_some()
                || self.input.get_field_by_json_name(name).is_some()
        };
        match fields.keys().find(|name| !is_known(name)) {
            Some(name) => {
                Err(format!("it is given `{name}`, which `{}` does not have", self.input.full_name()))
            }
            None => Ok(()),
        }
    }

    /// Its path.
    pub fn path(&self) -> String {
        format!("/{}", self.name)
    }

    /// The message that JSON stands for; nothing is a message without fields.
    pub(super) fn message(&self, input: Option<&Value>) -> Result<Vec<u8>, String> {
        let message = match input {
            None | Some(Value::Null) => DynamicMessage::new(self.input.clone()),
            Some(value) => {
                let read = DynamicMessage::deserialize(self.input.clone(), value);
                read.map_err(|error| self.why(value, &error))?
            }
        };
        Ok(message.encode_to_vec())
    }

    /// Why there is no message, with the field if it is one's fault.
    fn why(&self, value: &Value, error: &serde_json::Error) -> String {
        let alone = |(name, value): (&String, &Value)| {
            let one = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
            let error = DynamicMessage::deserialize(self.input.clone(), &one).err()?;
            Some(match value {
                _ if error.to_string().contains(name.as_str()) => error.to_string(),
                _ => format!("field `{name}`: {error}"),
            })
        };
        let problem = value.as_object().and_then(|fields| fields.iter().find_map(alone));
        let problem = problem.unwrap_or_else(|| error.to_string());
        format!("its input is no {}: {problem}", self.input.full_name())
    }

    /// The JSON that stands for an answer.
    pub(super) fn json(&self, message: &[u8]) -> Result<Data, String> {
        let message = DynamicMessage::decode(self.output.clone(), message)
            .map_err(|error| format!("it answered what is no {}: {error}", self.output.full_name()))?;
        let mut text = Bounded(Vec::new());
        let written = serde_json::to_writer(&mut text, &Shown(&message));
        written.map_err(|error| format!("its answer cannot be told as JSON: {error}"))?;
        // Messages may lie in each other deeper than JSON is read later.
        serde_json::from_slice::<Value>(&text.0)
            .map_err(|error| format!("the JSON of its answer cannot be read: {error}"))?;
        let text = String::from_utf8(text.0).map_err(|error| error.to_string())?;
        Ok(Data::new(&text))
    }
}

/// What is written, unless it is too much.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_DATA {
            return Err(io::Error::other(format!("it has more than {MAX_DATA} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A message as its JSON.
struct Shown<'a>(&'a DynamicMessage);

/// A value of a field as its JSON.
struct ShownValue<'a>(&'a Held, &'a Kind);

/// Messages that the mapping has forms of their own for.
fn is_well_known(name: &str) -> bool {
    let Some(name) = name.strip_prefix("google.protobuf.") else { return false };
    matches!(name, "Timestamp" | "Duration" | "Struct" | "Value" | "ListValue" | "FieldMask" | "Empty")
        || name.strip_suffix("Value").is_some_and(|of| {
            matches!(
                of,
                "Double" | "Float" | "Int64" | "UInt64" | "Int32" | "UInt32" | "Bool" | "String" | "Bytes"
            )
        })
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (message, descriptor) = (self.0, self.0.descriptor());
        if is_well_known(descriptor.full_name()) {
            let options = SerializeOptions::new().stringify_64_bit_integers(false);
            return message.serialize_with_options(serializer, &options);
        }
        let mut fields = serializer.serialize_map(None)?;
        for field in descriptor.fields() {
            if field.supports_presence() && !message.has_field(&field) {
                fields.serialize_entry(field.name(), &None::<()>)?;
            } else {
                fields.serialize_entry(field.name(), &ShownField(&message.get_field(&field), &field))?;
            }
        }
        fields.end()
    }
}

struct ShownField<'a>(&'a Held, &'a FieldDescriptor);

impl Serialize for ShownField<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(value, field) = self;
        match value {
            Held::List(items) => {
                let (mut list, kind) = (serializer.serialize_seq(Some(items.len()))?, field.kind());
                for item in items {
                    list.serialize_element(&ShownValue(item, &kind))?;
                }
                list.end()
            }
            Held::Map(entries) => {
                let kind = match field.kind() {
                    Kind::Message(entry) if entry.is_map_entry() => entry.map_entry_value_field().kind(),
                    other => other,
                };
                // In an order of their own, as the same answer is the same text.
                let sorted: BTreeMap<Cow<'_, str>, &Held> =
                    entries.iter().map(|(key, value)| (key_text(key), value)).collect();
                let mut map = serializer.serialize_map(Some(sorted.len()))?;
                for (key, value) in sorted {
                    map.serialize_entry(&key, &ShownValue(value, &kind))?;
                }
                map.end()
            }
            value => ShownValue(value, &field.kind()).serialize(serializer),
        }
    }
}

impl Serialize for ShownValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.0, self.1) {
            (Held::Bool(it), _) => serializer.serialize_bool(*it),
            (Held::I32(it), _) => serializer.serialize_i32(*it),
            (Held::I64(it), _) => serializer.serialize_i64(*it),
            (Held::U32(it), _) => serializer.serialize_u32(*it),
            (Held::U64(it), _) => serializer.serialize_u64(*it),
            (Held::F32(it), _) if it.is_finite() => serializer.serialize_f32(*it),
            (Held::F32(it), _) => serializer.serialize_str(beyond(f64::from(*it))),
            (Held::F64(it), _) if it.is_finite() => serializer.serialize_f64(*it),
            (Held::F64(it), _) => serializer.serialize_str(beyond(*it)),
            (Held::String(it), _) => serializer.serialize_str(it),
            (Held::Bytes(it), _) => serializer
                .collect_str(&base64::display::Base64Display::new(it, &base64::prelude::BASE64_STANDARD)),
            (Held::EnumNumber(_), Kind::Enum(of)) if of.full_name() == "google.protobuf.NullValue" => {
                serializer.serialize_none()
            }
            (Held::EnumNumber(number), Kind::Enum(of)) => match of.get_value(*number) {
                Some(value) => serializer.serialize_str(value.name()),
                None => serializer.serialize_i32(*number),
            },
            (Held::EnumNumber(number), _) => serializer.serialize_i32(*number),
            (Held::Message(message), _) => Shown(message).serialize(serializer),
            // No field holds one inside of another.
            (Held::List(_) | Held::Map(_), _) => serializer.serialize_none(),
        }
    }
}

/// A number that JSON does not have.
fn beyond(number: f64) -> &'static str {
    match number {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    }
}

fn key_text(key: &MapKey) -> Cow<'_, str> {
    match key {
        MapKey::Bool(it) => it.to_string().into(),
        MapKey::I32(it) => it.to_string().into(),
        MapKey::I64(it) => it.to_string().into(),
        MapKey::U32(it) => it.to_string().into(),
        MapKey::U64(it) => it.to_string().into(),
        MapKey::String(it) => it.as_str().into(),
    }
}

#[cfg(test)]
pub(in crate::saga) mod tests;
