//! One write for all that a connection has to say at a time.
//!
//! The library writes each frame of data that is not tiny by itself, though the answers to many requests are there at
//! once: a system call for each, which costs more than the rest of what is done for a small answer. Here its writes are
//! copied together, and go out when the connection's task has done all that it can ([`Gathering::poll`]).
//!
//! Only that task writes, so it is the one that waits for room, whoever finds that there is none.

use crate::spare;
use hyper::rt::Executor;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So much is gathered at most; then it is written.
const FULL: usize = 64 * 1024;

thread_local! {
    /// Where a connection gathers. It needs the room while it is polled, and beyond that only if its peer reads slowly.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A connection whose writes are gathered.
pub(super) struct Gathered<I>(Rc<RefCell<Gather<I>>>);

/// Writes out what a connection has gathered.
pub(super) struct Gathering<I>(Rc<RefCell<Gather<I>>>);

struct Gather<I> {
    io: I,
    buffer: Vec<u8>,
    /// So much of the buffer has been written.
    written: usize,
    /// Whether the connection may keep back something that was written to it, as TLS does.
    kept_back: bool,
    /// The task that writes.
    waits: Option<Waker>,
    /// Why writing failed, until that task has been told.
    failed: Option<io::Error>,
}

/// Gathers what is written to a connection. Whoever polls what writes does so by the second.
pub(super) fn gather<I>(io: I) -> (Gathered<I>, Gathering<I>) {
    let shared = Rc::new(RefCell::new(Gather {
        io,
        buffer: Vec::new(),
        written: 0,
        kept_back: false,
        waits: None,
        failed: None,
    }));
    (Gathered(Rc::clone(&shared)), Gathering(shared))
}

impl<I> Clone for Gathering<I> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<I: AsyncWrite + Unpin> Gathering<I> {
    /// Polls a future and writes out what has been gathered.
    pub(super) fn poll<F: Future>(&self, future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let polled = future.poll(cx);
        self.0.borrow_mut().write_out();
        polled
    }
}

/// Spawns on the present thread what may write to the connection.
impl<I, F> Executor<F> for Gathering<I>
where
    I: AsyncWrite + Unpin + 'static,
    F: Future<Output: 'static> + 'static,
{
    fn execute(&self, future: F) {
        let gathering = self.clone();
        let mut future = spare::place(future);
        tokio::task::spawn_local(poll_fn(move |cx| gathering.poll(Pin::new(&mut future), cx)));
    }
}

impl<I: AsyncWrite + Unpin> Gather<I> {
    /// Writes as much as there is room for. The task that writes is woken when there is more room, or to be told of a failure.
    fn write_out(&mut self) {
        if !self.has_more() {
            return;
        }
        let Some(waker) = self.waits.take() else { return };
        let mut cx = Context::from_waker(&waker);
        match self.poll_out(&mut cx) {
            Poll::Ready(Err(error)) => {
                self.failed = Some(error);
                waker.wake_by_ref();
            }
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        self.waits = Some(waker);
    }

    /// Writes all there is.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.buffer.get(self.written..).filter(|rest| !rest.is_empty()) {
            let written = match ready!(Pin::new(&mut self.io).poll_write(cx, rest)) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                written => written,
            };
            match written {
                Ok(count) => {
                    self.written += count;
                    self.kept_back = true;
                }
                Err(error) => {
                    self.let_go();
                    self.kept_back = false;
                    return Poll::Ready(Err(error));
                }
            }
        }
        self.let_go();
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.kept_back = flushed.is_pending();
        flushed
    }

    fn has_more(&self) -> bool {
        !self.buffer.is_empty() || self.kept_back
    }

    /// Gives the room back.
    fn let_go(&mut self) {
        self.buffer.clear();
        self.written = 0;
        if self.buffer.capacity() > 0 {
            ROOM.set(std::mem::take(&mut self.buffer));
        }
    }

    /// Gathers as much of these as there is room for.
    fn take(&mut self, cx: &mut Context<'_>, parts: &[&[u8]]) -> Poll<io::Result<usize>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        if self.buffer.len() >= FULL {
            ready!(self.poll_out(cx))?;
        }
        if self.buffer.capacity() == 0 {
            self.buffer = ROOM.take();
        }
        let before = self.buffer.len();
        for part in parts {
            let room = FULL - self.buffer.len();
            self.buffer.extend_from_slice(part.get(..room).unwrap_or(part));
        }
        self.remember(cx);
        Poll::Ready(Ok(self.buffer.len() - before))
    }

    fn remember(&mut self, cx: &Context<'_>) {
        if !self.waits.as_ref().is_some_and(|it| it.will_wake(cx.waker())) {
            self.waits = Some(cx.waker().clone());
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Gathered<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().io).poll_read(cx, to)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Gathered<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().take(cx, &[bytes])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut gather = self.0.borrow_mut();
        match parts {
            [head, body] => gather.take(cx, &[head, body]),
            parts => {
                let first = parts.iter().find(|part| !part.is_empty());
                gather.take(cx, &[first.map(|part| &**part).unwrap_or_default()])
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What was written goes out when the task has done what it can.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gather = self.0.borrow_mut();
        if gather.has_more() {
            gather.remember(cx);
        }
        Poll::Ready(gather.failed.take().map_or(Ok(()), Err))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gather = self.0.borrow_mut();
        if let Some(error) = gather.failed.take() {
            return Poll::Ready(Err(error));
        }
        ready!(gather.poll_out(cx))?;
        Pin::new(&mut gather.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
