//! Streams of events.

use super::Error;
use super::sse::Parser;
use crate::Problem;
use crate::http::PROBLEM_EVENT;
use reqwest::Response;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use tenon_core::Revision;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<T> {
    /// The revision to resume after; absent where a stream has none.
    pub id: Option<Revision>,
    /// What it says.
    pub data: T,
}

/// A stream of events. Dropping it ends it. Holds at most one chunk and one event.
#[derive(Debug)]
pub struct Events<T> {
    response: Response,
    parser: Parser,
    address: String,
    data: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Events<T> {
    pub(super) fn new(response: Response, address: String) -> Self {
        Self { response, parser: Parser::default(), address, data: PhantomData }
    }

    /// The next event; `None` when the server has ended the stream. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Refused`] if the server ended the stream with a problem; [`Error::Timeout`] if it was silent for too
    /// long; [`Error::Interrupted`] if the connection broke; [`Error::Unexpected`] if what came is not an event of
    /// this stream. The stream is of no further use then.
    pub async fn next(&mut self) -> Result<Option<Event<T>>, Error> {
        loop {
            if let Some(raw) = self.parser.next() {
                return self.read(&raw.name, &raw.id, &raw.data).map(Some);
            }
            match self.response.chunk().await.map_err(|error| Error::of(&self.address, error))? {
                Some(chunk) => self.parser.push(&chunk).map_err(|error| self.unexpected(&error))?,
                None => return Ok(None),
            }
        }
    }

    fn read(&self, name: &str, id: &str, data: &str) -> Result<Event<T>, Error> {
        if name == PROBLEM_EVENT {
            let problem: Problem = serde_json::from_str(data).map_err(|error| self.unexpected(&error))?;
            return Err(Error::Refused(Box::new(problem)));
        }
        let data = serde_json::from_str(data).map_err(|error| self.unexpected(&error))?;
        let id =
            if id.is_empty() { None } else { Some(id.parse().map_err(|error| self.unexpected(&error))?) };
        Ok(Event { id, data })
    }

    fn unexpected(&self, problem: &dyn std::fmt::Display) -> Error {
        let status = self.response.status().as_u16();
        Error::Unexpected { address: self.address.clone(), status, problem: problem.to_string() }
    }
}
