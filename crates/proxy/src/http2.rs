//! HTTP/2 without TLS, by prior knowledge (RFC 9113, 3.3), towards clients and towards applications.

mod gather;
mod watch;

use crate::body::{Body, ReplayBody};
use crate::config::Limits;
use crate::drain::Drain;
use crate::pool::SendError;
use crate::spare;
use gather::gather;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use watch::Watch;

/// How much a peer may send on one stream, and on one connection, before it is read.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How often a silent connection is asked whether it lives, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Spawns on the present thread.
#[derive(Debug, Clone, Copy)]
struct Local;

impl<F: Future<Output: 'static> + 'static> Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Serves a connection until it ends, or until its listener begins to drain and all its requests are answered: GOAWAY
/// loses none that is on its way.
///
/// # Errors
/// What broke the connection.
pub(crate) async fn serve<I, S, F>(io: I, limits: &Limits, drain: &Drain, service: S) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<Body>> + 'static,
{
    let (io, gathering) = gather(io);
    let first = First::default();
    let watch = Rc::new(Watch::default());
    let service = service_fn(|request| {
        first.has_come();
        // On the heap, so that the task which the library makes of it is small.
        let answer = spare::place(service(request));
        let watch = Rc::clone(&watch);
        async move {
            let begun = watch.begin();
            let response = answer.await;
            begun.answered();
            Ok::<_, Infallible>(response.map(|body| watch.body(body)))
        }
    });
    let connection = hyper::server::conn::http2::Builder::new(Local)
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .enable_connect_protocol()
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    let mut abuse = pin!(watch.abuse(limits.stream_idle));
    let abuse = tokio::select! {
        biased;
        ended = poll_fn(|cx| gathering.poll(connection.as_mut(), cx)) => return ended,
        abuse = &mut abuse => abuse,
        () = first.then_drained(drain) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                ended = poll_fn(|cx| gathering.poll(connection.as_mut(), cx)) => return ended,
                abuse = &mut abuse => abuse,
            }
        }
    };
    tracing::debug!(?abuse, "a connection is closed");
    Ok(())
}

/// The first request of a connection. Before it, hyper would close the connection instead of saying GOAWAY, and the request
/// may be on its way.
#[derive(Default)]
struct First {
    come: Cell<bool>,
    told: Notify,
}

impl First {
    fn has_come(&self) {
        if !self.come.replace(true) {
            self.told.notify_one();
        }
    }

    /// Waits until the drain has begun and a request has come, or until it is over.
    async fn then_drained(&self, drain: &Drain) {
        drain.begins().await;
        if self.come.get() {
            return;
        }
        tokio::select! {
            () = self.told.notified() => {}
            () = drain.is_over() => {}
        }
    }
}

/// A connection to an application, for many requests at a time. Clones share it.
#[derive(Clone)]
pub(crate) struct Sender(SendRequest<ReplayBody>);

/// Begins to speak on a connection, which is driven in the background.
///
/// # Errors
/// What broke the connection.
pub(crate) async fn connect<I>(stream: I, limits: &Limits) -> hyper::Result<Sender>
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (stream, gathering) = gather(stream);
    let (sender, connection) = hyper::client::conn::http2::Builder::new(gathering)
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::task::spawn_local(connection);
    Ok(Sender(sender))
}

impl Sender {
    /// Sends a request and waits for the head of its response. Cancelled, it resets the stream.
    ///
    /// # Errors
    /// [`SendError::Unsent`] gives back a request of which nothing was written.
    pub(crate) async fn send(
        &mut self,
        request: Request<ReplayBody>,
    ) -> Result<Response<Incoming>, SendError> {
        self.0.try_send_request(request).await.map_err(|mut error| match error.take_message() {
            Some(request) => SendError::Unsent(Box::new(request)),
            None => {
                let error = error.into_error();
                SendError::Broken { unprocessed: is_unprocessed(&error), error }
            }
        })
    }

    /// Whether it is of no more use, as far as is known.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

/// Whether the other side says that it never looked at the request (RFC 9113, 8.7).
fn is_unprocessed(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    source.is_some_and(|it| {
        let refused = it.reason() == Some(h2::Reason::REFUSED_STREAM);
        let going_away = it.is_go_away() && it.reason() == Some(h2::Reason::NO_ERROR);
        it.is_remote() && (refused || going_away)
    })
}
