//! The order service: takes orders, and sees each through payment and reservation or back out of both.
//!
//! Orders are event-sourced: what is kept is what happened to them, in a log. Their rules are the decider in
//! `decider.rs`, and what is read in lists follows the log at its own pace.

mod decider;
mod draft;
mod listing;
mod orders;
mod saga;
mod sales;
mod steps;

use crate::call::{Context, Peer, client};
use crate::id::{Customer, IdempotencyKey, OrderId};
use crate::place;
use crate::problem::Problem;
use crate::service::{Settings, routes};
use axum::extract::{Path, Query, State};
use axum::http::header::{ETAG, IF_MATCH, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use decider::{Command, Event, Shown, Stage};
use draft::{Draft, RawDraft};
use orders::{Orders, Versioned};
use saga::Saga;
use sales::Sold;
use serde::{Deserialize, Serialize};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tenon_sdk::At;
use tenon_sdk::store::{Log, Position, Revision};

/// How often orders are looked for that nobody sees through any more.
const RECOVERY_PERIOD: Duration = Duration::from_secs(5);

/// How old an order is when whoever took it has certainly given up.
const ABANDONED_AFTER: Duration = Duration::from_secs(30);

/// How many orders a list holds unless asked, and at most.
const LIST: (u32, u32) = (100, 500);

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
/// A problem if the orders' log or their read models cannot be opened.
pub async fn start(settings: &Settings) -> Result<Router, Problem> {
    start_with(settings, Peers::from_env()?).await
}

/// Starts the service with these peers; otherwise as [`start`].
///
/// # Errors
/// A problem if the orders' log or their read models cannot be opened.
pub async fn start_with(settings: &Settings, peers: Peers) -> Result<Router, Problem> {
    let place = place::open(settings).await?;
    let router = start_on(settings, peers, place.log.clone(), &place.models).await?;
    // The place goes with the routes: a folder that is only this process's is removed with it.
    Ok(router.layer(axum::Extension(Arc::new(place))))
}

/// Starts the service on this log, with read models in this folder.
async fn start_on(
    settings: &Settings,
    peers: Peers,
    log: Arc<dyn Log>,
    models: &FilePath,
) -> Result<Router, Problem> {
    let saga = Saga::new(Orders::open(log, models).await?, peers);
    tokio::spawn(recover_for_ever(saga.clone()));
    Ok(routes(settings, own_routes(saga)))
}

fn own_routes(saga: Saga) -> Router {
    Router::new()
        .route("/orders", post(create).get(list))
        .route("/orders/{id}", get(show))
        .route("/orders/{id}/history", get(history))
        .route("/orders/{id}/ship", post(ship))
        .route("/orders/{id}/deliver", post(deliver))
        .route("/orders/{id}/cancel", post(cancel))
        .route("/sales", get(sales))
        .route("/events", post(steps::take))
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
    let id = saga.orders().create(draft, key, unix_millis()).await?;
    let placed = see_through(saga, id, context).await?;
    match &placed.order.cancellation {
        None => {
            let location = [(LOCATION, format!("/orders/{}", placed.order.id))];
            Ok((StatusCode::CREATED, location, placed))
        }
        Some(cancellation) => Err(cancellation.answer(&placed.order.id)),
    }
}

#[derive(Deserialize)]
struct ListQuery {
    limit: Option<u32>,
    customer: Option<Customer>,
}

#[derive(Serialize)]
struct OrderList<'a> {
    orders: Vec<Shown<'a>>,
}

async fn list(State(saga): State<Saga>, Query(query): Query<ListQuery>) -> Result<Response, Problem> {
    let (usual, most) = LIST;
    let limit = query.limit.unwrap_or(usual).min(most);
    let orders = saga.orders().newest(query.customer.as_ref(), limit).await?;
    Ok(Json(OrderList { orders: orders.iter().map(decider::Order::shown).collect() }).into_response())
}

#[derive(Deserialize)]
struct AtQuery {
    at: Option<String>,
}

/// An order as it is, or with `?at=` as it was at a time or a position of the log.
async fn show(
    State(saga): State<Saga>,
    Path(id): Path<String>,
    Query(query): Query<AtQuery>,
) -> Result<Versioned, Problem> {
    saga.orders().load(&OrderId::new(id)?, moment(&query)?).await
}

#[derive(Serialize)]
struct History {
    events: Vec<Happened>,
}

#[derive(Serialize)]
struct Happened {
    position: u64,
    time: String,
    #[serde(flatten)]
    event: Hidden,
}

