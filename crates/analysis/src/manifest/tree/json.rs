//! Nodes as JSON values, for configuration.

use super::{Meaning, Node, Value};
use serde_json::Value as Json;

/// The JSON value that a node stands for; `None` if a number in it is infinite or not a number.
pub(crate) fn to_json(node: &Node) -> Option<Json> {
    match &node.value {
        Value::List(items) => items.iter().map(to_json).collect::<Option<_>>().map(Json::Array),
        Value::Map(entries) => {
            let member = |entry: &super::Entry| Some((entry.key.clone(), to_json(&entry.value)?));
            entries.iter().map(member).collect::<Option<_>>().map(Json::Object)
        }
        Value::Scalar(scalar) => match scalar.meaning() {
            Meaning::Null => Some(Json::Null),
            Meaning::Boolean(value) => Some(value.into()),
            Meaning::Integer(value) => integer(value),
            Meaning::Float(value) => serde_json::Number::from_f64(value).map(Json::Number),
            Meaning::Text(text) => Some(text.into()),
        },
    }
}

/// Canonical text: no spaces, and keys in order.
pub(crate) fn canonical(value: &Json) -> String {
    match value {
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Json::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            let member = |(key, value): &(&String, &Json)| {
                format!("{}:{}", Json::String((*key).clone()), canonical(value))
            };
            let members: Vec<String> = members.iter().map(member).collect();
            format!("{{{}}}", members.join(","))
        }
        scalar => scalar.to_string(),
    }
}

/// A number as JSON has it: exactly if 64 bits hold it, else the nearest floating-point number, as a JSON
/// parser would read the same digits.
fn integer(value: i128) -> Option<Json> {
    if let Ok(value) = u64::try_from(value) {
        return Some(value.into());
    }
    if let Ok(value) = i64::try_from(value) {
        return Some(value.into());
    }
    serde_json::Number::from_f64(value as f64).map(Json::Number)
}
