//! Connections to applications, kept for the next request. A pool belongs to one thread.
//!
//! HTTP/1.1: a connection is leased for one request and comes back when its response has ended; the one used last is
//! used first, and those that were idle for too long are closed. HTTP/2: one connection to an address carries all.
//!
//! Left out on purpose: how many connections there may be, which the limits on requests in flight decide.

use crate::body::ReplayBody;
use crate::config::Limits;
use crate::tls::{self, Ends, Identities, Own};
use crate::{http1, http2};
use http::{Request, Response};
use hyper::body::Incoming;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;
use tenon_core::Address;
use tenon_core::identity::Workload;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// One thread's connections.
pub(crate) struct Pool {
    limits: Limits,
    identities: Arc<Identities>,
    http1: RefCell<HashMap<Way, Vec<Idle>>>,
    /// Locked while connecting, so that the requests that come meanwhile share the connection.
    http2: RefCell<HashMap<Way, Rc<tokio::sync::Mutex<Option<http2::Sender>>>>>,
}

/// Where a connection leads, and, if that is in another data plane, who calls whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Way {
    pub(crate) address: Address,
    pub(crate) ends: Option<Ends>,
}

impl Way {
    /// To an application, without TLS.
    pub(crate) const fn plain(address: Address) -> Self {
        Self { address, ends: None }
    }
}

/// A connection that carries bytes as they are.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Unpin {}

impl<I: AsyncRead + AsyncWrite + Unpin> Bytes for I {}

struct Idle {
    sender: http1::Sender,
    since: Instant,
}

/// An HTTP/1.1 connection in use. Dropped, it is closed when its response has ended; given back, it is used again.
pub(crate) struct Lease {
    pool: Weak<Pool>,
    way: Way,
    sender: http1::Sender,
}

