//! The inventory service: what is in stock, and reservations of it.

mod warehouse;

use crate::id::{OrderId, Sku};
use crate::ledger::Ledger;
use crate::news::{self, News};
use crate::problem::Problem;
use crate::service::{Settings, routes};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use warehouse::{Reservation, Warehouse};

/// Opens the service's ledger and makes its routes.
///
/// # Errors
/// A problem if the ledger cannot be opened.
pub fn start(settings: &Settings) -> Result<Router, Problem> {
    let service =
        Service { ledger: Ledger::open(settings.data.as_deref(), "inventory")?, news: News::of(settings)? };
    let own = Router::new()
        .route("/stock", get(all_stock))
        .route("/stock/{sku}", get(stock))
        .route("/reservations", post(reserve))
        .route("/reservations/{order}", get(show).delete(release))
        .with_state(service);
    Ok(routes(settings, own))
}

#[derive(Clone)]
struct Service {
    ledger: Ledger<Warehouse>,
    news: News,
}

#[derive(Serialize)]
struct Item {
    sku: Sku,
    available: u32,
}

async fn all_stock(State(Service { ledger, .. }): State<Service>) -> Result<Json<Vec<Item>>, Problem> {
    let stock = ledger.read(Warehouse::stock).await?;
    Ok(Json(stock.into_iter().map(|(sku, available)| Item { sku, available }).collect()))
}

async fn stock(
    State(Service { ledger, .. }): State<Service>,
    Path(sku): Path<String>,
) -> Result<Json<Item>, Problem> {
    let sku = Sku::new(sku)?;
    let wanted = sku.clone();
    let available = ledger.read(move |warehouse| warehouse.available(&wanted)).await??;
    Ok(Json(Item { sku, available }))
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
    State(Service { ledger, news }): State<Service>,
    Json(body): Json<ReserveBody>,
) -> Result<(StatusCode, Json<Reservation>), Problem> {
    let order = body.order.clone();
    let items: Vec<(Sku, u32)> = body.items.into_iter().map(|item| (item.sku, item.quantity)).collect();
    let decide = move |warehouse: &Warehouse| warehouse.reserve(&body.order, &items);
    let reservation = ledger.decide(decide, move |warehouse| warehouse.reservation(&order)).await??;
    tracing::info!(order = %reservation.order, "reserved");
    let order = &reservation.order;
    let data = json!({"order": order, "items": reservation.items});
    news.tell(&news::Item { topic: "inventory.reserved", id: order.as_str(), order, data }).await?;
    Ok((StatusCode::CREATED, Json(reservation)))
}

async fn show(
    State(Service { ledger, .. }): State<Service>,
    Path(order): Path<String>,
) -> Result<Json<Reservation>, Problem> {
    let order = OrderId::new(order)?;
    ledger.read(move |warehouse| warehouse.reservation(&order)).await?.map(Json)
}

async fn release(
    State(Service { ledger, .. }): State<Service>,
    Path(order): Path<String>,
) -> Result<StatusCode, Problem> {
    let order = OrderId::new(order)?;
    tracing::info!(%order, "release");
    ledger.decide(move |warehouse| warehouse.release(&order), |_| StatusCode::NO_CONTENT).await
}

#[cfg(test)]
mod tests;
