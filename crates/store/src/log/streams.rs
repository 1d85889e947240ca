//! Lists of streams.

use super::{Query, QueryItem, Scope};
use tenon_core::{Namespace, Position, StreamName};

/// A stream of a namespace. Ordered by namespace, then by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamRef {
    /// The namespace.
    pub namespace: Namespace,
    /// The name.
    pub stream: StreamName,
}

/// Which streams to list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StreamsQuery {
    /// Whose streams.
    pub scope: Scope,
    /// Only those of this namespace; of every one if none.
    pub namespace: Option<Namespace>,
    /// Only those whose names begin with this.
    pub prefix: Option<StreamName>,
    /// Only those behind this one: where a page ended.
    pub after: Option<StreamRef>,
}

/// A stream of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListedStream {
    /// Which one.
    pub name: StreamRef,
    /// The position of its last event: its version.
    pub last: Position,
}

/// Some streams, in order.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct StreamPage {
    /// The streams.
    pub streams: Vec<ListedStream>,
    /// Behind which stream to go on; none if there are no more. A page may be short without being the last.
    pub next: Option<StreamRef>,
}

impl StreamsQuery {
    /// All streams of users in a namespace.
    pub fn within(namespace: Namespace) -> Self {
        Self { scope: Scope::User, namespace: Some(namespace), prefix: None, after: None }
    }

    /// Whether a stream is meant, wherever the page begins.
    pub fn covers(&self, namespace: &str, stream: &StreamName) -> bool {
        self.scope.covers(stream)
            && self.namespace.as_ref().is_none_or(|wanted| wanted.as_str() == namespace)
            && self.prefix.as_ref().is_none_or(|prefix| stream.as_str().starts_with(prefix.as_str()))
    }

    /// All events of the streams.
    pub fn events(&self) -> Query {
        let item = |prefix: &StreamName| QueryItem { prefix: Some(prefix.clone()), ..QueryItem::default() };
        Query {
            scope: self.scope,
            namespace: self.namespace.clone(),
            items: self.prefix.iter().map(item).collect(),
        }
    }
}
