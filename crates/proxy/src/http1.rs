//! HTTP/1.1 towards clients and towards applications. The rest of the crate knows this module by [`serve`],
//! [`connect`] and [`Sender`] only, so that another implementation than hyper's can take its place.

use crate::body::{Body, ReplayBody};
use crate::config::Limits;
use crate::drain::Drain;
use crate::pool::SendError;
use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Serves a connection until it ends, or until its listener is drained and the request in hand is answered.
///
/// # Errors
/// What broke the connection. A malformed request is answered (400, 414 or 431) before that.
pub(crate) async fn serve<I, S, F>(io: I, limits: &Limits, drain: &Drain, service: S) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<Body>>,
{
    let service = service_fn(|request| {
        // On the heap, so that an idle connection does not keep room for a request.
        let answer = Box::pin(service(request));
        async {
            let mut response = answer.await;
            if drain.has_begun() {
                response.headers_mut().entry(header::CONNECTION).or_insert(HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = builder(limits).serve_connection(TokioIo::new(io), service).with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        ended = &mut connection => return ended,
        () = drain.is_over() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

fn builder(limits: &Limits) -> hyper::server::conn::http1::Builder {
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes.max(8 * 1024))
        .max_header_size(limits.head_bytes);
    // hyper keeps up to 100 headers on the stack, and allocates if another number is set.
    if limits.headers != 100 {
        builder.max_headers(limits.headers);
    }
    builder
}

/// A connection to an application, for one request at a time.
pub(crate) struct Sender(SendRequest<ReplayBody>);

/// Begins to speak on a connection, which is driven in the background until both sides are done with it.
///
/// # Errors
/// What broke the connection.
pub(crate) async fn connect(stream: TcpStream, limits: &Limits) -> hyper::Result<Sender> {
    let (sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(limits.head_bytes.max(8 * 1024))
        .handshake(TokioIo::new(stream))
        .await?;
    // How it ends is told to whoever uses the sender.
    tokio::task::spawn_local(connection.with_upgrades());
    Ok(Sender(sender))
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
        self.0.try_send_request(request).await.map_err(|mut error| match error.take_message() {
            Some(request) => SendError::Unsent(Box::new(request)),
            None => SendError::Broken { error: error.into_error(), unprocessed: false },
        })
    }

    /// Whether the other side has closed it, as far as is known.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}
