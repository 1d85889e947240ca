//! What stands between a client's connection and the HTTP/1.1 server: only what is framed strictly passes
//! (`tenon_core::http1`), and of a head nothing until it is complete.
//!
//! A violation in a head is answered in its turn, after the requests before it: the server is handed a well-formed
//! stand-in in its place, the last of the connection, and whoever handles requests learns from the [`Wire`] which one that is.
//! One in a body breaks the body off.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tenon_core::http1::{Scanner, Step, Violation};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// What the server is given in place of what is refused.
const STAND_IN: &[u8] = b"MALFORMED * HTTP/1.1\r\nhost: malformed\r\nconnection: close\r\n\r\n";
/// How much is read at a time of what does not come whole.
const PIECE: usize = 4 * 1024;
/// How much is taken from the socket before it is closed: what is left there would reset the connection, and with it
/// the answer.
const DRAINED: usize = 256 * 1024;

/// What a connection and whoever handles its requests tell each other. The connection may be handed to another task when
/// it changes its protocol, so this can be shared; nobody ever waits for it.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// The number of the request that is a stand-in, counted from 1, and what it stands for.
    refused: OnceLock<(u64, Violation)>,
    /// Whether the request in hand asks to change the protocol.
    switching: AtomicBool,
    answer: AtomicU8,
    /// Requests that have been answered, to the end.
    done: AtomicU64,
    /// Who waits for that answer.
    waker: Mutex<Option<Waker>>,
}

const UNANSWERED: u8 = 0;
const SWITCHED: u8 = 1;
const STAYED: u8 = 2;

impl Wire {
    /// What this request, counted from 1, stands for, if it is a stand-in.
    pub(super) fn refused(&self, number: u64) -> Option<Violation> {
        self.refused.get().filter(|refused| refused.0 == number).map(|refused| refused.1)
    }

    /// Whether the request in hand asks to change the protocol, so that its answer must be told.
    pub(super) fn is_switching(&self) -> bool {
        self.switching.load(Ordering::Acquire)
    }

    /// Tells whether the protocol changes after the request in hand.
    pub(super) fn answered(&self, switched: bool) {
        self.switching.store(false, Ordering::Release);
        self.answer.store(if switched { SWITCHED } else { STAYED }, Ordering::Release);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Tells that a request has been answered.
    pub(super) fn is_done(&self) {
        self.done.fetch_add(1, Ordering::Release);
    }

    fn take_answer(&self) -> Option<bool> {
        match self.answer.swap(UNANSWERED, Ordering::AcqRel) {
            UNANSWERED => None,
            answer => Some(answer == SWITCHED),
        }
    }

    fn wait(&self, cx: &Context<'_>) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
    }
}

/// A client's connection whose reading is guarded.
pub(super) struct Guarded<I> {
    io: I,
    scanner: Scanner,
    wire: Arc<Wire>,
    /// Heads that have passed.
    heads: u64,
    /// What has been read and not handed on: first what may be, then what is not complete.
    held: Vec<u8>,
    /// How much of it has been handed on already, and how much may be.
    taken: usize,
    passed: usize,
    /// How long a head may take from its first byte on, and when the one in hand has taken that long.
    patience: Duration,
    late: Option<Pin<Box<Sleep>>>,
    /// How long a client that has closed its side is taken to wait for the answer to what it sent, and when it has been
    /// that long: it may as well be gone.
    parting: Duration,
    gone: Option<Pin<Box<Sleep>>>,
    /// After a violation nothing is read any more.
    over: bool,
}

/// What becomes of bytes that may not pass yet.
enum Verdict {
    /// There are none.
    Pass,
    /// More must come.
    More,
    /// They wait for an answer.
    Wait,
    Refused(Violation),
}

impl<I> Guarded<I> {
    pub(super) fn new(
        io: I,
        scanner: Scanner,
        wire: Arc<Wire>,
        patience: Duration,
        parting: Duration,
    ) -> Self {
        let held = Vec::new();
        Self {
            io,
            scanner,
            wire,
            heads: 0,
            held,
            taken: 0,
            passed: 0,
            patience,
            late: None,
            parting,
            gone: None,
            over: false,
        }
    }

    /// How many of these bytes may pass, and what becomes of the rest.
    fn judge(&mut self, bytes: &[u8]) -> (usize, Verdict) {
        let mut passed = 0;
        while let Some(rest) = bytes.get(passed..).filter(|rest| !rest.is_empty()) {
            match self.scanner.scan(rest) {
                Ok(Step::Head(count)) => {
                    passed += count;
                    self.heads += 1;
                    self.late = None;
                    if self.scanner.is_switching() {
                        self.wire.switching.store(true, Ordering::Release);
                    }
                }
                Ok(Step::Body(count)) => passed += count,
                Ok(Step::Other) => passed = bytes.len(),
                Ok(Step::More) => return (passed, Verdict::More),
                Ok(Step::Wait) => return (passed, Verdict::Wait),
                Err(violation) => return (passed, Verdict::Refused(violation)),
            }
        }
        (passed, Verdict::Pass)
    }

