//! The payment service: charges cards and refunds them, each once.
//!
//! Left out on purpose: any real payment. A card is the name of a seeded account with a balance.

mod book;

use crate::id::{Card, IdempotencyKey, OrderId, PaymentId};
use crate::ledger::Ledger;
use crate::money::Money;
use crate::news::{Item, News};
use crate::problem::Problem;
use crate::service::{Settings, routes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use book::{Book, Payment, Request};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Opens the service's ledger and makes its routes.
///
/// # Errors
/// A problem if the ledger cannot be opened.
pub fn start(settings: &Settings) -> Result<Router, Problem> {
    let service = Service {
        ledger: Ledger::open(settings.data.as_deref(), "payment")?,
        instance: settings.instance.clone(),
        news: News::of(settings)?,
    };
    let own = Router::new()
        .route("/payments", post(charge))
        .route("/payments/{id}", get(show))
        .route("/payments/{id}/refund", post(refund))
        .route("/accounts/{card}", get(balance))
        .route("/quote", get(quote))
        .with_state(service);
    Ok(routes(settings, own))
}

#[derive(Clone)]
struct Service {
    ledger: Ledger<Book>,
    instance: String,
    news: News,
}

#[derive(Deserialize)]
struct ChargeBody {
    order: OrderId,
    amount: Money,
    card: Card,
}

async fn charge(
    State(service): State<Service>,
    headers: HeaderMap,
    Json(body): Json<ChargeBody>,
) -> Result<(StatusCode, Json<Payment>), Problem> {
    let key = IdempotencyKey::from_headers(&headers)?;
    let id = key.map_or_else(PaymentId::generate, PaymentId::from);
    let request = Request { order: body.order, card: body.card, amount: body.amount };
    let shown = id.clone();
    let payment = service
        .ledger
        .decide(move |book| book.charge(&id, request), move |book| book.payment(&shown))
        .await??;
    tracing::info!(payment = %payment.id, state = ?payment.state, "charge");
    if let Some(request) = payment.charged() {
        let data = json!({"payment": payment.id, "order": request.order, "amount": request.amount});
        let item = Item { topic: "payment.completed", id: payment.id.as_str(), order: &request.order, data };
        service.news.tell(&item).await?;
    }
    Ok((StatusCode::CREATED, Json(payment)))
}

async fn refund(State(service): State<Service>, Path(id): Path<String>) -> Result<Json<Payment>, Problem> {
    let id = PaymentId::new(id)?;
    let shown = id.clone();
    let payment =
        service.ledger.decide(move |book| book.refund(&id), move |book| book.payment(&shown)).await??;
    tracing::info!(payment = %payment.id, "refund");
    Ok(Json(payment))
}

async fn show(State(service): State<Service>, Path(id): Path<String>) -> Result<Json<Payment>, Problem> {
    let id = PaymentId::new(id)?;
    service.ledger.read(move |book| book.payment(&id)).await?.map(Json)
}

#[derive(Serialize)]
struct Account {
    card: Card,
    balance: Money,
}

async fn balance(State(service): State<Service>, Path(card): Path<String>) -> Result<Json<Account>, Problem> {
    let card = Card::new(card)?;
    let balance = {
        let card = card.clone();
        service.ledger.read(move |book| book.balance(&card)).await??
    };
    Ok(Json(Account { card, balance }))
}

#[derive(Deserialize)]
struct QuoteQuery {
    amount: Money,
}

#[derive(Serialize)]
struct Quote {
    amount: Money,
    fee: Money,
    total: Money,
    instance: String,
}

/// What a payment of this amount would cost: cheap, idempotent and without data, so good for load. The fee
/// is 1.5 %.
async fn quote(
    State(service): State<Service>,
    Query(query): Query<QuoteQuery>,
) -> Result<Json<Quote>, Problem> {
    let amount = query.amount;
    let fee = amount.per_mille(15);
    match fee.and_then(|fee| Some((fee, amount.plus(fee)?))) {
        Some((fee, total)) => Ok(Json(Quote { amount, fee, total, instance: service.instance })),
        None => Err(Problem::new(422, "payment.invalid-details", "the amount is too large")),
    }
}

#[cfg(test)]
mod tests;
