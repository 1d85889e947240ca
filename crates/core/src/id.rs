//! Names and ids, each a type of its own: raw text becomes one of these once, at the edge.
//!
//! Limits are part of the types, so that whoever holds a value need not check it again.

use crate::Text;
use std::borrow::Borrow;
use std::fmt;
use uuid::Uuid;

mod tags;

pub use tags::Tags;

/// Why a text is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text:?} {problem}")]
pub struct InvalidName {
    /// What was being read, for example `service name`.
    pub kind: &'static str,
    /// The text as given, cut to 80 characters.
    pub text: String,
    /// What is wrong and what is expected.
    pub problem: &'static str,
}

impl InvalidName {
    pub(crate) fn new(kind: &'static str, text: &str, problem: &'static str) -> Self {
        Self { kind, text: text.chars().take(80).collect(), problem }
    }
}

/// An immutable text with a validated form. Where it is used, `Text`, `InvalidName`, `Borrow` and `fmt` must be known.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Text);

        impl $name {
            /// Reads and checks a text.
            ///
            /// # Errors
            /// [`InvalidName`] says what form is expected.
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                let check: fn(&str) -> Result<(), &'static str> = $check;
                check(text).map_err(|problem| InvalidName::new($kind, text, problem))?;
                Ok(Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }
    };
}

pub(crate) use text_id;

text_id! {
    /// The name of a service within its namespace: a DNS label (RFC 1123), lower case.
    ServiceName, "service name", dns_label
}

text_id! {
    /// A namespace: a DNS label (RFC 1123), lower case. `default` unless stated.
    Namespace, "namespace", dns_label
}

text_id! {
    /// The id of a running instance, for example `payment-7f3a`: a DNS label.
    InstanceId, "instance id", dns_label
}

text_id! {
    /// The name of a route of the gateway: a DNS label.
    RouteName, "route name", dns_label
}

text_id! {
    /// The name of a policy: a DNS label.
    PolicyName, "policy name", dns_label
}

text_id! {
    /// The name of a subscription within its namespace: a DNS label.
    SubscriptionName, "subscription name", dns_label
}

text_id! {
    /// A stream of the log: 1 to 255 bytes of printable ASCII without spaces. Tenon's own begin with
    /// `$tenon/` and are hidden from a user's "read all".
    StreamName, "stream name", |text| printable(text, 255)
}

text_id! {
    /// What an event is about, for conditions and queries that cross streams: 1 to 255 bytes of printable
    /// ASCII, by habit `key:value`. Holds no personal data.
    Tag, "tag", |text| printable(text, 255)
}

text_id! {
    /// Whom payloads are about, so that they can be forgotten: a pseudonym, for example a customer's number, of 1 to 128
    /// bytes of printable ASCII. It outlives the forgetting, so it holds no personal data itself.
    Subject, "subject", |text| printable(text, 128)
}

text_id! {
    /// The type of an event with its version, for example `tenon.registry.InstanceRegistered.v1`.
    EventType, "event type", |text| printable(text, 255)
}

text_id! {
    /// Who caused a change, for example `cli:ada` or `server`: 1 to 128 bytes of printable ASCII.
    Actor, "actor", |text| printable(text, 128)
}

impl Namespace {
    /// Whether it is one of Tenon's own, `tenon` or one that begins with `tenon-`: nobody else's services and events are there.
    pub fn is_reserved(&self) -> bool {
        self.as_str() == "tenon" || self.as_str().starts_with("tenon-")
    }

    /// The namespace of what states none.
    pub fn default_namespace() -> Self {
        Self("default".into())
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::default_namespace()
    }
}

impl InstanceId {
    /// The service's name, cut so that the whole is a DNS label, and an ending.
    ///
    /// The ending begins with `-`, goes on with lower-case letters, digits and `-`, ends with a letter or digit
    /// and is shorter than a DNS label.
    pub(crate) fn with_ending(service: &ServiceName, ending: &str) -> Self {
        let name = service.as_str();
        let room = MAX_LABEL.saturating_sub(ending.len()).max(1);
        let kept = name.get(..name.len().min(room)).unwrap_or(name);
        Self::new(&format!("{kept}{ending}"))
            .expect("a beginning of a DNS label with such an ending is a DNS label")
    }
}

impl StreamName {
    /// Whether this is one of Tenon's own streams.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with(RESERVED_STREAMS)
    }
}

