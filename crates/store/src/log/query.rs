//! Which events are meant: queries, and the conditions of appends made of them.

use super::error::{InvalidInput, ReadError};
use super::{Event, MAX_ITEM_NAMES, MAX_QUERY_ITEMS, NewEvent};
use std::collections::BTreeSet;
use tenon_core::{EventType, Namespace, Position, StreamName, Tag, Tags};

/// Which events are meant: those of the scope and the namespace that match any of the items; all of them if
/// there is no item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Query {
    /// Whose streams.
    pub scope: Scope,
    /// Only this namespace; every one if none.
    pub namespace: Option<Namespace>,
    /// The alternatives. At most [`MAX_QUERY_ITEMS`](super::MAX_QUERY_ITEMS).
    pub items: Vec<QueryItem>,
}

/// Whose streams a query looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Users' streams: everything but the reserved ones.
    User,
    /// Tenon's own streams only, those that begin with `$tenon/`.
    Reserved,
    /// Both.
    All,
}

/// One alternative of a query: the stream is one of `streams` and begins with `prefix`, the type is one of
/// `types`, and every one of `tags` is there; what is empty does not restrict.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct QueryItem {
    /// Any of these streams.
    pub streams: BTreeSet<StreamName>,
    /// How the stream's name begins. No engine has an index for it: what else the item asks for is looked up,
    /// and the prefix is compared with what was found.
    pub prefix: Option<StreamName>,
    /// All of these tags.
    pub tags: BTreeSet<Tag>,
    /// Any of these types.
    pub types: BTreeSet<EventType>,
}

/// What must hold for an append to happen: no event matches the query after the position. From the beginning of the log
/// on ([`Position::START`]), deletions of streams do not count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Each item must name a stream or a tag.
    pub query: Query,
    /// Events at or before this position do not count.
    pub after: Position,
}

/// Which way to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From older to newer.
    Forward,
    /// From newer to older.
    Backward,
}

impl Query {
    /// All events of users' streams, in every namespace.
    pub fn user() -> Self {
        Self { scope: Scope::User, namespace: None, items: Vec::new() }
    }

    /// All events of Tenon's own streams, in every namespace.
    pub fn reserved() -> Self {
        Self { scope: Scope::Reserved, namespace: None, items: Vec::new() }
    }

    /// Every event of the log.
    pub fn everything() -> Self {
        Self { scope: Scope::All, namespace: None, items: Vec::new() }
    }

    /// The events of one stream, which may be a reserved one.
    pub fn stream(namespace: Namespace, stream: StreamName) -> Self {
        let scope = if stream.is_reserved() { Scope::Reserved } else { Scope::User };
        let item = QueryItem { streams: [stream].into(), ..QueryItem::default() };
        Self { scope, namespace: Some(namespace), items: vec![item] }
    }

    /// The events of users' streams that carry a tag.
    pub fn tag(namespace: Namespace, tag: Tag) -> Self {
        let item = QueryItem { tags: [tag].into(), ..QueryItem::default() };
        Self { scope: Scope::User, namespace: Some(namespace), items: vec![item] }
    }

    /// The events of users' streams whose names begin with a text.
    pub fn prefix(namespace: Namespace, prefix: StreamName) -> Self {
        let item = QueryItem { prefix: Some(prefix), ..QueryItem::default() };
        Self { scope: Scope::User, namespace: Some(namespace), items: vec![item] }
    }

    /// The same query within one namespace.
    #[must_use]
    pub fn within(self, namespace: Namespace) -> Self {
        Self { namespace: Some(namespace), ..self }
    }

    /// The same query with one more alternative.
    #[must_use]
    pub fn or(mut self, item: QueryItem) -> Self {
        self.items.push(item);
        self
    }

    /// Whether an event of the log matches.
    pub fn matches(&self, event: &Event) -> bool {
        self.matches_parts(&event.namespace, &event.stream, &event.event_type, &event.tags)
    }

