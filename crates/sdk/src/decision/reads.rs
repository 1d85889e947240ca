//! What a decision reads: parts, each a state folded from the events that one item of a query selects.

use crate::decider::Fold;
use crate::events::{self, EventsError};
use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use tenon_core::{EventType, StreamName, Tag};
use tenon_store::{Event, Query, QueryItem, Scope};

/// States that are folded from one read.
pub trait Reads: Send + Sync {
    /// The states.
    type State: Send;

    /// What selects their events; each item names a stream or a tag.
    fn items(&self) -> Vec<QueryItem>;

    /// Whether an event is in any of the states.
    fn selects(&self, event: &Event) -> bool;

    /// The states before any event.
    fn initial(&self) -> Self::State;

    /// The states after more events; each takes only those that are its own.
    ///
    /// # Errors
    /// [`EventsError`] if one cannot be read.
    fn after(&self, states: Self::State, events: &[Event]) -> Result<Self::State, EventsError>;
}

/// One state, folded from the events of a stream or with some tags.
pub struct Part<F> {
    query: Query,
    fold: PhantomData<fn() -> F>,
}

impl<F> fmt::Debug for Part<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Part").field(&self.query.items).finish()
    }
}

impl<F> Clone for Part<F> {
    fn clone(&self) -> Self {
        Self { query: self.query.clone(), fold: PhantomData }
    }
}

impl<F: Fold> Part<F> {
    /// The state of a stream: that of an aggregate.
    pub fn stream(stream: StreamName) -> Self {
        Self::of(QueryItem { streams: [stream].into(), ..QueryItem::default() })
    }

    /// The state of all events that carry a tag.
    pub fn tagged(tag: Tag) -> Self {
        Self::of(QueryItem { tags: [tag].into(), ..QueryItem::default() })
    }

    /// The same of events that carry this tag too.
    #[must_use]
    pub fn and_tagged(self, tag: Tag) -> Self {
        self.with(|item| {
            item.tags.insert(tag);
        })
    }

    /// The same of these types only, so that fewer events are read and fewer commands compete. Former versions
    /// have types of their own.
    #[must_use]
    pub fn of_types(self, types: BTreeSet<EventType>) -> Self {
        self.with(|item| item.types = types)
    }

    fn of(item: QueryItem) -> Self {
        Self { query: Query { scope: Scope::User, namespace: None, items: vec![item] }, fold: PhantomData }
    }

    fn with(mut self, change: impl FnOnce(&mut QueryItem)) -> Self {
        if let Some(item) = self.query.items.first_mut() {
            change(item);
        }
        self
    }
}

impl<F: Fold> Reads for Part<F> {
    type State = F::State;

    fn items(&self) -> Vec<QueryItem> {
        self.query.items.clone()
    }

    fn selects(&self, event: &Event) -> bool {
        self.query.matches(event)
    }

    fn initial(&self) -> F::State {
        F::initial()
    }

    fn after(&self, state: F::State, events: &[Event]) -> Result<F::State, EventsError> {
        events.iter().filter(|event| self.selects(event)).try_fold(state, |state, event| {
            // Deleted while it was read.
            if event.is_deletion() {
                return Ok(F::initial());
            }
            Ok(match events::decode::<F::Event>(event)? {
                Some(decoded) => F::evolve(state, &decoded),
                None => state,
            })
        })
    }
}

/// As many states of one kind as there are parts, in their order.
impl<R: Reads> Reads for Vec<R> {
    type State = Vec<R::State>;

    fn items(&self) -> Vec<QueryItem> {
        self.iter().flat_map(R::items).collect()
    }

    fn selects(&self, event: &Event) -> bool {
        self.iter().any(|part| part.selects(event))
    }

    fn initial(&self) -> Self::State {
        self.iter().map(R::initial).collect()
    }

    fn after(&self, states: Self::State, events: &[Event]) -> Result<Self::State, EventsError> {
        self.iter().zip(states).map(|(part, state)| part.after(state, events)).collect()
    }
}

macro_rules! tuple {
    ($($part:ident $index:tt),*) => {
        impl<$($part: Reads),*> Reads for ($($part,)*) {
            type State = ($($part::State,)*);

            fn items(&self) -> Vec<QueryItem> {
                [$(self.$index.items()),*].concat()
            }

            fn selects(&self, event: &Event) -> bool {
                $(self.$index.selects(event))||*
            }

            fn initial(&self) -> Self::State {
                ($(self.$index.initial(),)*)
            }

            fn after(&self, states: Self::State, events: &[Event]) -> Result<Self::State, EventsError> {
                Ok(($(self.$index.after(states.$index, events)?,)*))
            }
        }
    };
}

tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
