//! The bodies that pass through: responses on their way back, and requests that may have to be sent again.

mod replay;

pub(crate) use replay::{Replay, ReplayBody};

use crate::pool::Lease;
use crate::story::Ending;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// The body of a response.
pub(crate) enum Body {
    /// Nothing.
    Empty,
    /// All of it is here.
    Whole {
        /// The bytes, until they have been taken.
        data: Option<Bytes>,
        /// What follows them.
        trailers: Option<HeaderMap>,
    },
    /// It is passed on as it comes.
    Stream(Stream),
}

/// A body that is passed on as it comes. Dropped before its end, it ends the request as given up by its caller.
pub(crate) struct Stream {
    incoming: Incoming,
    /// The connection, given back for reuse at the end.
    lease: Option<Lease>,
    /// What is to be done at the end, until it has been done.
    ending: Option<Box<Ending>>,
    idle_after: Duration,
    idle: Option<Pin<Box<Sleep>>>,
    /// Why it broke off, until that is passed on.
    broken: Option<BodyError>,
}

/// Why a response's body ends before its time. What was sent of it cannot be taken back, so the connection breaks.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The other side failed.
    #[error("the response broke off")]
    Broken(#[source] hyper::Error),
    /// The other side was silent.
    #[error("the response was silent for {0:?}")]
    Idle(Duration),
}

impl Body {
    /// These bytes.
    pub(crate) fn whole(data: Bytes) -> Self {
        Self::Whole { data: Some(data), trailers: None }
    }
}

impl Stream {
    pub(crate) fn new(
        incoming: Incoming,
        lease: Option<Lease>,
        ending: Box<Ending>,
        idle_after: Duration,
    ) -> Self {
        Self { incoming, lease, ending: Some(ending), idle_after, idle: None, broken: None }
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let mut polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if polled.is_pending() {
            self.lease.iter_mut().for_each(|lease| lease.drive(cx));
            polled = Pin::new(&mut self.incoming).poll_frame(cx);
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.idle = None;
                self.passed(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => self.broke(BodyError::Broken(error), cx),
            Poll::Ready(None) => {
                self.complete();
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_idle(cx),
        }
    }

    fn passed(&mut self, frame: &Frame<Bytes>) {
        if let Some((data, ending)) = frame.data_ref().zip(self.ending.as_mut()) {
            ending.passed(data.len());
        }
        if let Some((trailers, ending)) = frame.trailers_ref().zip(self.ending.as_mut()) {
            ending.trailers(trailers);
        }
        // Whoever reads a body may stop when it says so, and never see its end.
        if self.incoming.is_end_stream() {
            self.complete();
        }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let after = self.idle_after;
        let idle = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
        if idle.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.broke(BodyError::Idle(after), cx)
    }

    fn complete(&mut self) {
        if let Some(mut lease) = self.lease.take() {
            lease.rest();
            lease.give_back();
        }
        if let Some(ending) = self.ending.take() {
            ending.complete();
        }
    }

    /// Ends the story at once, and the body with the next look: an error makes whoever writes the response drop what it
    /// has not written yet, which may be all of its head.
    fn broke(&mut self, error: BodyError, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.lease = None;
        if let Some(ending) = self.ending.take() {
            ending.broke(&error);
        }
        self.broken = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Whole { data, trailers } => {
                let frame = data.take().map(Frame::data).or_else(|| trailers.take().map(Frame::trailers));
                Poll::Ready(frame.map(Ok))
            }
            Self::Stream(stream) => stream.poll_incoming(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole { data, trailers } => data.is_none() && trailers.is_none(),
            Self::Stream(stream) => stream.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole { data, .. } => {
                SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64))
            }
            Self::Stream(stream) => stream.incoming.size_hint(),
        }
    }
}
