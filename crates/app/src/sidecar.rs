//! HTTP/1.1 through the server's own sidecar, for calls that are many and small.
//!
//! Life cycle: a connection carries one call at a time, and is driven by whoever makes the call, so that none needs a task of
//! its own and an answer wakes one task only; then it waits for the next call. Measured beside a general client in
//! `bench/README.md`.
//!
//! Bounded: [`MOST_IDLE`] connections wait, for [`IDLE_FOR`] at most. How many are in use is bounded by those who call.
//!
//! Left out on purpose: repeating what may have been sent, which is the caller's to decide. A call that is dropped closes its
//! connection.

use crate::failure::chain;
use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;
use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tenon_control::OwnSidecar;
use tenon_flow::saga::participants::{HttpAnswer, HttpCall, Unanswered};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// The most connections that wait for a call.
const MOST_IDLE: usize = 1_024;
/// How long they do. The sidecar closes them later.
const IDLE_FOR: Duration = Duration::from_secs(20);
/// How long to wait before the sidecar is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// Calls through a sidecar.
pub(crate) struct Sidecar {
    address: SocketAddr,
    authorization: HeaderValue,
    idle: Mutex<VecDeque<Way>>,
}

/// A connection.
struct Way {
    sender: SendRequest<Full<Bytes>>,
    connection: Pin<Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
    /// It must not be polled any more.
    closed: bool,
    since: Instant,
}

/// What came of a connection instead of an answer.
enum Broken {
    /// It was closed before this was sent, while it waited.
    Unsent(Box<Request<Full<Bytes>>>),
    Lost(hyper::Error),
}

impl Sidecar {
    /// The server's own.
    pub(crate) fn new(own: &OwnSidecar) -> Self {
        let credentials = STANDARD.encode(format!("{}:{}", own.instance, own.secret));
        let Ok(mut authorization) = HeaderValue::try_from(format!("Basic {credentials}")) else {
            unreachable!("base64 is printable")
        };
        authorization.set_sensitive(true);
        Self { address: own.outbound, authorization, idle: Mutex::default() }
    }

    /// Makes a call, and reads at most so many bytes of what is answered; a longer answer is cut off there. If nobody listens
    /// yet, it waits for that as long as the call may take.
    ///
    /// # Errors
    /// [`Unanswered`] says whether it may have been sent.
    pub(crate) async fn call(&self, call: HttpCall, most: usize) -> Result<HttpAnswer, Unanswered> {
        let (within, ends) = (call.within, Instant::now() + call.within);
        let mut request = self.request(call).map_err(|error| unsent(&error))?;
        loop {
            let mut way = match self.waiting() {
                Some(way) => way,
                None => self.connect(ends).await?,
            };
            let exchanged = timeout_at(ends, way.exchange(request, most)).await;
            let late = |_| Unanswered::Lost(format!("not within {} ms", within.as_millis()));
            match exchanged.map_err(late)? {
                Ok((answer, is_read)) => {
                    if is_read {
                        self.keep(way);
                    }
                    return Ok(answer);
                }
                Err(Broken::Unsent(again)) => request = *again,
                Err(Broken::Lost(error)) => return Err(Unanswered::Lost(chain(&error))),
            }
        }
    }

    fn request(&self, call: HttpCall) -> http::Result<Request<Full<Bytes>>> {
        let service = call.service.to_string();
        let target: PathAndQuery = call.target.parse()?;
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(service.as_str()).path_and_query(target);
        let mut request = Request::new(Full::new(call.body));
        *request.method_mut() = call.method;
        *request.uri_mut() = uri.build()?;
        *request.headers_mut() = call.headers;
        request.headers_mut().insert(HOST, HeaderValue::try_from(service)?);
        request.headers_mut().insert(PROXY_AUTHORIZATION, self.authorization.clone());
        Ok(request)
    }

    async fn connect(&self, until: Instant) -> Result<Way, Unanswered> {
        loop {
            match self.connect_once().await {
                Ok(way) => return Ok(way),
                Err(_) if Instant::now() + AGAIN < until => tokio::time::sleep(AGAIN).await,
                Err(error) => return Err(unsent(&error)),
            }
        }
    }

    async fn connect_once(&self) -> io::Result<Way> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        Ok(Way { sender, connection: Box::pin(connection), closed: false, since: Instant::now() })
    }

    /// The one that was used last, if it is still open.
    fn waiting(&self) -> Option<Way> {
        loop {
            let mut way = self.idle().pop_back()?;
            way.poll(&mut Context::from_waker(Waker::noop()));
            if !way.closed && way.sender.is_ready() {
                return Some(way);
            }
        }
    }

    fn keep(&self, mut way: Way) {
        way.poll(&mut Context::from_waker(Waker::noop()));
        if way.closed || !way.sender.is_ready() {
            return;
        }
        way.since = Instant::now();
        let mut idle = self.idle();
        while idle.front().is_some_and(|oldest| oldest.since.elapsed() > IDLE_FOR) || idle.len() >= MOST_IDLE
        {
            idle.pop_front();
        }
        idle.push_back(way);
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Way>> {
        // Whoever panicked has added or taken a single connection.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way {
    /// Sends a request, and reads the answer. Whether it was read to its end.
    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        most: usize,
    ) -> Result<(HttpAnswer, bool), Broken> {
        let sending = self.sender.try_send_request(request);
        let sent = alongside(&mut self.connection, &mut self.closed, sending).await;
        let response = sent.map_err(|mut error| match error.take_message() {
            Some(request) => Broken::Unsent(Box::new(request)),
            None => Broken::Lost(error.into_error()),
        })?;
        let (head, mut body) = response.into_parts();
        let reading = read(&mut body, most);
        let read = alongside(&mut self.connection, &mut self.closed, reading).await;
        let (body, is_read) = read.map_err(Broken::Lost)?;
        Ok((HttpAnswer { status: head.status.as_u16(), headers: head.headers, body }, is_read))
    }

    fn poll(&mut self, context: &mut Context<'_>) {
        if !self.closed {
            self.closed = self.connection.as_mut().poll(context).is_ready();
        }
    }
}

/// What comes of a future that waits for what a connection does, which is driven meanwhile.
async fn alongside<C: Future, F: Future>(
    connection: &mut Pin<Box<C>>,
    closed: &mut bool,
    future: F,
) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(output);
        }
        if !*closed {
            *closed = connection.as_mut().poll(context).is_ready();
        }
        future.as_mut().poll(context)
    })
    .await
}

fn unsent(error: &dyn Error) -> Unanswered {
    Unanswered::Unsent(chain(error))
}

async fn read(body: &mut Incoming, most: usize) -> Result<(Bytes, bool), hyper::Error> {
    let mut parts: Vec<Bytes> = Vec::new();
    let mut left = most;
    while let Some(frame) = body.frame().await {
        if let Ok(mut data) = frame?.into_data() {
            data.truncate(left);
            left -= data.len();
            parts.push(data);
        }
        if left == 0 {
            break;
        }
    }
    let whole = if parts.len() == 1 { parts.swap_remove(0) } else { parts.concat().into() };
    Ok((whole, left > 0))
}

#[cfg(test)]
mod tests;
