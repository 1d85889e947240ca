//! What a subscription is: which events, from where on, in what order, to whom.

use super::{Config, Key};
use crate::error::{Code, Refusal};
use crate::fnv::Fnv;
use crate::{EventType, Namespace, Position, ServiceRef, StreamName, SubscriptionName, Tag, Timestamp};
use std::collections::BTreeSet;
use std::fmt;

/// A named group of consumers over the events of its namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Definition {
    /// Where it is, and whose events it is about.
    pub namespace: Namespace,
    /// Its name there.
    pub name: SubscriptionName,
    /// Which events.
    pub filter: Filter,
    /// Where it begins.
    pub start: Start,
    /// What orders them.
    pub ordering: Ordering,
    /// How the group behaves.
    pub config: Config,
    /// How events come to consumers.
    pub delivered: Delivered,
    /// Whether it is the manifest's: then it changes and goes with that, and is changed in no other way.
    pub declared: bool,
}

/// Which group: its subscription's namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName {
    /// The namespace.
    pub namespace: Namespace,
    /// The name there.
    pub name: SubscriptionName,
}

/// `name`, or `name.namespace` outside the default namespace.
impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)?;
        if self.namespace == Namespace::default() { Ok(()) } else { write!(f, ".{}", self.namespace) }
    }
}

/// Which events: the type is one of `types`, every one of `tags` is there, and the stream begins with `prefix`; what is
/// empty does not restrict. Never Tenon's own.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Any of these types; a topic is one.
    pub types: BTreeSet<EventType>,
    /// All of these tags.
    pub tags: BTreeSet<Tag>,
    /// How the stream's name begins.
    pub prefix: Option<StreamName>,
}

/// Where a subscription begins when it is made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    /// With the first event that is still there.
    Beginning,
    /// With what comes after it was made, or after its manifest was applied.
    #[default]
    End,
    /// After a position.
    After(Position),
    /// With the first event of this time or later.
    Time(Timestamp),
}

/// Which events are given one at a time, in the order of the log.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub enum Ordering {
    /// Those of one stream.
    #[default]
    Stream,
    /// Those with the same tag that begins with this; an event that has none by itself.
    Tag(String),
    /// None.
    Unordered,
}

/// How events come to consumers.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub enum Delivered {
    /// They ask.
    #[default]
    Pull,
    /// A service is called.
    Push {
        /// The service.
        service: ServiceRef,
        /// The path; over gRPC the method, `/SERVICE/METHOD`.
        path: String,
        /// How the event is sent.
        form: Form,
    },
}

/// How a service is sent an event: as a CloudEvent in every case.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// The payload is the body, the attributes are headers.
    #[default]
    Binary,
    /// The whole event is the body, as JSON.
    Structured,
    /// The whole event is the message of a gRPC call.
    Grpc,
}

/// The gRPC method that is called if none is named.
pub const DELIVER: &str = "/tenon.bus.v1.ConsumerService/Deliver";

impl Definition {
    /// One that gives the events of some types, by the defaults, from when it was made.
    pub fn of_types(namespace: Namespace, name: SubscriptionName, types: BTreeSet<EventType>) -> Self {
        Self {
            namespace,
            name,
            filter: Filter { types, ..Filter::default() },
            start: Start::default(),
            ordering: Ordering::default(),
            config: Config::default(),
            delivered: Delivered::default(),
            declared: false,
        }
    }

    /// Its group's name.
    pub fn group(&self) -> GroupName {
        GroupName { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// `subscription.invalid` names the setting, and what it may be.
    pub fn check(&self) -> Result<(), Refusal> {
        let invalid = |detail: String| Err(Refusal::new(Code::SubscriptionInvalid, detail));
        let Filter { types, tags, prefix } = &self.filter;
        if types.len() + tags.len() > MAX_NAMES {
            return invalid(format!("{} types and tags; at most {MAX_NAMES}", types.len() + tags.len()));
        }
        if prefix.as_ref().is_some_and(StreamName::is_reserved) {
            return invalid("Tenon's own streams are not served; the prefix names some".to_owned());
        }
        if let Ordering::Tag(prefix) = &self.ordering
            && Tag::new(prefix).is_err()
        {
            return invalid(format!("{prefix:?} is not how a tag begins: 1 to 255 bytes of printable ASCII"));
        }
        if let Delivered::Push { path, .. } = &self.delivered
            && (!path.starts_with('/')
                || path.len() > 1_024
                || !path.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return invalid(format!(
                "the path {path:?} must begin with `/`, and is printable ASCII of 1 KiB at most"
            ));
        }
        if let Delivered::Push { path, form: Form::Grpc, .. } = &self.delivered
            && !is_method(path)
        {
            return invalid(format!("{path:?} is no gRPC method: `/SERVICE/METHOD`, such as `{DELIVER}`"));
        }
        self.config.check()
    }
}

/// Whether a path is a gRPC method.
pub fn is_method(path: &str) -> bool {
    let parts = path.strip_prefix('/').and_then(|rest| rest.split_once('/'));
    parts.is_some_and(|(service, method)| !service.is_empty() && !method.is_empty() && !method.contains('/'))
}

/// The most types and tags of a filter.
const MAX_NAMES: usize = 256;

impl Ordering {
    /// The key of an event; none if nothing orders it.
    pub fn key(&self, namespace: &Namespace, stream: &StreamName, tags: &[Tag]) -> Option<Key> {
        let text = match self {
            Self::Stream => stream.as_str(),
            Self::Tag(prefix) => {
                // They are in order.
                tags.iter().map(Tag::as_str).find(|tag| tag.starts_with(prefix.as_str()))?
            }
            Self::Unordered => return None,
        };
        let mut hash = Fnv::new();
        hash.bytes(namespace.as_str().as_bytes());
        hash.bytes(b"/");
        hash.bytes(text.as_bytes());
        // 0 stands for none where keys are kept.
        Some(Key(hash.finish().max(1)))
    }
}
