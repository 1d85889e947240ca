//! What a participant keeps beside its own tables: one row for each step that it was called for.

use super::call::SagaCall;
use sqlx::{Database, Row};
use tenon_core::saga::barrier::Record;
use tenon_store::BoxFuture;

/// What is known of a step.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What was done.
    pub record: Record,
    /// What it was answered with.
    pub answer: Option<String>,
}

/// A database that can keep it. All of these work within the caller's transaction.
pub trait Records: Database {
    /// Makes the table, if there is none.
    fn prepare(connection: &mut Self::Connection) -> BoxFuture<'_, sqlx::Result<()>>;

    /// What is known of a step; nobody else changes it until the transaction ends.
    fn look<'a>(
        connection: &'a mut Self::Connection,
        call: &'a SagaCall,
        now: i64,
    ) -> BoxFuture<'a, sqlx::Result<Kept>>;

    /// Keeps what is known of a step.
    fn keep<'a>(
        connection: &'a mut Self::Connection,
        call: &'a SagaCall,
        record: Record,
        answer: Option<&'a str>,
    ) -> BoxFuture<'a, sqlx::Result<()>>;

    /// Deletes what was last asked for before a time; how many rows.
    fn forget(connection: &mut Self::Connection, before: i64) -> BoxFuture<'_, sqlx::Result<u64>>;
}

macro_rules! table {
    () => {
        "CREATE TABLE IF NOT EXISTS tenon_barrier (saga TEXT NOT NULL, step TEXT NOT NULL, state BIGINT NOT NULL,
            round BIGINT NOT NULL, answer TEXT, called_ms BIGINT NOT NULL, PRIMARY KEY (saga, step))"
    };
}

/// Writes first, so that the row is the transaction's own before it is read.
const LOOK: &str = "INSERT INTO tenon_barrier (saga, step, state, round, called_ms) VALUES ($1, $2, 0, 0, $3)
    ON CONFLICT (saga, step) DO UPDATE SET called_ms = excluded.called_ms RETURNING state, round, answer";

const KEEP: &str =
    "UPDATE tenon_barrier SET state = $3, round = $4, answer = $5 WHERE saga = $1 AND step = $2";

macro_rules! records {
    ($database:ty, $prepare:expr) => {
        impl Records for $database {
            fn prepare(connection: &mut Self::Connection) -> BoxFuture<'_, sqlx::Result<()>> {
                Box::pin(async move { sqlx::raw_sql($prepare).execute(connection).await.map(drop) })
            }

            fn look<'a>(
                connection: &'a mut Self::Connection,
                call: &'a SagaCall,
                now: i64,
            ) -> BoxFuture<'a, sqlx::Result<Kept>> {
                Box::pin(async move {
                    let look = sqlx::query(LOOK).bind(call.saga.to_string()).bind(call.step.as_str());
                    let row = look.bind(now).fetch_one(connection).await?;
                    let record = record(row.try_get(0)?, row.try_get(1)?)?;
                    Ok(Kept { record, answer: row.try_get(2)? })
                })
            }

            fn keep<'a>(
                connection: &'a mut Self::Connection,
                call: &'a SagaCall,
                record: Record,
                answer: Option<&'a str>,
            ) -> BoxFuture<'a, sqlx::Result<()>> {
                Box::pin(async move {
                    let (state, round) = numbers(record);
                    let keep = sqlx::query(KEEP).bind(call.saga.to_string()).bind(call.step.as_str());
                    keep.bind(state).bind(round).bind(answer).execute(connection).await.map(drop)
                })
            }

            fn forget(connection: &mut Self::Connection, before: i64) -> BoxFuture<'_, sqlx::Result<u64>> {
                Box::pin(async move {
                    let delete = sqlx::query("DELETE FROM tenon_barrier WHERE called_ms < $1").bind(before);
                    delete.execute(connection).await.map(|done| done.rows_affected())
                })
            }
        }
    };
}

records!(sqlx::Sqlite, table!());
// One transaction, in which replicas that start at once come one after the other: `IF NOT EXISTS` does not see to that there.
records!(sqlx::Postgres, concat!("SELECT pg_advisory_xact_lock(hashtext('tenon_barrier')); ", table!()));

fn numbers(record: Record) -> (i64, i64) {
    match record {
        Record::Nothing => (0, 0),
        Record::Done => (1, 0),
        Record::Refused(round) => (2, i64::from(round)),
        Record::Undone => (3, 0),
    }
}

fn record(state: i64, round: i64) -> sqlx::Result<Record> {
    let round = u32::try_from(round).ok();
    match (state, round) {
        (0, _) => Ok(Record::Nothing),
        (1, _) => Ok(Record::Done),
        (2, Some(round)) => Ok(Record::Refused(round)),
        (3, _) => Ok(Record::Undone),
        _ => Err(sqlx::Error::Decode("tenon_barrier holds a row of another version".into())),
    }
}