/// Which protocol an application is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// Nothing of the request was written.
    #[error("the connection closed before the request was written")]
    Unsent(Box<Request<ReplayBody>>),
    /// Some of it may have been.
    #[error("the connection broke: {}", chain(.error))]
    Broken {
        /// What broke.
        error: hyper::Error,
        /// Whether the other side says that it never looked at the request.
        unprocessed: bool,
    },
    /// The response is malformed.
    #[error("the response is malformed: {0}")]
    Malformed(&'static str),
    /// There is nothing to show who calls; nobody was asked.
    #[error("no certificate")]
    Unidentified(#[source] io::Error),
    /// No connection.
    #[error("no connection")]
    Connect(#[source] io::Error),
}

impl Pool {
    pub(crate) fn new(limits: &Limits, identities: Arc<Identities>) -> Self {
        let limits = limits.clone();
        Self { limits, identities, http1: RefCell::default(), http2: RefCell::default() }
    }

    /// Sends a request to an address and waits for the head of its response. A connection that turns out to be closed
    /// before anything was written is replaced.
    ///
    /// # Errors
    /// [`SendError`], never with [`SendError::Unsent`] for a connection that had been idle.
    pub(crate) async fn send(
        self: &Rc<Self>,
        way: &Way,
        protocol: Protocol,
        request: Request<ReplayBody>,
    ) -> Result<(Response<Incoming>, Option<Lease>), SendError> {
        match protocol {
            Protocol::Http1 => self.send_http1(way, request).await,
            Protocol::Http2 => Ok((self.send_http2(way, request).await?, None)),
        }
    }

    /// Opens a connection of its own.
    ///
    /// # Errors
    /// The last of the host's addresses that failed.
    pub(crate) async fn connect(&self, address: &Address) -> io::Result<TcpStream> {
        let connecting = async {
            let stream = match address.socket() {
                Some(socket) => TcpStream::connect(socket).await?,
                None => TcpStream::connect((address.host(), address.port())).await?,
            };
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let timed_out = || io::Error::new(io::ErrorKind::TimedOut, "connecting took too long");
        tokio::time::timeout(self.limits.connect_timeout, connecting).await.map_err(|_| timed_out())?
    }

    /// Opens a connection that carries bytes as they are.
    ///
    /// # Errors
    /// What kept it from being opened.
    pub(crate) async fn open_bytes(&self, way: &Way) -> io::Result<Box<dyn Bytes>> {
        match &way.ends {
            None => Ok(Box::new(self.connect(&way.address).await?)),
            Some(ends) => {
                let own = tls::holder(&self.identities, &ends.from)?;
                Ok(Box::new(self.secure(&way.address, &own, &ends.to, tls::BYTES).await?))
            }
        }
    }

    async fn secure(
        &self,
        address: &Address,
        own: &Own,
        to: &Workload,
        protocol: &[u8],
    ) -> io::Result<TlsStream<TcpStream>> {
        let stream = self.connect(address).await?;
        let timed_out = || io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long");
        let securing = tls::secure(&self.identities, own, to, protocol, stream);
        // On the heap, so that calls within the process keep no room for it.
        let securing = Box::pin(tokio::time::timeout(self.limits.connect_timeout, securing));
        securing.await.map_err(|_| timed_out())?
    }

    /// A connection to a workload of another data plane, each side having shown who it is.
    async fn cross(
        &self,
        address: &Address,
        ends: &Ends,
        protocol: &[u8],
    ) -> Result<TlsStream<TcpStream>, SendError> {
        let own = tls::holder(&self.identities, &ends.from).map_err(SendError::Unidentified)?;
        self.secure(address, &own, &ends.to, protocol).await.map_err(SendError::Connect)
    }

    async fn open_http1(&self, way: &Way) -> Result<http1::Sender, SendError> {
        let opened = match &way.ends {
            None => {
                let stream = self.connect(&way.address).await.map_err(SendError::Connect)?;
                http1::connect(stream, &self.limits).await
            }
            Some(ends) => {
                let stream = Box::pin(self.cross(&way.address, ends, tls::HTTP1)).await?;
                http1::connect(stream, &self.limits).await
            }
        };
        opened.map_err(broken)
    }

    async fn open_http2(&self, way: &Way) -> Result<http2::Sender, SendError> {
        let opened = match &way.ends {
            None => {
                let stream = self.connect(&way.address).await.map_err(SendError::Connect)?;
                http2::connect(stream, &self.limits).await
            }
            Some(ends) => {
                let stream = Box::pin(self.cross(&way.address, ends, tls::HTTP2)).await?;
                http2::connect(stream, &self.limits).await
            }
        };
        opened.map_err(broken)
    }

    /// Closes what has been idle for too long. To be called now and then.
    pub(crate) fn close_idle(&self) {
        let limit = self.limits.idle_timeout;
        self.http1.borrow_mut().retain(|_, idle| {
            idle.retain_mut(|it| it.since.elapsed() < limit && !it.sender.has_ended());
            !idle.is_empty()
        });
        self.http2.borrow_mut().retain(|_, slot| {
            slot.try_lock().map_or(true, |sender| sender.as_ref().is_some_and(|it| !it.is_closed()))
        });
    }

    async fn send_http1(
        self: &Rc<Self>,
        way: &Way,
        mut request: Request<ReplayBody>,
    ) -> Result<(Response<Incoming>, Option<Lease>), SendError> {
        while let Some(mut sender) = self.take_idle(way) {
            match sender.send(request).await {
                Ok(response) => return Ok((response, Some(self.lease(way, sender)))),
                Err(SendError::Unsent(unsent)) => request = *unsent,
                Err(other) => return Err(other),
            }
        }
        // On the heap, like every opening: a request on a connection that is there keeps no room for it.
        let mut sender = Box::pin(self.open_http1(way)).await?;
        let response = sender.send(request).await?;
        Ok((response, Some(self.lease(way, sender))))
    }

    async fn send_http2(
        &self,
        way: &Way,
        mut request: Request<ReplayBody>,
    ) -> Result<Response<Incoming>, SendError> {
        let slot = Rc::clone(self.http2.borrow_mut().entry(way.clone()).or_default());
        loop {
            let (mut sender, fresh) = self.http2_sender(&slot, way).await?;
            match sender.send(request).await {
                // A connection that had been there may have closed unnoticed; a new one gets no second chance.
                Err(SendError::Unsent(unsent)) if !fresh => {
                    *slot.lock().await = None;
                    request = *unsent;
                }
                other => return other,
            }
        }
    }

    /// The connection of a slot, and whether it was made now.
    async fn http2_sender(
        &self,
        slot: &tokio::sync::Mutex<Option<http2::Sender>>,
        way: &Way,
    ) -> Result<(http2::Sender, bool), SendError> {
        let mut slot = slot.lock().await;
        if let Some(sender) = slot.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok((sender.clone(), false));
        }
        let sender = Box::pin(self.open_http2(way)).await?;
        *slot = Some(sender.clone());
        Ok((sender, true))
    }

    fn take_idle(&self, way: &Way) -> Option<http1::Sender> {
        let mut http1 = self.http1.borrow_mut();
        let idle = http1.get_mut(way)?;
        while let Some(Idle { mut sender, since }) = idle.pop() {
            if since.elapsed() >= self.limits.idle_timeout {
                // Those below have been idle for longer.
                idle.clear();
                return None;
            }
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    fn lease(self: &Rc<Self>, way: &Way, sender: http1::Sender) -> Lease {
        Lease { pool: Rc::downgrade(self), way: way.clone(), sender }
    }
}

impl Lease {
    /// Reads and writes as far as that is possible now; a response's body comes by this.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        self.sender.drive(cx);
    }

    /// Lets go of whoever drove it.
    pub(crate) fn rest(&mut self) {
        self.sender.rest();
    }

    /// Leaves the connection to itself: it is to speak another protocol.
    pub(crate) fn run_apart(&mut self) {
        self.sender.run_apart();
    }

    /// Returns the connection for the next request. To be called when the response has been read to its end; whoever
    /// [drove](Self::drive) it since its head came has it [rest](Self::rest) first, or is woken by the next request.
    pub(crate) fn give_back(self) {
        let Some(pool) = self.pool.upgrade().filter(|_| !self.sender.is_closed()) else { return };
        let mut http1 = pool.http1.borrow_mut();
        let idle = match http1.get_mut(&self.way) {
            Some(idle) => idle,
            None => http1.entry(self.way).or_default(),
        };
        if idle.len() < pool.limits.idle_connections {
            idle.push(Idle { sender: self.sender, since: Instant::now() });
        }
    }
}

fn broken(error: hyper::Error) -> SendError {
    SendError::Broken { error, unprocessed: true }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
