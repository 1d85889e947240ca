//! Moving the scavenge mark, and giving back the room of users' events before it.
//!
//! The mark moves under the lock of appends, in one short statement; rows are deleted afterwards, some at a time and
//! without that lock, so appends are not held up. A deletion that was broken off is taken up by the next.

use super::failure::Failure;
use super::seen::Seen;
use super::sql::number;
use sqlx::Row;
use sqlx::postgres::PgPool;
use tenon_core::Position;
use tenon_store::{AppendError, InvalidInput, ReadError, TruncateError};

/// How many events are deleted at once.
pub(super) const AT_ONCE: i64 = 2_000;

/// Moves the mark to `first` if that is further, and deletes what lies before it.
pub(super) async fn truncate_before(
    pool: &PgPool,
    seen: &Seen,
    first: Position,
) -> Result<(), TruncateError> {
    let mark = move_mark(pool, seen, first).await?;
    delete_before(pool, mark)
        .await
        .map_err(|error| TruncateError::Read(ReadError::from(Failure::from(error))))
}

async fn move_mark(pool: &PgPool, seen: &Seen, first: Position) -> Result<Position, TruncateError> {
    let failed = |error: sqlx::Error| TruncateError::Append(AppendError::from(Failure::from(error)));
    let moved = sqlx::query(
        "WITH moved AS (
             UPDATE tenon.log_head SET first = GREATEST(first, $1) WHERE one AND $1 <= last + 1 RETURNING last, first
         )
         SELECT last, first, pg_notify('tenon_log', last || ' ' || first) IS NULL AS told FROM moved",
    )
    .bind(number(first))
    .fetch_optional(pool)
    .await
    .map_err(failed)?;
    let Some(row) = moved else {
        super::follow::refresh(pool, seen).await.map_err(failed)?;
        return Err(InvalidInput::BeyondHead { first, head: seen.last() }.into());
    };
    let number = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned).map_err(failed);
    let (last, mark) = (number("last")?, number("first")?);
    seen.note(last, mark);
    Ok(Position(mark))
}

async fn delete_before(pool: &PgPool, mark: Position) -> Result<(), sqlx::Error> {
    let mut after = 0_i64;
    loop {
        let reached: Option<i64> = sqlx::query_scalar(
            "WITH old AS (
                 SELECT position FROM tenon.events
                 WHERE position > $1 AND position < $2 AND NOT reserved ORDER BY position LIMIT $3
             ), gone AS (
                 DELETE FROM tenon.events e USING old WHERE e.position = old.position
                 RETURNING e.position, e.namespace, e.tags
             ), untagged AS (
                 DELETE FROM tenon.tags t USING gone g, unnest(g.tags) AS n(tag)
                 WHERE t.tag = n.tag AND t.namespace = g.namespace AND t.position = g.position
             )
             SELECT max(position) FROM gone",
        )
        .bind(after)
        .bind(number(mark))
        .bind(AT_ONCE)
        .fetch_one(pool)
        .await?;
        match reached {
            Some(reached) => after = reached,
            None => return Ok(()),
        }
    }
}