    /// The same for what is held.
    fn judge_held(&mut self) -> Verdict {
        if self.passed == self.held.len() {
            return Verdict::Pass;
        }
        let held = std::mem::take(&mut self.held);
        let (count, verdict) = self.judge(held.get(self.passed..).unwrap_or_default());
        self.held = held;
        self.passed += count;
        verdict
    }

    /// Hands on what is held and may pass; whether there was something.
    fn hand_on(&mut self, to: &mut ReadBuf<'_>) -> bool {
        let ready = self.held.get(self.taken..self.passed).unwrap_or_default();
        let count = ready.len().min(to.remaining());
        to.put_slice(ready.get(..count).unwrap_or_default());
        self.taken += count;
        if self.taken == self.held.len() {
            (self.held, self.taken, self.passed) = (Vec::new(), 0, 0);
        }
        count > 0
    }
}

impl<I: AsyncRead + Unpin> Guarded<I> {
    fn poll(&mut self, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let verdict = self.judge_held();
            if self.hand_on(to) {
                return Poll::Ready(Ok(()));
            }
            match verdict {
                Verdict::Refused(violation) => self.refuse(violation, cx)?,
                Verdict::Wait => {
                    self.wire.wait(cx);
                    let Some(switched) = self.wire.take_answer() else { return Poll::Pending };
                    self.scanner.answered(switched);
                }
                // The server closes the connection when it has answered the stand-in.
                Verdict::Pass if self.over => return Poll::Pending,
                Verdict::Pass => {
                    if ready!(self.read_through(cx, to))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                Verdict::More => match self.read_more(cx)? {
                    Poll::Ready(true) => {}
                    Poll::Ready(false) => return Poll::Ready(Ok(())),
                    Poll::Pending if self.is_late(cx) => self.refuse(Violation::HeadTooSlow, cx)?,
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    /// Reads to where it goes, and holds back what may not pass. Whether there is something to be told: bytes, or the end.
    fn read_through(&mut self, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        if self.gone.is_some() {
            return self.part(cx);
        }
        let before = to.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, to))?;
        let read = to.filled().get(before..).unwrap_or_default();
        if read.is_empty() {
            return self.part(cx);
        }
        let (count, _) = self.judge(read);
        if count < read.len() {
            self.held = read.get(count..).unwrap_or_default().to_vec();
            to.set_filled(before + count);
        }
        Poll::Ready(Ok(count > 0))
    }

    /// The client has closed its side. The server would take it as gone, so it is told when there is nothing left to answer, or
    /// when that takes too long.
    fn part(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if !self.scanner.is_between() || self.wire.done.load(Ordering::Acquire) >= self.heads {
            return Poll::Ready(Ok(true));
        }
        let parting = self.parting;
        if parting.is_zero() {
            return Poll::Ready(Ok(true));
        }
        let gone = self.gone.get_or_insert_with(|| Box::pin(tokio::time::sleep(parting)));
        gone.as_mut().poll(cx).map(|()| Ok(true))
    }

    /// Reads more of what is held; whether there was some.
    fn read_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut piece = [0; PIECE];
        let mut into = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut into))?;
        self.held.extend_from_slice(into.filled());
        Poll::Ready(Ok(!into.filled().is_empty()))
    }

    /// Whether the head in hand has taken too long.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let patience = self.patience;
        let late = self.late.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        late.as_mut().poll(cx).is_ready()
    }

    /// Deals with a violation.
    ///
    /// # Errors
    /// The violation, if it is a body's.
    fn refuse(&mut self, violation: Violation, cx: &mut Context<'_>) -> io::Result<()> {
        self.over = true;
        self.drain(cx);
        (self.held, self.taken, self.passed) = (Vec::new(), 0, 0);
        if violation.is_of_body() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, violation));
        }
        // Set once: nothing is read after it.
        let _ = self.wire.refused.set((self.heads + 1, violation));
        self.held = STAND_IN.to_vec();
        self.passed = self.held.len();
        Ok(())
    }

    /// Takes what is in the socket.
    fn drain(&mut self, cx: &mut Context<'_>) {
        let mut piece = [0; PIECE];
        for _ in 0..DRAINED / PIECE {
            let mut into = ReadBuf::new(&mut piece);
            let read = Pin::new(&mut self.io).poll_read(cx, &mut into);
            if !matches!(read, Poll::Ready(Ok(()))) || into.filled().is_empty() {
                return;
            }
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Guarded<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll(cx, to)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Guarded<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
