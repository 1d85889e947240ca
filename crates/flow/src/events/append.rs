//! Appending with expectations of several streams.
//!
//! The log takes one condition: nothing matches a query after one position. Expectations of several streams have a
//! position each. So each is looked at first, up to one common head; then the append's condition is that nothing came
//! to any of them after that head. What comes in between makes the condition fail, and is told as a conflict.

use super::EventStore;
use super::error::Error;
use super::rights::Rights;
use std::time::Duration;
use tenon_core::{Code, Namespace, Position, Refusal, StreamName};
use tenon_store::{AppendError, Appended, Condition, Direction, Event, NewEvent, Query, Scope};

/// How many times an append is tried again because of an event that does not concern it: a stream of the same name in
/// another namespace.
const TRIES: usize = 8;

/// How long to wait for the log to come as far as an expectation says that it is.
const CATCH_UP: Duration = Duration::from_secs(1);

/// The most expectations of one append.
const MAX_EXPECTED: usize = 64;

/// What is expected of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) namespace: Namespace,
    pub(crate) stream: StreamName,
    pub(crate) version: Version,
}

/// An expected version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// The stream has some event.
    Exists,
    /// The stream has no event after this position.
    Unchanged(Position),
}

/// An append that its caller may make.
#[derive(Debug)]
pub(crate) struct Admitted {
    events: Vec<NewEvent>,
    exists: Vec<Query>,
    conditions: Vec<Condition>,
}

impl EventStore {
    /// Checks what needs no look at the log.
    pub(crate) fn admit(
        &self,
        rights: &Rights,
        mut events: Vec<NewEvent>,
        expected: Vec<Expected>,
        condition: Option<Condition>,
    ) -> Result<Admitted, Error> {
        events.iter_mut().try_for_each(|event| rights.sign(event))?;
        if expected.len() > MAX_EXPECTED {
            let detail = format!("{} expectations; at most {MAX_EXPECTED} are accepted", expected.len());
            return Err(Refusal::new(Code::LogInvalid, detail).into());
        }
        let (mut exists, mut conditions) = (Vec::new(), Vec::with_capacity(expected.len()));
        for Expected { namespace, stream, version } in expected {
            let query = rights.stream(namespace, stream)?;
            match version {
                Version::Exists => exists.push(query),
                Version::Unchanged(after) => conditions.push(Condition { query, after }),
            }
        }
        if let Some(Condition { query, after }) = condition {
            conditions.push(Condition { query: rights.narrow(query)?, after });
        }
        Ok(Admitted { events, exists, conditions })
    }

    /// Appends, if everything is as expected.
    pub(crate) async fn append(&self, admitted: Admitted) -> Result<Appended, Error> {
        let Admitted { events, exists, mut conditions } = admitted;
        for query in exists {
            self.check_exists(query).await?;
        }
        if conditions.len() > 1 {
            return self.append_if_all(events, &conditions).await;
        }
        Ok(self.log().append(events, conditions.pop()).await?)
    }

    /// Deletes a stream, if its version is as expected. One that is deleted already stays as it is.
    pub(crate) async fn delete(&self, rights: &Rights, expected: Expected) -> Result<Appended, Error> {
        let Expected { namespace, stream, version } = expected.clone();
        let last = self.last(rights.stream(namespace.clone(), stream.clone())?).await?;
        let deletion = NewEvent::deletion(namespace, stream);
        let admitted = self.admit(rights, vec![deletion], vec![expected], None)?;
        match (last, version) {
            (Some(last), Version::Exists) if last.is_deletion() => Ok(Appended::run(last.position, 1, true)),
            _ => self.append(admitted).await,
        }
    }

    async fn check_exists(&self, query: Query) -> Result<(), Error> {
        let name = query.items.iter().flat_map(|item| &item.streams).next().map(ToString::to_string);
        match self.last(query).await? {
            Some(event) if !event.is_deletion() => Ok(()),
            _ => {
                let detail =
                    format!("stream {} was expected to exist and has no event", name.unwrap_or_default());
                Err(Refusal::new(Code::LogConflict, detail).into())
            }
        }
    }

