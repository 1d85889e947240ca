//! The inventory service: what is in stock, and reservations of it.
//!
//! The warehouse is event-sourced (`warehouse.rs` has its rules). What others are told, `inventory.reserved`, is appended
//! with what happened, so neither is ever there without the other.

mod warehouse;

use crate::commands::Commands;
use crate::id::{OrderId, Sku};
use crate::problem::Problem;
use crate::saga;
use crate::service::{Settings, routes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tenon_sdk::saga::SagaCall;
use warehouse::{Command, Reservation, Stock};

/// There is one warehouse: what is wanted of several products is all there or not at all.
const WAREHOUSE: &str = "main";

/// The routes of the service, with its events where the settings say.
///
/// # Errors
/// None so far.
pub fn start(settings: &Settings) -> Result<Router, Problem> {
    Ok(start_on(settings, Commands::new(settings, "warehouse", "shop.warehouse.v1")))
}

fn start_on(settings: &Settings, warehouse: Commands<Stock>) -> Router {
    let own = Router::new()
        .route("/stock", get(all_stock))
        .route("/stock/{sku}", get(stock))
        .route("/reservations", post(reserve))
        .route("/reservations/{order}", get(show).delete(release))
        .with_state(warehouse);
    routes(settings, own)
}

type Service = State<Commands<Stock>>;

#[derive(Serialize)]
struct Item {
    sku: Sku,
    available: u32,
}

async fn all_stock(State(warehouse): Service) -> Result<Json<Vec<Item>>, Problem> {
    let warehouse = warehouse.load(WAREHOUSE).await?;
    let stock = warehouse.stock().iter();
    Ok(Json(stock.map(|(sku, available)| Item { sku: sku.clone(), available: *available }).collect()))
}

async fn stock(State(warehouse): Service, Path(sku): Path<String>) -> Result<Json<Item>, Problem> {
    let sku = Sku::new(sku)?;
    match warehouse.load(WAREHOUSE).await?.available(&sku) {
        Some(available) => Ok(Json(Item { sku, available })),
        None => Err(warehouse::Refusal::UnknownProduct(sku).into()),
    }
}

#[derive(Deserialize)]
struct ReserveBody {
    order: OrderId,
    items: Vec<ReserveItem>,
}

#[derive(Deserialize)]
struct ReserveItem {
    sku: Sku,
    quantity: u32,
}

/// Idempotent by the order itself; an `Idempotency-Key` only tells those on the way that it may be repeated.
async fn reserve(
    State(warehouse): Service,
    headers: HeaderMap,
    Json(body): Json<ReserveBody>,
) -> Result<Response, Problem> {
    let ReserveBody { order, items } = body;
    let items = items.into_iter().map(|item| (item.sku, item.quantity)).collect();
    let command = Command::Reserve { order: order.clone(), items };
    if let Some(call) = saga::call(&headers)? {
        return take_part(&warehouse, &call, &order, &command).await;
    }
    let reservation = warehouse.execute(WAREHOUSE, &command).await?.reservation(&order);
    tracing::info!(%order, "reserved");
    Ok((StatusCode::CREATED, Json(reservation.ok_or_else(|| unknown(&order))?)).into_response())
}

async fn take_part(
    warehouse: &Commands<Stock>,
    call: &SagaCall,
    order: &OrderId,
    command: &Command,
) -> Result<Response, Problem> {
    tracing::info!(saga = %call.saga, step = %call.step, direction = %call.direction, %order, "called");
    warehouse.take_part(call, WAREHOUSE, command, |warehouse| warehouse.reservation(order)).await
}

async fn show(State(warehouse): Service, Path(order): Path<String>) -> Result<Json<Reservation>, Problem> {
    let order = OrderId::new(order)?;
    let reservation = warehouse.load(WAREHOUSE).await?.reservation(&order);
    reservation.map(Json).ok_or_else(|| unknown(&order))
}

async fn release(
    State(warehouse): Service,
    Path(order): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let order = OrderId::new(order)?;
    let command = Command::Release { order: order.clone() };
    if let Some(call) = saga::call(&headers)? {
        return take_part(&warehouse, &call, &order, &command).await;
    }
    tracing::info!(%order, "release");
    warehouse.execute(WAREHOUSE, &command).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn unknown(order: &OrderId) -> Problem {
    Problem::new(404, "inventory.unknown-reservation", format!("nothing is reserved for {order}"))
}

#[cfg(test)]
mod tests;
