//! The order service: takes orders. What is done for one at other services is a saga of the manifest's, which the platform runs:
//! the service starts it, waits for its end, and does those of its steps that are about the order itself.
//!
//! Orders are event-sourced: what is kept is what happened to them, in a log. Their rules are the decider in
//! `decider.rs`, and what is read in lists follows the log at its own pace.

mod decider;
mod draft;
mod listing;
mod news;
mod orders;
mod sales;
mod steps;

use crate::context::Context;
use crate::id::{Customer, IdempotencyKey, OrderId};
use crate::place;
use crate::platform::Sagas;
use crate::problem::Problem;
use crate::service::{Settings, routes};
use axum::extract::{Path, Query, State};
use axum::http::header::{ETAG, IF_MATCH, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use decider::{Command, Event, Refusal, Shown, Stage};
use draft::{Draft, RawDraft};
use orders::{Orders, Versioned};
use sales::Sold;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tenon_sdk::At;
use tenon_sdk::store::{Log, Position, Revision};

/// The sagas of the manifest by which an order comes to be, and is cancelled.
const PLACE: &str = "place-order";
const CANCEL: &str = "cancel-order";

/// How long to wait before the event store is asked again that is away.
const AGAIN: Duration = Duration::from_millis(50);

/// How many orders a list holds unless asked, and at most.
const LIST: (u32, u32) = (100, 500);

/// The longest tracking number or reason, in characters.
const MAX_TEXT: usize = 200;

/// The order service. Clones share all of it.
#[derive(Clone)]
struct Service {
    orders: Orders,
    sagas: Sagas,
}

/// Starts the service. Must be called in a tokio runtime, where its read models follow the log.
///
/// # Errors
/// A problem if the orders' log or their read models cannot be opened.
pub async fn start(settings: &Settings) -> Result<Router, Problem> {
    let place = place::open(settings).await?;
    let router = start_on(settings, place.log.clone(), &place.models).await?;
    // The place goes with the routes: a folder that is only this process's is removed with it.
    Ok(router.layer(axum::Extension(Arc::new(place))))
}

/// Starts the service on this log, with read models in this folder.
async fn start_on(settings: &Settings, log: Arc<dyn Log>, models: &FilePath) -> Result<Router, Problem> {
    let orders = Orders::open(log, models, settings.faults.clone()).await?;
    let sagas = Sagas::new(settings.platform.clone())?;
    Ok(routes(settings, own_routes(Service { orders, sagas })))
}

fn own_routes(service: Service) -> Router {
    Router::new()
        .route("/orders", post(create).get(list))
        .route("/orders/{id}", get(show))
        .route("/orders/{id}/history", get(history))
        .route("/orders/{id}/ship", post(ship))
        .route("/orders/{id}/deliver", post(deliver))
        .route("/orders/{id}/cancel", post(cancel))
        .route("/sales", get(sales))
        .route("/events", post(news::take))
        .merge(steps::routes())
        .with_state(service)
}

/// Has an order created by a saga, and answers what came of it; 202 if that takes longer than the caller waits. With an
/// `Idempotency-Key` it may be sent again: it is the same saga then, and answered as the first time.
async fn create(
    State(service): State<Service>,
    headers: HeaderMap,
    Json(raw): Json<RawDraft>,
) -> Result<Response, Problem> {
    let draft = Draft::new(raw)?;
    let key = IdempotencyKey::from_headers(&headers)?;
    let context = Context::from_headers(&headers);
    let id = Orders::id(key.as_ref())?;
    let input = json!({"order": id, "card": draft.by.card, "items": draft.items});
    service.place(&id, draft, &context).await?;
    let ran = service.sagas.run(PLACE, id.as_str(), &input, &context).await;
    let saga = ran.map_err(|problem| match problem.status {
        409 => Problem::from(Refusal::KeyReused).about(&id),
        _ => problem,
    })?;
    let location = [(LOCATION, format!("/orders/{id}"))];
    let order = service.orders.load(&id, At::Now).await;
    match (order, saga.has_ended()) {
        (Ok(placed), true) => match &placed.order.cancellation {
            None => Ok((StatusCode::CREATED, location, placed).into_response()),
            Some(cancellation) => Err(cancellation.answer(&id)),
        },
        (Ok(placed), false) => Ok((StatusCode::ACCEPTED, location, placed).into_response()),
        (Err(problem), _) if problem.status != 404 => Err(problem),
        // It was never created.
        (Err(_), true) => Err(steps::failure(saga.problem.unwrap_or_default()).about(&id)),
        (Err(_), false) => {
            let placed = json!({"id": id, "state": "Placed"});
            Ok((StatusCode::ACCEPTED, location, Json(placed)).into_response())
        }
    }
}

impl Service {
    /// Notes who orders. While the event store is away it is tried again, as long as the caller waits.
    async fn place(&self, id: &OrderId, draft: Draft, context: &Context) -> Result<(), Problem> {
        loop {
            match self.orders.place(id, draft.clone()).await {
                Err(problem) if problem.status == 503 && context.left() > AGAIN => {
                    tokio::time::sleep(AGAIN).await;
                }
                other => return other,
            }
        }
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

async fn list(State(service): State<Service>, Query(query): Query<ListQuery>) -> Result<Response, Problem> {
    let (usual, most) = LIST;
    let limit = query.limit.unwrap_or(usual).min(most);
    let orders = service.orders.newest(query.customer.as_ref(), limit).await?;
    Ok(Json(OrderList { orders: orders.iter().map(decider::Order::shown).collect() }).into_response())
}

#[derive(Deserialize)]
struct AtQuery {
    at: Option<String>,
}

/// An order as it is, or with `?at=` as it was at a time or a position of the log.
async fn show(
    State(service): State<Service>,
    Path(id): Path<String>,
    Query(query): Query<AtQuery>,
) -> Result<Versioned, Problem> {
    service.orders.load(&OrderId::new(id)?, moment(&query)?).await
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

async fn history(State(service): State<Service>, Path(id): Path<String>) -> Result<Json<History>, Problem> {
    let recorded = service.orders.history(&OrderId::new(id)?).await?;
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
            Event::Confirmed { .. } => ("Confirmed", None),
            Event::Shipped { tracking } => ("Shipped", Some(tracking)),
            Event::Delivered => ("Delivered", None),
            Event::CancelStarted { reason, .. } => ("CancelStarted", Some(reason)),
            Event::Cancelled => ("Cancelled", None),
        };
        Self { event, detail }
    }
}

#[derive(Serialize)]
struct Report {
    sales: Vec<Sold>,
}

/// What was sold, as of now or with `?at=` as of earlier.
async fn sales(
    State(service): State<Service>,
    Query(query): Query<AtQuery>,
) -> Result<Json<Report>, Problem> {
    Ok(Json(Report { sales: service.orders.sales(moment(&query)?).await? }))
}

#[derive(Deserialize)]
struct ShipBody {
    tracking: String,
}

async fn ship(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<ShipBody>,
) -> Result<Versioned, Problem> {
    let tracking = short_text("tracking", &body.tracking)?;
    let expected = expected(&service, &headers)?;
    service.orders.command(&OrderId::new(id)?, &Command::Ship { tracking }, expected).await
}

async fn deliver(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Versioned, Problem> {
    let expected = expected(&service, &headers)?;
    service.orders.command(&OrderId::new(id)?, &Command::Deliver, expected).await
}

#[derive(Deserialize)]
struct CancelBody {
    reason: String,
}

/// Cancels an order: 200 when it is cancelled, 202 when something is still to be undone, which goes on.
async fn cancel(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<CancelBody>,
) -> Result<(StatusCode, Versioned), Problem> {
    let id = OrderId::new(id)?;
    let reason = short_text("reason", &body.reason)?;
    let expected = expected(&service, &headers)?;
    let context = Context::from_headers(&headers);
    let Versioned { order, revision } = service.orders.load(&id, At::Now).await?;
    if expected.is_some_and(|expected| expected != revision.position) {
        return Err(Problem::new(412, "order.changed", "the order has changed since; look at it again"));
    }
    if order.stage == Stage::Confirmed && !order.is_cancelling() {
        let key = IdempotencyKey::from_headers(&headers)?.map_or_else(OrderId::generate, OrderId::from);
        let input = json!({"order": id, "reason": reason});
        let saga = service.sagas.run(CANCEL, &format!("{id}/{key}"), &input, &context).await?;
        if let Some(problem) = saga.problem {
            return Err(steps::failure(problem).about(&id));
        }
    } else {
        // On condition that it has not come further meanwhile.
        service.orders.command(&id, &Command::Stop { reason }, Some(revision.position)).await?;
        if let Some(saga) = &order.saga {
            service.sagas.wait(saga, &context).await?;
        }
    }
    let cancelled = service.orders.load(&id, At::Now).await?;
    let over = cancelled.order.stage == Stage::Cancelled;
    Ok((if over { StatusCode::OK } else { StatusCode::ACCEPTED }, cancelled))
}

/// An order is answered with its version as an ETag, which a later command may name by `If-Match`.
impl IntoResponse for Versioned {
    fn into_response(self) -> Response {
        ([(ETAG, format!("\"{}\"", self.revision))], Json(self.order.shown())).into_response()
    }
}

/// The version that a request expects.
fn expected(service: &Service, headers: &HeaderMap) -> Result<Option<Position>, Problem> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let tag = value.to_str().ok().and_then(|text| text.strip_prefix('"')?.strip_suffix('"'));
    match tag.and_then(|tag| tag.parse::<Revision>().ok()) {
        Some(revision) if revision.log == service.orders.log() => Ok(Some(revision.position)),
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
