//! The tables, and how they come to be: numbered steps, each applied once, by one server at a time.
//!
//! A step is never changed once it was published; a new one is added. A database whose steps go further than those
//! known here was written by a newer version and is refused. When nothing is to be done nothing is locked, so a role
//! that may only read and write rows is enough from then on.

use super::connect::ConnectError;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row, raw_sql};
use tenon_core::LogId;
use uuid::Uuid;

/// The steps, in order; a step's number is its place, from 1.
const STEPS: &[&str] = &[
    include_str!("schema/0001_log.sql"),
    include_str!("schema/0002_leases.sql"),
    include_str!("schema/0003_deleted.sql"),
    include_str!("schema/0004_names.sql"),
];

/// The newest schema that is understood.
const SUPPORTED: i32 = STEPS.len() as i32;

/// Held while steps are applied: an arbitrary number that nothing else is likely to use.
const LOCK: i64 = 0x0074_656e_6f6e_6c6f;

/// Brings the tables up to date, and answers with the log's id: `id` if the log had to be made.
pub(super) async fn prepare(connection: &mut PgConnection, id: LogId) -> Result<LogId, ConnectError> {
    if version(connection).await? != Some(SUPPORTED) {
        apply(connection, id).await?;
    }
    let log: Uuid = sqlx::query_scalar("SELECT log FROM tenon.log_head WHERE one")
        .fetch_one(connection)
        .await
        .map_err(ConnectError::schema)?;
    Ok(LogId::from_bytes(log.into_bytes()))
}

/// The last step that was applied; none if there are no tables at all.
async fn version(connection: &mut PgConnection) -> Result<Option<i32>, ConnectError> {
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('tenon.steps') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(ConnectError::schema)?;
    if !exists {
        return Ok(None);
    }
    let found: Option<i32> = sqlx::query_scalar("SELECT max(step) FROM tenon.steps")
        .fetch_one(connection)
        .await
        .map_err(ConnectError::schema)?;
    match found {
        Some(found) if found > SUPPORTED => Err(ConnectError::NewerVersion { found, supported: SUPPORTED }),
        found => Ok(found),
    }
}

/// Applies what is missing, in one transaction, after whoever else is about it.
async fn apply(connection: &mut PgConnection, id: LogId) -> Result<(), ConnectError> {
    let mut transaction = connection.begin().await.map_err(ConnectError::schema)?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *transaction)
        .await
        .map_err(ConnectError::schema)?;
    raw_sql(
        "CREATE SCHEMA IF NOT EXISTS tenon;
         CREATE TABLE IF NOT EXISTS tenon.steps (step integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());",
    )
    .execute(&mut *transaction)
    .await
    .map_err(ConnectError::schema)?;
    let done = version(&mut transaction).await?.unwrap_or(0);
    for (step, sql) in (1..).zip(STEPS).skip_while(|(step, _)| *step <= done) {
        raw_sql(*sql).execute(&mut *transaction).await.map_err(ConnectError::schema)?;
        sqlx::query("INSERT INTO tenon.steps (step) VALUES ($1)")
            .bind(step)
            .execute(&mut *transaction)
            .await
            .map_err(ConnectError::schema)?;
    }
    sqlx::query("INSERT INTO tenon.log_head (log) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(Uuid::from_bytes(*id.as_bytes()))
        .execute(&mut *transaction)
        .await
        .map_err(ConnectError::schema)?;
    transaction.commit().await.map_err(ConnectError::schema)
}

/// Where the log ends and begins, as the database says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) log: LogId,
    pub(super) last: u64,
    pub(super) time_micros: u64,
    pub(super) first: u64,
}

impl Head {
    /// Reads the columns `log`, `last`, `time_micros` and `first`.
    pub(super) fn from_row(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
        let log: Uuid = row.try_get("log")?;
        let number = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
        Ok(Self {
            log: LogId::from_bytes(log.into_bytes()),
            last: number("last")?,
            time_micros: number("time_micros")?,
            first: number("first")?,
        })
    }
}
