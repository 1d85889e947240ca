//! What a projection keeps beside its tables, in the same database: how far it is and what is parked.

use sqlx::{Database, Row};
use std::collections::BTreeMap;
use tenon_core::projection::{Origin, Parked, Progress};
use tenon_core::{LogId, Position, Timestamp};
use tenon_store::BoxFuture;

/// What is kept of a generation.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What it is made from.
    pub origin: Origin,
    /// Whether it is the one that is read.
    pub live: bool,
    /// How far it is.
    pub progress: Progress<String>,
    /// Why the first event of each parked key failed last.
    pub errors: BTreeMap<String, String>,
}

/// A database that can keep it. All of these work within the caller's transaction.
pub trait Bookkeeping: Database {
    /// Makes the tables for it.
    fn prepare(
        connection: &mut Self::Connection,
        origin: Origin,
        live: bool,
    ) -> BoxFuture<'_, sqlx::Result<()>>;

    /// Everything that is kept.
    fn load(connection: &mut Self::Connection) -> BoxFuture<'_, sqlx::Result<Kept>>;

    /// How far it is; nobody else changes it until the transaction ends.
    fn lock_position(connection: &mut Self::Connection) -> BoxFuture<'_, sqlx::Result<Position>>;

    /// Keeps how far it is.
    fn put_position(connection: &mut Self::Connection, at: Position) -> BoxFuture<'_, sqlx::Result<()>>;

    /// Makes it the one that is read.
    fn put_live(connection: &mut Self::Connection) -> BoxFuture<'_, sqlx::Result<()>>;

    /// Keeps a parked event.
    fn put_event<'a>(
        connection: &'a mut Self::Connection,
        at: Position,
        key: &'a str,
    ) -> BoxFuture<'a, sqlx::Result<()>>;

    /// Takes a parked event out.
    fn remove_event(connection: &mut Self::Connection, at: Position) -> BoxFuture<'_, sqlx::Result<()>>;

    /// Keeps what is known of a parked key.
    fn put_key<'a>(
        connection: &'a mut Self::Connection,
        key: &'a str,
        parked: &'a Parked,
        error: &'a str,
    ) -> BoxFuture<'a, sqlx::Result<()>>;

    /// Takes a key out that is parked no more.
    fn remove_key<'a>(connection: &'a mut Self::Connection, key: &'a str) -> BoxFuture<'a, sqlx::Result<()>>;
}

const TABLES: [&str; 3] = [
    "CREATE TABLE tenon_progress (one BIGINT PRIMARY KEY, log TEXT NOT NULL, version BIGINT NOT NULL,
        live BIGINT NOT NULL, position BIGINT NOT NULL)",
    "CREATE TABLE tenon_parked_event (position BIGINT PRIMARY KEY, key TEXT NOT NULL)",
    "CREATE TABLE tenon_parked_key (key TEXT PRIMARY KEY, attempts BIGINT NOT NULL, due BIGINT,
        error TEXT NOT NULL)",
];

