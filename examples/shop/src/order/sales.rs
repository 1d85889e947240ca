//! The read model behind the sales report: what was sold, by product. An order counts from its confirmation
//! until somebody begins to cancel it.

use super::decider::Event;
use crate::id::Sku;
use crate::money::Money;
use serde::Serialize;
use tenon_sdk::projection::Failure;
use tenon_sdk::sqlx::{self, Row, Sqlite, SqliteConnection};
use tenon_sdk::store::{Event as Recorded, InvalidName, Query, QueryItem};
use tenon_sdk::{Projection, events};

/// Sales by product.
pub(super) struct Sales;

/// What was sold of one product.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Sold {
    sku: Sku,
    quantity: i64,
    revenue: Money,
}

/// One line of an order that is not over yet.
struct Line {
    sku: String,
    quantity: i64,
    amount: String,
}

impl Projection<Sqlite> for Sales {
    const NAME: &'static str = "sales";
    const VERSION: u32 = 2;

    fn selects(&self) -> Result<Query, InvalidName> {
        let types = events::types::<Event>()?;
        Ok(Query::user().or(QueryItem { types, ..QueryItem::default() }))
    }

    async fn create(&self, connection: &mut SqliteConnection) -> Result<(), Failure> {
        // Money as text: SQLite has no decimals.
        let tables = "
            CREATE TABLE sold (sku TEXT PRIMARY KEY, quantity BIGINT NOT NULL, revenue TEXT NOT NULL);
            CREATE TABLE lines (
                stream TEXT NOT NULL, sku TEXT NOT NULL, quantity BIGINT NOT NULL, amount TEXT NOT NULL,
                counted BIGINT NOT NULL
            );
            CREATE INDEX lines_by_stream ON lines (stream);";
        sqlx::raw_sql(tables).execute(connection).await?;
        Ok(())
    }

    async fn apply(&self, connection: &mut SqliteConnection, event: &Recorded) -> Result<(), Failure> {
        let stream = event.stream.as_str();
        match events::decode::<Event>(event)? {
            Some(Event::Created { items, .. }) => {
                for item in &items {
                    let amount = item.price.times(item.quantity).ok_or("an amount is too large")?;
                    sqlx::query("INSERT INTO lines VALUES ($1, $2, $3, $4, 0)")
                        .bind(stream)
                        .bind(item.sku.as_str())
                        .bind(i64::from(item.quantity))
                        .bind(amount.to_string())
                        .execute(&mut *connection)
                        .await?;
                }
            }
            Some(Event::Confirmed { .. }) => {
                for line in lines(connection, stream, false).await? {
                    add(connection, &line).await?;
                }
                let counted = sqlx::query("UPDATE lines SET counted = 1 WHERE stream = $1").bind(stream);
                counted.execute(connection).await?;
            }
            Some(Event::CancelStarted { .. }) => {
                for line in lines(connection, stream, true).await? {
                    take_away(connection, &line).await?;
                }
                forget_lines(connection, stream).await?;
            }
            Some(Event::Delivered) => forget_lines(connection, stream).await?,
            Some(Event::PlacedBy(_) | Event::Paid | Event::Shipped { .. } | Event::Cancelled) | None => {}
        }
        Ok(())
    }

    /// Nothing: the report names nobody.
    async fn forget(&self, _: &mut SqliteConnection, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}

/// The report, by product.
pub(super) async fn report(connection: &mut SqliteConnection) -> Result<Vec<Sold>, Failure> {
    let rows = sqlx::query("SELECT sku, quantity, revenue FROM sold WHERE quantity > 0 ORDER BY sku");
    let sold = |row: &sqlx::sqlite::SqliteRow| -> Result<Sold, Failure> {
        let sku = Sku::new(row.try_get::<String, _>(0)?)?;
        Ok(Sold { sku, quantity: row.try_get(1)?, revenue: row.try_get::<&str, _>(2)?.parse()? })
    };
    rows.fetch_all(connection).await?.iter().map(sold).collect()
}

async fn lines(connection: &mut SqliteConnection, stream: &str, counted: bool) -> Result<Vec<Line>, Failure> {
    let rows = sqlx::query("SELECT sku, quantity, amount FROM lines WHERE stream = $1 AND counted = $2")
        .bind(stream)
        .bind(i64::from(counted))
        .fetch_all(connection)
        .await?;
    let line = |row: &sqlx::sqlite::SqliteRow| {
        Ok(Line { sku: row.try_get(0)?, quantity: row.try_get(1)?, amount: row.try_get(2)? })
    };
    rows.iter().map(line).collect()
}

async fn add(connection: &mut SqliteConnection, line: &Line) -> Result<(), Failure> {
    let (quantity, revenue) = sold(connection, &line.sku).await?;
    let revenue = revenue.plus(line.amount.parse()?).ok_or("the revenue is too large")?;
    put(connection, &line.sku, quantity + line.quantity, revenue).await
}

async fn take_away(connection: &mut SqliteConnection, line: &Line) -> Result<(), Failure> {
    let (quantity, revenue) = sold(connection, &line.sku).await?;
    let revenue = revenue.minus(line.amount.parse()?).ok_or("more is taken away than was sold")?;
    put(connection, &line.sku, quantity - line.quantity, revenue).await
}

async fn sold(connection: &mut SqliteConnection, sku: &str) -> Result<(i64, Money), Failure> {
    let row = sqlx::query("SELECT quantity, revenue FROM sold WHERE sku = $1").bind(sku);
    match row.fetch_optional(connection).await? {
        Some(row) => Ok((row.try_get(0)?, row.try_get::<&str, _>(1)?.parse()?)),
        None => Ok((0, Money::default())),
    }
}

async fn put(
    connection: &mut SqliteConnection,
    sku: &str,
    quantity: i64,
    revenue: Money,
) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO sold VALUES ($1, $2, $3)
            ON CONFLICT (sku) DO UPDATE SET quantity = excluded.quantity, revenue = excluded.revenue",
    )
    .bind(sku)
    .bind(quantity)
    .bind(revenue.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

async fn forget_lines(connection: &mut SqliteConnection, stream: &str) -> Result<(), Failure> {
    sqlx::query("DELETE FROM lines WHERE stream = $1").bind(stream).execute(connection).await?;
    Ok(())
}
