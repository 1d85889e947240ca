//! The steps of the shop's sagas that are the order's own: its side of `place-order` and `cancel-order` in the manifest.

use super::Service;
use super::decider::{Command, State as Order};
use super::draft::Item;
use crate::id::OrderId;
use crate::problem::Problem;
use crate::saga;
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use serde::Deserialize;
use serde_json::{Value, json};
use tenon_sdk::saga::SagaCall;

/// How an order is told to be cancelled that nobody says why.
const TURNED_BACK: &str = "the order was not to be";

/// The routes; they are not among those of the gateway.
pub(super) fn routes() -> Router<Service> {
    Router::new()
        .route("/steps/create", post(create))
        .route("/steps/withdraw", post(withdraw))
        .route("/steps/confirm", post(confirm))
        .route("/steps/lock", post(lock))
        .route("/steps/close", post(close))
}

#[derive(Deserialize)]
struct CreateBody {
    order: OrderId,
    items: Vec<Item>,
}

async fn create(
    State(service): State<Service>,
    headers: HeaderMap,
    Json(body): Json<CreateBody>,
) -> Result<Response, Problem> {
    let CreateBody { order, items } = body;
    let call = called(&headers)?;
    let saga = Some(call.saga.to_string());
    let command = Command::Create { id: order.clone(), items, at_ms: super::unix_millis(), saga };
    service.orders.take_part(&call, &order, &command, shown).await
}

#[derive(Deserialize)]
struct WithdrawBody {
    order: OrderId,
    /// What the service said whose refusal turned the saga back, if that did.
    problem: Option<Value>,
}

/// Undoes the creation: everything else is undone by now.
async fn withdraw(
    State(service): State<Service>,
    headers: HeaderMap,
    Json(body): Json<WithdrawBody>,
) -> Result<Response, Problem> {
    let WithdrawBody { order, problem } = body;
    let because = problem.map(failure);
    let reason = because.as_ref().map_or_else(|| TURNED_BACK.to_owned(), |problem| problem.detail.clone());
    let command = Command::Withdraw { reason, because };
    service.orders.take_part(&called(&headers)?, &order, &command, shown).await
}

#[derive(Deserialize)]
struct OrderBody {
    order: OrderId,
}

async fn confirm(
    State(service): State<Service>,
    headers: HeaderMap,
    Json(body): Json<OrderBody>,
) -> Result<Response, Problem> {
    service.orders.take_part(&called(&headers)?, &body.order, &Command::Confirm, shown).await
}

#[derive(Deserialize)]
struct LockBody {
    order: OrderId,
    reason: String,
}

/// Begins the cancellation of an order: from here on it is certain, and nobody ships it.
async fn lock(
    State(service): State<Service>,
    headers: HeaderMap,
    Json(body): Json<LockBody>,
) -> Result<Response, Problem> {
    let LockBody { order, reason } = body;
    service.orders.take_part(&called(&headers)?, &order, &Command::Cancel { reason }, shown).await
}

/// Ends it, when all is undone.
async fn close(
    State(service): State<Service>,
    headers: HeaderMap,
    Json(body): Json<OrderBody>,
) -> Result<Response, Problem> {
    service.orders.take_part(&called(&headers)?, &body.order, &Command::Close, shown).await
}

/// What later steps are told of the order. Nothing of whoever ordered: it stays in the saga's history.
fn shown(order: &Order) -> Value {
    order
        .taken()
        .map_or(Value::Null, |order| json!({"id": order.id, "state": order.stage, "total": order.total}))
}

fn called(headers: &HeaderMap) -> Result<SagaCall, Problem> {
    let missing =
        || Problem::new(400, "request.invalid", "this is a step of a saga: the header tenon-saga is missing");
    saga::call(headers)?.ok_or_else(missing)
}

/// How the failure of a step is answered to whoever ordered, by what was said of it.
pub(super) fn failure(said: Value) -> Problem {
    let detail = said["detail"].as_str().unwrap_or("a service does not answer").to_owned();
    let problem = serde_json::from_value::<Problem>(said).ok();
    let own = |problem: &Problem| {
        let area = problem.code.split_once('.').map(|(area, _)| area);
        (400..500).contains(&problem.status)
            && area.is_some_and(|area| ["order", "payment", "inventory", "loyalty"].contains(&area))
    };
    let Some(Problem { status, code, detail, .. }) = problem.filter(own) else {
        return Problem::new(503, "order.step-unavailable", detail);
    };
    let status = match (code.as_str(), status) {
        // What a saga cannot be told by 409.
        ("inventory.insufficient-stock" | "order.illegal-transition", _) => 409,
        // To inventory the product is what was not found; of the order it is a part that is wrong.
        (_, 404) => 422,
        (_, status) => status,
    };
    Problem::new(status, code, detail)
}
