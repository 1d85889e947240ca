//! `/metrics`: what subscriptions and sagas count.

use super::form::Asked;
use super::reply::Reply;
use crate::bus::Bus;
use crate::saga::Sagas;
use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header;
use tenon_telemetry::prometheus::CONTENT_TYPE;

/// The path.
pub(crate) fn router(bus: Bus, sagas: Sagas) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(super::unknown)
        .with_state((bus, sagas))
}

async fn metrics(State((bus, sagas)): State<(Bus, Sagas)>, asked: Asked) -> Reply {
    asked.rights(bus.store())?.check_operator("reading metrics")?;
    let text = bus.metrics().await + &sagas.metrics();
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}
