//! The read model behind lists of orders: each order as it stands, found by customer.

use super::decider::{Event, Order, Ordering, State};
use crate::id::Customer;
use tenon_sdk::projection::Failure;
use tenon_sdk::sqlx::{self, Sqlite, SqliteConnection};
use tenon_sdk::store::{Event as Recorded, InvalidName, Query, QueryItem};
use tenon_sdk::{Decider, Projection, events};

/// Orders by customer and by age.
pub(super) struct Listing;

impl Projection<Sqlite> for Listing {
    const NAME: &'static str = "listing";
    const VERSION: u32 = 3;

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
                created BIGINT NOT NULL,
                document TEXT NOT NULL
            );
            CREATE INDEX orders_by_age ON orders (placed) WHERE created;
            CREATE INDEX orders_by_customer ON orders (customer, placed);";
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
        let before = before.map(|text| serde_json::from_str::<State>(&text)).transpose()?;
        let state = Ordering::evolve(before.unwrap_or(State::Nothing), &happened);
        let by = match &state {
            // What comes of a stream whose first event is not there any more is about nothing.
            State::Nothing => return Ok(()),
            State::Placed(by) => Some(by),
            State::Taken(order) => order.by.as_ref(),
        };
        sqlx::query(
            "INSERT INTO orders (stream, placed, customer, created, document) VALUES ($1, $2, $3, $4, $5)
                ON CONFLICT (stream) DO UPDATE SET
                    customer = excluded.customer, created = excluded.created, document = excluded.document",
        )
        .bind(stream)
        .bind(i64::try_from(event.position.0)?)
        .bind(by.map(|by| by.customer.as_str()))
        .bind(i64::from(state.taken().is_some()))
        .bind(serde_json::to_string(&state)?)
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn forget(&self, connection: &mut SqliteConnection, subject: &str) -> Result<(), Failure> {
        // As if it were made anew: the events that named the customer have no data any more.
        let placed = "DELETE FROM orders WHERE customer = $1 AND NOT created";
        sqlx::query(placed).bind(subject).execute(&mut *connection).await?;
        let forget = "UPDATE orders SET customer = NULL, document = json_set(document, '$.Taken.by', NULL)
            WHERE customer = $1";
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
            "SELECT document FROM orders WHERE customer = $2 AND created ORDER BY placed DESC LIMIT $1",
        )
        .bind(limit)
        .bind(customer.as_str()),
        None => sqlx::query_scalar("SELECT document FROM orders WHERE created ORDER BY placed DESC LIMIT $1")
            .bind(limit),
    };
    let states = query.fetch_all(connection).await?.into_iter().map(|text| serde_json::from_str(&text));
    let states = states.collect::<Result<Vec<State>, _>>()?;
    Ok(states.into_iter().filter_map(State::into_taken).collect())
}
