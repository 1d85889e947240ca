//! The payment service: charges cards and refunds them, each once.
//!
//! Accounts are event-sourced (`account.rs` has their rules). What others are told, `payment.completed`, is appended with
//! what happened, so neither is ever there without the other, whatever dies in between.
//!
//! Left out on purpose: any real payment. A card is the name of a seeded account with a balance.

mod account;

use crate::commands::Commands;
use crate::id::{Card, IdempotencyKey, OrderId, PaymentId};
use crate::money::Money;
use crate::problem::Problem;
use crate::saga;
use crate::service::{Settings, routes};
use account::{Account, Accounts, Command, Shown, seeded, tag_of};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tenon_sdk::saga::SagaCall;

/// The routes of the service, with its events where the settings say.
///
/// # Errors
/// None so far.
pub fn start(settings: &Settings) -> Result<Router, Problem> {
    Ok(start_on(settings, Commands::new(settings, "account", "shop.account.v1")))
}

fn start_on(settings: &Settings, accounts: Commands<Accounts>) -> Router {
    let own = Router::new()
        .route("/payments", post(charge))
        .route("/payments/{id}", get(show))
        .route("/payments/{id}/refund", post(refund))
        .route("/accounts/{card}", get(balance))
        .route("/quote", get(quote))
        .with_state(Service { accounts, instance: settings.instance.clone() });
    routes(settings, own)
}

#[derive(Clone)]
struct Service {
    accounts: Commands<Accounts>,
    instance: String,
}

impl Service {
    /// Gives a command to an account, and shows what it was about.
    async fn execute(&self, card: &Card, payment: &PaymentId, command: Command) -> Result<Shown, Problem> {
        let account = self.accounts.execute(card.as_str(), &command).await?;
        account.and_then(|account| account.payment(payment)).ok_or_else(|| unknown(payment))
    }

    /// Answers a call of a saga with what it was about.
    async fn take_part(
        &self,
        call: &SagaCall,
        card: &Card,
        payment: &PaymentId,
        command: &Command,
    ) -> Result<Response, Problem> {
        tracing::info!(saga = %call.saga, step = %call.step, direction = %call.direction, %payment, "called");
        let shown = |account: &Option<Account>| account.as_ref()?.payment(payment);
        self.accounts.take_part(call, card.as_str(), command, shown).await
    }

    /// The account that a payment was charged to.
    async fn account_of(&self, payment: &PaymentId) -> Result<Account, Problem> {
        let tag = tag_of(payment).ok_or_else(|| unknown(payment))?;
        let account = match self.accounts.found_by(tag).await? {
            Some(card) => self.accounts.load(&card).await?,
            None => None,
        };
        account.ok_or_else(|| unknown(payment))
    }
}

fn unknown(payment: &PaymentId) -> Problem {
    Problem::new(404, "payment.unknown", format!("there is no payment {payment}"))
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
) -> Result<Response, Problem> {
    let ChargeBody { order, amount, card } = body;
    let call = saga::call(&headers)?;
    let payment = match &call {
        // An order that a saga creates has one payment, called as the order.
        Some(_) => PaymentId::from(IdempotencyKey::from(order.clone())),
        None => IdempotencyKey::from_headers(&headers)?.map_or_else(PaymentId::generate, PaymentId::from),
    };
    let command = Command::Charge { card: card.clone(), payment: payment.clone(), order, amount };
    if let Some(call) = call {
        return service.take_part(&call, &card, &payment, &command).await;
    }
    let shown = service.execute(&card, &payment, command).await?;
    tracing::info!(payment = %shown.id, state = ?shown.state, "charge");
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

#[derive(Default, Deserialize)]
struct RefundBody {
    card: Option<Card>,
}

/// Gives a payment back. Whoever may have asked for one that never arrived says which card it is about: it is refused then.
async fn refund(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Option<Json<RefundBody>>,
) -> Result<Response, Problem> {
    let payment = PaymentId::new(id)?;
    let Json(RefundBody { card }) = body.unwrap_or_default();
    let card = match card {
        Some(card) => card,
        None => service.account_of(&payment).await?.card,
    };
    let command = Command::Refund { card: card.clone(), payment: payment.clone() };
    if let Some(call) = saga::call(&headers)? {
        return service.take_part(&call, &card, &payment, &command).await;
    }
    let shown = service.execute(&card, &payment, command).await?;
    tracing::info!(payment = %shown.id, "refund");
    Ok(Json(shown).into_response())
}

async fn show(State(service): State<Service>, Path(id): Path<String>) -> Result<Json<Shown>, Problem> {
    let payment = PaymentId::new(id)?;
    let account = service.account_of(&payment).await?;
    account.payment(&payment).map(Json).ok_or_else(|| unknown(&payment))
}

#[derive(Serialize)]
struct Balance {
    card: Card,
    balance: Money,
}

async fn balance(State(service): State<Service>, Path(card): Path<String>) -> Result<Json<Balance>, Problem> {
    let card = Card::new(card)?;
    let account = match service.accounts.load(card.as_str()).await? {
        Some(account) => account,
        None => seeded(&card)?,
    };
    Ok(Json(Balance { card, balance: account.balance }))
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
