//! Forgetting users' events by their age: now and then the scavenge mark moves to the first that is young enough.
//!
//! Several servers may do it at a time: the mark only goes forward, and no row is deleted twice.

use super::scavenge::truncate_before;
use super::seen::Seen;
use sqlx::postgres::PgPool;
use std::sync::Arc;
use std::time::Duration;
use tenon_core::{Position, Timestamp};
use tenon_store::Clock;
use tokio::task::JoinHandle;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(60);

/// The task that moves the mark.
pub(super) struct Retainer {
    task: JoinHandle<()>,
}

impl Retainer {
    /// Starts it, for events to be kept so long.
    pub(super) fn start(pool: PgPool, seen: Arc<Seen>, age: Duration, clock: Clock) -> Self {
        let task = tokio::spawn(async move {
            loop {
                forget(&pool, &seen, age, clock()).await;
                tokio::time::sleep(EVERY).await;
            }
        });
        Self { task }
    }
}

impl Drop for Retainer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Forgets what is older than so much.
pub(super) async fn forget(pool: &PgPool, seen: &Seen, age: Duration, now: Timestamp) {
    let forgotten = match first_kept(pool, age, now).await {
        Ok(first) if first > seen.first() => {
            truncate_before(pool, seen, first).await.map_err(|error| error.to_string())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = forgotten {
        tracing::warn!(error, "events that need not be kept are left; trying again later");
    }
}

/// The first position that is young enough, or the one that the next event gets.
async fn first_kept(pool: &PgPool, age: Duration, now: Timestamp) -> Result<Position, sqlx::Error> {
    let age = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
    let first: i64 = sqlx::query_scalar(
        "SELECT COALESCE((
             SELECT e.position FROM tenon.events e
             WHERE e.position >= h.first AND e.time_micros >= $1 ORDER BY e.position LIMIT 1
         ), h.last + 1) FROM tenon.log_head h WHERE h.one",
    )
    .bind(now.as_micros().saturating_sub(age).cast_signed())
    .fetch_one(pool)
    .await?;
    Ok(Position(first.cast_unsigned()))
}
