//! Configuration of services: versioned by log position, watched, rolled back.

use std::fmt;
use std::sync::Arc;

/// A JSON value as canonical text (no spaces, keys sorted). Whoever makes one has parsed it; `core` only
/// compares, so equal values must have equal texts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(Arc<str>);

impl Value {
    /// The most bytes that a value may have.
    pub const MAX_BYTES: usize = 256 << 10;

    /// A value from text that the caller has read as JSON and written canonically.
    pub fn from_canonical(text: &str) -> Self {
        Self(text.into())
    }

    /// The JSON text.
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
