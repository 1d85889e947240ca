//! Accepts connections and serves the API on them, HTTP/1.1 and HTTP/2 alike.
//!
//! Bounded: at most [`MAX_CONNECTIONS`] at once (further ones wait in the kernel's queue; one that has become a WebSocket
//! counts as a stream of events instead), a head must come within [`HEAD_TIMEOUT`], and at the end open requests have [`DRAIN`] to finish.

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The most connections at once.
const MAX_CONNECTIONS: usize = 1_024;

/// How long a request's head may take to come.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long open requests may take at the end. Streams are ended by the same token, so they don't need it.
const DRAIN: Duration = Duration::from_secs(5);

/// The most bytes of a request's head.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// The most requests at once on one connection.
const MAX_STREAMS: u32 = 1_024;

/// How long to wait after an accept failed: it does when the process has no file descriptor left.
const AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Serves until `stop`, then lets open requests finish.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let builder = builder();
    let mut connections = JoinSet::new();
    while let Some((stream, permit)) = stop.run_until_cancelled(accept(&listener, &permits)).await {
        let service = TowerToHyperService::new(router.clone());
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error, "a connection to the API ended early");
            }
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!(open = connections.len(), "requests did not finish in time and are cut off");
    }
}

async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let Ok(permit) = Arc::clone(permits).acquire_owned().await else {
            unreachable!("the semaphore is never closed");
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                return (stream, permit);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to the API");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX));
    builder
}
