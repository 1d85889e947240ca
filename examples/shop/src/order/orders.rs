//! The orders: commands on one side, read models on the other, one log between them.

use super::decider::{Command, Event, Order, Ordering, Refusal, State};
use super::draft::Draft;
use super::listing::{self, Listing};
use super::sales::{self, Sales, Sold};
use crate::faults::Faults;
use crate::id::{Customer, IdempotencyKey, OrderId};
use crate::place::{self, when_back};
use crate::problem::Problem;
use crate::saga;
use axum::response::Response;
use serde_json::Value;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tenon_sdk::aggregates::{Recorded, Version};
use tenon_sdk::projection::{Failure, Options};
use tenon_sdk::saga::SagaCall;
use tenon_sdk::store::{AppendError, InvalidInput, Log, LogId, Namespace, Position, Revision};
use tenon_sdk::{Aggregates, At, Call, CommandError, Key, Outcome, Projector, Snapshots, SqliteModels};

/// How long a list waits for its read model to be as far as the log; then it shows what there is.
const PATIENCE: Duration = Duration::from_millis(500);

/// The most events that an order's history shows.
const HISTORY: usize = 500;

/// An order at a version.
pub(super) struct Versioned {
    pub(super) order: Order,
    pub(super) revision: Revision,
}

/// The orders. Clones share all of it.
#[derive(Clone)]
pub(super) struct Orders {
    aggregates: Aggregates<Ordering>,
    listing: Projector<Listing, SqliteModels>,
    sales: Projector<Sales, SqliteModels>,
    faults: Faults,
}

impl Orders {
    /// The orders of a log, with read models in a folder of this process's own.
    pub(super) async fn open(log: Arc<dyn Log>, models: &Path, faults: Faults) -> Result<Self, Problem> {
        let aggregates = Aggregates::new(Arc::clone(&log), Namespace::default(), "order")
            .map_err(unavailable)?
            .with_snapshots(Snapshots { every: 100, schema: "shop.order.v3" });
        let place = || SqliteModels::in_folder(models).map_err(unavailable);
        let listing = Projector::start(Arc::clone(&log), place()?, Listing, Options::default()).await;
        let sales = Projector::start(log, place()?, Sales, Options::default()).await;
        let (listing, sales) = (listing.map_err(unavailable)?, sales.map_err(unavailable)?);
        Ok(Self { aggregates, listing, sales, faults })
    }

    /// Which log they are in.
    pub(super) fn log(&self) -> LogId {
        self.aggregates.log().id()
    }

    /// What an order is called. With a key that follows from it, so that the same request always means the same order, at any
    /// replica.
    pub(super) fn id(key: Option<&IdempotencyKey>) -> Result<OrderId, Problem> {
        match key {
            Some(key) => OrderId::new(Key::new(key.as_str()).map_err(unavailable)?.derived_id("shop.order")),
            None => Ok(OrderId::generate()),
        }
    }

    /// Notes who orders, before anything else is done.
    pub(super) async fn place(&self, id: &OrderId, draft: Draft) -> Result<(), Problem> {
        self.execute(id, &Command::Place { draft }, &Call::default()).await.map(drop)
    }

    /// Answers a call of a saga with what is shown of the order after a command.
    pub(super) async fn take_part(
        &self,
        call: &SagaCall,
        id: &OrderId,
        command: &Command,
        shown: impl Fn(&State) -> Value,
    ) -> Result<Response, Problem> {
        let told = |decided: Result<&State, Refusal>| saga::told(call, &self.faults, decided.map(&shown));
        tracing::info!(saga = %call.saga, step = %call.step, direction = %call.direction, order = %id, "called");
        when_back!(saga::answered(self.aggregates.take_part(call, id.as_str(), command, &told).await))
    }

    /// Gives a command to an order, which must be at the expected version if there is one.
    pub(super) async fn command(
        &self,
        id: &OrderId,
        command: &Command,
        expected: Option<Position>,
    ) -> Result<Versioned, Problem> {
        let done = self.execute(id, command, &Call { expected, ..Call::default() }).await?;
        self.versioned(id, done.state, done.version)
    }

