//! Many appends under way on one stream.
//!
//! Requests are handed to the log as they come, so that they share commits, and answered in their order. When too many
//! are under way, or too many bytes, the stream is read no further: the caller's own buffers then fill up.

use super::{status, wire};
use crate::events::EventStore;
use crate::events::error::Error;
use crate::events::rights::Rights;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use prost::Message;
use tenon_api::eventstore::v1;
use tenon_store::Appended;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Status, Streaming};

/// The most appends under way on one stream.
const MOST: usize = 8_192;

/// The most bytes of requests under way on one stream, but for the last one.
const MOST_BYTES: usize = 32 << 20;

/// The most answers in one message.
const ANSWERS: usize = 1_024;

/// One caller's appends.
pub(super) struct Pipeline {
    store: EventStore,
    rights: Rights,
    requests: Streaming<v1::AppendStreamRequest>,
    under_way: FuturesOrdered<BoxFuture<'static, (Result<Appended, Error>, usize)>>,
    bytes: usize,
    /// How many have been answered.
    answered: u64,
    /// Whether the caller will send no more.
    complete: bool,
    _permit: OwnedSemaphorePermit,
}

impl Pipeline {
    pub(super) fn new(
        store: EventStore,
        rights: Rights,
        requests: Streaming<v1::AppendStreamRequest>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let under_way = FuturesOrdered::new();
        Self { store, rights, requests, under_way, bytes: 0, answered: 0, complete: false, _permit: permit }
    }

    /// The next answers, as soon as there are some; none when all that was asked has been answered.
    pub(super) async fn next(&mut self) -> Option<Result<v1::AppendStreamResponse, Status>> {
        loop {
            if self.complete && self.under_way.is_empty() {
                return None;
            }
            let has_room = !self.complete && self.under_way.len() < MOST && self.bytes < MOST_BYTES;
            tokio::select! {
                biased;
                request = self.requests.message(), if has_room => match request {
                    Ok(Some(request)) => self.take(request),
                    Ok(None) => self.complete = true,
                    // The caller is gone, or sent what is no message. What is under way goes on to its end.
                    Err(status) => return self.give_up(status),
                },
                Some(first) = self.under_way.next() => return Some(Ok(self.answers(first))),
            }
        }
    }

    fn take(&mut self, request: v1::AppendStreamRequest) {
        for append in request.appends {
            let bytes = append.encoded_len();
            let admitted = wire::admit(&self.store, &self.rights, append);
            let store = self.store.clone();
            self.bytes += bytes;
            self.under_way.push_back(
                async move {
                    let appended = match admitted {
                        Ok(admitted) => store.append(admitted).await,
                        Err(error) => Err(error),
                    };
                    (appended, bytes)
                }
                .boxed(),
            );
        }
    }

    /// The answer that is there, with those that are there as well.
    fn answers(&mut self, first: (Result<Appended, Error>, usize)) -> v1::AppendStreamResponse {
        let mut results = Vec::new();
        let mut next = Some(first);
        while let Some((result, bytes)) = next {
            self.bytes -= bytes;
            results.push(answer(&result));
            next = match results.len() < ANSWERS {
                true => self.under_way.next().now_or_never().flatten(),
                false => None,
            };
        }
        let sequence = self.answered;
        self.answered += results.len() as u64;
        v1::AppendStreamResponse { sequence, results }
    }

    fn give_up(&mut self, status: Status) -> Option<Result<v1::AppendStreamResponse, Status>> {
        self.complete = true;
        let under_way = std::mem::take(&mut self.under_way);
        // Dropping an append does not undo it, and so does not matter.
        drop(under_way);
        Some(Err(status))
    }
}

fn answer(result: &Result<Appended, Error>) -> v1::AppendResult {
    use v1::append_result::Result as Wire;
    let result = match result {
        Ok(appended) => Wire::Appended(wire::appended(appended)),
        Err(error) => Wire::Failed(status::failure(error)),
    };
    v1::AppendResult { result: Some(result) }
}
