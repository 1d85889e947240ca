//! What a manifest says of one service.

use crate::address::Address;
use crate::health;
use crate::id::{InvalidName, ServiceName};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// Its version; `1.0.0` unless stated.
    pub version: Version,
    /// What runs it.
    pub workload: Workload,
    /// The bounded context that it belongs to.
    pub context: Option<String>,
    /// The team that owns it.
    pub team: Option<String>,
    /// What it offers (input) and what it uses or emits (output). Never empty.
    pub interfaces: Vec<Interface>,
    /// The services that it calls.
    pub depends_on: BTreeSet<ServiceName>,
    /// The data stores that it owns, by name.
    pub data: Vec<DataStore>,
    /// What each replica needs.
    pub resources: Resources,
    /// How its instances are checked.
    pub health: health::Config,
}

impl Service {
    /// Whether some endpoint of an input interface matches the request.
    pub fn accepts(&self, method: &str, path: &str) -> bool {
        self.interfaces
            .iter()
            .filter(|interface| interface.direction == Direction::Input)
            .flat_map(|interface| &interface.endpoints)
            .any(|endpoint| endpoint.matches(method, path))
    }

    /// Whether some input interface speaks this protocol.
    pub fn speaks(&self, protocol: Protocol) -> bool {
        self.interfaces.iter().any(|it| it.direction == Direction::Input && it.protocol == protocol)
    }

    /// How many replicas Tenon runs; 0 for a service that runs elsewhere.
    pub fn replicas(&self) -> u32 {
        match &self.workload {
            Workload::Process(process) => process.replicas,
            Workload::External(_) => 0,
        }
    }
}

/// A version text: 1 to 64 characters of `A-Z a-z 0-9 . + -`; semantic versions by habit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(Arc<str>);

impl Version {
    /// Reads and checks a version.
    ///
    /// # Errors
    /// [`InvalidName`] says what form is expected.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-');
        if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
            let problem = "must have 1 to 64 characters of A-Z, a-z, 0-9, '.', '+' and '-'";
            return Err(InvalidName::new("version", text, problem));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Version {
    fn default() -> Self {
        Self("1.0.0".into())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What runs a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Workload {
    /// Tenon starts it.
    Process(Process),
    /// It runs already; Tenon only finds, checks and calls it. Never empty.
    External(Vec<Address>),
}

/// How to start a replica.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Process {
    /// The program and its arguments. Never empty.
    pub command: Vec<String>,
    /// Where it starts, relative to the manifest's folder.
    pub working_directory: Option<String>,
    /// Additional environment. Tenon's own variables win over these.
    pub env: BTreeMap<String, String>,
    /// How many replicas run at first.
    pub replicas: u32,
}

/// The most replicas that one service may have.
pub const MAX_REPLICAS: u32 = 1_000;

/// A named group of endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Interface {
    /// Its name, unique within the service.
    pub name: String,
    /// Whether the service answers here or calls out.
    pub direction: Direction,
    /// What is spoken.
    pub protocol: Protocol,
    /// Its endpoints. Never empty.
    pub endpoints: Vec<Endpoint>,
}

/// Which way an interface faces.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Others call it.
    #[default]
    Input,
    /// It calls or emits.
    Output,
}

/// What an interface speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP with any payload.
    Http,
    /// gRPC over HTTP/2 without TLS.
    Grpc,
    /// A message queue.
    MessageQueue,
    /// A stream of events.
    EventStream,
}

/// One thing that can be called or sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The path, with `{name}` for one variable segment and a last `{name...}` for all the rest.
    pub path: PathPattern,
    /// The method; any if not stated.
    pub method: Option<HttpMethod>,
    /// A JSON Schema of the payload, as a reference (a file or URL) that Tenon keeps and shows.
    pub schema: Option<String>,
}

impl Endpoint {
    /// Whether a request is for this endpoint.
    pub fn matches(&self, method: &str, path: &str) -> bool {
        self.method.as_ref().is_none_or(|own| own.as_str() == method) && self.path.matches(path)
    }
}

/// An HTTP method (RFC 9110 token, upper case by habit), at most 32 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpMethod(Arc<str>);

impl HttpMethod {
    /// Reads and checks a method.
    ///
    /// # Errors
    /// [`InvalidName`] says what form is expected.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty()
            || text.len() > 32
            || !text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
        {
            return Err(InvalidName::new("HTTP method", text, "must be an upper-case method such as GET"));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A path with variable segments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPattern(Arc<str>);

impl PathPattern {
    /// Reads and checks a pattern.
    ///
    /// # Errors
    /// [`InvalidName`] says what form is expected.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let invalid = |problem| Err(InvalidName::new("path", text, problem));
        if !text.starts_with('/') {
            return invalid("must begin with '/'");
        }
        if text.len() > 1_024
            || !text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'))
        {
            return invalid("must be printable ASCII without spaces, '?' and '#', of at most 1,024 bytes");
        }
        let segments: Vec<&str> = text.split('/').collect();
        for (index, segment) in segments.iter().enumerate() {
            let Some(inner) = segment.strip_prefix('{') else {
                if segment.contains(['{', '}']) {
                    return invalid("may have a variable only as a whole segment, as in /orders/{id}");
                }
                continue;
            };
            let Some(name) = inner.strip_suffix('}') else {
                return invalid("has a variable that is not closed by '}'");
            };
            if name.ends_with("...") && index + 1 != segments.len() {
                return invalid("may have a '...' variable only at its end");
            }
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a request's path (without its query) is of this form.
    pub fn matches(&self, path: &str) -> bool {
        let mut actual = path.split('/');
        for segment in self.0.split('/') {
            if segment.starts_with('{') && segment.ends_with("...}") {
                return actual.next().is_some();
            }
            let Some(value) = actual.next() else { return false };
            let fits = if segment.starts_with('{') { !value.is_empty() } else { segment == value };
            if !fits {
                return false;
            }
        }
        actual.next().is_none()
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A store that a service owns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DataStore {
    /// Its name; the same name in two services means a shared store, which is a finding.
    pub name: String,
    /// What it is.
    pub kind: StoreKind,
    /// Where its connection string is to be had; injected, never logged.
    pub connection: Option<SecretRef>,
    /// The entities that it holds.
    pub entities: Vec<String>,
}

/// The kind of a data store; what Tenon does not know by name is kept as written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreKind {
    /// PostgreSQL.
    PostgreSql,
    /// MongoDB.
    MongoDb,
    /// Redis.
    Redis,
    /// Elasticsearch.
    Elasticsearch,
    /// SQLite.
    Sqlite,
    /// Files of the service's own.
    File,
    /// Anything else.
    Other(String),
}

/// A reference to a secret: the name of an environment variable of the supervisor. The secret itself never
/// enters the manifest or the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretRef(pub String);

/// What one replica needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resources {
    /// Thousandths of a core; never 0.
    pub cpu_millis: u32,
    /// Bytes; never 0.
    pub memory_bytes: u64,
}

impl Default for Resources {
    /// A tenth of a core and 128 MiB.
    fn default() -> Self {
        Self { cpu_millis: 100, memory_bytes: 128 << 20 }
    }
}

/// These are read from the text that they are shown as.
macro_rules! from_text {
    ($($name:ident)*) => { $(
        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }
    )* };
}

from_text!(Version HttpMethod PathPattern);

impl fmt::Display for HttpMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
