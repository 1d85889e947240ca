//! Read models in PostgreSQL: one schema for each generation, in a database that the service's replicas share.
//!
//! Each replica may run the projector. They take turns by the lock on the row that says how far the model is, and
//! whoever finds it further than expected takes up from there. So one replica does the work of an event, and when it
//! ends another goes on.
//!
//! A replica that looks at the past makes a schema `NAME_past_ID` and drops it afterwards; one that is killed in
//! between leaves it behind, to be dropped by hand.

use super::generation::{Made, ReadModels, Room};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Postgres, Transaction};
use tenon_store::{BoxFuture, new_event_id};

/// Read models in a database.
#[derive(Debug, Clone)]
pub struct PostgresModels {
    pool: PgPool,
}

/// One generation's schema. Its name is made of a projection's checked name and a number.
#[derive(Debug)]
pub struct PostgresRoom {
    pool: PgPool,
    schema: String,
}

impl PostgresModels {
    /// Read models in the database that a pool is connected to. The role must be allowed to make schemas.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    fn room(&self, name: &str, number: u32) -> PostgresRoom {
        PostgresRoom { pool: self.pool.clone(), schema: format!("{name}_g{number}") }
    }

    async fn made(&self, room: PostgresRoom) -> sqlx::Result<Made<PostgresRoom>> {
        let mut transaction = self.pool.begin().await?;
        run(&mut transaction, format!("CREATE SCHEMA {}", room.schema)).await?;
        room.enter(&mut transaction).await?;
        Ok((room, transaction))
    }
}

impl ReadModels for PostgresModels {
    type Database = Postgres;
    type Room = PostgresRoom;

    /// A schema is made with its tables in one transaction: those that are there are whole.
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, sqlx::Result<Vec<u32>>> {
        Box::pin(async move {
            let schemas = sqlx::query_scalar::<_, String>("SELECT nspname::text FROM pg_namespace");
            let number = |schema: &String| schema.strip_prefix(name)?.strip_prefix("_g")?.parse().ok();
            let mut numbers: Vec<u32> =
                schemas.fetch_all(&self.pool).await?.iter().filter_map(number).collect();
            numbers.sort_unstable();
            Ok(numbers)
        })
    }

    fn open<'a>(&'a self, name: &'a str, number: u32) -> BoxFuture<'a, sqlx::Result<PostgresRoom>> {
        Box::pin(std::future::ready(Ok(self.room(name, number))))
    }

    fn make<'a>(&'a self, name: &'a str, number: u32) -> BoxFuture<'a, sqlx::Result<Made<PostgresRoom>>> {
        Box::pin(self.made(self.room(name, number)))
    }

    fn scratch<'a>(&'a self, name: &'a str) -> BoxFuture<'a, sqlx::Result<Made<PostgresRoom>>> {
        let id = new_event_id().to_string().replace('-', "");
        // 16 of the id's 32 digits are random; a schema's name has at most 63 bytes.
        let schema = format!("{name}_past_{}", id.get(16..).unwrap_or_default());
        Box::pin(self.made(PostgresRoom { pool: self.pool.clone(), schema }))
    }
}

impl PostgresRoom {
    /// From here on names in the transaction mean this generation's tables.
    async fn enter(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        run(connection, format!("SET LOCAL search_path TO {}", self.schema)).await
    }
}

impl Room for PostgresRoom {
    type Database = Postgres;

    fn write(&self) -> BoxFuture<'_, sqlx::Result<Transaction<'static, Postgres>>> {
        Box::pin(async move {
            let mut transaction = self.pool.begin().await?;
            self.enter(&mut transaction).await?;
            Ok(transaction)
        })
    }

    fn read(&self) -> BoxFuture<'_, sqlx::Result<Transaction<'static, Postgres>>> {
        Box::pin(async move {
            let mut transaction =
                self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            self.enter(&mut transaction).await?;
            Ok(transaction)
        })
    }

    fn remove(&self) -> BoxFuture<'_, sqlx::Result<()>> {
        Box::pin(async move {
            let mut connection = self.pool.acquire().await?;
            let mut transaction = connection.begin().await?;
            run(&mut transaction, format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema)).await?;
            transaction.commit().await
        })
    }
}

async fn run(connection: &mut PgConnection, sql: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}
