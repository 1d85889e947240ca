//! Knobs that make one instance slow or unavailable, to see what the mesh makes of it.

use crate::problem::Problem;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The longest delay that can be asked for, in milliseconds.
pub const MAX_SLOW_MS: u64 = 20_000;

/// What is wrong with this instance at present. Clones are the same knobs.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    service: &'static str,
    slow_ms: AtomicU64,
    unavailable: AtomicBool,
}

impl Faults {
    /// Nothing is wrong.
    pub fn none(service: &'static str) -> Self {
        Self(Arc::new(Inner { service, slow_ms: AtomicU64::new(0), unavailable: AtomicBool::new(false) }))
    }

    /// Makes every request to these routes wait or fail as the knobs say.
    pub fn inject(&self, routes: Router) -> Router {
        routes.layer(from_fn_with_state(self.clone(), suffer))
    }

    /// The routes that turn the knobs; they are not slowed down themselves.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/admin/slow", post(set_slow))
            .route("/admin/unavailable", post(set_unavailable))
            .with_state(self.clone())
    }
}

async fn suffer(State(faults): State<Faults>, request: Request, next: Next) -> Response {
    let slow = faults.0.slow_ms.load(Ordering::Relaxed);
    if slow > 0 {
        tokio::time::sleep(Duration::from_millis(slow)).await;
    }
    if faults.0.unavailable.load(Ordering::Relaxed) {
        let code = format!("{}.unavailable", faults.0.service);
        return Problem::new(503, code, "this instance was told to be unavailable").into_response();
    }
    next.run(request).await
}

#[derive(Deserialize)]
struct Slow {
    ms: u64,
}

async fn set_slow(State(faults): State<Faults>, Json(slow): Json<Slow>) -> Result<StatusCode, Problem> {
    if slow.ms > MAX_SLOW_MS {
        let detail = format!("ms is {}, but at most {MAX_SLOW_MS}", slow.ms);
        return Err(Problem::new(422, "request.invalid", detail));
    }
    tracing::info!(ms = slow.ms, "slow");
    faults.0.slow_ms.store(slow.ms, Ordering::Relaxed);
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct Unavailable {
    on: bool,
}

async fn set_unavailable(State(faults): State<Faults>, Json(unavailable): Json<Unavailable>) -> StatusCode {
    tracing::info!(on = unavailable.on, "unavailable");
    faults.0.unavailable.store(unavailable.on, Ordering::Relaxed);
    StatusCode::NO_CONTENT
}
