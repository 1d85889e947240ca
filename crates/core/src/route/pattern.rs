//! What a route is written in: validated hostnames, paths, headers and query parameters.

use crate::id::InvalidName;
use std::fmt;
use std::sync::Arc;

/// A hostname that requests are for: a DNS name in lower case, or `*.` and a DNS name for everything below
/// it, at however many labels, but not the name itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hostname(Arc<str>);

/// The longest DNS name (RFC 1035, 2.3.4, as text).
pub(super) const MAX_HOSTNAME: usize = 253;

impl Hostname {
    /// Reads and checks a hostname; upper case is made lower.
    ///
    /// # Errors
    /// [`InvalidName`] says what form is expected.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_prefix("*.").unwrap_or(&lower);
        if name.is_empty() || lower.len() > MAX_HOSTNAME {
            return Err(InvalidName::new("hostname", text, "must have 1 to 253 characters"));
        }
        if !name.split('.').all(is_label) {
            let problem = "must be a DNS name such as shop.example.com, or *.example.com";
            return Err(InvalidName::new("hostname", text, problem));
        }
        Ok(Self(lower.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands after `*.`, if it begins so.
    pub fn wildcard_suffix(&self) -> Option<&str> {
        self.0.strip_prefix("*.")
    }
}

/// A path that a route states: begins with `/`, at most 1,024 bytes of printable ASCII, with no empty, `.` or
/// `..` segment but a last empty one, no `?`, `#` or encoded `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoutePath(Arc<str>);

impl RoutePath {
    /// Reads and checks a path.
    ///
    /// # Errors
    /// [`InvalidName`] says what form is expected.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let invalid = |problem| Err(InvalidName::new("route path", text, problem));
        let Some(rest) = text.strip_prefix('/') else { return invalid("must begin with '/'") };
        if text.len() > 1_024 {
            return invalid("must have at most 1,024 bytes");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#')) {
            return invalid("may hold only printable ASCII without spaces, '?' and '#'");
        }
        if rest.contains("%2f") || rest.contains("%2F") {
            return invalid("must not hold an encoded '/'");
        }
        let inner = rest.strip_suffix('/').unwrap_or(rest);
        if rest == "/" || !inner.is_empty() && inner.split('/').any(|it| matches!(it, "" | "." | "..")) {
            return invalid("must not hold an empty, '.' or '..' segment");
        }
        Ok(Self(text.into()))
    }

    /// The root, `/`.
    pub fn root() -> Self {
        Self("/".into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A condition on the path of a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathMatch {
    /// The path is this, character by character.
    Exact(RoutePath),
    /// The path begins with these segments: `/a` holds for `/a`, `/a/` and `/a/b`, not for `/ab`. A last `/`
    /// makes no difference.
    Prefix(RoutePath),
}

impl PathMatch {
    /// Whether the condition holds for a path.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(own) => own.as_str() == path,
            Self::Prefix(own) => path
                .strip_prefix(without_last_slash(own))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }

    /// What an index looks for: the path as it is if exact, without its last `/` if a prefix.
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Exact(path) => path.as_str(),
            Self::Prefix(path) => without_last_slash(path),
        }
    }

    pub(super) const fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }
}

impl Default for PathMatch {
    /// Every path.
    fn default() -> Self {
        Self::Prefix(RoutePath::root())
    }
}

/// The name of a header (RFC 9110 token), in lower case, at most 256 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderName(Arc<str>);

impl HeaderName {
    /// Reads and checks a name; upper case is made lower.
    ///
    /// # Errors
    /// [`InvalidName`] says what form is expected.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.is_empty() || text.len() > 256 || !text.bytes().all(token) {
            return Err(InvalidName::new("header name", text, "must be a header name such as x-tenant"));
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// The text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! shown_as_text {
    ($($name:ident)*) => { $(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }
    )* };
}

shown_as_text!(Hostname RoutePath HeaderName);

/// A header that a request must have, with exactly this value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderMatch {
    /// The header.
    pub name: HeaderName,
    /// Its value; compared with the first of that name.
    pub value: String,
}

/// A query parameter that a request must have, with exactly this value once decoded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryMatch {
    /// The parameter, decoded.
    pub name: String,
    /// Its value, decoded; compared with the first of that name.
    pub value: String,
}

impl QueryMatch {
    /// Whether a query (what stands after `?`, as it was sent) has this parameter with this value.
    pub fn matches(&self, query: &str) -> bool {
        query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .find(|(name, _)| decodes_to(name, &self.name))
            .is_some_and(|(_, value)| decodes_to(value, &self.value))
    }
}

fn without_last_slash(path: &RoutePath) -> &str {
    path.as_str().strip_suffix('/').unwrap_or(path.as_str())
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 63
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Whether a part of a query stands for this text: `+` for a space and `%XX` for a byte
/// (`application/x-www-form-urlencoded`); a `%` that no two digits follow is itself.
fn decodes_to(encoded: &str, text: &str) -> bool {
    let mut rest = encoded.as_bytes();
    let decoded = std::iter::from_fn(|| {
        let (byte, after) = decode_first(rest)?;
        rest = after;
        Some(byte)
    });
    decoded.eq(text.bytes())
}

/// The first byte that an encoded text stands for, and the rest of the text.
pub(crate) fn decode_first(encoded: &[u8]) -> Option<(u8, &[u8])> {
    match encoded {
        [b'%', high, low, rest @ ..] => match (hex(*high), hex(*low)) {
            (Some(high), Some(low)) => Some((high << 4 | low, rest)),
            _ => encoded.split_first().map(|(byte, rest)| (*byte, rest)),
        },
        [b'+', rest @ ..] => Some((b' ', rest)),
        [byte, rest @ ..] => Some((*byte, rest)),
        [] => None,
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}
