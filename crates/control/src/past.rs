//! Configuration as it was: folded from the log's stream of a service, up to any position.
//!
//! Left out on purpose: what is permitted with it (`core::config`), the present (`writer`).

use crate::error::chain;
use crate::writer::stamp_of;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tenon_api::events;
use tenon_core::config::{self, Change, Origin};
use tenon_core::manifest::ConfigKey;
use tenon_core::platform::Event;
use tenon_core::{Code, Position, Refusal, Revision, ServiceRef, Stamp, StreamName};
use tenon_store::{Direction, Log, Query};

/// Events that are read at once.
const PAGE: usize = 256;

/// Reads the past of configuration.
#[derive(Clone)]
pub(crate) struct PastConfig {
    log: Arc<dyn Log>,
}

/// A change that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// What changed.
    pub(crate) change: Change,
    /// Where, when and by whom.
    pub(crate) stamp: Stamp,
    /// How.
    pub(crate) origin: Origin,
}

/// A service's configuration at some position.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Past {
    /// The configuration.
    pub(crate) state: config::State,
    /// Where each key last changed.
    pub(crate) changed: BTreeMap<ConfigKey, Position>,
}

impl PastConfig {
    /// A reader of this log.
    pub(crate) fn new(log: Arc<dyn Log>) -> Self {
        Self { log }
    }

    /// The configuration of a service as it was at a revision.
    ///
    /// # Errors
    /// `config.unknown-revision` for one of another log or one that there is not yet; `log.*`.
    pub(crate) async fn at(&self, service: &ServiceRef, revision: Revision) -> Result<Past, Refusal> {
        if revision.log != self.log.id() || revision.position > self.log.head() {
            let detail = format!(
                "there is no revision {revision}; `GET /v1/config/{service}/history` lists those that there are"
            );
            return Err(Refusal::new(Code::ConfigUnknownRevision, detail));
        }
        let mut past = Past::default();
        self.fold(service, revision.position, &mut past, |_| {}).await?;
        Ok(past)
    }

    /// The last changes that are of interest, oldest first, at most `limit`.
    ///
    /// # Errors
    /// `log.*`.
    pub(crate) async fn records(
        &self,
        service: &ServiceRef,
        limit: usize,
        is_of_interest: impl Fn(&Record) -> bool,
    ) -> Result<VecDeque<Record>, Refusal> {
        let mut records = VecDeque::new();
        let mut past = Past::default();
        let keep = |record: Record| {
            if is_of_interest(&record) {
                records.push_back(record);
                records.drain(..records.len().saturating_sub(limit));
            }
        };
        self.fold(service, Position(u64::MAX), &mut past, keep).await?;
        Ok(records)
    }

    /// The first changes that are of interest, oldest first, at most `limit`.
    ///
    /// # Errors
    /// `log.*`.
    pub(crate) async fn first_records(
        &self,
        service: &ServiceRef,
        limit: usize,
        is_of_interest: impl Fn(&Record) -> bool,
    ) -> Result<Vec<Record>, Refusal> {
        let mut records = Vec::new();
        let keep = |record: Record| {
            if records.len() < limit && is_of_interest(&record) {
                records.push(record);
            }
        };
        self.fold(service, Position(u64::MAX), &mut Past::default(), keep).await?;
        Ok(records)
    }

    async fn fold(
        &self,
        service: &ServiceRef,
        up_to: Position,
        past: &mut Past,
        mut visit: impl FnMut(Record),
    ) -> Result<(), Refusal> {
        let mut from = Position::START;
        loop {
            let query = Query::stream(service.namespace.clone(), stream_of(service));
            let page = self.log.read(query, from, Direction::Forward, PAGE).await;
            let page = page.map_err(|error| Refusal::new(error.code(), chain(&error)))?;
            for recorded in &page.events {
                if recorded.position > up_to {
                    return Ok(());
                }
                past.take(recorded)?.into_iter().for_each(&mut visit);
            }
            if page.at_end {
                return Ok(());
            }
            from = page.next;
        }
    }
}

impl Past {
    fn take(&mut self, recorded: &tenon_store::Event) -> Result<Option<Record>, Refusal> {
        let event = events::decode(&recorded.event_type, &recorded.data)
            .map_err(|error| Refusal::new(Code::DataNewerVersion, chain(&error)))?;
        let Event::Config(event) = event else { return Ok(None) };
        let origin = match &event {
            config::Event::ValueSet { origin, .. } | config::Event::ValueRemoved { origin, .. } => *origin,
        };
        let stamp = stamp_of(recorded);
        let Some(change) = self.state.evolve(&stamp, &event) else { return Ok(None) };
        self.changed.insert(change.key.clone(), change.position);
        Ok(Some(Record { change, stamp, origin }))
    }
}

/// Where the changes to a service's configuration are recorded; `core::platform::stream` says so (a test holds
/// both together).
fn stream_of(service: &ServiceRef) -> StreamName {
    let text = format!("$tenon/config/{}/{}", service.namespace, service.name);
    match StreamName::new(&text) {
        Ok(stream) => stream,
        Err(_) => unreachable!("a word and two DNS labels are a stream name"),
    }
}

#[cfg(test)]
mod tests;