    async fn append_if_all(
        &self,
        events: Vec<NewEvent>,
        conditions: &[Condition],
    ) -> Result<Appended, Error> {
        let newest = conditions.iter().map(|condition| condition.after).max().unwrap_or_default();
        self.wait_for(newest).await?;
        let mut tries = 0;
        loop {
            let head = self.log().head();
            if let Some(contradicted) = self.first_contradicted(conditions, &events).await? {
                // It holds what this very append wrote before, or another event; the log tells which.
                return Ok(self.log().append(events, Some(contradicted)).await?);
            }
            let error = match self.log().append(events.clone(), Some(all_since(conditions, head))).await {
                Ok(appended) => return Ok(appended),
                Err(error) => error,
            };
            tries += 1;
            let concerns = match &error {
                AppendError::Conflict { at } => self.concerns(conditions, *at).await?,
                _ => true,
            };
            if concerns || tries == TRIES {
                return Err(error.into());
            }
        }
    }

    /// A condition that does not hold as things stand, if there is one.
    async fn first_contradicted(
        &self,
        conditions: &[Condition],
        events: &[NewEvent],
    ) -> Result<Option<Condition>, Error> {
        for condition in conditions {
            if let Some(found) = self.first_match(condition).await? {
                if events.iter().any(|event| event.id == found.id) {
                    return Ok(Some(condition.clone()));
                }
                return Err(AppendError::Conflict { at: found.position }.into());
            }
        }
        Ok(None)
    }

    /// The first event that contradicts a condition.
    async fn first_match(&self, condition: &Condition) -> Result<Option<Event>, Error> {
        let mut from = condition.after;
        loop {
            let mut page = self.log().read(condition.query.clone(), from, Direction::Forward, 1).await?;
            match page.events.pop() {
                // One deletion for each stream of the query at most.
                Some(event) if !condition.counts(&event) => from = event.position,
                found => return Ok(found),
            }
        }
    }

    /// Whether the event at a position matches one of the conditions.
    async fn concerns(&self, conditions: &[Condition], at: Position) -> Result<bool, Error> {
        let before = Position(at.0.saturating_sub(1));
        let page = self.log().read(Query::everything(), before, Direction::Forward, 1).await?;
        let matching =
            |condition: &Condition| page.events.iter().any(|event| condition.contradicted_by(event));
        Ok(conditions.iter().any(matching))
    }

    /// Waits until the log is known here to reach a position: another server may have appended it just now.
    async fn wait_for(&self, position: Position) -> Result<(), Error> {
        let mut heads = self.log().heads();
        let reached = heads.wait_for(|head| *head >= position);
        match tokio::time::timeout(CATCH_UP, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(AppendError::Closed("it was shut down").into()),
            Err(_) => {
                let head = self.log().head();
                let detail = format!(
                    "version {position} is beyond the end of the log, which is at {head}; read again"
                );
                Err(Refusal::new(Code::LogInvalid, detail).into())
            }
        }
    }
}

/// That nothing came to what any of the conditions is about since a position.
fn all_since(conditions: &[Condition], after: Position) -> Condition {
    let (mut queries, mut items) = (conditions.iter().map(|condition| &condition.query), Vec::new());
    let (mut scope, mut namespace) = match queries.next() {
        Some(first) => {
            items.extend(first.items.iter().cloned());
            (first.scope, first.namespace.clone())
        }
        None => (Scope::User, None),
    };
    for query in queries {
        items.extend(query.items.iter().cloned());
        if query.scope != scope {
            scope = Scope::All;
        }
        if query.namespace != namespace {
            namespace = None;
        }
    }
    Condition { query: Query { scope, namespace, items }, after }
}

#[cfg(test)]
mod tests;