    /// Gives a command to an order which counts once, however often it is given with this key.
    pub(super) async fn command_once(
        &self,
        id: &OrderId,
        command: &Command,
        key: &str,
    ) -> Result<Versioned, Problem> {
        let key = Key::new(key).map_err(unavailable)?;
        let done = self.execute(id, command, &Call::once(key)).await?;
        self.versioned(id, done.state, done.version)
    }

    async fn execute(
        &self,
        id: &OrderId,
        command: &Command,
        call: &Call,
    ) -> Result<Outcome<State, Event>, Problem> {
        let done = {
            when_back!({
                let done = self.aggregates.execute(id.as_str(), command, call).await;
                done.map_err(|error| refused(error).about(id))
            })
        }?;
        let state = done.state.taken().map(|order| order.stage);
        tracing::info!(order = %id, ?state, events = done.events.len(), version = %done.version, "order");
        Ok(done)
    }

    /// An order as it is, or as it was.
    pub(super) async fn load(&self, id: &OrderId, at: At) -> Result<Versioned, Problem> {
        let Version { state, version, .. } = {
            when_back!({
                let loaded = self.aggregates.load(id.as_str(), at).await;
                loaded.map_err(|error| refused(error).about(id))
            })
        }?;
        self.versioned(id, state, version)
    }

    /// Everything that happened to an order.
    pub(super) async fn history(&self, id: &OrderId) -> Result<Vec<Recorded<Event>>, Problem> {
        let history = self.aggregates.history(id.as_str(), Position::START, HISTORY).await;
        let history = history.map_err(|error| refused(error).about(id))?;
        if history.is_empty() { Err(Problem::from(Refusal::Unknown).about(id)) } else { Ok(history) }
    }

    /// The newest orders, of one customer or of all.
    pub(super) async fn newest(
        &self,
        customer: Option<&Customer>,
        limit: u32,
    ) -> Result<Vec<Order>, Problem> {
        self.catch_up(&self.listing).await;
        let mut reading = self.listing.read().await.map_err(unavailable)?;
        listing::newest(&mut reading, customer, limit).await.map_err(failed)
    }

    /// What was sold, as of now or of earlier.
    pub(super) async fn sales(&self, at: At) -> Result<Vec<Sold>, Problem> {
        if at == At::Now {
            self.catch_up(&self.sales).await;
            let mut reading = self.sales.read().await.map_err(unavailable)?;
            return sales::report(&mut reading).await.map_err(failed);
        }
        let past = self.sales.past(at).await.map_err(unavailable)?;
        let report = match past.read().await {
            Ok(mut reading) => sales::report(&mut reading).await.map_err(failed),
            Err(error) => Err(unavailable(error)),
        };
        past.close().await.map_err(unavailable)?;
        report
    }

    /// Waits a little for a read model to hold all that was in the log when it was asked for.
    async fn catch_up<P>(&self, model: &Projector<P, SqliteModels>)
    where
        P: tenon_sdk::Projection<tenon_sdk::sqlx::Sqlite>,
    {
        let head = self.aggregates.log().head();
        if !matches!(tokio::time::timeout(PATIENCE, model.reached(head)).await, Ok(Ok(()))) {
            tracing::warn!(status = ?model.status(), %head, "a read model is behind");
        }
    }

    fn versioned(&self, id: &OrderId, state: State, at: Position) -> Result<Versioned, Problem> {
        let revision = Revision { log: self.log(), position: at };
        let unknown = || Problem::new(404, "order.unknown", format!("there is no order {id}")).about(id);
        Ok(Versioned { order: state.into_taken().ok_or_else(unknown)?, revision })
    }
}

fn refused(error: CommandError<Refusal>) -> Problem {
    match error {
        CommandError::Refused(refusal) => refusal.into(),
        CommandError::Stale { .. } => {
            Problem::new(412, "order.changed", "the order has changed since; look at it again")
        }
        CommandError::Append(AppendError::Invalid(InvalidInput::Forgotten(_))) => Refusal::Forgotten.into(),
        other => place::problem(&other),
    }
}

fn failed(error: Failure) -> Problem {
    unavailable(error)
}

fn unavailable(error: impl Display) -> Problem {
    Problem::new(503, "storage.unavailable", format!("the service's data cannot be used now: {error}"))
}

#[cfg(test)]
mod tests;
