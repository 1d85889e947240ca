//! The fields that a saga is given, or that a step answers, as somebody states them.

use crate::id::InvalidName;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The fields that something has, as it is stated, and no others. One with `?` behind its name may be absent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fields(BTreeMap<Box<str>, Presence>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Presence {
    Always,
    Perhaps,
}

/// Why something does not have the fields that are stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit<'a> {
    /// It does not have this one.
    Missing(&'a str),
    /// It has this one, which is not stated.
    Unknown(&'a str),
}

/// The most characters of a field's name.
const MAX_FIELD: usize = 128;

impl Fields {
    /// The most fields.
    pub const MOST: usize = 1_000;

    /// Fields by their names, as they are written.
    ///
    /// # Errors
    /// [`InvalidName`] if one is no name, or there are too many.
    pub fn new<'a>(written: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidName> {
        let mut fields = BTreeMap::new();
        for text in written {
            let (name, presence) = match text.strip_suffix('?') {
                Some(name) => (name, Presence::Perhaps),
                None => (text, Presence::Always),
            };
            let invalid = |problem: &'static str| InvalidName::new("field", text, problem);
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let begins = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
            if !begins || name.len() > MAX_FIELD || !name.bytes().all(allowed) {
                return Err(invalid("must have 1 to 128 letters, digits and '_', the first no digit"));
            }
            if fields.len() >= Self::MOST {
                return Err(invalid("is one too many: there may be 1,000 fields"));
            }
            let known = fields.entry(Box::from(name)).or_insert(presence);
            *known = presence.min(*known);
        }
        Ok(Self(fields))
    }

    /// The fields, as they are written.
    pub fn written(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(name, presence)| match presence {
            Presence::Always => name.to_string(),
            Presence::Perhaps => format!("{name}?"),
        })
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(AsRef::as_ref)
    }

    /// Why something that has fields of these names does not fit, if so.
    pub fn misfit<'a>(&'a self, given: &[&'a str]) -> Option<Misfit<'a>> {
        let is_given: BTreeSet<&str> = given.iter().copied().collect();
        let mut always = self.0.iter().filter(|(_, presence)| **presence == Presence::Always);
        let missing =
            always.find(|(name, _)| !is_given.contains(&***name)).map(|(name, _)| Misfit::Missing(name));
        missing.or_else(|| {
            let unknown = given.iter().copied().find(|name| !self.0.contains_key(*name));
            unknown.map(Misfit::Unknown)
        })
    }
}

impl fmt::Display for Misfit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A pointer into JSON (RFC 6901).
        let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
        match self {
            Self::Missing(name) => write!(f, "/{} is missing", escaped(name)),
            Self::Unknown(name) => write!(f, "/{} is not known", escaped(name)),
        }
    }
}

#[cfg(test)]
mod tests;
