//! Snapshots as rows. They are as durable as the events, and one is served only if it is not ahead of them.

use super::sql::number;
use sqlx::Row;
use sqlx::postgres::PgPool;
use tenon_core::Position;
use tenon_store::{SchemaHash, Snapshot, SnapshotKey};

pub(super) async fn put(pool: &PgPool, snapshot: &Snapshot) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO tenon.snapshots (key, position, schema_hash, data) VALUES ($1, $2, $3, $4)
         ON CONFLICT (key) DO UPDATE
         SET position = excluded.position, schema_hash = excluded.schema_hash, data = excluded.data",
    )
    .bind(snapshot.key.as_str())
    .bind(number(snapshot.position))
    .bind(snapshot.schema.0.cast_signed())
    .bind(&snapshot.data[..])
    .execute(pool)
    .await
    .map(|_| ())
}

pub(super) async fn get(
    pool: &PgPool,
    key: SnapshotKey,
    schema: SchemaHash,
) -> Result<Option<Snapshot>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT s.position, s.data FROM tenon.snapshots s, tenon.log_head h
         WHERE h.one AND s.key = $1 AND s.schema_hash = $2 AND s.position <= h.last",
    )
    .bind(key.as_str())
    .bind(schema.0.cast_signed())
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let position: i64 = row.try_get("position")?;
    let data: Vec<u8> = row.try_get("data")?;
    Ok(Some(Snapshot { key, position: Position(position.cast_unsigned()), schema, data: data.into() }))
}
