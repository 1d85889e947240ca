//! The order service: takes orders, and sees each through payment and reservation or back out of both.

mod draft;
mod machine;
mod orders;
mod saga;

use crate::call::{Context, Peer, client};
use crate::id::{IdempotencyKey, OrderId};
use crate::ledger::Ledger;
use crate::problem::Problem;
use crate::service::{Settings, routes};
use axum::extract::{Path, Query, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use draft::{Draft, RawDraft};
use machine::{Command, Order, Stage};
use saga::Saga;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often orders are looked for that nobody sees through any more.
const RECOVERY_PERIOD: Duration = Duration::from_secs(5);

/// How old an order is when whoever took it has certainly given up.
const ABANDONED_AFTER: Duration = Duration::from_secs(30);

/// How many orders a list holds unless asked, and at most.
const LIST: (usize, usize) = (100, 500);

/// The longest tracking number or reason, in characters.
const MAX_TEXT: usize = 200;

/// Where the other services are.
#[derive(Debug, Clone)]
pub struct Peers {
    /// Takes payments.
    pub payment: Peer,
    /// Reserves stock.
    pub inventory: Peer,
    /// Tells customers.
    pub notification: Peer,
}

impl Peers {
    /// The services by their names, unless `$ORDER_PAYMENT_URL`, `$ORDER_INVENTORY_URL` or
    /// `$ORDER_NOTIFICATION_URL` say otherwise.
    ///
    /// # Errors
    /// A problem if no HTTP client can be made.
    pub fn from_env() -> Result<Self, Problem> {
        let client = client()?;
        let peer = |name, variable, usual: &str| {
            Peer::new(client.clone(), name, std::env::var(variable).unwrap_or_else(|_| usual.into()))
        };
        Ok(Self {
            payment: peer("payment", "ORDER_PAYMENT_URL", "http://payment"),
            inventory: peer("inventory", "ORDER_INVENTORY_URL", "http://inventory"),
            notification: peer("notification", "ORDER_NOTIFICATION_URL", "http://notification"),
        })
    }
}

/// Starts the service with the peers that the environment names. Must be called in a tokio runtime, where
/// the recovery of abandoned orders goes on.
///
/// # Errors
/// A problem if the ledger cannot be opened.
pub fn start(settings: &Settings) -> Result<Router, Problem> {
    start_with(settings, Peers::from_env()?)
}

/// Starts the service with these peers; otherwise as [`start`].
///
/// # Errors
/// A problem if the ledger cannot be opened.
pub fn start_with(settings: &Settings, peers: Peers) -> Result<Router, Problem> {
    let saga = Saga::new(Ledger::open(settings.data.as_deref(), "order")?, peers);
    tokio::spawn(recover_for_ever(saga.clone()));
    Ok(routes(settings, own_routes(saga)))
}

fn own_routes(saga: Saga) -> Router {
    Router::new()
        .route("/orders", post(create).get(list))
        .route("/orders/{id}", get(show))
        .route("/orders/{id}/ship", post(ship))
        .route("/orders/{id}/deliver", post(deliver))
        .route("/orders/{id}/cancel", post(cancel))
        .with_state(saga)
}

async fn recover_for_ever(saga: Saga) {
    let mut ticks = tokio::time::interval(RECOVERY_PERIOD);
    loop {
        ticks.tick().await;
        if let Err(problem) = saga.recover(unix_millis().saturating_sub(millis(ABANDONED_AFTER))).await {
            tracing::warn!(%problem, "recovery");
        }
    }
}

/// Creates an order, takes its payment and reserves its items. With an `Idempotency-Key` it may be sent
/// again: the order is then taken up where it stands, and answered as the first time.
async fn create(
    State(saga): State<Saga>,
    headers: HeaderMap,
    Json(raw): Json<RawDraft>,
) -> Result<impl IntoResponse, Problem> {
    let draft = Draft::new(raw)?;
    let key = IdempotencyKey::from_headers(&headers)?;
    let context = Context::from_headers(&headers);
    let id = saga.create(draft, key, unix_millis()).await?;
    let order = see_through(saga, id, context).await?;
    match &order.cancellation {
        None => {
            let location = [(LOCATION, format!("/orders/{}", order.id))];
            Ok((StatusCode::CREATED, location, Json(order)))
        }
        Some(cancellation) => Err(cancellation.answer(&order.id)),
    }
}

#[derive(Deserialize)]
struct ListQuery {
    limit: Option<usize>,
}

#[derive(Serialize)]
struct OrderList {
    orders: Vec<Order>,
}

async fn list(State(saga): State<Saga>, Query(query): Query<ListQuery>) -> Result<Json<OrderList>, Problem> {
    let (usual, most) = LIST;
    let limit = query.limit.unwrap_or(usual).min(most);
    Ok(Json(OrderList { orders: saga.orders().read(move |orders| orders.newest(limit)).await? }))
}

async fn show(State(saga): State<Saga>, Path(id): Path<String>) -> Result<Json<Order>, Problem> {
    saga.load(&OrderId::new(id)?).await.map(Json)
}

#[derive(Deserialize)]
struct ShipBody {
    tracking: String,
}

async fn ship(
    State(saga): State<Saga>,
    Path(id): Path<String>,
    Json(body): Json<ShipBody>,
) -> Result<Json<Order>, Problem> {
    let tracking = short_text("tracking", &body.tracking)?;
    saga.command(&OrderId::new(id)?, Command::Ship { tracking }).await.map(Json)
}

async fn deliver(State(saga): State<Saga>, Path(id): Path<String>) -> Result<Json<Order>, Problem> {
    saga.command(&OrderId::new(id)?, Command::Deliver).await.map(Json)
}

#[derive(Deserialize)]
struct CancelBody {
    reason: String,
}

/// Cancels an order: 200 when it is cancelled, 202 when something is still to be undone, which goes on.
async fn cancel(
    State(saga): State<Saga>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<CancelBody>,
) -> Result<(StatusCode, Json<Order>), Problem> {
    let id = OrderId::new(id)?;
    let reason = short_text("reason", &body.reason)?;
    saga.command(&id, Command::Cancel { reason, because: None }).await?;
    let order = see_through(saga, id, Context::from_headers(&headers)).await?;
    let status = if order.stage == Stage::Cancelled { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(order)))
}

/// In a task of its own, so that a caller who hangs up leaves no order half way.
async fn see_through(saga: Saga, id: OrderId, context: Context) -> Result<Order, Problem> {
    let task = tokio::spawn(async move { saga.see_through(&id, &context).await });
    task.await.unwrap_or_else(|error| Err(Problem::new(500, "order.fault", error.to_string())))
}

fn short_text(field: &str, text: &str) -> Result<String, Problem> {
    let text = text.trim().to_owned();
    if (1..=MAX_TEXT).contains(&text.chars().count()) {
        return Ok(text);
    }
    Err(Problem::new(422, "request.invalid", format!("{field} must have 1 to {MAX_TEXT} characters")))
}

fn unix_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(millis).unwrap_or_default()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
