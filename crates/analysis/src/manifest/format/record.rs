//! Maps whose keys the format gives.

use super::Shape;

/// A map with known keys.
pub(crate) struct Record {
    /// The anchor of its section in the reference, and its name in the JSON Schema: `traffic-retry`.
    pub(crate) anchor: &'static str,
    /// Its section's heading.
    pub(crate) title: &'static str,
    /// What it is for, as Markdown.
    pub(crate) doc: &'static str,
    pub(crate) fields: &'static [Field],
    /// What holds between its keys.
    pub(crate) rules: &'static [Rule],
    /// A manifest's part as an example, which is a whole value of this record.
    pub(crate) example: &'static str,
}

/// One key.
pub(crate) struct Field {
    pub(crate) key: &'static str,
    pub(crate) shape: Shape,
    pub(crate) presence: Presence,
    /// What it means, as Markdown.
    pub(crate) doc: &'static str,
    /// What other tools call it, for "did you mean".
    pub(crate) elsewhere: &'static [&'static str],
}

/// Whether a key must be stated.
#[derive(Clone, Copy)]
pub(crate) enum Presence {
    Required,
    /// Nothing holds if it is not stated.
    Optional,
    /// This holds if it is not stated, as YAML in one line.
    Default(&'static str),
}

/// What holds between the keys of a record.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    /// One of these keys must be there, and not two.
    ExactlyOne(&'static [&'static str]),
    /// No two of these keys may be there.
    AtMostOne(&'static [&'static str]),
    /// The first key has no effect without the second.
    Needs(&'static str, &'static str),
}

impl Record {
    pub(crate) fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.key == key)
    }

    /// Whether a map without keys is one of these, all of its keys having defaults.
    pub(crate) fn can_be_empty(&self) -> bool {
        !self.fields.iter().any(|field| matches!(field.presence, Presence::Required))
            && !self.rules.iter().any(|rule| matches!(rule, Rule::ExactlyOne(_)))
    }
}

impl Field {
    pub(crate) const fn required(key: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self { key, shape, presence: Presence::Required, doc, elsewhere: &[] }
    }

    pub(crate) const fn optional(key: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self { key, shape, presence: Presence::Optional, doc, elsewhere: &[] }
    }

    pub(crate) const fn with_default(
        key: &'static str,
        shape: Shape,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        Self { key, shape, presence: Presence::Default(default), doc, elsewhere: &[] }
    }

    pub(crate) const fn elsewhere(mut self, names: &'static [&'static str]) -> Self {
        self.elsewhere = names;
        self
    }
}
