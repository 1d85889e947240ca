//! Deleting the rows of streams that were deleted: behind the append that deletes, some at a time and without the lock
//! of appends. Until it is done `tenon.deleted` names the stream, and reads pass over what is left of it.
//!
//! What a server leaves undone is taken up by the next that opens the log. Several may do it at a time.

use super::failure::Failure;
use super::scavenge::AT_ONCE;
use sqlx::Row;
use sqlx::postgres::PgPool;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// After a failure, and in case another server ended in the middle of it.
const AGAIN: Duration = Duration::from_secs(60);

/// What passes over events of deleted streams `e`.
pub(super) const NOT_DELETED: &str = "NOT EXISTS (SELECT 1 FROM tenon.deleted d WHERE d.stream = e.stream \
                                      AND d.namespace = e.namespace AND d.position > e.position)";

/// The task that deletes rows.
pub(super) struct Sweeper {
    task: JoinHandle<()>,
}

impl Sweeper {
    /// Starts it; it looks whenever it is woken.
    pub(super) fn start(pool: PgPool, woken: Arc<Notify>) -> Self {
        let task = tokio::spawn(async move {
            loop {
                if let Err(error) = sweep(&pool).await {
                    let error = Failure::from(error);
                    tracing::warn!(?error, "rows of deleted streams are left; trying again later");
                }
                // In time or not, it looks.
                let _ = tokio::time::timeout(AGAIN, woken.notified()).await;
            }
        });
        Self { task }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn sweep(pool: &PgPool) -> Result<(), sqlx::Error> {
    let next = "SELECT stream, namespace, position FROM tenon.deleted LIMIT 1";
    while let Some(row) = sqlx::query(next).fetch_optional(pool).await? {
        let (stream, namespace) = (row.try_get("stream")?, row.try_get("namespace")?);
        sweep_stream(pool, stream, namespace, row.try_get("position")?).await?;
    }
    Ok(())
}

async fn sweep_stream(
    pool: &PgPool,
    stream: &str,
    namespace: &str,
    deleted_at: i64,
) -> Result<(), sqlx::Error> {
    let mut gone = AT_ONCE;
    while gone == AT_ONCE {
        gone = sqlx::query_scalar(
            "WITH old AS (
                 SELECT position FROM tenon.events
                 WHERE stream = $1 AND namespace = $2 AND position < $3 ORDER BY position LIMIT $4
             ), gone AS (
                 DELETE FROM tenon.events e USING old WHERE e.position = old.position
                 RETURNING e.position, e.namespace, e.tags
             ), untagged AS (
                 DELETE FROM tenon.tags t USING gone g, unnest(g.tags) AS n(tag)
                 WHERE t.tag = n.tag AND t.namespace = g.namespace AND t.position = g.position
             )
             SELECT count(*) FROM old",
        )
        .bind(stream)
        .bind(namespace)
        .bind(deleted_at)
        .bind(AT_ONCE)
        .fetch_one(pool)
        .await?;
    }
    // Unless it was deleted again meanwhile.
    sqlx::query("DELETE FROM tenon.deleted WHERE stream = $1 AND namespace = $2 AND position = $3")
        .bind(stream)
        .bind(namespace)
        .bind(deleted_at)
        .execute(pool)
        .await?;
    Ok(())
}
