//! What a client of HTTP/2 may not do to a connection: begin requests only to give them up (CVE-2023-44487), or never
//! take what it asked for. The library bounds the rest (heads, CONTINUATION, resets that it makes itself).
//!
//! A body that waits for its client is not polled, so it cannot notice by itself: every response's body leaves a mark, and
//! the connection looks at the marks now and then.

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;

use crate::body::{Body, BodyError};

/// So many requests may be given up before anybody looks at how many they are of all.
const GIVEN_UP: u32 = 200;
/// How often the marks are looked at while a client may be silent.
const LOOKS: u32 = 4;

/// One connection's.
#[derive(Default)]
pub(super) struct Watch {
    begun: Cell<u32>,
    given_up: Cell<u32>,
    too_many: Notify,
    /// How often the marks have been looked at.
    now: Rc<Cell<u32>>,
    marks: RefCell<Vec<Weak<Mark>>>,
}

/// Since when a body waits for its client to take something; `None` if it does not.
type Mark = Cell<Option<u32>>;

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abuse {
    /// Most requests are given up before they are answered.
    GivenUp,
    /// A response is not taken.
    NotTaken,
}

/// A request that has begun; dropped before [`answered`](Self::answered), it was given up.
pub(super) struct Begun<'a> {
    watch: &'a Watch,
    answered: bool,
}

/// A response's body that leaves a mark.
pub(super) struct Watched {
    body: Body,
    mark: Rc<Mark>,
    now: Rc<Cell<u32>>,
}

impl Watch {
    /// A request has come.
    pub(super) fn begin(&self) -> Begun<'_> {
        self.begun.set(self.begun.get().saturating_add(1));
        Begun { watch: self, answered: false }
    }

    /// The body of a response, whose client has this to take.
    pub(super) fn body(&self, body: Body) -> Watched {
        let waits = Some(self.now.get()).filter(|_| !body.is_end_stream());
        let mark = Rc::new(Cell::new(waits));
        if waits.is_some() {
            let mut marks = self.marks.borrow_mut();
            // Those of responses that have ended go before the list grows.
            if marks.len() == marks.capacity() {
                marks.retain(|mark| mark.strong_count() > 0);
            }
            marks.push(Rc::downgrade(&mark));
        }
        Watched { body, mark, now: Rc::clone(&self.now) }
    }

    /// Waits until the client abuses the connection. A response may be left for `patience`.
    pub(super) async fn abuse(&self, patience: Duration) -> Abuse {
        loop {
            tokio::select! {
                () = self.too_many.notified() => return Abuse::GivenUp,
                () = tokio::time::sleep(patience / LOOKS) => {}
            }
            if self.look() {
                return Abuse::NotTaken;
            }
        }
    }

    /// Whether a response has not been taken for too long.
    fn look(&self) -> bool {
        let now = self.now.get().wrapping_add(1);
        self.now.set(now);
        let mut marks = self.marks.borrow_mut();
        marks.retain(|mark| mark.strong_count() > 0);
        marks.iter().filter_map(Weak::upgrade).any(|mark| {
            // The present look counts for nothing: it may have come at once.
            mark.get().is_some_and(|since| now.wrapping_sub(since) > LOOKS)
        })
    }
}

impl Begun<'_> {
    pub(super) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let given_up = self.watch.given_up.get().saturating_add(1);
        self.watch.given_up.set(given_up);
        if given_up >= GIVEN_UP && given_up > self.watch.begun.get() / 2 {
            self.watch.too_many.notify_one();
        }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        // Whoever has been given something asks for more when the client has taken it.
        this.mark.set(polled.is_ready().then(|| this.now.get()));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
