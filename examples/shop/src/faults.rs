//! Knobs that make one instance slow, unavailable, refuse what it is asked for, or lose its answers, to see what the mesh and
//! sagas make of it.

use crate::line::Line;
use crate::problem::Problem;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, StatusCode};
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

/// The header by which a call of a saga is known.
const SAGA: &str = "tenon-saga";

/// What is wrong with this instance at present. Clones are the same knobs.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    service: &'static str,
    slow_ms: AtomicU64,
    unavailable: AtomicBool,
    refuse: AtomicBool,
    /// How many answers are still to be lost.
    lose: AtomicU64,
    /// How many of a hundred are lost besides, and how many requests that could have been.
    lose_percent: AtomicU64,
    counted: AtomicU64,
}

impl Faults {
    /// Nothing is wrong.
    pub fn none(service: &'static str) -> Self {
        Self(Arc::new(Inner {
            service,
            slow_ms: AtomicU64::new(0),
            unavailable: AtomicBool::new(false),
            refuse: AtomicBool::new(false),
            lose: AtomicU64::new(0),
            lose_percent: AtomicU64::new(0),
            counted: AtomicU64::new(0),
        }))
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
            .route("/admin/refuse", post(set_refuse))
            .route("/admin/lose-replies", post(set_lose_replies))
            .with_state(self.clone())
    }

    /// How whatever is to be changed is refused, if it is. Of a saga's call a refusal is for good, so whoever takes part asks
    /// here, and records it.
    pub fn refusal(&self) -> Option<Problem> {
        let Inner { service, refuse, .. } = &*self.0;
        let refused = || Problem::new(422, format!("{service}.refused"), "this instance was told to refuse");
        refuse.load(Ordering::Relaxed).then(refused)
    }

    /// Whether the answer that is due now is lost.
    fn loses(&self) -> bool {
        let Inner { lose, lose_percent, counted, .. } = &*self.0;
        let one_less = |left: u64| left.checked_sub(1);
        if lose.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            return true;
        }
        let percent = lose_percent.load(Ordering::Relaxed);
        // Evenly: each time that the share adds up to one more.
        let before = if percent == 0 { 0 } else { counted.fetch_add(1, Ordering::Relaxed) };
        percent > 0 && (before + 1) * percent / 100 > before * percent / 100
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
    let changes = request.method() != Method::GET;
    let refusal = faults.refusal().filter(|_| changes && !request.headers().contains_key(SAGA));
    if let Some(refusal) = refusal {
        return refusal.into_response();
    }
    let line = request.extensions().get::<ConnectInfo<Line>>().map(|ConnectInfo(line)| line.clone());
    let response = next.run(request).await;
    if let Some(line) = line.filter(|_| faults.loses()) {
        tracing::info!(status = response.status().as_u16(), "the answer is lost");
        line.cut();
    }
    response
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
struct Switch {
    on: bool,
}

async fn set_unavailable(State(faults): State<Faults>, Json(switch): Json<Switch>) -> StatusCode {
    tracing::info!(on = switch.on, "unavailable");
    faults.0.unavailable.store(switch.on, Ordering::Relaxed);
    StatusCode::NO_CONTENT
}

async fn set_refuse(State(faults): State<Faults>, Json(switch): Json<Switch>) -> StatusCode {
    tracing::info!(on = switch.on, "refuse");
    faults.0.refuse.store(switch.on, Ordering::Relaxed);
    StatusCode::NO_CONTENT
}

/// So many of the next answers, and so many of a hundred of all.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct LoseReplies {
    count: u64,
    percent: u64,
}

async fn set_lose_replies(
    State(faults): State<Faults>,
    Json(lose): Json<LoseReplies>,
) -> Result<StatusCode, Problem> {
    if lose.percent > 100 {
        let detail = format!("percent is {}, but at most 100", lose.percent);
        return Err(Problem::new(422, "request.invalid", detail));
    }
    tracing::info!(count = lose.count, percent = lose.percent, "lose replies");
    faults.0.lose.store(lose.count, Ordering::Relaxed);
    faults.0.lose_percent.store(lose.percent, Ordering::Relaxed);
    Ok(StatusCode::NO_CONTENT)
}
