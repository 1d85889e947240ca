//! HTTP/1.1 towards clients and towards applications. The rest of the crate knows this module by [`serve`],
//! [`connect`] and [`Sender`] only, so that another implementation than hyper's can take its place.

mod guard;
mod pace;
mod response;

use crate::body::{Body, ReplayBody};
use crate::config::Limits;
use crate::drain::Drain;
use crate::pool::SendError;
use crate::prefixed::Prefixed;
use crate::spare;
use guard::{Guarded, Wire};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pace::Pace;
use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tenon_core::http1::Scanner;
use tokio::io::{AsyncRead, AsyncWrite};

/// Serves a connection until it ends, or until its listener is drained and the request in hand is answered.
///
/// A client that has closed its side is taken to wait for its answer for as long as `parting`.
///
/// What is not strictly HTTP/1.1 comes to `service` as a stand-in, a request that has a
/// [`Violation`](tenon_core::http1::Violation) among its extensions: that is the connection's last.
///
/// # Errors
/// What broke the connection.
pub(crate) async fn serve<I, S, F>(
    io: I,
    limits: &Limits,
    parting: Duration,
    drain: &Drain,
    service: S,
) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<Body>> + 'static,
{
    let wire = Arc::new(Wire::default());
    let scanner = Scanner::new(strictness(limits));
    let io = Guarded::new(io, scanner, Arc::clone(&wire), limits.head_begun, parting);
    let number = Cell::new(0);
    let pace = Rc::new(Pace::new(Arc::clone(&wire)));
    let service = service_fn(|mut request: Request<Incoming>| {
        number.set(number.get() + 1);
        let in_hand = pace.begin();
        if let Some(violation) = wire.refused(number.get()) {
            request.extensions_mut().insert(violation);
        }
        let last = number.get() >= limits.requests;
        let switching = wire.is_switching().then(|| request.method() == Method::CONNECT);
        // On the heap, so that an idle connection does not keep room for a request.
        let answer = spare::place(service(request));
        let wire = &wire;
        async move {
            let mut response = answer.await;
            if let Some(connect) = switching {
                wire.answered(is_switched(connect, response.status()));
            }
            if last || drain.has_begun() {
                response.headers_mut().entry(header::CONNECTION).or_insert(HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| in_hand.with(body)))
        }
    });
    let connection = builder(limits).serve_connection(TokioIo::new(io), service).with_upgrades();
    let mut connection = pin!(connection);
    let mut late = pin!(pace.is_late(limits.head_timeout));
    tokio::select! {
        biased;
        ended = &mut connection => return ended,
        () = drain.is_over() => connection.as_mut().graceful_shutdown(),
        () = &mut late => return Ok(()),
    }
    tokio::select! {
        biased;
        ended = &mut connection => ended,
        () = &mut late => Ok(()),
    }
}

/// Whether the protocol changes with this answer to a request that asked for it.
fn is_switched(connect: bool, status: StatusCode) -> bool {
    if connect { status.is_success() } else { status == StatusCode::SWITCHING_PROTOCOLS }
}

fn strictness(limits: &Limits) -> tenon_core::http1::Limits {
    let head = limits.head_bytes.max(8 * 1024);
    tenon_core::http1::Limits { head, line: limits.line_bytes, fields: limits.headers }
}

fn builder(limits: &Limits) -> hyper::server::conn::http1::Builder {
    let mut builder = hyper::server::conn::http1::Builder::new();
    // With no timer: hyper's for heads would be made anew for each request, and `pace` keeps the time.
    builder.max_buf_size(limits.head_bytes.max(8 * 1024)).max_header_size(limits.head_bytes);
    // hyper keeps up to 100 headers on the stack, and allocates if another number is set.
    if limits.headers != 100 {
        builder.max_headers(limits.headers);
    }
    builder
}

/// So much of a response is read at a time at most: an answer of 64 KiB with its head comes at once, and goes at once.
const READ_BYTES: usize = 128 * 1024;

/// A connection to an application, for one request at a time.
///
/// It is read and written by whoever uses it, in the same task, which saves a request the waking of another one and finds
/// what was read still in the core's cache. So a response's body comes only while the connection is [driven](Self::drive),
/// and nothing happens to one that is idle.
pub(crate) struct Sender {
    requests: SendRequest<ReplayBody>,
    driver: Driver,
}

/// What reads and writes; `None` once it has ended.
type Driver = Option<Pin<Box<dyn Future<Output = hyper::Result<()>>>>>;

/// Begins to speak on a connection.
///
/// # Errors
/// What broke the connection.
pub(crate) async fn connect<I>(stream: I, limits: &Limits) -> hyper::Result<Sender>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(limits.head_bytes.max(READ_BYTES))
        .max_header_size(limits.head_bytes)
        .handshake(TokioIo::new(Prefixed::new(Vec::new(), stream)))
        .await?;
    Ok(Sender { requests: sender, driver: Some(Box::pin(connection.with_upgrades())) })
}

impl Sender {
    /// Sends a request and waits for the head of its response. Cancelled, it closes the connection.
    ///
    /// # Errors
    /// [`SendError::Unsent`] gives back a request of which nothing was written.
    pub(crate) async fn send(
        &mut self,
        request: Request<ReplayBody>,
    ) -> Result<Response<Incoming>, SendError> {
        let mut answer = pin!(self.requests.try_send_request(request));
        let driver = &mut self.driver;
        let mut woken = false;
        let answered = poll_fn(|cx| {
            // Nobody else can bring the answer, so nobody else need wake for it.
            let nobody = &mut Context::from_waker(Waker::noop());
            // Who is at work on what has come need not be woken again by the library's passing it on.
            if woken {
                drive(driver, nobody);
                if let Poll::Ready(answered) = answer.as_mut().poll(nobody) {
                    return Poll::Ready(answered);
                }
            }
            woken = true;
            drive(driver, cx);
            answer.as_mut().poll(nobody)
        });
        let response = answered.await.map_err(|mut error| match error.take_message() {
            Some(request) => SendError::Unsent(Box::new(request)),
            None => SendError::Broken { error: error.into_error(), unprocessed: false },
        })?;
        response::check(response.headers()).map_err(SendError::Malformed)?;
        Ok(response)
    }

    /// Reads and writes as far as that is possible now; `cx` is woken when more is.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.driver, cx);
    }

    /// Reads and writes from now on by itself, in a task of its own.
    pub(crate) fn run_apart(&mut self) {
        if let Some(driver) = self.driver.take() {
            tokio::task::spawn_local(driver);
        }
    }

    /// Whether it can take a request, as far as is known without asking the other side.
    pub(crate) fn is_ready(&mut self) -> bool {
        if !self.requests.is_ready() {
            self.rest();
        }
        self.requests.is_ready()
    }

    /// Lets go of whoever has driven it: the next one's request would wake them.
    pub(crate) fn rest(&mut self) {
        self.drive(&mut Context::from_waker(Waker::noop()));
    }

    /// Whether the other side has closed it. To be asked of one that is idle.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.rest();
        self.is_closed()
    }

    /// Whether the other side has closed it, as far as is known.
    pub(crate) fn is_closed(&self) -> bool {
        self.driver.is_none() || self.requests.is_closed()
    }
}

/// How it ends is told to whoever waits for an answer.
fn drive(driver: &mut Driver, cx: &mut Context<'_>) {
    if driver.as_mut().is_some_and(|driver| driver.as_mut().poll(cx).is_ready()) {
        *driver = None;
    }
}
