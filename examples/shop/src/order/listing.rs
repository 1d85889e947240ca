//! The read model behind lists of orders: each order as it stands, found by customer and by whether it rests.

use super::decider::{Event, Order, Ordering, Step};
use crate::id::{Customer, OrderId};
use tenon_sdk::projection::Failure;
use tenon_sdk::sqlx::{self, Sqlite, SqliteConnection};
use tenon_sdk::store::{Event as Recorded, InvalidName, Query, QueryItem};
use tenon_sdk::{Decider, Projection, events};

/// Orders by customer, by age, and those that somebody must see through.
pub(super) struct Listing;

impl Projection<Sqlite> for Listing {
    const NAME: &'static str = "listing";
    const VERSION: u32 = 2;

    fn selects(&self) -> Result<Query, InvalidName> {
        let types = events::types::<Event>()?;
        Ok(Query::user().or(QueryItem { types, ..QueryItem::default() }))
    }

    async fn create(&self, connection: &mut SqliteConnection) -> Result<(), Failure> {
        let tables = "
            CREATE TABLE orders (
                stream TEXT PRIMARY KEY,
                placed BIGINT NOT NULL,
                customer TEXT,
                created_ms BIGINT NOT NULL,
                rests BIGINT NOT NULL,
                document TEXT NOT NULL
            );
            CREATE INDEX orders_by_age ON orders (placed);
            CREATE INDEX orders_by_customer ON orders (customer, placed);
            CREATE INDEX orders_unfinished ON orders (created_ms) WHERE rests = 0;";
        sqlx::raw_sql(tables).execute(connection).await?;
        Ok(())
    }

    /// The row is the decider's own state: what it shows is what the rules see.
    async fn apply(&self, connection: &mut SqliteConnection, event: &Recorded) -> Result<(), Failure> {
        let Some(happened) = events::decode::<Event>(event)? else { return Ok(()) };
        let stream = event.stream.as_str();
        let before = sqlx::query_scalar::<_, String>("SELECT document FROM orders WHERE stream = $1")
            .bind(stream)
            .fetch_optional(&mut *connection)
            .await?;
        let before = before.map(|text| serde_json::from_str::<Order>(&text)).transpose()?;
        // What comes of a stream whose first event is not there any more is about nothing.
        let Some(order) = Ordering::evolve(before, &happened) else { return Ok(()) };
        sqlx::query(
            "INSERT INTO orders (stream, placed, customer, created_ms, rests, document)
                VALUES ($1, $2, $3, $4, $5, $6)
                ON CONFLICT (stream) DO UPDATE SET
                    customer = excluded.customer, rests = excluded.rests, document = excluded.document",
        )
        .bind(stream)
        .bind(i64::try_from(event.position.0)?)
        .bind(order.by.as_ref().map(|by| by.customer.as_str()))
        .bind(i64::try_from(order.created_ms)?)
        .bind(i64::from(order.next_step() == Step::Rest))
        .bind(serde_json::to_string(&order)?)
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn forget(&self, connection: &mut SqliteConnection, subject: &str) -> Result<(), Failure> {
        // As if it were made anew: the events that named the customer have no data any more.
        let forget = "UPDATE orders SET customer = NULL, document = json_set(document, '$.by', NULL) WHERE customer = $1";
        sqlx::query(forget).bind(subject).execute(connection).await?;
        Ok(())
    }
}

/// The newest orders, of one customer or of all, newest first.
pub(super) async fn newest(
    connection: &mut SqliteConnection,
    customer: Option<&Customer>,
    limit: u32,
) -> Result<Vec<Order>, Failure> {
    let query = match customer {
        Some(customer) => sqlx::query_scalar::<_, String>(
            "SELECT document FROM orders WHERE customer = $2 ORDER BY placed DESC LIMIT $1",
        )
        .bind(limit)
        .bind(customer.as_str()),
        None => sqlx::query_scalar("SELECT document FROM orders ORDER BY placed DESC LIMIT $1").bind(limit),
    };
    parsed(&query.fetch_all(connection).await?)
}

/// Orders that have a next step and were created before that time, oldest first.
pub(super) async fn unfinished(
    connection: &mut SqliteConnection,
    before_ms: u64,
    limit: u32,
) -> Result<Vec<OrderId>, Failure> {
    let query = sqlx::query_scalar::<_, String>(
        "SELECT document FROM orders WHERE rests = 0 AND created_ms <= $1 ORDER BY created_ms LIMIT $2",
    );
    let documents = query.bind(i64::try_from(before_ms)?).bind(limit).fetch_all(connection).await?;
    Ok(parsed(&documents)?.into_iter().map(|order| order.id).collect())
}

fn parsed(documents: &[String]) -> Result<Vec<Order>, Failure> {
    documents.iter().map(|text| Ok(serde_json::from_str(text)?)).collect()
}
