//! What other services tell of an order's steps: the platform posts each event here, until it is taken.
//!
//! The saga usually knows already, from the answer. When that was lost, the news take the order on. An event may come
//! more than once: its id is the command's key, so it counts once.

use super::decider::Command;
use super::saga::Saga;
use crate::id::OrderId;
use crate::problem::Problem;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use tenon_api::cloudevents;

/// The topics that are understood.
const PAID: &str = "payment.completed";
const RESERVED: &str = "inventory.reserved";

#[derive(Deserialize)]
struct About {
    order: OrderId,
}

/// Takes an event: 204 when it has been taken in or changes nothing.
pub(super) async fn take(
    State(saga): State<Saga>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let invalid = |detail: String| Problem::new(422, "order.invalid-event", detail);
    for event in cloudevents::http::read(&headers, body).map_err(|error| invalid(error.to_string()))? {
        let command = match event.event_type.as_str() {
            PAID => Command::Pay,
            RESERVED => Command::Confirm,
            other => return Err(invalid(format!("{other} is nothing that orders are about"))),
        };
        let About { order } =
            serde_json::from_slice(&event.data).map_err(|error| invalid(format!("data: {error}")))?;
        let id = format!("{} {}", event.source, event.id);
        match saga.orders().command_once(&order, &command, &id).await {
            // It had come so far before, was cancelled meanwhile, or is none of this shop's.
            Err(problem) if matches!(problem.code.as_str(), "order.illegal-transition" | "order.unknown") => {
            }
            outcome => drop(outcome?),
        }
    }
    Ok(StatusCode::NO_CONTENT)
}