/// The same statements for each database; `$lock` is what makes a row that is read the transaction's own.
macro_rules! bookkeeping {
    ($database:ty, $lock:literal) => {
        impl Bookkeeping for $database {
            fn prepare(
                connection: &mut Self::Connection,
                origin: Origin,
                live: bool,
            ) -> BoxFuture<'_, sqlx::Result<()>> {
                Box::pin(async move {
                    for table in TABLES {
                        sqlx::query(table).execute(&mut *connection).await?;
                    }
                    sqlx::query("INSERT INTO tenon_progress VALUES (1, $1, $2, $3, 0)")
                        .bind(origin.log.to_string())
                        .bind(i64::from(origin.version))
                        .bind(i64::from(live))
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            }

            fn load(connection: &mut Self::Connection) -> BoxFuture<'_, sqlx::Result<Kept>> {
                Box::pin(async move {
                    let row = sqlx::query("SELECT log, version, live, position FROM tenon_progress")
                        .fetch_one(&mut *connection)
                        .await?;
                    let log: LogId = row.try_get::<String, _>(0)?.parse().map_err(invalid)?;
                    let version = u32::try_from(row.try_get::<i64, _>(1)?).map_err(invalid)?;
                    let live = row.try_get::<i64, _>(2)? != 0;
                    let position = Position(unsigned(row.try_get(3)?)?);
                    let (mut parked, mut errors) = (BTreeMap::new(), BTreeMap::new());
                    let keys = sqlx::query("SELECT key, attempts, due, error FROM tenon_parked_key");
                    for row in keys.fetch_all(&mut *connection).await? {
                        let key: String = row.try_get(0)?;
                        let attempts = u32::try_from(row.try_get::<i64, _>(1)?).map_err(invalid)?;
                        let due = row.try_get::<Option<i64>, _>(2)?.map(unsigned).transpose()?;
                        let due = due.map(Timestamp::from_micros);
                        errors.insert(key.clone(), row.try_get(3)?);
                        parked.insert(key, Parked { events: Default::default(), attempts, due });
                    }
                    let events = sqlx::query("SELECT position, key FROM tenon_parked_event ORDER BY position");
                    for row in events.fetch_all(connection).await? {
                        let at = Position(unsigned(row.try_get(0)?)?);
                        if let Some(parked) = parked.get_mut(row.try_get::<&str, _>(1)?) {
                            parked.events.push_back(at);
                        }
                    }
                    let progress = Progress::restore(position, parked);
                    Ok(Kept { origin: Origin { log, version }, live, progress, errors })
                })
            }

            fn lock_position(connection: &mut Self::Connection) -> BoxFuture<'_, sqlx::Result<Position>> {
                Box::pin(async move {
                    let row = sqlx::query(concat!("SELECT position FROM tenon_progress", $lock));
                    unsigned(row.fetch_one(connection).await?.try_get(0)?).map(Position)
                })
            }

            fn put_position(
                connection: &mut Self::Connection,
                at: Position,
            ) -> BoxFuture<'_, sqlx::Result<()>> {
                Box::pin(async move {
                    let update = sqlx::query("UPDATE tenon_progress SET position = $1").bind(signed(at.0)?);
                    update.execute(connection).await.map(drop)
                })
            }

            fn put_live(connection: &mut Self::Connection) -> BoxFuture<'_, sqlx::Result<()>> {
                Box::pin(async move {
                    sqlx::query("UPDATE tenon_progress SET live = 1").execute(connection).await.map(drop)
                })
            }

            fn put_event<'a>(
                connection: &'a mut Self::Connection,
                at: Position,
                key: &'a str,
            ) -> BoxFuture<'a, sqlx::Result<()>> {
                Box::pin(async move {
                    let insert = sqlx::query("INSERT INTO tenon_parked_event (position, key) VALUES ($1, $2)");
                    insert.bind(signed(at.0)?).bind(key).execute(connection).await.map(drop)
                })
            }

            fn remove_event(
                connection: &mut Self::Connection,
                at: Position,
            ) -> BoxFuture<'_, sqlx::Result<()>> {
                Box::pin(async move {
                    let delete = sqlx::query("DELETE FROM tenon_parked_event WHERE position = $1");
                    delete.bind(signed(at.0)?).execute(connection).await.map(drop)
                })
            }

            fn put_key<'a>(
                connection: &'a mut Self::Connection,
                key: &'a str,
                parked: &'a Parked,
                error: &'a str,
            ) -> BoxFuture<'a, sqlx::Result<()>> {
                Box::pin(async move {
                    let due = parked.due.map(|due| signed(due.as_micros())).transpose()?;
                    sqlx::query(
                        "INSERT INTO tenon_parked_key (key, attempts, due, error) VALUES ($1, $2, $3, $4)
                            ON CONFLICT (key) DO UPDATE SET attempts = excluded.attempts, due = excluded.due,
                                error = excluded.error",
                    )
                    .bind(key)
                    .bind(i64::from(parked.attempts))
                    .bind(due)
                    .bind(error)
                    .execute(connection)
                    .await
                    .map(drop)
                })
            }

            fn remove_key<'a>(
                connection: &'a mut Self::Connection,
                key: &'a str,
            ) -> BoxFuture<'a, sqlx::Result<()>> {
                Box::pin(async move {
                    let delete = sqlx::query("DELETE FROM tenon_parked_key WHERE key = $1").bind(key);
                    delete.execute(connection).await.map(drop)
                })
            }
        }
    };
}

bookkeeping!(sqlx::Sqlite, "");
bookkeeping!(sqlx::Postgres, " FOR UPDATE");

fn unsigned(number: i64) -> sqlx::Result<u64> {
    u64::try_from(number).map_err(invalid)
}

fn signed(number: u64) -> sqlx::Result<i64> {
    i64::try_from(number).map_err(invalid)
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}
