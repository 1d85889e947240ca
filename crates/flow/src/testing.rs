//! What the tests share.

use crate::{EventStore, EventStoreOptions};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tenon_api::caller::Caller;
use tenon_core::{Actor, EventType, Namespace, Position, StreamName, Timestamp};
use tenon_store::{Log, MemoryLog, MemoryOptions, NewEvent};

/// An event of a stream of the default namespace.
pub(crate) fn event(stream: &str) -> NewEvent {
    let data = Bytes::copy_from_slice(format!("{{\"of\":\"{stream}\"}}").as_bytes());
    NewEvent::new(Namespace::default(), name(stream), EventType::new("test.Happened.v1").unwrap(), data)
}

pub(crate) fn name(stream: &str) -> StreamName {
    StreamName::new(stream).unwrap()
}

pub(crate) fn admin() -> Caller {
    Caller::Admin(Actor::new("cli:ada").unwrap())
}

pub(crate) fn instance(service: &str) -> Caller {
    Caller::Instance { id: "order-1".parse().unwrap(), service: service.parse().unwrap() }
}

/// An event store on a log in memory, whose clock counts appends in seconds.
pub(crate) struct Fixture {
    pub(crate) log: MemoryLog,
    pub(crate) store: EventStore,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(EventStoreOptions::default())
    }

    pub(crate) fn with(options: EventStoreOptions) -> Self {
        let seconds = AtomicU64::new(0);
        let clock =
            Arc::new(move || Timestamp::from_millis(1_000 * (seconds.fetch_add(1, Ordering::Relaxed) + 1)));
        let log = MemoryLog::new(MemoryOptions { clock, ..MemoryOptions::default() });
        let store = EventStore::new(log.clone().into_log(), options);
        Self { log, store }
    }

    /// Appends to a stream as Tenon itself does.
    pub(crate) async fn append(&self, streams: &[&str]) -> Position {
        let events = streams.iter().map(|stream| event(stream)).collect();
        self.log.append(events, None).await.unwrap().last()
    }
}