/// An event as it is shown.
#[derive(Serialize)]
struct Hidden {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

async fn history(State(saga): State<Saga>, Path(id): Path<String>) -> Result<Json<History>, Problem> {
    let recorded = saga.orders().history(&OrderId::new(id)?).await?;
    let happened = recorded.into_iter().map(|recorded| Happened {
        position: recorded.position.0,
        time: recorded.time.to_string(),
        event: Hidden::of(recorded.event),
    });
    Ok(Json(History { events: happened.collect() }))
}

impl Hidden {
    /// Without what is nobody's business, such as the card.
    fn of(event: Event) -> Self {
        let (event, detail) = match event {
            Event::Created { total, .. } => ("Created", Some(total.to_string())),
            Event::PlacedBy(_) => ("PlacedBy", None),
            Event::Paid => ("Paid", None),
            Event::Confirmed => ("Confirmed", None),
            Event::Shipped { tracking } => ("Shipped", Some(tracking)),
            Event::Delivered => ("Delivered", None),
            Event::CancelStarted { reason, .. } => ("CancelStarted", Some(reason)),
            Event::Undone { step } => ("Undone", Some(format!("{step:?}"))),
        };
        Self { event, detail }
    }
}

#[derive(Serialize)]
struct Report {
    sales: Vec<Sold>,
}

/// What was sold, as of now or with `?at=` as of earlier.
async fn sales(State(saga): State<Saga>, Query(query): Query<AtQuery>) -> Result<Json<Report>, Problem> {
    Ok(Json(Report { sales: saga.orders().sales(moment(&query)?).await? }))
}

#[derive(Deserialize)]
struct ShipBody {
    tracking: String,
}

async fn ship(
    State(saga): State<Saga>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<ShipBody>,
) -> Result<Versioned, Problem> {
    let tracking = short_text("tracking", &body.tracking)?;
    let expected = expected(&saga, &headers)?;
    saga.orders().command(&OrderId::new(id)?, &Command::Ship { tracking }, expected).await
}

async fn deliver(
    State(saga): State<Saga>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Versioned, Problem> {
    let expected = expected(&saga, &headers)?;
    saga.orders().command(&OrderId::new(id)?, &Command::Deliver, expected).await
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
) -> Result<(StatusCode, Versioned), Problem> {
    let id = OrderId::new(id)?;
    let reason = short_text("reason", &body.reason)?;
    let expected = expected(&saga, &headers)?;
    saga.orders().command(&id, &Command::Cancel { reason, because: None }, expected).await?;
    let cancelled = see_through(saga, id, Context::from_headers(&headers)).await?;
    let over = cancelled.order.stage == Stage::Cancelled;
    Ok((if over { StatusCode::OK } else { StatusCode::ACCEPTED }, cancelled))
}

/// In a task of its own, so that a caller who hangs up leaves no order half way.
async fn see_through(saga: Saga, id: OrderId, context: Context) -> Result<Versioned, Problem> {
    let task = tokio::spawn(async move { saga.see_through(&id, &context).await });
    task.await.unwrap_or_else(|error| Err(Problem::new(500, "order.fault", error.to_string())))
}

/// An order is answered with its version as an ETag, which a later command may name by `If-Match`.
impl IntoResponse for Versioned {
    fn into_response(self) -> Response {
        ([(ETAG, format!("\"{}\"", self.revision))], Json(self.order.shown())).into_response()
    }
}

/// The version that a request expects.
fn expected(saga: &Saga, headers: &HeaderMap) -> Result<Option<Position>, Problem> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let tag = value.to_str().ok().and_then(|text| text.strip_prefix('"')?.strip_suffix('"'));
    match tag.and_then(|tag| tag.parse::<Revision>().ok()) {
        Some(revision) if revision.log == saga.orders().log() => Ok(Some(revision.position)),
        _ => {
            Err(Problem::new(412, "order.changed", "If-Match must be the ETag that the order was shown with"))
        }
    }
}

/// Which moment a request asks for: a position of the log, or a time.
fn moment(query: &AtQuery) -> Result<At, Problem> {
    let Some(text) = &query.at else { return Ok(At::Now) };
    if let Ok(position) = text.parse() {
        return Ok(At::Position(Position(position)));
    }
    let invalid =
        |error| Problem::new(400, "request.invalid", format!("at: a position of the log, or {error}"));
    tenon_api::time::parse(text).map(At::Time).map_err(invalid)
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
