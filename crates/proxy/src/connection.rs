//! A connection from a client: whose it is, which protocol it speaks, and who deals with its requests.

use crate::body::Body;
use crate::config::Limits;
use crate::course::Course;
use crate::detect::{self, Detected};
use crate::drain::Drain;
use crate::headers::Trust;
use crate::identity::Shown;
use crate::listener::Guest;
use crate::prefixed::Prefixed;
use crate::refusal::Refused;
use crate::story::Story;
use crate::tls::{self, Arrival};
use crate::worker::Worker;
use crate::{extended, gateway, http1, http2, inbound, outbound, tunnel};
use futures_util::FutureExt as _;
use http::uri::Authority;
use http::{Request, Response};
use hyper::body::Incoming;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;
use tenon_api::problem::Component;
use tenon_core::InstanceId;
use tenon_core::http1::Violation;
use tenon_core::identity::Workload;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What a listener is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    /// Calls by the application of this instance.
    Outbound(InstanceId),
    /// Calls from other processes for the application of this instance.
    Inbound(InstanceId),
    /// Calls from outside.
    Gateway,
    /// Calls from outside, by TLS.
    SecureGateway,
    /// Calls from outside that are told to come by TLS.
    Redirect,
}

/// A connection, as its requests see it.
pub(crate) struct Connection {
    pub(crate) role: Role,
    pub(crate) peer: IpAddr,
    /// What the client has shown of who it is.
    pub(crate) shown: Shown,
    /// Inside a tunnel, which a client that had shown who it is opened: where it leads.
    pub(crate) tunnel: Option<Authority>,
    /// Who the client has shown to be by its certificate, if it has.
    pub(crate) caller: Option<Workload>,
    pub(crate) drain: Rc<Drain>,
    guest: Guest,
}

impl Role {
    /// The part of Tenon that this is.
    pub(crate) fn component(&self) -> Component {
        match self {
            Self::Outbound(_) => Component::Outbound,
            Self::Inbound(_) => Component::Inbound,
            Self::Gateway | Self::SecureGateway | Self::Redirect => Component::Gateway,
        }
    }

    /// Whose sidecar this is.
    pub(crate) fn instance(&self) -> Option<&InstanceId> {
        match self {
            Self::Outbound(instance) | Self::Inbound(instance) => Some(instance),
            Self::Gateway | Self::SecureGateway | Self::Redirect => None,
        }
    }
}

impl Connection {
    pub(crate) fn new(role: Role, peer: IpAddr, drain: Rc<Drain>, guest: Guest) -> Self {
        Self { role, peer, shown: Shown::default(), tunnel: None, caller: None, drain, guest }
    }

    pub(crate) fn component(&self) -> Component {
        self.role.component()
    }

    /// Whether what its requests say of themselves is believed.
    pub(crate) fn trust(&self) -> Trust {
        match self.role {
            Role::Inbound(_) if self.caller.is_none() => Trust::Stranger,
            Role::Outbound(_) | Role::Inbound(_) => Trust::Mesh,
            Role::Gateway | Role::SecureGateway | Role::Redirect => Trust::Stranger,
        }
    }

    /// How long a client that has closed its sending side is taken to wait for an answer. Applications inside close it when they
    /// give up, and then nothing more is to be done for them.
    fn parting(&self, limits: &Limits) -> Duration {
        match self.component() {
            Component::Gateway => limits.parting,
            _ => Duration::ZERO,
        }
    }

    /// The same client inside a tunnel.
    pub(crate) fn tunnelled(&self, to: Authority) -> Self {
        let drain = Rc::clone(&self.drain);
        Self { tunnel: Some(to), ..Self::new(self.role.clone(), self.peer, drain, self.guest.another()) }
    }
}

/// Deals with a connection that has just been made.
pub(crate) async fn enter(worker: Rc<Worker>, mut connection: Connection, stream: TcpStream) {
    match Box::pin(tls::arrive(&worker, &connection, stream)).await {
        Ok(Arrival::Plain(stream)) => serve(worker, connection, stream).await,
        Ok(Arrival::Secure(stream, caller)) => {
            connection.caller = caller;
            if stream.get_ref().1.alpn_protocol() == Some(tls::BYTES) {
                return Box::pin(tunnel::deliver(&worker, &connection, stream)).await;
            }
            // On the heap, so that plain connections keep no room for it.
            Box::pin(serve(worker, connection, stream)).await;
        }
        Ok(Arrival::Gone) => {}
        Err(error) => {
            tracing::debug!(error = crate::pool::chain(&error), role = ?connection.role, "no TLS handshake");
        }
    }
}

/// Serves a connection until it ends. How it ends is the client's affair; it is told to `tracing` only.
pub(crate) async fn serve<I>(worker: Rc<Worker>, connection: Connection, mut io: I)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &worker.shared.config.limits;
    // Until a client has sent something there is no telling; an idle one is let go.
    let patience = if connection.tunnel.is_some() { limits.detect_timeout } else { limits.head_timeout };
    let detected = tokio::select! {
        biased;
        () = connection.drain.is_over() => return,
        detected = detect::detect(&mut io, patience) => detected,
    };
    let detected = match detected {
        Ok((Detected::Closed, _)) => return,
        Ok((Detected::Silent, _)) if connection.tunnel.is_none() => return,
        Ok((detected, read)) => (detected, Prefixed::new(read, io)),
        Err(error) => {
            tracing::debug!(%error, "a connection broke before its first request");
            return;
        }
    };
    let connection = Rc::new(connection);
    let handler = {
        let (worker, connection) = (Rc::clone(&worker), Rc::clone(&connection));
        move |request| handle(&worker, &connection, request)
    };
    let ended = match detected {
        (Detected::Http2, io) => http2::serve(io, limits, &connection.drain, handler).await,
        (Detected::Other | Detected::Silent, io) if connection.tunnel.is_some() => {
            return tunnel::carry_bytes(&worker, &connection, io).await;
        }
        // What is not HTTP is told so by the HTTP/1.1 server.
        (_, io) => http1::serve(io, limits, connection.parting(limits), &connection.drain, handler).await,
    };
    if let Err(error) = ended {
        tracing::debug!(error = crate::pool::chain(&error), role = ?connection.role, "a client's connection broke");
    }
}

fn handle(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    mut request: Request<Incoming>,
) -> impl Future<Output = Response<Body>> + use<> {
    let extended = extended::begin(&mut request);
    let response = course(worker, connection, request).take(worker);
    response.map(move |response| if extended { extended::end(response) } else { response })
}

fn course(worker: &Rc<Worker>, connection: &Rc<Connection>, request: Request<Incoming>) -> Course {
    if let Some(violation) = request.extensions().get::<Violation>() {
        let refused = Refused::new(violation.code(), violation.to_string()).by("http1");
        return Story::begin(worker, connection, &request).refuse(&refused).into();
    }
    match &connection.role {
        Role::Outbound(instance) => outbound::course(worker, connection, instance, request),
        Role::Inbound(instance) => inbound::course(worker, connection, instance, request),
        Role::Gateway | Role::SecureGateway => gateway::course(worker, connection, request),
        Role::Redirect => gateway::redirect(worker, connection, &request).into(),
    }
}
