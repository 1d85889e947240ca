//! What other services tell of an order: the platform posts each event here, until it is taken.
//!
//! That an order is paid is seen by that, while the saga is still at its other steps. An event may come more than once: its id is
//! the command's key, so it counts once.

use super::Service;
use super::decider::Command;
use crate::id::OrderId;
use crate::problem::Problem;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use tenon_api::cloudevents;

/// The topic that is understood.
const PAID: &str = "payment.completed";

#[derive(Deserialize)]
struct About {
    order: OrderId,
}

/// Takes an event: 204 when it has been taken in or changes nothing.
pub(super) async fn take(
    State(service): State<Service>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let invalid = |detail: String| Problem::new(422, "order.invalid-event", detail);
    for event in cloudevents::http::read(&headers, body).map_err(|error| invalid(error.to_string()))? {
        if event.event_type.as_str() != PAID {
            return Err(invalid(format!("{} is nothing that orders are about", event.event_type)));
        }
        let About { order } =
            serde_json::from_slice(&event.data).map_err(|error| invalid(format!("data: {error}")))?;
        let id = format!("{} {}", event.source, event.id);
        match service.orders.command_once(&order, &Command::Pay, &id).await {
            // It had come so far before, was cancelled meanwhile, or is none of this shop's.
            Err(problem) if matches!(problem.code.as_str(), "order.illegal-transition" | "order.unknown") => {
            }
            outcome => drop(outcome?),
        }
    }
    Ok(StatusCode::NO_CONTENT)
}