    /// Whether an event to append matches.
    pub fn matches_new(&self, event: &NewEvent) -> bool {
        self.matches_parts(&event.namespace, &event.stream, &event.event_type, &event.tags)
    }

    /// Whether only reserved streams can match, so that the scavenge mark does not concern the query.
    pub fn is_reserved_only(&self) -> bool {
        let reserved =
            |item: &QueryItem| !item.streams.is_empty() && item.streams.iter().all(StreamName::is_reserved);
        self.scope == Scope::Reserved
            || (self.scope == Scope::All && !self.items.is_empty() && self.items.iter().all(reserved))
    }

    /// Refuses a read that would need events before the scavenge mark `first`; for engines.
    ///
    /// # Errors
    /// [`ReadError::Truncated`].
    pub fn check_mark(&self, from: Position, direction: Direction, first: Position) -> Result<(), ReadError> {
        let before = match direction {
            Direction::Forward => from.0.saturating_add(1) < first.0,
            // From the mark itself there is nothing left to read, as at the end of any reading backward.
            Direction::Backward => from < first && first.0 > 1,
        };
        if before && !self.is_reserved_only() { Err(ReadError::Truncated { first }) } else { Ok(()) }
    }

    /// Checks the bounds of a query; for engines.
    ///
    /// # Errors
    /// [`InvalidInput`] says which bound is exceeded.
    pub fn validate(&self) -> Result<(), InvalidInput> {
        InvalidInput::check("items of a query", self.items.len(), MAX_QUERY_ITEMS)?;
        self.items.iter().try_for_each(|item| {
            let names = item.streams.len() + item.tags.len() + item.types.len();
            InvalidInput::check("names in an item of a query", names, MAX_ITEM_NAMES)
        })
    }

    fn matches_parts(
        &self,
        namespace: &Namespace,
        stream: &StreamName,
        event_type: &EventType,
        tags: &Tags,
    ) -> bool {
        self.scope.covers(stream)
            && self.namespace.as_ref().is_none_or(|wanted| wanted == namespace)
            && (self.items.is_empty() || self.items.iter().any(|item| item.matches(stream, event_type, tags)))
    }
}

impl Scope {
    /// Whether it covers a stream.
    pub fn covers(self, stream: &StreamName) -> bool {
        match self {
            Self::User => !stream.is_reserved(),
            Self::Reserved => stream.is_reserved(),
            Self::All => true,
        }
    }
}

impl QueryItem {
    fn matches(&self, stream: &StreamName, event_type: &EventType, tags: &Tags) -> bool {
        (self.streams.is_empty() || self.streams.contains(stream))
            && self.prefix.as_ref().is_none_or(|prefix| stream.as_str().starts_with(prefix.as_str()))
            && (self.types.is_empty() || self.types.contains(event_type))
            && tags.include(&self.tags)
    }
}

impl Condition {
    /// Nothing has been appended to a stream after a position: its expected version.
    pub fn stream_unchanged(namespace: Namespace, stream: StreamName, after: Position) -> Self {
        Self { query: Query::stream(namespace, stream), after }
    }

    /// The stream has no event yet.
    pub fn stream_is_new(namespace: Namespace, stream: StreamName) -> Self {
        Self::stream_unchanged(namespace, stream, Position::START)
    }

    /// Whether an event contradicts it; for engines.
    pub fn contradicted_by(&self, event: &Event) -> bool {
        event.position > self.after && self.counts(event) && self.query.matches(event)
    }

    /// Whether an event that matches, and is after the position, counts: deletions do not from the beginning on.
    pub fn counts(&self, event: &Event) -> bool {
        self.after > Position::START || !event.is_deletion()
    }

    pub(crate) fn validate(&self) -> Result<(), InvalidInput> {
        self.query.validate()?;
        let named = |item: &QueryItem| !item.streams.is_empty() || !item.tags.is_empty();
        if self.query.items.is_empty() || !self.query.items.iter().all(named) {
            return Err(InvalidInput::UnboundedCondition);
        }
        Ok(())
    }
}