impl EventType {
    /// The type of the event that deletes the stream which it is appended to.
    pub fn stream_deleted() -> Self {
        Self("tenon.stream.StreamDeleted.v1".into())
    }
}

/// How the names of Tenon's own streams begin.
pub const RESERVED_STREAMS: &str = "$tenon/";

/// Where a call goes: `service[.namespace]`, as it stands in the host of a URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceRef {
    /// The service.
    pub name: ServiceName,
    /// Its namespace.
    pub namespace: Namespace,
}

impl ServiceRef {
    /// A service of the default namespace.
    pub fn local(name: ServiceName) -> Self {
        Self { name, namespace: Namespace::default() }
    }
}

/// `service`, or `service.namespace` outside the default namespace.
impl fmt::Display for ServiceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)?;
        if self.namespace == Namespace::default() { Ok(()) } else { write!(f, ".{}", self.namespace) }
    }
}

impl std::str::FromStr for ServiceRef {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        match text.split_once('.') {
            None => Ok(Self::local(ServiceName::new(text)?)),
            Some((name, namespace)) => {
                Ok(Self { name: ServiceName::new(name)?, namespace: Namespace::new(namespace)? })
            }
        }
    }
}

/// A 128-bit id in UUID form.
macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// An id from its 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// A version 7 UUID (RFC 9562) from milliseconds since the Unix epoch and 10 random bytes.
            pub const fn from_time(unix_millis: u64, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(unix_millis, &random).into_uuid())
            }

            /// Its 36 characters, with no allocation.
            pub fn to_ascii(self) -> [u8; 36] {
                let mut text = [0; 36];
                self.0.hyphenated().encode_lower(&mut text);
                text
            }

            /// The 16 bytes of the id.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Uuid::try_parse(text)
                    .map(Self)
                    .map_err(|_| InvalidName::new($kind, text, "is not a UUID (RFC 9562)"))
            }
        }
    };
}

uuid_id! {
    /// The id of an event, a UUIDv7: chosen by whoever appends it, so that a retried append is recognised.
    EventId, "event id"
}

uuid_id! {
    /// The id of a server for as long as it runs, drawn when it starts.
    ServerId, "server id"
}

uuid_id! {
    /// The id of a log, drawn when it is made. Positions of two logs are never compared.
    LogId, "log id"
}

uuid_id! {
    /// The id of a request through the mesh, as it stands in the `x-request-id` header.
    RequestId, "request id"
}

uuid_id! {
    /// The id of a saga that runs or has run. It follows from the key that it was started with, if there was one.
    SagaId, "saga id"
}

/// A place in a log. Positions strictly increase and may have gaps; the first event's is at least 1, and
/// [`Position::START`] is before every event.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Before the first event.
    pub const START: Self = Self(0);
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A version of anything that is folded from a log: which log, and how far. Written `LOG-ID@POSITION`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision {
    /// The log.
    pub log: LogId,
    /// How far it has been folded.
    pub position: Position,
}

impl Revision {
    /// Whether `self` replaces `other`: it is later in the same log, or of another log altogether (which
    /// means a full resynchronisation, never "older, ignore").
    pub fn supersedes(&self, other: &Self) -> bool {
        self.log != other.log || self.position > other.position
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.log, self.position)
    }
}

impl std::str::FromStr for Revision {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let expected = || InvalidName::new("revision", text, "is not of the form LOG-ID@POSITION");
        let (log, position) = text.split_once('@').ok_or_else(expected)?;
        Ok(Self { log: log.parse()?, position: Position(position.parse().map_err(|_| expected())?) })
    }
}

/// The most bytes of a DNS label (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;

pub(crate) fn dns_label(text: &str) -> Result<(), &'static str> {
    let bytes = text.as_bytes();
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if bytes.is_empty() || bytes.len() > MAX_LABEL {
        return Err("must have 1 to 63 characters");
    }
    if !bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-') {
        return Err("may hold only a-z, 0-9 and '-'");
    }
    if !bytes.first().is_some_and(alphanumeric) || !bytes.last().is_some_and(alphanumeric) {
        return Err("must begin and end with a letter or a digit");
    }
    Ok(())
}

fn printable(text: &str, most: usize) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("must not be empty");
    }
    if text.len() > most {
        return Err("is too long");
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("may hold only printable ASCII without spaces");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
