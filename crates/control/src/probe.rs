//! One question to one instance: is it healthy?
//!
//! A probe opens a connection of its own, asks, and closes it: a pooled connection would say little about
//! whether new callers can reach the instance. What the answer means is decided by `core::health`.
//!
//! Left out on purpose: when to ask and what follows (`health`), heartbeats (nobody asks there).

use crate::error::chain;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tenon_core::Address;
use tenon_core::health::{Check, Failure};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// How a probe presents itself to HTTP servers.
const AGENT: &str = "tenon-health";

/// At most so much of an answer's body is read, out of politeness to servers that complain otherwise.
const MAX_BODY_BYTES: usize = 64 << 10;

/// What came of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Whether the instance is healthy, and if not, what kind of failure that is.
    pub(crate) result: Result<(), Failure>,
    /// What was answered, for people.
    pub(crate) text: String,
    /// How long that took.
    pub(crate) took: Duration,
}

/// What was answered, or why nothing was.
type Said = Result<String, (Failure, String)>;

/// Asks the instance at `address`, for `timeout` at most. A TTL asks nothing: its answer is always healthy,
/// and whoever calls never should.
pub(crate) async fn probe(check: &Check, address: &Address, timeout: Duration) -> Answer {
    let began = Instant::now();
    let asking = async {
        match check {
            Check::Http { path } => http(address, path).await,
            Check::Grpc { service } => grpc(address, service).await,
            Check::Tcp => connect(address).await.map(|_| "connected".into()),
            Check::Ttl { .. } => Ok("not asked".into()),
        }
    };
    let said = tokio::time::timeout(timeout, asking).await;
    let said = said.unwrap_or_else(|_| Err((Failure::Timeout, format!("no answer within {timeout:?}"))));
    let took = began.elapsed();
    match said {
        Ok(text) => Answer { result: Ok(()), text, took },
        Err((failure, text)) => Answer { result: Err(failure), text, took },
    }
}

async fn http(address: &Address, path: &str) -> Said {
    let status = http_exchange(address, path).await?;
    let text = format!("status {}", status.as_u16());
    if status.is_success() { Ok(text) } else { Err((Failure::Unhealthy, text)) }
}

async fn http_exchange(address: &Address, path: &str) -> Result<StatusCode, (Failure, String)> {
    let request = http_request(address, path).map_err(|error| (Failure::Unhealthy, error.to_string()))?;
    let stream = TokioIo::new(connect(address).await?);
    let (mut sender, connection) = http1::handshake(stream).await.map_err(network)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(network)?;
        let status = response.status();
        read_body(response.into_body()).await;
        Ok(status)
    };
    // The connection moves only while it is polled. That it ends well says nothing about the exchange; that
    // it fails, the exchange tells with better words.
    let driven = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        biased;
        answer = exchange => answer,
        never = driven => never,
    }
}

fn http_request(address: &Address, path: &str) -> Result<Request<Empty<bytes::Bytes>>, http::Error> {
    Request::get(path)
        .header(HOST, address.to_string())
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close")
        .body(Empty::new())
}

/// Reads up to the bound. A body that breaks off does not take back its status.
async fn read_body(mut body: Incoming) {
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, bytes::Bytes::len);
        if read > MAX_BODY_BYTES {
            return;
        }
    }
}

async fn grpc(address: &Address, service: &str) -> Said {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(network)?;
    let channel = endpoint.connect().await.map_err(network)?;
    let request = HealthCheckRequest { service: service.to_owned() };
    match HealthClient::new(channel).check(request).await {
        Ok(response) => serving(response.into_inner().status()),
        Err(status) => Err(refused(&status)),
    }
}

fn serving(status: ServingStatus) -> Said {
    let text = status.as_str_name().to_owned();
    if status == ServingStatus::Serving { Ok(text) } else { Err((Failure::Unhealthy, text)) }
}

fn refused(status: &tonic::Status) -> (Failure, String) {
    if status.code() == tonic::Code::Unavailable {
        return (Failure::Network, status.message().to_owned());
    }
    (Failure::Unhealthy, format!("gRPC status {:?}: {}", status.code(), status.message()))
}

async fn connect(address: &Address) -> Result<TcpStream, (Failure, String)> {
    TcpStream::connect((address.host(), address.port())).await.map_err(network)
}

/// The error with its causes: the outermost of hyper's and tonic's says little.
fn network(error: impl std::error::Error) -> (Failure, String) {
    (Failure::Network, chain(&error))
}

#[cfg(test)]
mod tests;
