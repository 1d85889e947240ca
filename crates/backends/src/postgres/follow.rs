//! Learning what other servers append: by being told at once (`LISTEN`), and by asking now and then, since what is
//! told while a connection is broken is told to nobody.

use super::connect::ask;
use super::schema::Head;
use super::seen::Seen;
use sqlx::postgres::{PgListener, PgPool};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long to wait after a connection for listening could not be had.
const AFTER_FAILURE: Duration = Duration::from_millis(250);

/// The two tasks. They end when this is dropped.
pub(super) struct Follower {
    tasks: [JoinHandle<()>; 2],
}

impl Follower {
    pub(super) fn start(pool: &PgPool, seen: &Arc<Seen>, every: Duration) -> Self {
        let listening = tokio::spawn(listen(pool.clone(), Arc::clone(seen)));
        let asking = tokio::spawn(poll(pool.clone(), Arc::clone(seen), every));
        Self { tasks: [listening, asking] }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn listen(pool: PgPool, seen: Arc<Seen>) {
    while seen.closed().is_none() {
        if let Err(error) = listen_once(&pool, &seen).await {
            tracing::debug!(%error, "cannot listen for appends of other servers; they are asked for instead");
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }
}

async fn listen_once(pool: &PgPool, seen: &Seen) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen("tenon_log").await?;
    // What was told before is not told again.
    refresh(pool, seen).await?;
    loop {
        match listener.try_recv().await? {
            Some(told) => match parse(told.payload()) {
                Some((last, first)) => seen.note(last, first),
                None => refresh(pool, seen).await?,
            },
            // The connection was lost, and is there again.
            None => refresh(pool, seen).await?,
        }
        if seen.closed().is_some() {
            return Ok(());
        }
    }
}

/// Reads `LAST FIRST`.
fn parse(payload: &str) -> Option<(u64, u64)> {
    let (last, first) = payload.split_once(' ')?;
    Some((last.parse().ok()?, first.parse().ok()?))
}

async fn poll(pool: PgPool, seen: Arc<Seen>, every: Duration) {
    while seen.closed().is_none() {
        tokio::time::sleep(every).await;
        if let Err(error) = refresh(&pool, &seen).await {
            tracing::debug!(%error, "cannot ask where the log ends; it will be asked again");
        }
    }
}

/// Asks where the log ends and begins.
pub(super) async fn refresh(pool: &PgPool, seen: &Seen) -> Result<(), sqlx::Error> {
    let known = seen.last();
    let query = sqlx::query("SELECT log, last, time_micros, first FROM tenon.log_head WHERE one");
    let rows = ask(pool, query).await?;
    let head = Head::from_row(rows.first().ok_or(sqlx::Error::RowNotFound)?)?;
    // What does not fit has closed the log, and was said.
    let _ = seen.check(head, known);
    Ok(())
}
