//! Connections to applications, kept for the next request. A pool belongs to one thread.
//!
//! HTTP/1.1: a connection is leased for one request and comes back when its response has ended; the one used last is
//! used first, and those that were idle for too long are closed. HTTP/2: one connection to an address carries all.
//!
//! Left out on purpose: how many connections there may be, which the limits on requests in flight decide.

use crate::body::ReplayBody;
use crate::config::Limits;
use crate::{http1, http2};
use http::{Request, Response};
use hyper::body::Incoming;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::{Rc, Weak};
use std::time::Instant;
use tenon_core::Address;
use tokio::net::TcpStream;

/// One thread's connections.
pub(crate) struct Pool {
    limits: Limits,
    http1: RefCell<HashMap<Address, Vec<Idle>>>,
    /// Locked while connecting, so that the requests that come meanwhile share the connection.
    http2: RefCell<HashMap<Address, Rc<tokio::sync::Mutex<Option<http2::Sender>>>>>,
}

struct Idle {
    sender: http1::Sender,
    since: Instant,
}

/// An HTTP/1.1 connection in use. Dropped, it is closed when its response has ended; given back, it is used again.
pub(crate) struct Lease {
    pool: Weak<Pool>,
    address: Address,
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
    /// No connection.
    #[error("no connection")]
    Connect(#[source] io::Error),
}

impl Pool {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { limits: limits.clone(), http1: RefCell::default(), http2: RefCell::default() }
    }

    /// Sends a request to an address and waits for the head of its response. A connection that turns out to be closed
    /// before anything was written is replaced.
    ///
    /// # Errors
    /// [`SendError`], never with [`SendError::Unsent`] for a connection that had been idle.
    pub(crate) async fn send(
        self: &Rc<Self>,
        address: &Address,
        protocol: Protocol,
        request: Request<ReplayBody>,
    ) -> Result<(Response<Incoming>, Option<Lease>), SendError> {
        match protocol {
            Protocol::Http1 => self.send_http1(address, request).await,
            Protocol::Http2 => Ok((self.send_http2(address, request).await?, None)),
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

    /// Closes what has been idle for too long. To be called now and then.
    pub(crate) fn close_idle(&self) {
        let limit = self.limits.idle_timeout;
        self.http1.borrow_mut().retain(|_, idle| {
            idle.retain(|it| it.since.elapsed() < limit && !it.sender.is_closed());
            !idle.is_empty()
        });
        self.http2.borrow_mut().retain(|_, slot| {
            slot.try_lock().map_or(true, |sender| sender.as_ref().is_some_and(|it| !it.is_closed()))
        });
    }

    async fn send_http1(
        self: &Rc<Self>,
        address: &Address,
        mut request: Request<ReplayBody>,
    ) -> Result<(Response<Incoming>, Option<Lease>), SendError> {
        while let Some(mut sender) = self.take_idle(address) {
            match sender.send(request).await {
                Ok(response) => return Ok((response, Some(self.lease(address, sender)))),
                Err(SendError::Unsent(unsent)) => request = *unsent,
                Err(other) => return Err(other),
            }
        }
        let stream = self.connect(address).await.map_err(SendError::Connect)?;
        let mut sender = http1::connect(stream, &self.limits).await.map_err(broken)?;
        let response = sender.send(request).await?;
        Ok((response, Some(self.lease(address, sender))))
    }

    async fn send_http2(
        &self,
        address: &Address,
        mut request: Request<ReplayBody>,
    ) -> Result<Response<Incoming>, SendError> {
        let slot = Rc::clone(self.http2.borrow_mut().entry(address.clone()).or_default());
        loop {
            let (mut sender, fresh) = self.http2_sender(&slot, address).await?;
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
        address: &Address,
    ) -> Result<(http2::Sender, bool), SendError> {
        let mut slot = slot.lock().await;
        if let Some(sender) = slot.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok((sender.clone(), false));
        }
        let stream = self.connect(address).await.map_err(SendError::Connect)?;
        let sender = http2::connect(stream, &self.limits).await.map_err(broken)?;
        *slot = Some(sender.clone());
        Ok((sender, true))
    }

    fn take_idle(&self, address: &Address) -> Option<http1::Sender> {
        let mut http1 = self.http1.borrow_mut();
        let idle = http1.get_mut(address)?;
        while let Some(Idle { sender, since }) = idle.pop() {
            if since.elapsed() >= self.limits.idle_timeout {
                // Those below have been idle for longer.
                idle.clear();
                return None;
            }
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    fn lease(self: &Rc<Self>, address: &Address, sender: http1::Sender) -> Lease {
        Lease { pool: Rc::downgrade(self), address: address.clone(), sender }
    }
}

impl Lease {
    /// Returns the connection for the next request. To be called when the response has been read to its end.
    pub(crate) fn give_back(self) {
        let Some(pool) = self.pool.upgrade().filter(|_| !self.sender.is_closed()) else { return };
        let mut http1 = pool.http1.borrow_mut();
        let idle = match http1.get_mut(&self.address) {
            Some(idle) => idle,
            None => http1.entry(self.address).or_default(),
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
