//! Tenon's log in PostgreSQL: a private server of Debian's package with its usual settings, so every commit is synced.

use crate::report::Report;
use crate::{Outcome, tenon};
use std::sync::Arc;
use std::time::Duration;
use tenon_backends::testing::PrivateServer;
use tenon_backends::{PostgresLog, PostgresOptions};
use tenon_store::Log;

/// A server with an empty log.
async fn start() -> Outcome<(PrivateServer, Arc<dyn Log>)> {
    let server = tokio::task::spawn_blocking(PrivateServer::start).await??;
    let url = server.database();
    let log = PostgresLog::open(&url, PostgresOptions::default()).await?;
    Ok((server, log.into_log()))
}

/// So many callers, each of which appends one event after the other.
pub(crate) async fn append(callers: usize, span: Duration, streams: u64) -> Outcome<Report> {
    let (_server, log) = start().await?;
    tenon::append_to(&log, callers, span, streams).await
}

/// Reads everything that was appended in so long.
pub(crate) async fn replay(span: Duration, streams: u64) -> Outcome<Report> {
    let (_server, log) = start().await?;
    tenon::append_to(&log, 4_096, span, streams).await?;
    tenon::replay_of(&log).await
}
