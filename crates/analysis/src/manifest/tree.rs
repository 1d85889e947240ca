//! A manifest as a tree in which every node knows its place.
//!
//! Scalars keep the text as it was written; what it means (YAML 1.2, core schema) is asked when it matters,
//! so that a version `1.10` or a password `0123` can be taken as the text that it looks like.

mod json;
mod load;
mod scalar;

pub(super) use json::{canonical, to_json};
pub(super) use load::load;
pub(super) use scalar::{Meaning, Scalar};

use super::source::Span;

/// The most bytes that a manifest may have.
pub(super) const MOST_BYTES: usize = 1 << 20;
/// The most values that a manifest may have, aliases resolved.
pub(super) const MOST_NODES: usize = 100_000;
/// How deeply lists and maps may be nested, aliases resolved.
pub(super) const MOST_LEVELS: usize = 64;

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Of a list or map, its first line only.
    pub(super) span: Span,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    /// Keys are unique.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) value: Node,
}

impl Node {
    /// The entries, if it is a map.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Scalar(_) | Value::List(_) => &[],
        }
    }

    /// The items, if it is a list.
    pub(super) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            Value::Scalar(_) | Value::Map(_) => &[],
        }
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    /// The entry of this key, if it is a map that has it.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value of this key, if it is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub(super) fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self.scalar()?.meaning() {
            Meaning::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What kind of value it is, for people.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Scalar(scalar) => match scalar.meaning() {
                Meaning::Null => "empty",
                Meaning::Boolean(_) => "a boolean",
                Meaning::Integer(_) | Meaning::Float(_) => "a number",
                Meaning::Text(_) => "text",
            },
        }
    }
}

#[cfg(test)]
mod tests;
