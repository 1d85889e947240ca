//! The body of a request, which is streamed to an instance and remembered meanwhile, as far as a limit allows, so that
//! it can be sent to another one.
//!
//! Life cycle: a [`Replay`] for each request, a [`ReplayBody`] of it for each attempt. A new attempt's body takes over:
//! an older one, which a dying connection may still hold, gets an error instead of bytes.

use crate::refusal::Refused;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tenon_core::Code;
use tenon_core::http1::Violation;

/// A request's body with what is remembered of it.
pub(crate) struct Replay {
    /// `None` if the body is empty.
    source: Option<Rc<RefCell<Source<Incoming>>>>,
    length: Option<u64>,
}

/// The body of one attempt.
pub(crate) struct ReplayBody<S = Incoming> {
    source: Option<Rc<RefCell<Source<S>>>>,
    /// Which attempt this is, counted from 1.
    attempt: u32,
    /// The next of the remembered chunks.
    next: usize,
    /// Bytes still to come, if that is known.
    left: Option<u64>,
}

/// Why a request's body ends before its time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// The caller's side failed.
    #[error("the caller broke the request off")]
    Caller(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The request is being sent to somebody else.
    #[error("the request was sent elsewhere")]
    Superseded,
}

struct Source<S> {
    /// `None` for a copy, which has it all.
    incoming: Option<S>,
    /// What has been read, if it is all remembered.
    chunks: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    bytes: usize,
    limit: usize,
    /// Whether what is read is remembered.
    remembering: bool,
    /// Whether something has been read and forgotten.
    lossy: bool,
    ended: bool,
    /// Whether the caller is being waited for.
    waiting: bool,
    /// Whether the caller failed, and if so by what malformed bytes, if it was that.
    failed: Option<Option<Violation>>,
    attempt: u32,
}

impl Replay {
    /// The body of a request, of which up to `limit` bytes are remembered.
    pub(crate) fn new(incoming: Incoming, limit: usize) -> Self {
        if incoming.is_end_stream() {
            return Self { source: None, length: Some(0) };
        }
        let length = incoming.size_hint().exact();
        Self { source: Some(Rc::new(RefCell::new(Source::new(incoming, limit)))), length }
    }

    /// The body for the next attempt.
    pub(crate) fn body(&self) -> ReplayBody {
        let attempt = self.source.as_ref().map_or(0, |source| source.borrow_mut().next_attempt());
        ReplayBody { source: self.source.clone(), attempt, next: 0, left: self.length }
    }

    /// Whether the whole body can be sent again.
    pub(crate) fn is_replayable(&self) -> bool {
        self.source.as_ref().is_none_or(|source| !source.borrow().lossy)
    }

    /// Whether all of it has been read and is remembered.
    pub(crate) fn is_complete(&self) -> bool {
        self.source.as_ref().is_none_or(|source| {
            let source = source.borrow();
            source.ended && !source.lossy
        })
    }

    /// A body of its own with the same bytes, if they have all been read and are all remembered.
    pub(crate) fn copy(&self) -> Option<ReplayBody> {
        let copied = |source: &Rc<RefCell<Source<Incoming>>>| {
            let source = source.borrow();
            (source.ended && !source.lossy).then(|| Rc::new(RefCell::new(source.copy())))
        };
        let source = match &self.source {
            None => None,
            Some(source) => Some(copied(source)?),
        };
        Some(ReplayBody { source, attempt: 0, next: 0, left: self.length })
    }

    /// The refusal, if it is the caller that failed.
    pub(crate) fn caller_failed(&self) -> Option<Refused> {
        self.source.as_ref()?.borrow().failed.map(|violation| match violation {
            None => Refused::new(Code::RequestInvalid, "the request's body broke off"),
            Some(violation) => Refused::new(violation.code(), violation.to_string()).by("http1"),
        })
    }

    /// Whether more of it must come from the caller, who is being waited for.
    pub(crate) fn waits_for_caller(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.borrow().waiting)
    }

    /// Remembers no more: there will be no further attempt.
    pub(crate) fn commit(&self) {
        if let Some(source) = &self.source {
            source.borrow_mut().remembering = false;
        }
    }
}

impl<S> Source<S> {
    fn new(incoming: S, limit: usize) -> Self {
        Self {
            incoming: Some(incoming),
            chunks: Vec::new(),
            trailers: None,
            bytes: 0,
            limit,
            remembering: true,
            lossy: false,
            ended: false,
            waiting: false,
            failed: None,
            attempt: 0,
        }
    }

    /// The same once more, for its first attempt; all of it must be here.
    fn copy(&self) -> Self {
        Self {
            incoming: None,
            chunks: self.chunks.clone(),
            trailers: self.trailers.clone(),
            ended: true,
            failed: None,
            attempt: 0,
            ..*self
        }
    }

    fn next_attempt(&mut self) -> u32 {
        self.attempt += 1;
        self.attempt
    }
}

impl<S> Source<S>
where
    S: http_body::Body<Data = Bytes> + Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn poll_new(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplayError>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let polled = Pin::new(incoming).poll_frame(cx);
        self.waiting = polled.is_pending();
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                let error = error.into();
                self.failed = Some(violation(&*error));
                self.lossy = true;
                Poll::Ready(Some(Err(ReplayError::Caller(error))))
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.remember(&frame);
                self.ended = self.incoming.as_ref().is_none_or(http_body::Body::is_end_stream);
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn remember(&mut self, frame: &Frame<Bytes>) {
        if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
            return;
        }
        let Some(data) = frame.data_ref() else { return };
        self.bytes = self.bytes.saturating_add(data.len());
        if self.remembering && self.bytes <= self.limit {
            self.chunks.push(data.clone());
        } else {
            self.chunks = Vec::new();
            self.lossy = true;
        }
    }
}

impl<S> http_body::Body for ReplayBody<S>
where
    S: http_body::Body<Data = Bytes> + Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = ReplayError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplayError>>> {
        let this = self.get_mut();
        let Some(source) = &this.source else { return Poll::Ready(None) };
        let mut source = source.borrow_mut();
        let has_all = source.ended && this.next >= source.chunks.len();
        if source.attempt != this.attempt && !has_all {
            return Poll::Ready(Some(Err(ReplayError::Superseded)));
        }
        let polled = match source.chunks.get(this.next).cloned() {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            None if source.ended => {
                // Trailers that an earlier attempt has read; this one's own were passed on as they came.
                let again = source.trailers.clone().filter(|_| this.next < usize::MAX);
                this.next = usize::MAX;
                return Poll::Ready(again.map(|trailers| Ok(Frame::trailers(trailers))));
            }
            None => source.poll_new(cx),
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => this.next = usize::MAX,
            Poll::Ready(Some(Ok(frame))) => {
                this.next = if source.lossy { 0 } else { this.next + 1 };
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                this.left = this.left.map(|left| left.saturating_sub(length));
            }
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let Some(source) = &self.source else { return true };
        let source = source.borrow();
        let trailers_left = source.trailers.is_some() && self.next != usize::MAX;
        source.ended && self.next >= source.chunks.len() && !trailers_left
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The malformed bytes that an error stems from.
fn violation(error: &(dyn std::error::Error + 'static)) -> Option<Violation> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(violation) = inner.and_then(|inner| inner.downcast_ref::<Violation>()) {
            return Some(*violation);
        }
        next = error.source();
    }
    None
}

impl<S> fmt::Debug for ReplayBody<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
